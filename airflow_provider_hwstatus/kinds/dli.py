"""Kinds of Data Lake Insight (DLI) jobs."""

from __future__ import annotations

from dataclasses import replace

from airflow_provider_hwstatus.kinds.job_kind import JobKind
from airflow_provider_hwstatus.kinds.submission import Search, Submission

_ADVICE = "open {console} for the driver's log"

DLI_BATCH = JobKind(
    name="dli_batch",
    title="DLI batch",
    service="dli",
    id_name="batch_id",
    path="/v2.0/{project_id}/batches/{job_id}/state",
    id="id",
    state="state",
    begin="create_time",
    end="update_time",
    job_name="name",
    queue=("queue", "cluster_name"),
    log="log",
    permission="dli:jobs:get",
    submissions={
        "submit": Submission(
            path="/v2.0/{project_id}/batches",
            id="id",
            required=("file",),
            name_field="name",
            search=Search(
                path="/v2.0/{project_id}/batches?job_name={marker}&start={since}&order=CREATE_TIME_DESC"
                "&from={first}&size=100",
                rows="sessions",
                id="id",
                state="state",
                created="create_time",
                permission="dli:jobs:list",
            ),
            permission="dli:queue:submitJob",
            source="https://support.huaweicloud.com/intl/en-us/api-dli/dli_02_0124.html",
        )
    },
    cancel="DELETE /v2.0/{project_id}/batches/{job_id}",
    cancel_permission="dli:queue:cancelJob",
    detail_path="/v2.0/{project_id}/batches/{job_id}",
    log_path="/v2.0/{project_id}/batches/{job_id}/log?type=driver",  # deprecated; some regions have removed it
    in_progress={"starting", "running", "recovering"},
    success={"success"},
    # DLI does not document "killed" and "error". Its API is derived from Livy, which has both.
    failure={"dead", "killed", "error"},
    console="/dli/?region={region}#/main/jobs/spark/submitLog/{job_id}?type=RUN",
    advice=_ADVICE,
    source="https://support.huaweicloud.com/intl/en-us/api-dli/dli_02_0127.html",
)


# A session is interactive. It is ready when it accepts statements; "success" means that it was stopped.
DLI_SESSION_READY = JobKind(
    name="dli_session_ready",
    title="DLI session",
    service="dli",
    id_name="session_id",
    path="/v2.0/{project_id}/sessions/{job_id}/state",
    id="id",
    state="state",
    begin="create_time",
    end="update_time",
    job_name="name",
    queue=("queue", "cluster_name"),
    log="log",
    permission="dli:jobs:get",
    detail_path="/v2.0/{project_id}/sessions/{job_id}",
    log_path="/v2.0/{project_id}/sessions/{job_id}/log",
    in_progress={"not_started", "starting", "recovering"},
    success={"idle", "busy"},
    failure={"shutting_down", "success", "error", "dead", "killed"},
    advice=_ADVICE,
    source="https://github.com/huaweicloudDocs/dli (API reference, 查看会话状态, 2020-08-04)",
)


DLI_SESSION_STOPPED = replace(
    DLI_SESSION_READY,
    name="dli_session_stopped",
    in_progress={"not_started", "starting", "recovering", "idle", "busy", "shutting_down"},
    success={"success"},
    failure={"error", "dead", "killed"},
)

DLI_SQL_JOB = JobKind(
    name="dli_sql_job",
    title="DLI SQL job",
    service="dli",
    path="/v1.0/{project_id}/jobs/{job_id}/status",
    id="job_id",
    state="status",
    guard=("is_success", False),
    begin="start_time",
    duration="duration",
    queue="queue_name",
    error_message="message",
    permission="dli:jobs:get",
    submissions={
        "submit": Submission(
            path="/v1.0/{project_id}/jobs/submit-job",
            id="job_id",
            required=("sql",),
            # A SQL job has no name. The list of jobs shows its tags, and filters by them.
            tags_field="tags",
            search=Search(
                path="/v1.0/{project_id}/jobs?tags=hwstatus%3D{marker}&start={since}&order=start_time_desc"
                "&page-size=100&current-page={page}",
                rows="jobs",
                id="job_id",
                state="status",
                created="start_time",
                permission="dli:jobs:list",
            ),
            over_at_once=("job_mode", "sync", "FINISHED"),
            permission="dli:queue:submitJob",
            source="huaweicloudsdkdli 3.1.219, CreateSqlJob, ListSqlJobs",
        )
    },
    cancel="DELETE /v1.0/{project_id}/jobs/{job_id}",
    cancel_permission="dli:queue:cancelJob",
    in_progress={"LAUNCHING", "RUNNING", "SCALING"},
    # The SDK's documentation has "FINISH", the examples of the API have "FINISHED".
    success={"FINISHED", "FINISH"},
    failure={"FAILED", "CANCELLED"},
    source="https://support.huaweicloud.com/api-dli/dli_02_0021.md; huaweicloudsdkdli 3.1.219, ShowSqlJobStatus",
)

# A stream. "job_init" is a draft, or a job that was stopped and reset: it is neither a success nor a failure, and
# never ends by itself, so it is not listed.
DLI_FLINK_JOB = JobKind(
    name="dli_flink_job",
    title="DLI Flink job",
    service="dli",
    path="/v1.0/{project_id}/streaming/jobs/{job_id}",
    id="job_detail.job_id",
    state="job_detail.status",
    guard=("is_success", "false"),  # a text here
    begin="job_detail.start_time",
    duration="job_detail.duration",
    job_name="job_detail.name",
    queue="job_detail.queue_name",
    error_message="job_detail.status_desc",
    permission="dli:jobs:get",
    in_progress={
        "job_submitting",
        "job_running",
        "job_downloading",
        "job_idle",
        "job_canceling",
        "job_savepointing",
        "job_arrearage_recovering",
    },
    success={"job_finish"},
    failure={
        "job_submit_fail",
        "job_running_exception",
        "job_cancel_success",
        "job_cancel_fail",
        "job_arrearage_stopped",
    },
    source="huaweicloudsdkdli 3.1.219, ShowFlinkJob; opentelekomcloud-docs/data-lake-insight, querying_job_details",
)

DLI_FLINK_JOB_FINISHED = DLI_FLINK_JOB.for_goal("finished")

DLI_FLINK_JOB_RUNNING = DLI_FLINK_JOB.for_goal(
    "running",
    success={"job_running", "job_finish"},
    failure={"job_submit_fail", "job_running_exception", "job_cancel_success", "job_arrearage_stopped"},
)

DLI_FLINK_JOB_STOPPED = DLI_FLINK_JOB.for_goal(
    "stopped",
    success={"job_cancel_success", "job_finish", "job_init"},
    # All but the first are inferred: the job does not run any more, but nobody stopped it.
    failure={"job_cancel_fail", "job_submit_fail", "job_running_exception", "job_arrearage_stopped"},
)

KINDS = (
    DLI_BATCH,
    DLI_SESSION_READY,
    DLI_SESSION_STOPPED,
    DLI_SQL_JOB,
    DLI_FLINK_JOB,
    DLI_FLINK_JOB_FINISHED,
    DLI_FLINK_JOB_RUNNING,
    DLI_FLINK_JOB_STOPPED,
)
