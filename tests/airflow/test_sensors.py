"""Sensors: what a DAG author sees."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    PokeReturnValue,
    TaskDeferred,
)

from airflow_provider_hwstatus.errors import ConfigurationError
from airflow_provider_hwstatus.kinds import kind_of
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH
from airflow_provider_hwstatus.sensors.base import BACKSTOP, JobStatusSensor
from airflow_provider_hwstatus.sensors.cph import CphJobSensor, CphRequestSensor
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor, DliFlinkJobSensor, DliSessionSensor, DliSqlJobSensor
from airflow_provider_hwstatus.sensors.job import JobSensor

CONTEXT = {"ti": SimpleNamespace(get_first_reschedule_date=lambda context: None)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"success_states": ["dead"]}, "overlap in dead"),
        ({"success_states": ["A", "b"], "failure_states": ["B"]}, "overlap in b"),
        ({"success_states": "success"}, "success_states must be a non-empty list"),
        ({"failure_states": []}, "failure_states must be a non-empty list"),
        ({"on_unknown_state": "ignore"}, "on_unknown_state must be 'wait' or 'fail'"),
        ({"outage_tolerance": -1}, "outage_tolerance must be"),
        ({"outage_tolerance": float("inf")}, "outage_tolerance must be"),
        ({"outage_tolerance": "600"}, "outage_tolerance must be"),
        ({"not_found_grace": -1}, "not_found_grace must be"),
    ],
)
def test_wrong_argument_is_refused_when_the_dag_is_parsed(arguments, message):
    """The DAG does not load, and says which argument and what is allowed."""
    with pytest.raises(ValueError, match=message):
        DliBatchSensor(task_id="t", batch_id="b1", **arguments)


@pytest.mark.parametrize(
    "kind",
    [
        replace(DLI_BATCH, name="my_batch"),
        replace(DLI_BATCH, path="/v3/{project_id}/batches/{job_id}"),
        DLI_BATCH.with_states(["running"]),
        "dli_batch",
    ],
    ids=["name", "path", "states", "text"],
)
def test_kind_of_a_user_is_waited_for(huaweicloud, run_sensor, mode, kind):
    """A kind that is not in the table is polled at its path, until its own states end the wait, in every mode."""
    state = "success" if kind == "dli_batch" else min(kind.success)
    huaweicloud.job(kind, "j1", "starting", state)

    end = run_sensor(JobSensor, mode, kind=kind, job_id="j1", poke_interval=0.1)

    assert ("success", state) == (end.verdict, end.value["state"])
    assert kind_of(kind).path.format(project_id=huaweicloud.project_id, job_id="j1") == huaweicloud.requests[-1].path
    assert kind_of(kind).name == end.value["kind"]


@pytest.mark.parametrize("kind", ["dli_sql", "", None, DliBatchSensor, 7], ids=str)
@pytest.mark.parametrize("cls", [JobStatusSensor, JobSensor])
def test_what_is_no_kind_is_refused_when_the_dag_is_parsed(cls, kind):
    """The DAG does not load, and says which kinds there are."""
    ids = {"job_id": "j1"} if cls is JobSensor else {}
    with pytest.raises(ValueError, match=r"kind must be a JobKind or one of dli_batch, .*cph_job"):
        cls(task_id="t", kind=kind, **ids)


def test_wait_for_is_ready_or_stopped():
    """A session has two ends that one can wait for."""
    with pytest.raises(ValueError, match="wait_for must be 'ready' or 'stopped'"):
        DliSessionSensor(task_id="t", session_id="s1", wait_for="idle")


SENSORS = [cls for cls in JobStatusSensor.__subclasses__() if cls.__name__ != "SubmitOperator"]


@pytest.mark.parametrize("cls", SENSORS, ids=lambda cls: cls.__name__)
def test_everything_that_names_a_job_is_templated(cls):
    """Ids, connection, region and project can come from other tasks."""
    ids = {
        DliBatchSensor: {"batch_id", "name", "submitted_after"},
        DliSessionSensor: {"session_id"},
        DliSqlJobSensor: {"job_id"},
        DliFlinkJobSensor: {"job_id"},
        JobSensor: {"job_id", "parameters"},
        CphJobSensor: {"job_id"},
        CphRequestSensor: {"request_id", "expected_jobs"},
    }

    assert ids[cls] | {"hwstatus_conn_id", "region", "project_id"} == set(cls.template_fields)


@pytest.mark.parametrize("job_id", ["{{ x }}", "a b"])
def test_id_that_is_none_is_named(huaweicloud, run_sensor, mode, job_id):
    """What was not rendered is an error that names the argument, in every mode."""
    end = run_sensor(DliBatchSensor, mode, batch_id=job_id, soft_fail=True)

    assert isinstance(end.error, ConfigurationError)
    assert "batch_id must be" in str(end.error)
    assert [] == huaweicloud.requests


def test_finished_job_never_reaches_a_triggerer(huaweicloud):
    """Who asks first need not defer."""
    huaweicloud.job("dli_batch", "b1", "success")

    assert "success" == DliBatchSensor(task_id="t", batch_id="b1", deferrable=True).execute(CONTEXT)["outcome"]
    assert 1 == huaweicloud.polls("b1")


def test_everything_the_wait_needs_is_deferred(huaweicloud):
    """The trigger gets each argument, and the deadline as a point in time; Airflow's time-out lies behind it."""
    huaweicloud.job("cph_job", "c1", 1)
    sensor = CphJobSensor(
        task_id="t",
        job_id="c1",
        deferrable=True,
        poke_interval=timedelta(seconds=7),
        timeout=timedelta(hours=1),
        region="cn-north-4",
        project_id=huaweicloud.project_id,
        exponential_backoff=True,
        max_wait=timedelta(minutes=2),
        outage_tolerance=timedelta(minutes=3),
        success_states=[2],
        failure_states=[-1, 3],
        on_unknown_state="fail",
        silent_fail=True,
        not_found_grace=timedelta(seconds=4),
        wait_for_all=False,
        fail_fast=False,
    )
    with pytest.raises(TaskDeferred) as caught:
        sensor.execute(CONTEXT)

    _, row = caught.value.trigger.serialize()
    assert row == json.loads(json.dumps(row))
    row = {**row, **row["target"], **row["options"]}
    expected = {
        "kind": "cph_job",
        "job_id": "c1",
        "hwstatus_conn_id": "hwstatus_default",
        "region": "cn-north-4",
        "project_id": huaweicloud.project_id,
        "poke_interval": 7.0,
        "exponential_backoff": True,
        "max_wait": 120.0,
        "outage_tolerance": 180.0,
        "success_states": ["2"],
        "failure_states": ["-1", "3"],
        "on_unknown_state": "fail",
        "silent_fail": True,
        "not_found_grace": 4.0,
        "wait_for_all": False,
        "fail_fast": False,
    }
    assert expected == {name: row[name] for name in expected}
    assert 3600.0 == pytest.approx(row["deadline"] - row["began"])
    assert time.time() == pytest.approx(row["began"], abs=5)
    assert 3600.0 + BACKSTOP == pytest.approx(caught.value.timeout.total_seconds(), abs=5)


def test_earlier_of_timeout_and_execution_timeout_ends_a_deferred_wait(huaweicloud):
    """Airflow 3 does not enforce execution_timeout while deferred; the deadline does."""
    huaweicloud.job("dli_batch", "b1", "running")
    sensor = DliBatchSensor(
        task_id="t", batch_id="b1", deferrable=True, timeout=3600, execution_timeout=timedelta(seconds=60)
    )
    with pytest.raises(TaskDeferred) as caught:
        sensor.execute(CONTEXT)
    row = caught.value.trigger.serialize()[1]["options"]
    assert 60.0 == pytest.approx(row["deadline"] - row["began"])


def test_longest_timeout_can_be_deferred(huaweicloud):
    """A time-out that no calendar holds does not break the deferral."""
    huaweicloud.job("dli_batch", "b1", "running")
    with pytest.raises(TaskDeferred):
        DliBatchSensor(task_id="t", batch_id="b1", deferrable=True, timeout=timedelta.max).execute(CONTEXT)


def test_custom_states_end_the_wait(huaweicloud, run_sensor, mode):
    """A team may wait for the begin of a job, or take an end for another."""
    huaweicloud.job("dli_batch", "b1", "starting", "Running")
    assert (
        "success"
        == run_sensor(DliBatchSensor, mode, batch_id="b1", poke_interval=0.1, success_states=["running"]).verdict
    )

    huaweicloud.job("dli_batch", "b2", "starting", "recovering")
    end = run_sensor(DliBatchSensor, mode, batch_id="b2", poke_interval=0.1, failure_states=["RECOVERING"])
    assert "AirflowFailException" == end.verdict


def test_poke_mode_keeps_one_connection(huaweicloud, run_sensor):
    """A whole wait in poke mode takes one TCP connection and one login."""
    huaweicloud.job("dli_batch", "b1", *["running"] * 10, "success")

    run_sensor(DliBatchSensor, "poke", batch_id="b1", poke_interval=0.05)
    assert (11, 1) == (huaweicloud.polls("b1"), huaweicloud.connections)


def test_timeout_is_met_in_every_mode(huaweicloud, run_sensor, mode, clock):
    """The wait ends at its timeout, not an interval later."""
    huaweicloud.job("dli_batch", "b1", "running")

    began = clock.monotonic()
    end = run_sensor(DliBatchSensor, mode, batch_id="b1", poke_interval=30, timeout=20)
    assert isinstance(end.error, AirflowSensorTimeout)
    assert 20 <= clock.monotonic() - began < 40


def test_backoff_slows_every_mode_down(huaweicloud, run_sensor, mode):
    """exponential_backoff asks less often the longer a wait goes on, in every mode; max_wait bounds it."""
    huaweicloud.job("dli_batch", "b1", "running")
    slow = {"poke_interval": 10, "exponential_backoff": True, "timeout": 400}

    run_sensor(DliBatchSensor, mode, batch_id="b1", **slow)
    assert 4 <= huaweicloud.polls("b1") <= 9  # 40 without it

    huaweicloud.job("dli_batch", "b2", "running")
    run_sensor(DliBatchSensor, mode, batch_id="b2", **slow, max_wait=30)
    assert 12 <= huaweicloud.polls("b2") <= 20


PARSE = """
import sys
import airflow.providers.common.compat.sdk as sdk
sdk.BaseSensorOperator
before = set(sys.modules)
import airflow_provider_hwstatus.sensors.cph
import airflow_provider_hwstatus.sensors.dli
heavy = {"aiohttp", "requests", "wtforms", "flask_appbuilder"} & (set(sys.modules) - before)
import airflow_provider_hwstatus.operators.cph
types = [f"airflow_provider_hwstatus.{name}.arguments" for name in ("sensors", "operators")]
print("HEAVY", sorted(heavy), "TYPES", [name for name in types if name in sys.modules])
"""


def test_parsing_a_dag_imports_nothing_heavy():
    """A DAG file pays for the sensors alone, at each parse. Nothing imports types that only type checkers need."""
    done = subprocess.run([sys.executable, "-c", PARSE], capture_output=True, text=True, check=True)

    assert "HEAVY [] TYPES []" in done.stdout


@pytest.mark.parametrize("how", ["poke", "reschedule"])
@pytest.mark.parametrize(
    ("answer", "returned"),
    [(True, None), (PokeReturnValue(is_done=True), None), (PokeReturnValue(is_done=True, xcom_value="x"), "x")],
)
def test_poke_of_a_subclass_may_return_what_airflow_takes(run_sensor, how, answer, returned):
    """A bool, or a PokeReturnValue, as for any sensor of Airflow's."""
    answers = [False, PokeReturnValue(is_done=False, xcom_value="y"), answer]

    class Own(DliBatchSensor):
        def poke(self, context):
            return answers.pop(0)

    end = run_sensor(Own, how, batch_id="b1", poke_interval=0.1, timeout=30)
    assert ("success", returned, []) == (end.verdict, end.value, answers)


@pytest.mark.parametrize("how", ["poke", "reschedule"])
@pytest.mark.parametrize("flag", ["soft_fail", "never_fail", "silent_fail"])
def test_poke_of_a_subclass_may_raise_what_airflow_takes(run_sensor, how, flag):
    """A skip is a skip; a failure is one that both flags skip; any other exception is skipped by never_fail alone."""
    errors = {AirflowSkipException: "AirflowSkipException"}
    skipped = "AirflowSkipException" if flag != "silent_fail" else None
    errors |= {error: skipped or error.__name__ for error in (AirflowFailException, AirflowSensorTimeout)}
    errors |= {LookupError: {"soft_fail": "LookupError", "never_fail": "AirflowSkipException"}.get(flag, "success")}
    for error, verdict in errors.items():
        calls = []

        class Own(DliBatchSensor):
            def poke(self, context, error=error, calls=calls):
                calls.append(1)
                if len(calls) == 1:
                    raise error("x")
                return True

        end = run_sensor(Own, how, batch_id="b1", poke_interval=0.1, timeout=30, **{flag: True})
        assert (error, verdict) == (error, end.verdict)
