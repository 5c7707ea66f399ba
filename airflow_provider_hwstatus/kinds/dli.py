"""Kinds of Data Lake Insight (DLI) jobs."""

from __future__ import annotations

from dataclasses import replace

from airflow_provider_hwstatus.kinds.job_kind import JobKind

DLI_BATCH = JobKind(
    name="dli_batch",
    title="DLI batch",
    service="dli",
    id_name="batch_id",
    path="/v2.0/{project_id}/batches/{job_id}/state",
    id_field="id",
    state_field="state",
    begin_field="create_time",
    end_field="update_time",
    log_field="log",
    permission="dli:jobs:get",
    detail_path="/v2.0/{project_id}/batches/{job_id}",
    log_path="/v2.0/{project_id}/batches/{job_id}/log?type=driver",  # deprecated; some regions have removed it
    in_progress=frozenset({"starting", "running", "recovering"}),
    success=frozenset({"success"}),
    # DLI does not document "killed" and "error". Its API is derived from Livy, which has both.
    failure=frozenset({"dead", "killed", "error"}),
    source="https://support.huaweicloud.com/intl/en-us/api-dli/dli_02_0127.html",
)


# A session is interactive. It is ready when it accepts statements; "success" means that it was stopped.
DLI_SESSION_READY = JobKind(
    name="dli_session_ready",
    title="DLI session",
    service="dli",
    id_name="session_id",
    path="/v2.0/{project_id}/sessions/{job_id}/state",
    id_field="id",
    state_field="state",
    begin_field="create_time",
    end_field="update_time",
    log_field="log",
    permission="dli:jobs:get",
    detail_path="/v2.0/{project_id}/sessions/{job_id}",
    log_path="/v2.0/{project_id}/sessions/{job_id}/log",
    in_progress=frozenset({"not_started", "starting", "recovering"}),
    success=frozenset({"idle", "busy"}),
    failure=frozenset({"shutting_down", "success", "error", "dead", "killed"}),
    source="https://github.com/huaweicloudDocs/dli (API reference, 查看会话状态, 2020-08-04)",
)


DLI_SESSION_STOPPED = replace(
    DLI_SESSION_READY,
    name="dli_session_stopped",
    in_progress=frozenset({"not_started", "starting", "recovering", "idle", "busy", "shutting_down"}),
    success=frozenset({"success"}),
    failure=frozenset({"error", "dead", "killed"}),
)
