"""Kinds of MapReduce Service (MRS) jobs."""

from __future__ import annotations

from airflow_provider_hwstatus.kinds.job_kind import JobKind

# "FINISHED" says that YARN is done with the application, not that it succeeded; only job_result says that. So it is not
# listed.
MRS_JOB = JobKind(
    name="mrs_job",
    title="MRS job",
    service="mrs",
    id_name="job_execution_id",
    path="/v2/{project_id}/clusters/{cluster_id}/job-executions/{job_id}",
    parameters=("cluster_id",),
    id="job_detail.job_id",
    state=("job_detail.job_result", "job_detail.job_state"),
    begin=("job_detail.started_time", "job_detail.submitted_time"),
    end="job_detail.finished_time",
    job_name="job_detail.job_name",
    queue="job_detail.queue",
    permission="mrs:job:list",
    cancel="POST /v2/{project_id}/clusters/{cluster_id}/job-executions/{job_id}/kill",
    cancel_permission="mrs:job:stop",
    in_progress={"UNDEFINED", "NEW", "NEW_SAVING", "SUBMITTED", "ACCEPTED", "RUNNING"},
    success={"SUCCEEDED"},
    failure={"FAILED", "KILLED"},
    source="huaweicloudsdkmrs 3.1.219, ShowSingleJobExe; opentelekomcloud-docs/mapreduce-service, "
    "querying_information_about_a_job",
)

KINDS = (MRS_JOB,)
