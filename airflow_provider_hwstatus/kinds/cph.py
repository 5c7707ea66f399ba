"""Kinds of Cloud Phone (CPH) jobs."""

from __future__ import annotations

from airflow_provider_hwstatus.kinds.job_kind import JobKind

CPH_JOB = JobKind(
    name="cph_job",
    title="CPH job",
    service="cph",
    id_name="job_id",
    path="/v1/{project_id}/cloud-phone/jobs/{job_id}",
    id_field="job_id",
    state_field="status",
    begin_field="begin_time",
    end_field="end_time",
    log_field="execute_msg",
    permission="cph:jobs:get",
    detail_path=None,
    log_path=None,
    in_progress=frozenset({"1"}),
    success=frozenset({"2"}),
    failure=frozenset({"-1"}),
    source="https://support.huaweicloud.com/intl/en-us/api-cph/cph_api_0521.html",
)
