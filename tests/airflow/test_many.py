"""Lists of jobs: the same verdict in every mode, for any mix of outcomes."""

import asyncio
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_hwstatus.sensors.cph import CphJobSensor
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor, DliSessionSensor
from airflow_provider_hwstatus.testing import Reply
from airflow_provider_hwstatus.triggers.job_status import JobStatusTrigger

MODES = ("poke", "reschedule", "deferrable")
FAST = {"poke_interval": 0.1, "timeout": 30}

#: What differs from run to run in a message.
_OF_THIS_RUN = re.compile(r"request id:? [0-9a-f]+|\d{4}-\d\d-\d\dT[\d:]+Z(, after [\w ]+)?")

SENSORS = {
    "dli_batch": (DliBatchSensor, "batch_id", ("success", "dead")),
    "dli_session_ready": (DliSessionSensor, "session_id", ("idle", "dead")),
    "cph_job": (CphJobSensor, "job_id", (2, -1)),
}


def add(cloud, kind, outcomes):
    """Add a job for each outcome: after how many polls which of the two ends."""
    ends = SENSORS[kind][2]
    for number, (polls, good) in enumerate(outcomes):
        first = 1 if kind == "cph_job" else "starting"
        cloud.job(kind, f"j{number}", *[first] * polls, ends[0] if good else ends[1])
    return [f"j{number}" for number in range(len(outcomes))]


@pytest.mark.parametrize("kind", SENSORS)
def test_list_of_jobs(huaweicloud, run_sensor, mode, kind):
    """The result is a list in the order given; who is given twice is asked once."""
    cls, argument, (good, _) = SENSORS[kind]
    ids = add(huaweicloud, kind, [(1, True), (0, True), (2, True)])
    target = [ids[2], ids[0], ids[1], ids[2]]

    end = run_sensor(cls, mode, **{argument: target}, **FAST)

    assert "success" == end.verdict
    assert target == [status["job_id"] for status in end.value]
    assert {str(good)} == {status["state"] for status in end.value}
    assert end.value == json.loads(json.dumps(end.value))
    if mode == "poke":
        assert [2, 1, 3] == [huaweicloud.polls(job_id) for job_id in ids]


def test_one_id_is_one_dict_and_a_list_of_one_is_a_list(huaweicloud, run_sensor, mode):
    """What is returned depends on what was given, not on how many there happen to be."""
    huaweicloud.job("dli_batch", "b1", "success")

    assert "b1" == run_sensor(DliBatchSensor, mode, batch_id="b1", **FAST).value["job_id"]
    assert ["b1"] == [one["job_id"] for one in run_sensor(DliBatchSensor, mode, batch_id=["b1"], **FAST).value]
    assert ["b1"] == [one["job_id"] for one in run_sensor(DliBatchSensor, mode, batch_id=("b1",), **FAST).value]


# Each example is three waits on a real server.
@settings(max_examples=25)
@given(
    outcomes=st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=5),
    wait_for_all=st.booleans(),
    fail_fast=st.booleans(),
)
def test_verdicts_are_the_same_in_every_mode(huaweicloud, run_sensor, outcomes, wait_for_all, fail_fast):
    """For any mix of outcomes and any rule; and the verdict is what a reading of the outcomes by hand gives."""
    ends = {}
    for mode in MODES:
        ids = add(huaweicloud, "dli_batch", outcomes)
        end = run_sensor(DliBatchSensor, mode, batch_id=ids, wait_for_all=wait_for_all, fail_fast=fail_fast, **FAST)
        ends[mode] = (end.verdict, _OF_THIS_RUN.sub("", str(end.error)), [one["job_id"] for one in end.value or ()])

    assert ends["poke"] == ends["deferrable"] == ends["reschedule"]
    assert by_hand(outcomes, wait_for_all, fail_fast) == ends["poke"][0]


def by_hand(outcomes, wait_for_all, fail_fast):
    """Return the verdict, from when which job ends how."""
    first_success = min((polls for polls, good in outcomes if good), default=None)
    first_failure = min((polls for polls, good in outcomes if not good), default=None)
    if not wait_for_all and first_success is not None:
        sooner = first_failure is not None and first_failure < first_success
        return "AirflowFailException" if sooner and fail_fast else "success"
    return "success" if first_failure is None else "AirflowFailException"


def test_fail_fast_and_its_opposite(huaweicloud, run_sensor, mode):
    """The first failure ends the wait, or all are waited for and every failure is listed."""
    outcomes = [(1, False), (3, True), (2, False)]
    ids = add(huaweicloud, "dli_batch", outcomes)
    fast = run_sensor(DliBatchSensor, mode, batch_id=ids, **FAST)
    assert "1 of 3 failed, 0 succeeded, 2 not over" in str(fast.error)

    add(huaweicloud, "dli_batch", outcomes)
    slow = run_sensor(DliBatchSensor, mode, batch_id=ids, fail_fast=False, **FAST)
    assert "2 of 3 failed, 1 succeeded" in str(slow.error)
    assert "DLI batch j0 failed" in str(slow.error)
    assert "DLI batch j2 failed" in str(slow.error)


def test_soft_fail_skips_failed_jobs(huaweicloud, run_sensor, mode):
    """As for one job."""
    ids = add(huaweicloud, "dli_batch", [(0, True), (1, False)])
    assert "AirflowSkipException" == run_sensor(DliBatchSensor, mode, batch_id=ids, soft_fail=True, **FAST).verdict


def test_job_that_cannot_be_asked_about(huaweicloud, run_sensor, mode):
    """It ends the wait, unless the verdict does not depend on it."""
    ids = [*add(huaweicloud, "dli_batch", [(0, True)]), "no-such-job", "nor-this"]

    end = run_sensor(DliBatchSensor, mode, batch_id=ids, soft_fail=True, **FAST)
    assert "JobNotFoundError" == end.verdict
    assert "2 jobs cannot be polled" in str(end.error)
    assert "no-such-job" in str(end.error)

    end = run_sensor(DliBatchSensor, mode, batch_id=ids, wait_for_all=False, **FAST)
    assert ["success", "unknown", "unknown"] == [one["outcome"] for one in end.value]


def test_time_out_says_which_are_not_over(huaweicloud, run_sensor, mode):
    """A time-out of forty jobs names those that kept it."""
    huaweicloud.job("dli_batch", "b1", "success")
    huaweicloud.job("dli_batch", "b2", "running")

    end = run_sensor(DliBatchSensor, mode, batch_id=["b1", "b2"], poke_interval=10, timeout=40)

    assert "AirflowSensorTimeout" == end.verdict
    assert (
        "2 DLI batches (b1 and 1 more): timed out after 40 s; 1 of 2 over; not over: b2"
        == str(end.error).splitlines()[0]
    )


def test_outage_of_a_list_is_one_outage(huaweicloud, run_sensor, mode, clock):
    """Not one after the other: a list of ten in an outage ends after outage_tolerance, not ten times that."""
    ids = [f"b{number}" for number in range(10)]
    for job_id in ids:
        huaweicloud.job("dli_batch", job_id, "running", 503)
    began = clock.monotonic()
    end = run_sensor(DliBatchSensor, mode, batch_id=ids, outage_tolerance=10.0, **FAST)

    assert "ServerError" == end.verdict
    assert 10 <= clock.monotonic() - began < 60


def test_empty_list(huaweicloud, run_sensor, mode):
    """An error by default: nothing was waited for."""
    end = run_sensor(DliBatchSensor, mode, batch_id=[], soft_fail=True, **FAST)
    assert "ConfigurationError" == end.verdict
    assert "batch_id is an empty list" in str(end.error)

    end = run_sensor(DliBatchSensor, mode, batch_id=[], on_empty="succeed", **FAST)
    assert ("success", []) == (end.verdict, end.value)
    assert [] == list(huaweicloud.requests)


@pytest.mark.parametrize("text", ["['b1', 'b2']", "[]", "('b1',)"])
def test_list_that_a_template_made_text(run_sensor, mode, huaweicloud, text):
    """The message says what to do: it is the first thing that goes wrong."""
    end = run_sensor(DliBatchSensor, mode, batch_id=text, **FAST)
    assert "ConfigurationError" == end.verdict
    assert "render_template_as_native_obj" in str(end.error)


@pytest.mark.parametrize("ids", [["b1", None], ["b1", "None"], ["b1", "../b2"], None, -7, {"a": "b"}])
def test_list_with_what_is_no_id(run_sensor, mode, huaweicloud, ids):
    """It is refused before anything is asked."""
    end = run_sensor(DliBatchSensor, mode, batch_id=ids, **FAST)
    assert "ConfigurationError" == end.verdict
    assert [] == list(huaweicloud.requests)


def test_arguments_are_checked_at_parsing():
    """A typo fails in the DAG file, not at night."""
    with pytest.raises(ValueError, match="on_empty must be 'fail' or 'succeed'"):
        DliBatchSensor(task_id="t", batch_id=[], on_empty="skip")


def test_trigger_of_a_list_is_one_small_row(huaweicloud):
    """One trigger carries the whole list; its row is the ids and little more."""
    ids = [f"0a324461-d9d9-45da-a52a-{number:012d}" for number in range(1000)]
    _, row = JobStatusTrigger({"kind": "dli_batch", "job_id": ids}).serialize()
    assert len(json.dumps(row)) < len(json.dumps(ids)) + 600


def test_counts_are_in_the_event_and_the_log(huaweicloud, caplog):
    """A line when counts change, none when they do not."""
    ids = add(huaweicloud, "dli_batch", [(1, True), (4, False)])
    trigger = JobStatusTrigger({"kind": "dli_batch", "job_id": ids}, {"poke_interval": 0.1})

    async def run():
        return [event.payload async for event in trigger.run()]

    with caplog.at_level("INFO"):
        (event,) = asyncio.run(run())

    lines = [one.getMessage().partition(": ")[2] for one in caplog.records if "2 DLI batches" in one.getMessage()]
    told = [re.split(", was|:|;", line)[0] for line in lines]
    assert ["0 of 2 over", "1 of 2 over", "2 of 2 over, 1 failed"] == told
    assert {"total": 2, "succeeded": 1, "failed": 1, "in_progress": 0} == event["summary"]["counts"]


def test_status_of_a_failed_job_is_in_the_message(huaweicloud, run_sensor, mode):
    """As for one job: its code and text."""
    huaweicloud.job(
        "cph_job", "j1", Reply(body={"job_id": "j1", "status": -1, "error_code": "CPS.0005", "error_msg": "broken"})
    )
    end = run_sensor(CphJobSensor, mode, job_id=["j1"], **FAST)
    assert "CPH job j1: 1 of 1 failed" in str(end.error)
    assert "CPS.0005 broken" in str(end.error)
