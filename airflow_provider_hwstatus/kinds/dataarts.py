"""Kinds of DataArts Factory jobs."""

from __future__ import annotations

from airflow_provider_hwstatus.kinds.job_kind import JobKind

# The vendor's states "waiting-confirm" and "freeze" last until a person acts. "skip-by-depend" is not listed: whether a
# skipped instance is a success depends on the pipeline.
DATAARTS_JOB_INSTANCE = JobKind(
    name="dataarts_job_instance",
    title="DataArts job instance",
    service="dayu-dlf",
    id_name="instance_id",
    path="/v1/{project_id}/jobs/{job_name}/instances/{job_id}",
    parameters=("job_name",),
    optional_parameters=("workspace",),  # without it, the API looks into the workspace "default"
    headers={"workspace": "{workspace}"},
    id="instanceId",
    state="status",
    begin="startTime",
    end="endTime",
    job_name="jobName",
    in_progress={"waiting", "running", "pause", "waiting-confirm", "freeze"},
    success={"success", "forceSuccess", "ignoreSuccess"},
    failure={"fail", "running-exception", "manual-stop"},
    source="huaweicloudsdkdgc 3.1.219, ShowJobInstance; opentelekomcloud-docs/data-arts-studio, "
    "viewing_job_instance_details",
)

KINDS = (DATAARTS_JOB_INSTANCE,)
