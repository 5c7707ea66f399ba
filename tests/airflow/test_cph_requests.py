"""All jobs of submissions to CPH: the same verdict in every mode, for any mix of outcomes, and nothing overlooked."""

import re
from uuid import uuid4

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_hwstatus.sensors.cph import CphRequestSensor

MODES = ("poke", "reschedule", "deferrable")
FAST = {"poke_interval": 0.1, "timeout": 30, "not_found_grace": 0.3}

_OF_THIS_RUN = re.compile(r"request id:? [0-9a-f]+|\d{4}-\d\d-\d\dT[\d:]+Z(, after [\w ]+)?")


def submit(cloud, outcomes, rejected=(), request_id="r1"):
    """Submit a job for each outcome; return what CPH answers."""
    cloud.cph_job_list.takes_steps = True
    ids = [f"{request_id}-{number}" for number in range(len(outcomes))]
    for job_id, (polls, good) in zip(ids, outcomes, strict=True):
        cloud.job("cph_job", job_id, *[1] * polls, 2 if good else -1, request_id=request_id)
    return cloud.submission(request_id, ids, rejected)


def test_all_jobs_of_requests(huaweicloud, run_sensor, mode):
    """The result is a status for each job, in the order of their ids; no job is asked about by itself."""
    first = submit(huaweicloud, [(1, True), (2, True)])
    second = submit(huaweicloud, [(0, True)], request_id="r2")

    end = run_sensor(CphRequestSensor, mode, request_id=["r1", "r2"], expected_jobs=[first, second], **FAST)

    assert "success" == end.verdict
    assert ["r1-0", "r1-1", "r2-0"] == [status["job_id"] for status in end.value]
    assert 0 == sum(huaweicloud.polls(status["job_id"]) for status in end.value)


# Each example is three waits on a real server.
@settings(max_examples=15)
@given(
    outcomes=st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=5),
    rejected=st.sampled_from([(), (), ("phone-1",)]),
    wait_for_all=st.booleans(),
    fail_fast=st.booleans(),
)
def test_verdicts_are_the_same_in_every_mode(huaweicloud, run_sensor, outcomes, rejected, wait_for_all, fail_fast):
    """For any mix of outcomes and any rule, with something rejected or not; and a reading by hand agrees."""
    ends = {}
    for mode in MODES:
        request_id = f"r{uuid4().hex}"  # the fake forgets no job
        answer = submit(huaweicloud, outcomes, rejected, request_id)
        how = {"wait_for_all": wait_for_all, "fail_fast": fail_fast}
        end = run_sensor(CphRequestSensor, mode, request_id=request_id, expected_jobs=answer, **how, **FAST)
        ends[mode] = (end.verdict, _OF_THIS_RUN.sub("", str(end.error)).replace(request_id, "r"))

    assert ends["poke"] == ends["deferrable"] == ends["reschedule"]
    assert by_hand(outcomes, bool(rejected), wait_for_all, fail_fast) == ends["poke"][0]


def by_hand(outcomes, rejected, wait_for_all, fail_fast):
    """Return the verdict, from when which job ends how; what was rejected has failed before all others."""
    first_success = min((polls for polls, good in outcomes if good), default=None)
    first_failure = -1 if rejected else min((polls for polls, good in outcomes if not good), default=None)
    if not wait_for_all and first_success is not None:
        sooner = first_failure is not None and max(first_failure, 0) < first_success
        return "AirflowFailException" if sooner and fail_fast else "success"
    return "success" if first_failure is None else "AirflowFailException"


def test_what_was_rejected_is_a_failure_at_once(huaweicloud, run_sensor, mode):
    """The list would never show it; the message has its code and text, and which phone."""
    answer = submit(huaweicloud, [(9, True)], rejected=["phone-7"])

    end = run_sensor(CphRequestSensor, mode, request_id="r1", expected_jobs=answer, **FAST)

    assert "AirflowFailException" == end.verdict
    assert "CPH request r1: 1 of 2 failed, 0 succeeded, 1 not over" in str(end.error)
    assert "CPS.0004 Parameter: phone_id is invalid." in str(end.error)
    assert "phone-7" in str(end.error)


def test_fewer_jobs_than_expected_are_a_failure(huaweicloud, run_sensor, mode):
    """Once all others are over and the list has had time to show them."""
    submit(huaweicloud, [(1, True), (1, True)])

    end = run_sensor(CphRequestSensor, mode, request_id="r1", expected_jobs=3, **FAST)

    assert "AirflowFailException" == end.verdict
    assert "1 of 3 failed, 2 succeeded" in str(end.error)
    assert "expected, and not in the list of jobs: 1" in str(end.error)


def test_job_that_is_listed_late_is_waited_for(huaweicloud, run_sensor, mode):
    """Within not_found_grace an incomplete list is no success, with or without expected_jobs."""
    for expected in (2, None):
        huaweicloud.job("cph_job", "r1-0", 2, request_id="r1")
        huaweicloud.job("cph_job", "r1-1", seconds={0: 1, 120: -1}, request_id="r1", listed_after=60)
        how = {"poke_interval": 10, "timeout": 3000, "not_found_grace": 100}
        end = run_sensor(CphRequestSensor, mode, request_id="r1", expected_jobs=expected, **how)
        assert "1 of 2 failed, 1 succeeded" in str(end.error)


def test_nothing_listed_is_never_a_success(huaweicloud, run_sensor, mode):
    """Neither as the documented error nor as an empty list."""
    for empty_is_error in (True, False):
        huaweicloud.cph_job_list.empty_is_error = empty_is_error
        end = run_sensor(CphRequestSensor, mode, request_id="no-such", soft_fail=True, **FAST)
        assert "JobNotFoundError" == end.verdict
        assert "CPH request no-such" in str(end.error)


def test_nothing_asked_for(huaweicloud, run_sensor, mode):
    """An empty list of requests is an error by default."""
    assert "ConfigurationError" == run_sensor(CphRequestSensor, mode, request_id=[], **FAST).verdict
    assert [] == run_sensor(CphRequestSensor, mode, request_id=[], on_empty="succeed", **FAST).value


def test_list_that_is_forbidden_names_the_permission(huaweicloud, run_sensor, mode):
    """It is another one than waiting for single jobs needs."""
    huaweicloud.cph_job_list.answer = 403
    end = run_sensor(CphRequestSensor, mode, request_id="r1", **FAST)
    assert "AuthenticationError" == end.verdict
    assert "cph:jobs:list" in str(end.error)
