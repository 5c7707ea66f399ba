"""The trigger, as the triggerer runs it."""

import asyncio
import json
import threading
from itertools import pairwise

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout, AirflowSkipException

from airflow_provider_hwstatus.errors import TriggerError
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor
from airflow_provider_hwstatus.triggers.job_status import JobStatusTrigger

B1 = {"kind": "dli_batch", "job_id": "b1"}


async def events(trigger):
    return [event.payload async for event in trigger.run()]


def test_row_round_trips():
    """What the database keeps is JSON scalars and lists, and makes the same trigger."""
    kwargs = {
        "target": {
            "kind": "dli_batch",
            "job_id": "b1",
            "success_states": ["success"],
            "failure_states": ["dead"],
            "wait_for_all": False,
            "fail_fast": False,
        },
        "options": {
            "poke_interval": 7.0,
            "began": 1.0,
            "deadline": 2.0,
            "deferred_at": 1.5,
            "exponential_backoff": True,
            "max_wait": 60.0,
            "outage_tolerance": 5.0,
            "on_unknown_state": "fail",
            "silent_fail": True,
            "not_found_grace": 4.0,
        },
        "hwstatus_conn_id": "c",
        "region": "cn-north-4",
        "project_id": "p1",
    }
    path, row = JobStatusTrigger(**kwargs).serialize()

    assert "airflow_provider_hwstatus.triggers.job_status.JobStatusTrigger" == path
    assert kwargs == row == json.loads(json.dumps(row))


def test_row_of_another_release_is_tolerated():
    """Keywords that this release does not know do not keep it from running."""
    trigger = JobStatusTrigger(B1, from_the_future=1)

    assert "from_the_future" not in trigger.serialize()[1]


def test_subclass_comes_back_as_itself():
    """The class path is computed, so that a subclass is not rebuilt as its parent."""

    class Other(JobStatusTrigger):
        pass

    assert Other(B1).serialize()[0].endswith("Other")


def test_one_event(huaweicloud):
    """A wait yields one event and returns."""
    huaweicloud.job("dli_batch", "b1", "running", "dead")

    (event,) = asyncio.run(events(JobStatusTrigger(B1, {"poke_interval": 0.1})))
    assert ("dead", "failure") == (event["status"]["state"], event["status"]["outcome"])


@pytest.mark.parametrize(
    "kwargs",
    [
        {"target": {"kind": "gone", "job_id": "b1"}},
        {"target": {"kind": "dli_batch", "job_id": "a/b"}},
        {"target": B1, "hwstatus_conn_id": "no_such"},
        {"target": {"kind": "dli_batch", "job_id": "b1", "success_states": ["dead"]}},
        {"target": {"kind": ["dli_batch"], "job_id": "b1"}},
        {"target": {"kind": "dli_batch", "job_id": -7}},
        {"target": B1, "options": {"poke_interval": "1"}},
        {"target": B1, "options": {"deadline": "x"}},
        {"target": B1, "region": 4},
        {"target": "b1"},
        {"target": B1, "options": [60.0]},
    ],
)
def test_wrong_row_is_an_error_event(huaweicloud, kwargs):
    """What is wrong with a row is the task's error, not the triggerer's."""
    (event,) = asyncio.run(events(JobStatusTrigger(**kwargs)))

    assert "ConfigurationError" == event["error"]["type"]


def test_connection_that_is_missing_for_a_moment_loses_no_wait(huaweicloud, monkeypatch, clock):
    """Airflow says of a look-up that failed that there is no such connection; a worker had found it."""
    huaweicloud.job("dli_batch", "b1", "success")
    monkeypatch.setattr("airflow_provider_hwstatus.triggers.job_status.LOOKUP_PAUSE", 0.1)
    fields = json.dumps(huaweicloud.connection())
    monkeypatch.delenv("AIRFLOW_CONN_HWSTATUS_DEFAULT")
    trigger = JobStatusTrigger(B1, {"poke_interval": 0.1, "began": clock.time()})

    async def run():
        asyncio.get_running_loop().call_later(0.5, monkeypatch.setenv, "AIRFLOW_CONN_HWSTATUS_DEFAULT", fields)
        return await events(trigger)

    (event,) = asyncio.run(run())
    assert "success" == event["status"]["outcome"]


def test_event_holds_no_secret(huaweicloud, monkeypatch):
    """Airflow stores and logs events as they are."""
    huaweicloud.job("dli_batch", "b1", "running")
    wrong = huaweicloud.connection() | {"password": "wr0ng-secret"}
    monkeypatch.setenv("AIRFLOW_CONN_HWSTATUS_DEFAULT", json.dumps(wrong))

    shown = json.dumps(asyncio.run(events(JobStatusTrigger(B1))))
    assert "CredentialsRefusedError" in shown
    assert huaweicloud.access_key not in shown
    assert "wr0ng-secret" not in shown


def test_waits_share_one_session_and_spread(huaweicloud, clock):
    """Waits that begin together ask over one interval, on few connections."""
    for index in range(20):
        huaweicloud.job("dli_batch", f"b{index}", "success")

    async def all_waits():
        triggers = [
            JobStatusTrigger({"kind": "dli_batch", "job_id": f"b{i}"}, {"poke_interval": 60.0}) for i in range(20)
        ]
        return await asyncio.gather(*(events(trigger) for trigger in triggers))

    asyncio.run(all_waits())
    target = sorted(record.time for record in huaweicloud.requests)
    assert huaweicloud.connections <= 3
    assert 45.0 < target[-1] - target[0] < 70.0
    assert max(later - earlier for earlier, later in pairwise(target)) < 12.0


def test_event_loop_is_never_blocked(huaweicloud):
    """While waits go on, others in the loop are served: a slow reply blocks nobody."""
    for index in range(5):
        huaweicloud.job("dli_batch", f"b{index}", "running", "success")
    turn, turns = threading.Event(), []

    def hold(record):  # the reply, until the loop has taken another turn
        turn.clear()
        turns.append(turn.wait(20))

    async def others():
        while True:
            turn.set()
            await asyncio.sleep(0.01)

    async def run():
        other = asyncio.create_task(others())
        triggers = [
            JobStatusTrigger({"kind": "dli_batch", "job_id": f"b{i}"}, {"poke_interval": 0.1}) for i in range(5)
        ]
        await asyncio.gather(*(events(trigger) for trigger in triggers))
        other.cancel()

    huaweicloud.listeners.append(hold)
    asyncio.run(run())
    assert [True] * 10 == turns


def test_cancelled_wait_leaves_nothing(huaweicloud):
    """A triggerer that stops cancels its triggers; nothing is sent to the cloud for it."""
    huaweicloud.job("dli_batch", "b1", "running")
    target = threading.Event()
    huaweicloud.listeners.append(lambda record: target.set())

    async def run():
        task = asyncio.create_task(events(JobStatusTrigger(B1, {"poke_interval": 0.1})))
        await asyncio.to_thread(target.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert {"GET"} == {record.method for record in huaweicloud.requests}


SENSOR = {"task_id": "t", "batch_id": "b1", "deferrable": True}


@pytest.mark.parametrize("flag", [{}, {"soft_fail": True}])
@pytest.mark.parametrize(
    "event",
    [
        None,
        {},
        {"status": "success"},
        {"status": {"outcome": "success"}},
        {"status": None},
        "success",
        {"outcome": "success"},
        {"status": {"kind": "dli_batch", "job_id": "b1", "state": "success", "outcome": "fine"}},
        {"status": {"kind": "dli_batch", "job_id": "b2", "state": "success", "outcome": "success"}},
        {"status": {"kind": "cph_job", "job_id": "b1", "state": "2", "outcome": "success"}},
        {"status": {"kind": "dli_batch", "job_id": "b1", "state": "running", "outcome": "in_progress"}},
    ],
)
def test_odd_event_is_an_error(event, flag):
    """An event that is not one of ours about this job is an error, never a success, and not hidden by soft_fail."""
    with pytest.raises(TriggerError, match="DLI batch b1"):
        DliBatchSensor(**SENSOR, **flag).resume_execution("execute_complete", {"event": event}, {})


@pytest.mark.parametrize("reason", ["Trigger timeout", "Trigger/execution timeout"])
def test_airflows_own_timeout_is_the_sensors(reason):
    """When no triggerer was there at the deadline, Airflow's backstop ends the task as any time-out does."""
    with pytest.raises(AirflowSensorTimeout, match="DLI batch b1"):
        DliBatchSensor(**SENSOR).resume_execution("__fail__", {"error": reason}, {})
    for flag in ({"soft_fail": True}, {"never_fail": True}):
        with pytest.raises(AirflowSkipException):
            DliBatchSensor(**SENSOR, **flag).resume_execution("__fail__", {"error": reason}, {})


def test_crashed_trigger_is_not_hidden():
    """A trigger that crashed is a question without an answer: soft_fail does not hide it, never_fail skips."""
    failure = {"error": "Trigger failure", "traceback": ["Traceback", "ImportError: gone"]}
    for flag in ({}, {"soft_fail": True}):
        with pytest.raises(TriggerError, match="Trigger failure"):
            DliBatchSensor(**SENSOR, **flag).resume_execution("__fail__", failure, {})
    with pytest.raises(AirflowSkipException):
        DliBatchSensor(**SENSOR, never_fail=True).resume_execution("__fail__", failure, {})


def test_event_of_a_failed_job_fails_the_task():
    """The event is turned into the verdict by the same code as a poke."""
    status = {"kind": "dli_batch", "job_id": "b1", "state": "dead", "outcome": "failure", "of_the_future": 1}
    with pytest.raises(AirflowFailException, match="DLI batch b1 failed: its state is 'dead'"):
        DliBatchSensor(**SENSOR).resume_execution("execute_complete", {"event": {"status": status}}, {})


def test_fields_may_be_given_directly():
    """An operator of a user's names the fields of the target and the options; the row has them in their places."""
    direct = JobStatusTrigger(kind="dli_batch", job_id=["b1"], fail_fast=False, poke_interval=7.0, region="cn-north-4")
    parted = JobStatusTrigger(
        {"kind": "dli_batch", "job_id": ["b1"], "fail_fast": False}, {"poke_interval": 7.0}, region="cn-north-4"
    )

    assert parted.serialize() == direct.serialize()
