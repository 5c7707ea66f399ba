"""A trigger's event is trusted only if it covers exactly the jobs that were asked about."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_hwstatus.errors import ServerError, TriggerError
from airflow_provider_hwstatus.sensors.cph import CphRequestSensor
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor

HOW = {"task_id": "t", "deferrable": True}
REJECTED = {"phone_id": "p1", "error_code": "CPS.0004", "error_msg": "no"}


def status(job_id: str, state: str = "success", outcome: str = "success", **more: Any) -> dict[str, Any]:
    return {"kind": "dli_batch", "job_id": job_id, "state": state, "outcome": outcome} | more


def cph(job_id: str, state: str = "2", outcome: str = "success", **more: Any) -> dict[str, Any]:
    return status(job_id, state, outcome, **({"kind": "cph_job"} | more))


def rejected(outcome: str = "failure") -> dict[str, Any]:
    return cph("(none, p1)", "rejected", outcome)


def summary(*statuses: Any, **more: Any) -> dict[str, Any]:
    return {"summary": {"statuses": list(statuses)} | more}


def resume(sensor: Any, event: Any) -> Any:
    return sensor.resume_execution("execute_complete", {"event": event}, {})


A, B, C = status("a"), status("b"), status("c")
RUNNING, DEAD = status("b", "running", "in_progress"), status("b", "dead", "failure")

#: Events about the batches a and b, both of which have to succeed.
WRONG: dict[str, Any] = {
    "one of two": summary(A),
    "one of two, none missing": summary(A, missing=0),
    "none": summary(),
    "fewer than none": summary(A, missing=-1),
    "one of two and another": summary(A, C),
    "one more": summary(A, B, C),
    "one twice": summary(A, A),
    "one twice, and more": summary(A, A, B),
    "one in other letters": summary(A, status("B")),
    "too many missing": summary(A, B, missing=1),
    "missing, as a bool": summary(A, missing=True),
    "none missing, as a bool": summary(A, B, missing=False),
    "missing, as text": summary(A, B, missing="0"),
    "missing, as a float": summary(A, B, missing=0.0),
    "missing, as nothing": summary(A, B, missing=None),
    "gone": summary(A, B, gone=True),
    "gone, as a number": summary(A, B, gone=0),
    "one is missing and gone": summary(A, missing=1, gone=True),
    "of another kind": summary(A, status("b", kind="dli_session_ready")),
    "all of another kind": summary(cph("a"), cph("b")),
    "a state that is no success": summary(A, status("b", "dead")),
    "an unknown state": summary(A, status("b", "")),
    "an outcome that is none": summary(A, status("b", outcome="fine")),
    "statuses by id": {"summary": {"statuses": {"a": A, "b": B}}},
    "an id that is no text": summary(A, status(7)),  # type: ignore[arg-type]
    "an error code that is no text": summary(A, status("b", error_code={"a": 1})),
    "not over": summary(A, RUNNING),
    "not over, and one missing": summary(RUNNING, missing=1),
    "one job's": {"status": A},
    "both": {"status": A} | summary(A, B),
    "an error that is none": {"error": "no"} | summary(A, B),
    "an error that is nothing": {"error": None} | summary(A, B),
    "a list": [summary(A, B)],
}


@pytest.mark.parametrize(
    "flags", [{}, {"soft_fail": True, "silent_fail": True, "on_empty": "succeed"}], ids=["", "lenient"]
)
@pytest.mark.parametrize("event", WRONG.values(), ids=WRONG)
def test_event_that_does_not_cover_all_jobs_is_an_error(event: Any, flags: dict[str, Any]) -> None:
    """It is neither a success nor a failed job."""
    with pytest.raises(TriggerError, match="2 DLI batches"):
        resume(DliBatchSensor(batch_id=["a", "b", "a"], **HOW, **flags), event)


def test_event_that_covers_all_jobs() -> None:
    """Each once, in any order; the result has what was given."""
    found = resume(DliBatchSensor(batch_id=["a", "b", "a"], **HOW), summary(B, A, missing=0, gone=False, counts={}))
    assert ["a", "b", "a"] == [one["job_id"] for one in found]


@pytest.mark.parametrize("event", [summary(A, missing=1), summary(A, RUNNING), summary(A, DEAD), summary(A, B)])
def test_first_success_needs_no_other_job(event: Any) -> None:
    """With wait_for_all=False, a wait ends before the others are answered."""
    found = resume(DliBatchSensor(batch_id=["a", "b"], wait_for_all=False, **HOW), event)
    assert "success" == found[0]["outcome"]


@pytest.mark.parametrize(
    "event", [summary(A), summary(A, C), summary(A, missing=2), summary(C, missing=1), summary(RUNNING, missing=1)]
)
def test_first_success_is_one_of_those_that_were_asked_about(event: Any) -> None:
    """Others count as little as where all have to succeed."""
    with pytest.raises(TriggerError):
        resume(DliBatchSensor(batch_id=["a", "b"], wait_for_all=False, **HOW), event)


#: What was expected of the CPH request r1, and events about it.
CPH: dict[str, tuple[Any, Any]] = {
    "one of two": (2, summary(cph("a"))),
    "one of two, and more are missing": (2, summary(cph("a"), missing=2)),
    "one is missing": (2, summary(cph("a"), missing=1)),
    "one twice": (2, summary(cph("a"), cph("a"))),
    "one twice, in other letters": (2, summary(cph("a"), cph("A"))),
    "one twice, with one ending badly": (2, summary(cph("a", "-1", "failure"), cph("a"))),
    "fewer than none": (2, summary(cph("a"), cph("b"), missing=-1)),
    "none": (None, summary(gone=True)),
    "nobody knows, and it may not be all": (None, summary(cph("a"))),
    "nobody knows how many, but some are missing": (None, summary(cph("a"), missing=1, gone=True)),
    "gone, and yet not over": (None, summary(cph("a"), cph("b", "1", "in_progress"), gone=True)),
    "of another kind": (1, summary(A)),
    "a state that is no success": (1, summary(cph("a", "-1"))),
    "what was rejected is not in it": ({"jobs": [{"job_id": "a"}, REJECTED]}, summary(cph("a"))),
    "what was rejected is another job": ({"jobs": [{"job_id": "a"}, REJECTED]}, summary(cph("a"), cph("b"))),
    "only what was rejected": ({"jobs": [{"job_id": "a"}, REJECTED]}, summary(rejected())),
    "something was rejected": (1, summary(cph("a"), rejected())),
}


@pytest.mark.parametrize(("expected", "event"), CPH.values(), ids=CPH)
def test_event_that_does_not_cover_the_expected_jobs_is_an_error(expected: Any, event: Any) -> None:
    """As for a list of ids."""
    with pytest.raises(TriggerError, match="CPH request r1"):
        resume(CphRequestSensor(request_id="r1", expected_jobs=expected, **HOW), event)


@pytest.mark.parametrize(
    ("expected", "event", "count"),
    [
        (2, summary(cph("a"), cph("b")), 2),
        (2, summary(cph("a"), cph("b"), gone=True), 2),
        (1, summary(cph("a"), cph("b")), 2),  # the list may have more
        (None, summary(cph("a"), cph("b"), gone=True), 2),
    ],
)
def test_event_that_covers_the_expected_jobs(expected: Any, event: Any, count: int) -> None:
    """With or without knowing how many there are."""
    assert count == len(resume(CphRequestSensor(request_id="r1", expected_jobs=expected, **HOW), event))


def test_what_was_rejected_stays_a_failure() -> None:
    """Whatever an event says of it."""
    answer = {"jobs": [{"job_id": "a"}, REJECTED]}
    with pytest.raises(AirflowSkipException, match=r"CPS\.0004 no"):
        resume(
            CphRequestSensor(request_id="r1", expected_jobs=answer, soft_fail=True, **HOW),
            summary(cph("a"), rejected("success")),
        )


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -1, 1e308, 10**400, True, None, "1", [1], {}], ids=repr)
@pytest.mark.parametrize("name", ["waited", "polls"])
def test_odd_waiting_time_does_no_harm(name: str, odd: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A success stays one; the line in the log that tells the time is left out."""
    event = summary(A, B) | {"waited": 2.5, "polls": 3} | {name: odd}
    sensor = DliBatchSensor(batch_id=["a", "b"], **HOW)

    with caplog.at_level(logging.INFO):
        assert 2 == len(resume(sensor, event))
    assert "resumed after" not in caplog.text


def test_error_in_an_event_counts_before_all_else() -> None:
    """It is raised as the error that it was."""
    event = {"error": {"type": "ServerError", "message": "DLI batch a: HTTP 503", "retry_after": float("nan")}}
    with pytest.raises(ServerError, match="503"):
        resume(DliBatchSensor(batch_id=["a", "b"], **HOW), event | summary(A, B))
