"""Uses of the sensors and operators that no type checker refuses. This file is checked, and never run."""

from datetime import timedelta

from airflow.sdk import XComArg, task

from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook
from airflow_provider_hwstatus.kinds import JobKind
from airflow_provider_hwstatus.operators.cph import CphPhonesOperator
from airflow_provider_hwstatus.operators.dli import DliBatchOperator, DliSqlJobOperator
from airflow_provider_hwstatus.sensors.cph import CphJobSensor, CphRequestSensor
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor, DliFlinkJobSensor, DliSessionSensor, DliSqlJobSensor
from airflow_provider_hwstatus.sensors.job import JobSensor


@task
def submit() -> str:
    return "b1"


@task
def submit_several() -> list[str]:
    return ["b1", "b2"]


batch = DliBatchSensor(task_id="output", batch_id=submit())
DliBatchSensor(task_id="outputs", batch_id=submit_several(), fail_fast=False)
DliBatchSensor(task_id="list", batch_id=["a", "b"], wait_for_all=False, on_empty="succeed")
DliBatchSensor(task_id="by_name", name="nightly-*", on_many="newest", submitted_after="{{ ts }}", deferrable=True)
DliBatchSensor(
    task_id="durations",
    batch_id="{{ params.batch }}",
    poke_interval=timedelta(minutes=1),
    timeout=3600,
    outage_tolerance=30,
    not_found_grace=timedelta(seconds=5),
    deferrable=True,
    start_from_trigger=True,
)
DliBatchSensor(task_id="states", batch_id="b1", success_states=["success", 2], on_unknown_state="fail")
DliSessionSensor(task_id="session", session_id="s1", wait_for="stopped", mode="reschedule", max_wait=60.0)
DliSqlJobSensor(task_id="sql", job_id=submit())
DliFlinkJobSensor(task_id="flink", job_id=[1, 2], wait_for="running")
JobSensor(task_id="any", kind="mrs_job", job_id="j1", parameters={"cluster_id": "c1"}, deferrable=True)
own = JobKind(
    name="own_job",
    title="own job",
    service="own",
    path="/{job_id}",
    state="job.state",
    success={"done", 2},
    failure=[-1],
)
JobSensor(task_id="own", kind=own, job_id=submit_several(), fail_fast=False)
CphRequestSensor(task_id="request", request_id="r1", expected_jobs=submit(), resume_deadline=True)
CphJobSensor(
    task_id="operator",
    job_id="j1",
    soft_fail=True,
    retries=2,
    retry_delay=timedelta(seconds=5),
    pool="huawei",
    queue="light",
    execution_timeout=timedelta(hours=1),
    trigger_rule="all_done",
    doc_md="Waits.",
    do_xcom_push=False,
    on_failure_callback=[lambda context: None],
)
output: XComArg = batch.output
CphJobSensor(task_id="chained", job_id=output, hwstatus_conn_id="huawei", region="cn-north-4", project_id=None)
state: str = HwStatusHook().get_dli_batch_status("b1").state
etl = DliBatchOperator(
    task_id="etl",
    batch={"file": "obs://acme/etl.jar", "args": ["{{ ds }}"], "conf": {"spark.executor.cores": 2}},
    cancel_on_kill=False,
    list_lag=timedelta(minutes=1),
    wait=False,
    deferrable=True,
    retries=2,
)
DliBatchSensor(task_id="etl_ended", batch_id=etl.output)
DliBatchOperator(task_id="body_of_a_task", batch=submit(), cancel_on_kill=None, poke_interval=30, soft_fail=True)
DliSqlJobOperator(task_id="sql", job={"sql": "SELECT 1"}, failure_states=["FAILED"], retry_delay=timedelta(seconds=5))
phones = {"phones": [{"phone_id": "p1"}]}
CphPhonesOperator(task_id="phones", action="restart", body=phones, resubmit=True, fail_fast=False)
cancelled: str = HwStatusHook().cancel("dli_batch", "b1").state
