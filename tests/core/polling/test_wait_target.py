"""The targets of a wait, and which events of a trigger they accept."""

from __future__ import annotations

import contextlib
import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hwstatus.core.polling.expected_jobs import Expected, rejected
from airflow_provider_hwstatus.core.polling.job_status import JobStatus
from airflow_provider_hwstatus.core.polling.jobs_summary import CompletionRule, JobsSummary
from airflow_provider_hwstatus.core.polling.wait_target import WaitTarget, event_of
from airflow_provider_hwstatus.errors import ConfigurationError, HwStatusError, TriggerError
from airflow_provider_hwstatus.kinds.cph import CPH_JOB
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH
from airflow_provider_hwstatus.kinds.job_kind import JobKind
from airflow_provider_hwstatus.kinds.mrs import MRS_JOB

#: A kind that a user declares.
OWN = JobKind(
    name="own_job",
    title="own job",
    service="own",
    path="/v1/{project_id}/flows/{flow}/jobs/{job_id}",
    parameters=["flow"],
    state="job.state",
    success=["done"],
    failure=["failed"],
)

IDS = ["a", "b", "c"]
STATES = {state: DLI_BATCH.outcome_of(state).value for state in ("success", "dead", "running")}
CPH_STATES = {state: outcome.value for state, outcome in sorted(CPH_JOB.outcomes.items(), reverse=True)}

rules = st.builds(CompletionRule, wait_for_all=st.booleans(), fail_fast=st.booleans())
odd = st.sampled_from(
    [None, True, False, -1, 0, 1, 2, 1.0, "", "0", "success", "2", [], {}, float("nan"), 10**30, "a", "A"]
)


def status(job_id: str, state: str, states: dict[str, str]) -> dict[str, Any]:
    kind = "dli_batch" if states is STATES else "cph_job"
    return {"kind": kind, "job_id": job_id, "state": state, "outcome": states[state]}


@st.composite
def events(draw: Any, states: dict[str, str], ids: list[str]) -> dict[str, Any]:
    """Draw an event that a trigger can send, or one with some parts replaced, repeated or left out."""
    listed = draw(st.lists(st.sampled_from(ids), max_size=4))
    statuses = [status(one, draw(st.sampled_from([next(iter(states)), *states])), states) for one in listed]
    summary: dict[str, Any] = {"statuses": statuses, "missing": draw(st.integers(-1, 3)), "gone": draw(st.booleans())}
    if draw(st.booleans()):
        summary |= {"missing": max(2 - len(listed), 0), "gone": False}
    event = copy.deepcopy({"summary": summary, "waited": 1.0, "polls": 1})
    for _ in range(draw(st.integers(0, 2))):
        target: Any = draw(st.sampled_from([event, event["summary"], *statuses]))
        if target and isinstance(target, dict):
            name = draw(st.sampled_from(sorted(target)))
            target[name] = draw(odd)
            if not isinstance(event.get("summary"), dict):
                break
    return event


def counted(statuses: Any, kind: str, success: str) -> tuple[bool, int]:
    """Return whether all statuses of an event are of a kind, and how many of them are a success."""
    fair = isinstance(statuses, list) and all(isinstance(one, dict) and one.get("kind") == kind for one in statuses)
    good = [one for one in statuses if (one.get("state"), one.get("outcome")) == (success, "success")] if fair else []
    return fair, len(good)


@given(event=events(STATES, ["a", "b", "A", "d"]), rule=rules)
def test_no_event_makes_a_false_success_of_a_list(event: Any, rule: CompletionRule) -> None:
    """A success has each of the jobs that have to succeed exactly once, and no other job."""
    target = WaitTarget(DLI_BATCH, ["a", "b", "a"], rule)
    try:
        outcome = target.found_in(event).outcome
    except HwStatusError:
        return
    summary = event["summary"]
    fair, good = counted(summary["statuses"], "dli_batch", "success")
    listed = sorted(one["job_id"] for one in summary["statuses"])
    assert fair
    assert listed in ([], ["a"], ["b"], ["a", "b"])
    assert 2 - len(listed) == summary.get("missing", 0)
    assert not summary.get("gone")
    if outcome == "success":
        assert good == 2 or (good == 1 and not rule.wait_for_all)
        assert good == 2 or "a" in listed or "b" in listed


@given(
    event=events(CPH_STATES, ["a", "b", "B", "c"]),
    rule=rules,
    expected=st.none() | st.integers(0, 3),
    refused=st.booleans(),
)
def test_no_event_makes_a_false_success_of_requests(
    event: Any, rule: CompletionRule, expected: int | None, refused: bool
) -> None:
    """A success has the expected number of different jobs, and no rejected item."""
    lost = (rejected("p1", "CPS.0004", "no"),) if refused else ()
    if refused and isinstance(event.get("summary"), dict) and isinstance(event["summary"].get("statuses"), list):
        event["summary"]["statuses"].append(lost[0].to_dict())
    try:
        outcome = WaitTarget(CPH_JOB, ["r1"], rule, Expected(expected, lost)).found_in(event).outcome
    except HwStatusError:
        return
    summary = event["summary"]
    jobs = summary["statuses"][: len(summary["statuses"]) - len(lost)]
    fair, good = counted(jobs, "cph_job", "2")
    assert fair
    assert len(jobs) == len({one["job_id"].lower() for one in jobs})
    assert max((expected or 0) - len(jobs), 0) == summary.get("missing", 0)
    if outcome == "success":
        assert good
        if rule.wait_for_all:
            assert not refused
            assert good == len(jobs)
            assert summary.get("gone") if expected is None else good >= expected


@pytest.mark.parametrize(
    "rule", [CompletionRule(wait_for_all=w, fail_fast=f) for w in (True, False) for f in (True, False)]
)
@given(states=st.lists(st.sampled_from(list(STATES)), min_size=3, max_size=3), answered=st.integers(0, 3))
def test_event_of_a_poll_reads_as_the_poll(rule: CompletionRule, states: list[str], answered: int) -> None:
    """The summary of a poll stays the same in an event, also if some jobs are missing."""
    target = WaitTarget(DLI_BATCH, IDS, rule)
    statuses = [
        JobStatus(kind="dli_batch", job_id=one, state=state, outcome=DLI_BATCH.outcome_of(state))
        for one, state in zip(IDS[:answered], states, strict=False)
    ]
    polled = JobsSummary(subject=target.subject, rule=rule, statuses=tuple(statuses), missing=3 - answered)

    assert polled == target.found_in(json.loads(json.dumps({"summary": polled.to_dict(), "waited": 1.0, "polls": 1})))


@given(
    fields=st.fixed_dictionaries(
        {
            "kind": st.sampled_from(["dli_batch", "dli_batch", "cph_job"]) | odd,
            "job_id": st.sampled_from(["a", "a", "A", "b"]) | odd,
            "state": st.sampled_from(list(STATES)) | odd,
            "outcome": st.sampled_from(["success", "success", "failure"]) | odd,
        }
    ),
    more=st.dictionaries(st.sampled_from(["log", "name", "error_code", "begin_time", "end_time", "request_id"]), odd),
)
def test_no_event_makes_a_false_success_of_one_job(fields: Any, more: Any) -> None:
    """A success is about this job and has a state that the table lists as success."""
    with contextlib.suppress(TriggerError):
        found = WaitTarget(DLI_BATCH, "a", CompletionRule()).found_in({"status": fields | more})
        assert ("dli_batch", "a") == (fields["kind"], fields["job_id"])
        if found.outcome == "success":
            assert ("success", "success") == (fields["state"], fields["outcome"])
        assert {type(None), str} >= {
            type(value) for name, value in vars(found).items() if name not in ("log", "outcome", "extra_fields")
        }
        assert {type(None), str} >= {type(value) for value in found.extra_fields.values()}


@pytest.mark.parametrize("wrong", [None, 1, 0, "False", []])
@pytest.mark.parametrize("argument", ["wait_for_all", "fail_fast"])
def test_rule_has_booleans_only(argument: str, wrong: Any) -> None:
    """A completion rule with a value that is not True or False raises an error; 1 and 0 are equal to these."""
    if wrong in (0, 1):
        CompletionRule(**{argument: wrong})
    else:
        with pytest.raises(ValueError, match=f"{argument} must be True or False"):
            CompletionRule(**{argument: wrong})


@pytest.mark.parametrize(
    "target",
    [
        WaitTarget(DLI_BATCH, "a", CompletionRule()),
        WaitTarget(DLI_BATCH, ["a", "b", "a"], CompletionRule(wait_for_all=False)),
        WaitTarget(DLI_BATCH, [], CompletionRule(fail_fast=False)),
        WaitTarget(DLI_BATCH.with_states(["running"], None), "a", CompletionRule()),
        WaitTarget(MRS_JOB, ["a", "b"], CompletionRule(), parameters={"cluster_id": "c"}),
        WaitTarget(OWN, "a", CompletionRule(), parameters={"flow": 7}),
        WaitTarget(OWN.with_states(["ok"], ["bad"]), "a", CompletionRule(), parameters={"flow": 7}),
        WaitTarget(CPH_JOB, ["r1"], CompletionRule(), Expected()),
        WaitTarget(CPH_JOB, ["r1", "r2"], CompletionRule(), Expected(3, (rejected("p1", "CPS.0004", "no"),))),
    ],
)
def test_target_crosses_the_database(target: WaitTarget) -> None:
    """As JSON, and names of other releases are ignored."""
    row = json.loads(json.dumps(target.to_dict()))

    assert target == WaitTarget.from_dict(row | {"from_the_future": 1})


@pytest.mark.parametrize("row", [None, "a", ["a"], {}, {"kind": "dli_batch"}, {"kind": "dli_batch", "request_id": []}])
def test_row_that_is_no_target_is_refused(row: Any) -> None:
    """A missing id is no empty list; an empty list is one."""
    if isinstance(row, dict) and "request_id" in row:
        assert WaitTarget.from_dict(row).first is None
    else:
        with pytest.raises(ConfigurationError):
            WaitTarget.from_dict(row)


def test_result_of_a_poll_is_an_event_that_reads_the_same() -> None:
    """Also an error."""
    target = WaitTarget(DLI_BATCH, "a", CompletionRule())
    status = JobStatus(kind="dli_batch", job_id="a", state="dead", outcome=DLI_BATCH.outcome_of("dead"))

    assert status == target.found_in(json.loads(json.dumps(event_of(status))))
    with pytest.raises(ConfigurationError, match="wrong"):
        target.found_in(json.loads(json.dumps(event_of(ConfigurationError("wrong")))))
