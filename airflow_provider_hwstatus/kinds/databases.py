"""Kinds of jobs of database services: RDS, TaurusDB, DRS, DWS, GES and CSS."""

from __future__ import annotations

from dataclasses import replace

from airflow_provider_hwstatus.kinds.job_kind import JobKind, Outcome, fold

RDS_JOB = JobKind(
    name="rds_job",
    title="RDS task",
    service="rds",
    path="/v3/{project_id}/jobs?id={job_id}",
    id="job.id",
    state="job.status",
    begin="job.created",
    end="job.ended",
    job_name="job.name",
    queue="job.instance.name",
    error_message="job.fail_reason",
    in_progress={"Running"},
    success={"Completed"},
    failure={"Failed"},
    source="huaweicloudsdkrds 3.1.219, ListJobInfo",
)

# Its host is gaussdb, the former name of the service.
TAURUSDB_JOB = replace(
    RDS_JOB,
    name="taurusdb_job",
    title="TaurusDB task",
    service="gaussdb",
    in_progress={"Pending", "Running"},
    source="huaweicloudsdkgaussdb 3.1.219, ShowGaussMySqlJobInfo",
)

# No call returns one backup, so the list is filtered by its id. An empty list means that it is gone, or not listed yet.
RDS_BACKUP = JobKind(
    name="rds_backup",
    title="RDS backup",
    service="rds",
    id_name="backup_id",
    path="/v3/{project_id}/backups?instance_id={instance_id}&backup_id={job_id}",
    parameters=("instance_id",),
    id="backups[0].id",
    state="backups[0].status",
    begin="backups[0].begin_time",
    end="backups[0].end_time",
    job_name="backups[0].name",
    permission="rds:backup:list",
    in_progress={"BUILDING"},
    success={"COMPLETED"},
    failure={"FAILED", "DELETING"},
    source="huaweicloudsdkrds 3.1.219, ListBackups",
)

# An incremental task never ends by itself. That this path returns job.status is from the SDK and the vendor's Terraform
# provider; there is no example.
DRS_JOB = JobKind(
    name="drs_job",
    title="DRS task",
    service="drs",
    path="/v5/{project_id}/jobs/{job_id}?type=detail",
    id="job.id",
    state="job.status",
    begin="job.create_time",
    job_name="job.base_info.name",
    in_progress={
        "CREATING",
        "CONFIGURATION",
        "STARTJOBING",
        "WAITING_FOR_START",
        "PAUSING",
        "PAUSEING",
        "FULL_TRANSFER_STARTED",
        "RELEASE_RESOURCE_STARTED",
        "REBUILD_NODE_STARTED",
        "CHANGE_JOB_STARTED",
        "CHILD_TRANSFER_STARTING",
        "CHILD_TRANSFER_STARTED",
        "CHILD_TRANSFER_COMPLETE",
        "RELEASE_CHILD_TRANSFER_STARTED",
        "RELEASE_CHILD_TRANSFER_COMPLETE",
        "NODE_UPGRADE_START",
        "NODE_UPGRADE_COMPLETE",
    },
    success={"FULL_TRANSFER_COMPLETE", "INCRE_TRANSFER_STARTED", "RELEASE_RESOURCE_COMPLETE"},
    failure={
        "CREATE_FAILED",
        "START_JOB_FAILED",
        "FULL_TRANSFER_FAILED",
        "INCRE_TRANSFER_FAILED",
        "RELEASE_RESOURCE_FAILED",
        "REBUILD_NODE_FAILED",
        "CHANGE_JOB_FAILED",
        "DELETED",
        "CHILD_TRANSFER_FAILED",
        "NODE_UPGRADE_FAILED",
    },
    source="huaweicloudsdkdrs 3.1.219, v5 ShowJobDetail; terraform-provider-huaweicloud, resource drs_job",
)

_TRANSFERRED = {"FULL_TRANSFER_COMPLETE", "INCRE_TRANSFER_STARTED"}
_STARTED = {"FULL_TRANSFER_STARTED", *_TRANSFERRED}

# A task that was ended may have reached the goal before, or not. So "RELEASE_RESOURCE_COMPLETE" is unknown for these
# goals.
_ENDED = {"RELEASE_RESOURCE_COMPLETE"}


def _drs_goal(goal: str, success: set[str]) -> JobKind:
    ended = {fold(state) for state in success | _ENDED}
    in_progress = {state for state, outcome in DRS_JOB.outcomes.items() if outcome is not Outcome.FAILURE} - ended
    return DRS_JOB.for_goal(goal, success=success, in_progress=in_progress)


DRS_JOB_CREATED = _drs_goal("created", {"CONFIGURATION", "STARTJOBING", "WAITING_FOR_START", *_STARTED})
DRS_JOB_STARTED = _drs_goal("started", _STARTED)
DRS_JOB_FULL = _drs_goal("full", _TRANSFERRED)
DRS_JOB_ENDED = DRS_JOB.for_goal("ended", success=_ENDED)

# The service may freeze a snapshot, for arrears or by order; it does not say whether it is usable then.
DWS_SNAPSHOT = JobKind(
    name="dws_snapshot",
    title="DWS snapshot",
    service="dws",
    id_name="snapshot_id",
    path="/v1.0/{project_id}/snapshots/{job_id}",
    id="snapshot.id",
    state="snapshot.status",
    begin="snapshot.started",
    end="snapshot.finished",
    job_name="snapshot.name",
    queue="snapshot.cluster_name",
    permission="dws:openAPISnapshot:detail",
    in_progress={"CREATING"},
    success={"AVAILABLE"},
    failure={"UNAVAILABLE"},
    source="huaweicloudsdkdws 3.1.219, ListSnapshotDetails",
)

DWS_TASK = JobKind(
    name="dws_task",
    title="DWS task",
    service="dws",
    path="/v1.0/{project_id}/job/{job_id}",
    id="job_id",
    state="status",
    begin="begin_time",
    end="end_time",
    job_name="job_name",
    error_code="failed_code",
    error_message="failed_detail",
    in_progress={"INIT", "WAITING", "RUNNING", "DELAY_SCHEDULED"},
    success={"SUCCESS"},
    failure={"FAIL", "STOP"},
    source="huaweicloudsdkdws 3.1.219, ListJobDetails",
)

GES_JOB = JobKind(
    name="ges_job",
    title="GES job",
    service="ges",
    path="/v2/{project_id}/graphs/{graph_id}/jobs/{job_id}/status",
    parameters=("graph_id",),
    id="job_id",
    state="status",
    begin="begin_time",
    end="end_time",
    job_name="job_name",
    queue="related_graph",
    error_message="fail_reason",
    permission="ges:jobs:getDetail",
    in_progress={"pending", "running"},
    success={"success"},
    failure={"failed"},
    source="huaweicloudsdkges 3.1.219, v2 ShowJob2",
)

# No call returns one snapshot, so it is chosen from the cluster's list.
CSS_SNAPSHOT = JobKind(
    name="css_snapshot",
    title="CSS snapshot",
    service="css",
    id_name="snapshot_id",
    path="/v1.0/{project_id}/clusters/{cluster_id}/index_snapshots",
    parameters=("cluster_id",),
    id="backups[?id==job_id].id",
    state="backups[?id==job_id].status",
    begin="backups[?id==job_id].startTime",
    end="backups[?id==job_id].endTime",
    job_name="backups[?id==job_id].name",
    permission="css:snapshot:list",
    in_progress={"BUILDING"},
    success={"COMPLETED"},
    failure={"PART_FAILED", "FAILED"},
    source="huaweicloudsdkcss 3.1.219, ListSnapshots",
)

# The state of an earlier restore may still stand there when a new one begins.
CSS_SNAPSHOT_RESTORED = CSS_SNAPSHOT.for_goal(
    "restored",
    state="backups[?id==job_id].restoreStatus",
    in_progress={"restoring"},
    success={"success"},
    failure={"failed"},
)

KINDS = (
    RDS_JOB,
    RDS_BACKUP,
    TAURUSDB_JOB,
    DRS_JOB,
    DRS_JOB_CREATED,
    DRS_JOB_STARTED,
    DRS_JOB_FULL,
    DRS_JOB_ENDED,
    DWS_SNAPSHOT,
    DWS_TASK,
    GES_JOB,
    CSS_SNAPSHOT,
    CSS_SNAPSHOT_RESTORED,
)
