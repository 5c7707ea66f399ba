"""Uses of the sensors and operators that type checkers refuse: each marked line. This file is checked, never run."""

from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook
from airflow_provider_hwstatus.operators.cph import CphPhonesOperator
from airflow_provider_hwstatus.operators.dli import DliBatchOperator, DliSqlJobOperator
from airflow_provider_hwstatus.sensors.cph import CphJobSensor, CphRequestSensor
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor, DliFlinkJobSensor, DliSessionSensor
from airflow_provider_hwstatus.sensors.job import JobSensor

DliBatchSensor(batch_id="b1")  # error: task_id is missing
DliBatchSensor(task_id="t")  # error: batch_id is missing
DliBatchSensor(task_id="t", batch_id="b1", defferable=True)  # error
DliBatchSensor(task_id="t", batch_id="b1", deferrable="yes")  # error
DliBatchSensor(task_id="t", batch_id="b1", on_empty=3)  # error
DliBatchSensor(task_id="t", batch_id="b1", on_empty="skip")  # error
DliBatchSensor(task_id="t", batch_id="b1", on_unknown_state="ignore")  # error
DliBatchSensor(task_id="t", batch_id="b1", outage_tolerance="soon")  # error
DliBatchSensor(task_id="t", batch_id="b1", success_states="success", fail_fast=0.5)  # error
DliBatchSensor(task_id="t", batch_id="b1", mode="wait")  # error
DliBatchSensor(task_id="t", batch_id="b1", retries="2")  # error
DliBatchSensor(task_id="t", batch_id=3)  # error
DliBatchSensor(task_id="t", batch_id="b1", name="nightly")  # error: one of them is too many
DliBatchSensor(task_id="t", name="nightly", on_many="first")  # error
DliSessionSensor(task_id="t", session_id="s1", wait_for="red")  # error
DliFlinkJobSensor(task_id="t", job_id="1", wait_for="ended")  # error
JobSensor(task_id="t", job_id="j1")  # error: kind is missing
JobSensor(task_id="t", kind="mrs_job", job_id="j1", cluster_id="c1")  # error
JobSensor(task_id="t", kind="mrs_job", job_id="j1", parameters="c1")  # error
CphJobSensor(task_id="t", job_id=None)  # error
CphRequestSensor(task_id="t", request_id=1.5)  # error
CphRequestSensor(task_id="t", request_id="r1", batch_id="b1")  # error
HwStatusHook().get_dli_batch_status("b1").sate  # error
DliBatchOperator(task_id="t")  # error: batch is missing
DliBatchOperator(task_id="t", batch="x")  # error
DliBatchOperator(task_id="t", batch={"file": "f"}, defferable=True)  # error
DliBatchOperator(task_id="t", batch={"file": "f"}, cancel_on_kill="yes")  # error
DliBatchOperator(task_id="t", batch={"file": "f"}, mode="poke")  # error
DliBatchOperator(task_id="t", batch={"file": "f"}, resubmit=True)  # error
DliBatchOperator(task_id="t", batch={"file": "f"}, list_lag="soon")  # error
DliSqlJobOperator(task_id="t", job={"sql": "SELECT 1"}, start_from_trigger=True)  # error
CphPhonesOperator(task_id="t", body={})  # error: action is missing
CphPhonesOperator(task_id="t", action="restart", body={}, wait="no")  # error
HwStatusHook().submit("dli_batch", "file")  # error
