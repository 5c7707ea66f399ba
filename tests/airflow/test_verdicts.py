"""The same reply has the same verdict in every mode: every documented state × mode × flag."""

import json
from datetime import timedelta

import pytest

from airflow_provider_hwstatus.core.polling.job_status import read_status
from airflow_provider_hwstatus.core.protocol.effects import Response
from airflow_provider_hwstatus.core.protocol.redaction import Redactor
from airflow_provider_hwstatus.errors import AuthenticationError, UnknownStateError
from airflow_provider_hwstatus.kinds import KINDS
from airflow_provider_hwstatus.sensors.cph import CphJobSensor
from airflow_provider_hwstatus.sensors.dli import (
    DliBatchSensor,
    DliFlinkJobSensor,
    DliSessionSensor,
    DliSqlJobSensor,
)
from airflow_provider_hwstatus.sensors.job import JobSensor
from airflow_provider_hwstatus.testing import Reply

SENSORS = {
    "dli_batch": lambda **kwargs: DliBatchSensor(batch_id="j1", **kwargs),
    "dli_session_ready": lambda **kwargs: DliSessionSensor(session_id="j1", **kwargs),
    "dli_session_stopped": lambda **kwargs: DliSessionSensor(session_id="j1", wait_for="stopped", **kwargs),
    "cph_job": lambda **kwargs: CphJobSensor(job_id="j1", **kwargs),
    "dli_sql_job": lambda **kwargs: DliSqlJobSensor(job_id="j1", **kwargs),
    "dli_flink_job_finished": lambda **kwargs: DliFlinkJobSensor(job_id="j1", **kwargs),
    "dli_flink_job_running": lambda **kwargs: DliFlinkJobSensor(job_id="j1", wait_for="running", **kwargs),
    "dli_flink_job_stopped": lambda **kwargs: DliFlinkJobSensor(job_id="j1", wait_for="stopped", **kwargs),
}

#: The kinds that are tested with flags: each with a sensor class of its own, and two that JobSensor waits for.
FLAG_KINDS = (*SENSORS, "cce_job", "mrs_job")

FLAGS = ({}, {"soft_fail": True}, {"never_fail": True}, {"silent_fail": True})

#: What the task ends with, by the outcome of the state that the job stays in, without flags and by flag.
VERDICTS = {
    "success": dict.fromkeys(("", "soft_fail", "never_fail", "silent_fail"), "success"),
    "failure": {
        "": "AirflowFailException",
        "soft_fail": "AirflowSkipException",
        "never_fail": "AirflowSkipException",
        "silent_fail": "AirflowFailException",
    },
    "in_progress": {
        "": "AirflowSensorTimeout",
        "soft_fail": "AirflowSkipException",
        "never_fail": "AirflowSkipException",
        "silent_fail": "AirflowSensorTimeout",
    },
}
VERDICTS["unknown"] = VERDICTS["in_progress"]

#: What it ends with where the question has no answer.
UNANSWERED = {"soft_fail": None, "never_fail": "AirflowSkipException", "silent_fail": "AirflowSensorTimeout", "": None}

#: In seconds of the simulated clock, which real time advances, too. Even a slow machine does not reach the deadline.
SHORT = {"poke_interval": 60, "timeout": 90}


def flag_of(flags):
    return next(iter(flags), "")


def sensor_for(sample):
    """Return what makes the sensor for a sample's job: its own one, or the one for all kinds."""

    def make(**kwargs):
        sensor = JobSensor(kind=sample.kind, job_id=sample.job_id, parameters=sample.parameters or None, **kwargs)
        if own := SENSORS.get(sample.kind):
            sensor = own(**kwargs)
            setattr(sensor, sensor.id_argument, sample.job_id)
        return sensor

    return make


def test_verdict(huaweicloud, run_sensor, mode, samples_of_kind):
    """Each documented state ends the task as its outcome says, in each mode alike."""
    for sample in samples_of_kind:
        check_verdict(huaweicloud, run_sensor, mode, sample, {})


@pytest.mark.parametrize("flags", FLAGS[1:], ids=flag_of)
@pytest.mark.parametrize("kind", FLAG_KINDS)
def test_verdict_with_a_flag(huaweicloud, run_sensor, mode, samples_by_kind, kind, flags):
    """
    Each outcome ends the task as the flag says, in each mode alike.

    Flags see only the outcome, so one state of each end is enough.
    """
    waiting = [sample for sample in samples_by_kind[kind] if sample.outcome in ("in_progress", "unknown")]
    ends = {sample.outcome: sample for sample in samples_by_kind[kind] if sample not in waiting}
    for sample in ends.values():
        check_verdict(huaweicloud, run_sensor, mode, sample, flags)
    check_wait_goes_on(huaweicloud, run_sensor, mode, waiting, flags)


def check_verdict(cloud, run_sensor, mode, sample, flags):
    """Check how a sensor ends whose job stays in the state of a sample reply."""
    kind, job_id, state = sample.kind, sample.job_id, state_in(sample)
    cloud.job(kind, job_id, Reply(body=sample.reply), parameters=sample.parameters)

    end = run_sensor(sensor_for(sample), mode, **SHORT, **flags)

    assert VERDICTS[sample.outcome][flag_of(flags)] == end.verdict, sample
    if sample.outcome == "success":
        shown = tuple(end.value[key] for key in ("kind", "job_id", "state", "outcome"))
        assert (kind, job_id, state, "success") == shown
        assert end.value == json.loads(json.dumps(end.value))
    else:
        assert job_id in str(end.error)
        assert state in str(end.error)


def check_wait_goes_on(cloud, run_sensor, mode, waiting, flags):
    """Check that a job in one of these states after another is polled until the time-out: one wait costs less."""
    *_, last = waiting
    before = cloud.polls(last.job_id)
    replies = [Reply(body=sample.reply) for sample in waiting]
    cloud.job(last.kind, last.job_id, *replies, parameters=last.parameters)

    # The simulated clock goes on with the real one, so the pauses are longer than the polls take.
    end = run_sensor(sensor_for(last), mode, poke_interval=60, timeout=60 * len(waiting), **flags)

    assert VERDICTS["in_progress"][flag_of(flags)] == end.verdict
    assert cloud.polls(last.job_id) - before > len(waiting)
    assert state_in(last) in str(end.error)


def state_in(sample):
    """Return the state in a sample reply."""
    reply = Response(200, {}, json.dumps(sample.reply).encode())
    return read_status(KINDS[sample.kind], sample.job_id, reply, Redactor(), 0.0).state


@pytest.mark.parametrize("flags", FLAGS, ids=flag_of)
def test_question_without_an_answer(huaweicloud, run_sensor, mode, flags):
    """A 403 is an error of ours, which soft_fail never hides; never_fail skips, silent_fail asks until the time-out."""
    huaweicloud.job("dli_batch", "j1", 403)

    end = run_sensor(SENSORS["dli_batch"], mode, **SHORT, **flags)

    assert (UNANSWERED[flag_of(flags)] or "AuthenticationError") == end.verdict
    assert "j1" in str(end.error) or flag_of(flags) == "silent_fail"
    assert "403" in str(end.error)
    if not UNANSWERED[flag_of(flags)]:
        assert isinstance(end.error, AuthenticationError)


@pytest.mark.parametrize("flags", FLAGS, ids=flag_of)
def test_unknown_state_fails_if_asked_to(huaweicloud, run_sensor, mode, flags):
    """on_unknown_state="fail" is an error of the question, not a failed job."""
    huaweicloud.job("dli_batch", "j1", "running", "paused")

    end = run_sensor(
        SENSORS["dli_batch"],
        mode,
        on_unknown_state="fail",
        **(SHORT | {"timeout": 300 if "silent_fail" in flags else 3600}),
        **flags,
    )

    assert (UNANSWERED[flag_of(flags)] or "UnknownStateError") == end.verdict
    if not UNANSWERED[flag_of(flags)]:
        assert isinstance(end.error, UnknownStateError)
        assert "'paused'" in str(end.error)


@pytest.mark.parametrize("flags", FLAGS, ids=flag_of)
def test_refused_key_ends_every_wait_at_once(huaweicloud, run_sensor, mode, flags, monkeypatch):
    """A refused key is asked with once, whatever the flags: repeats would lock it."""
    monkeypatch.setenv(
        "AIRFLOW_CONN_HWSTATUS_DEFAULT",
        json.dumps(huaweicloud.connection() | {"password": "wrong" + flag_of(flags) + mode}),
    )
    huaweicloud.job("dli_batch", "j1", "success")

    end = run_sensor(SENSORS["dli_batch"], mode, **SHORT, **flags)

    assert ("AirflowSkipException" if "never_fail" in flags else "CredentialsRefusedError") == end.verdict
    assert 1 == len(huaweicloud.requests)


def test_messages_are_the_same_in_every_mode(huaweicloud, run_sensor):
    """Whoever reads why a task ended need not know how it waited."""
    cases = {
        "failed": ({}, ["running", "dead"]),
        "timed out": ({"timeout": 90}, ["running"]),
        "forbidden": (
            {},
            [
                "running",
                Reply(status=403, body={"error_code": "APIGW.0302", "error_msg": "no"}, headers={"X-Request-Id": "r"}),
            ],
        ),
        "skipped": (
            {"soft_fail": True},
            ["running", Reply(body={"id": "j1", "state": "dead"}, headers={"X-Request-Id": "r"})],
        ),
    }
    for arguments, steps in cases.values():
        messages = set()
        for mode in ("poke", "reschedule", "deferrable"):
            last = (
                steps[-1]
                if isinstance(steps[-1], Reply)
                else Reply(body={"id": "j1", "state": steps[-1]}, headers={"X-Request-Id": "r"})
            )
            times = {"create_time": 1_763_691_220_000, "update_time": 1_763_691_293_000}
            huaweicloud.job("dli_batch", "j1", *steps[:-1], last, name="etl", log=["line 1", "line 2"], **times)
            messages.add(str(run_sensor(SENSORS["dli_batch"], mode, **({"poke_interval": 60} | arguments)).error))
        assert 1 == len(messages), messages


def test_outage_is_waited_out(huaweicloud, run_sensor, mode):
    """An outage between two polls is not the end of the wait, and one that is tolerated less is its error."""
    huaweicloud.job("dli_batch", "j1", "running", 503, Reply(status=429), 502, "success")
    assert "success" == run_sensor(SENSORS["dli_batch"], mode, poke_interval=0.1).verdict

    huaweicloud.job("dli_batch", "j1", "running", 503)
    end = run_sensor(SENSORS["dli_batch"], mode, poke_interval=0.1, outage_tolerance=1.0, soft_fail=True)
    assert "ServerError" == end.verdict
    assert "no answer for 1 s" in str(end.error)


def test_deadline_during_an_outage_is_a_timeout(huaweicloud, run_sensor, mode):
    """At the deadline the wait has timed out, and the message names the last error."""
    huaweicloud.job("dli_batch", "j1", "running", 503)

    end = run_sensor(SENSORS["dli_batch"], mode, poke_interval=0.1, timeout=5.0)
    assert "AirflowSensorTimeout" == end.verdict
    assert "503" in str(end.error)


@pytest.mark.parametrize("flags", FLAGS, ids=flag_of)
def test_connection_that_cannot_work(huaweicloud, run_sensor, mode, flags, monkeypatch):
    """An undefined connection is a question without an answer in every mode, for every flag."""
    end = run_sensor(SENSORS["dli_batch"], mode, hwstatus_conn_id="no_such", **SHORT, **flags)

    assert (UNANSWERED[flag_of(flags)] or "ConfigurationError") == end.verdict


@pytest.mark.parametrize("flags", FLAGS, ids=flag_of)
@pytest.mark.parametrize("how", ["poke", "deferrable"])
def test_execution_timeout_is_a_timeout(huaweicloud, run_sensor, how, flags):
    """Airflow's alarm in a worker and our deadline in a triggerer are one verdict."""
    from airflow.providers.common.compat.sdk import AirflowTaskTimeout

    huaweicloud.job("dli_batch", "j1", "running")
    alarm = {"execution_timeout": timedelta(seconds=90)}

    def make(**kwargs):
        sensor = SENSORS["dli_batch"](**kwargs)
        if how == "poke":  # as Airflow's signal handler does, in the midst of a sleep between two pokes
            sensor._pause = lambda: (_ for _ in ()).throw(AirflowTaskTimeout("Timeout, PID: 1"))
        return sensor

    end = run_sensor(make, how, poke_interval=60, timeout=3600, **alarm, **flags)
    assert VERDICTS["in_progress"][flag_of(flags)] == end.verdict
    assert "timed out after 90 s" in str(end.error)
