"""Kinds of jobs of infrastructure services: ECS, EVS, IMS, CBR, CCE, OMS and ModelArts."""

from __future__ import annotations

from dataclasses import replace

from airflow_provider_hwstatus.kinds.job_kind import JobKind

ECS_JOB = JobKind(
    name="ecs_job",
    title="ECS job",
    service="ecs",
    path="/v1/{project_id}/jobs/{job_id}",
    id="job_id",
    state="status",
    begin="begin_time",
    end="end_time",
    job_name="job_type",
    # The reason of a failure is often in a sub-job alone.
    error_code=("error_code", "entities.sub_jobs[0].error_code"),
    error_message=("fail_reason", "entities.sub_jobs[0].fail_reason"),
    in_progress={"INIT", "RUNNING"},
    success={"SUCCESS"},
    failure={"FAIL"},
    source="huaweicloudsdkecs 3.1.219, ShowJob",
)

EVS_JOB = replace(ECS_JOB, name="evs_job", title="EVS job", service="evs", source="huaweicloudsdkevs 3.1.219, ShowJob")

IMS_JOB = replace(
    ECS_JOB,
    name="ims_job",
    title="IMS job",
    service="ims",
    error_code=("error_code", "entities.error_code", "entities.sub_jobs_result[0].error_code"),
    error_message=("fail_reason", "entities.error", "entities.sub_jobs_result[0].fail_reason"),
    source="huaweicloudsdkims 3.1.219, ShowJob",
)

# "skipped" is not listed: whether a task that had nothing to do is a success depends on the pipeline.
CBR_TASK = JobKind(
    name="cbr_task",
    title="CBR task",
    service="cbr",
    id_name="operation_log_id",
    path="/v3/{project_id}/operation-logs/{job_id}",
    id="operation_log.id",
    state="operation_log.status",
    begin="operation_log.started_at",
    end="operation_log.ended_at",
    job_name="operation_log.operation_type",
    queue="operation_log.vault_name",
    error_code="operation_log.error_info.code",
    error_message="operation_log.error_info.message",
    permission="cbr:tasks:get",
    in_progress={"waiting", "running"},
    success={"success"},
    failure={"failed", "timeout"},
    source="huaweicloudsdkcbr 3.1.219, ShowOpLog",
)

CCE_JOB = JobKind(
    name="cce_job",
    title="CCE job",
    service="cce",
    path="/api/v3/projects/{project_id}/jobs/{job_id}",
    id="metadata.uid",
    state="status.phase",
    begin="metadata.creationTimestamp",
    end="metadata.updateTimestamp",
    job_name="spec.type",
    queue="spec.clusterUID",
    error_message="status.reason",
    in_progress={"Initializing", "Running"},
    success={"Success"},
    failure={"Failed"},
    source="huaweicloudsdkcce 3.1.219, ShowJob",
)

# "0" is not documented; the vendor's Terraform provider waits through it.
OMS_TASK = JobKind(
    name="oms_task",
    title="OMS migration task",
    service="oms",
    id_name="task_id",
    path="/v2/{project_id}/tasks/{job_id}",
    id="id",
    state="status",
    begin="start_time",
    duration="total_time",
    job_name="name",
    error_code="error_reason.error_code",
    error_message="error_reason.error_msg",
    in_progress={"0", "1", "2", "6", "7"},
    success={"5"},
    failure={"3", "4"},
    source="huaweicloudsdkoms 3.1.219, ShowTask",
)

# "Terminated" means that a person stopped the job.
MODELARTS_TRAINING_JOB = JobKind(
    name="modelarts_training_job",
    title="ModelArts training job",
    service="modelarts",
    id_name="training_job_id",
    path="/v2/{project_id}/training-jobs/{job_id}",
    id="metadata.id",
    state="status.phase",
    begin="status.start_time",
    duration="status.duration",
    job_name="metadata.name",
    error_code="status.task_statuses[0].exit_code",
    error_message="status.task_statuses[0].message",
    permission="modelarts:trainJob:get",
    in_progress={"Creating", "Pending", "Running", "Terminating"},
    success={"Completed"},
    failure={"Failed", "Terminated", "Abnormal"},
    source="huaweicloudsdkmodelarts 3.1.219, ShowTrainingJobDetails",
)

KINDS = (ECS_JOB, EVS_JOB, IMS_JOB, CBR_TASK, CCE_JOB, OMS_TASK, MODELARTS_TRAINING_JOB)
