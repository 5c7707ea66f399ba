"""What the rows of CPH's list of jobs count for, where they repeat or contradict each other."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.core.polling.cph_requests import CphRequests
from airflow_provider_hwstatus.core.polling.expected_jobs import Expected
from airflow_provider_hwstatus.core.polling.job_poller import JobPollers
from airflow_provider_hwstatus.core.polling.jobs_summary import CompletionRule
from airflow_provider_hwstatus.core.polling.wait_options import WaitOptions
from airflow_provider_hwstatus.core.protocol.effects import AcquireSlot, ReleaseSlot, Request, Response, Sleep, Together
from airflow_provider_hwstatus.errors import HwStatusError, MalformedResponseError
from airflow_provider_hwstatus.kinds.cph import CPH_JOB

NOW = 1_000_000.0
PLAN = WaitOptions(poke_interval=10.0, began=NOW - 3600.0, outage_tolerance=0.0)
SETTINGS = Settings(auth="token", password="T", project_id="p1", cph_endpoint="https://cph.example.com")


class Cph:
    """Answers with pages of rows, one list of them for each poll, and with each job's own state, if it has one."""

    def __init__(self, *polls: list[Any], own: dict[str, int] | None = None) -> None:
        self.polls = list(polls)
        self.own = own or {}
        self.target: list[str] = []
        self.client = Client(SETTINGS, lambda: NOW)

    def answer(self, request: Request) -> Response:
        path, _, query = request.url.removeprefix("https://cph.example.com/v1/p1/cloud-phone/jobs").partition("?")
        if not path:
            offset = int(re.findall(r"offset=(\d+)", query)[0])
            rows = [{"job_id": job_id, "status": state} for job_id, state in self.polls[0]]
            return Response(200, {}, json.dumps({"jobs": rows[offset : offset + 100]}).encode())
        job_id = path.strip("/")
        self.target.append(job_id)
        if job_id not in self.own:
            return Response(404, {}, b'{"error_code": "CPS.0011", "error_msg": "no such job"}')
        return Response(200, {}, json.dumps({"job_id": job_id, "status": self.own[job_id]}).encode())

    def run(self, flow: Any) -> Any:
        resume, value = flow.send, None
        try:
            while True:
                effect = resume(value)
                try:
                    resume, value = flow.send, self.do(effect)
                except HwStatusError as error:
                    resume, value = flow.throw, error
        except StopIteration as done:
            return done.value

    def do(self, effect: Any) -> Any:
        if isinstance(effect, Together):
            return [self.run(make()) for make in effect.flows]
        assert isinstance(effect, AcquireSlot | ReleaseSlot | Sleep | Request)
        return self.answer(effect) if isinstance(effect, Request) else None

    def poll(self, expected: int | None, rule: CompletionRule | None = None) -> Any:
        """Poll as often as there are answers, or until the wait is over; return what was found last."""
        requests = CphRequests(self.client, ["r1"], rule or CompletionRule(fail_fast=False), Expected(expected))
        while True:
            summary = self.run(requests.poll(PLAN))
            if summary.over or len(self.polls) == 1:
                return summary
            del self.polls[0]


@pytest.mark.parametrize("other", ["A", " a", "a\n", "\tA "])
def test_id_in_other_letters_or_with_spaces_is_the_same_job(other: str) -> None:
    """One job in two rows is not two of the jobs that are expected."""
    summary = Cph([("a", 2), (other, 2)]).poll(expected=2)

    assert ("failure", 1, 1) == (summary.outcome, summary.missing, len(summary.statuses))
    assert summary.gone


@pytest.mark.parametrize(
    "rule", [CompletionRule(wait_for_all=w, fail_fast=f) for w in (True, False) for f in (True, False)], ids=str
)
@pytest.mark.parametrize("states", [(-1, 2), (2, -1), (-1, 2, 2), (2, -1, 2), (-1, 1, 2), (2, 1)])
@pytest.mark.parametrize("polls", ["one", "several"])
@pytest.mark.parametrize("own", [-1, 1, 2, None])
def test_rows_that_contradict_an_end_count_for_nothing(
    own: int | None, polls: str, states: Any, rule: CompletionRule
) -> None:
    """The job itself is asked, and its own state decides."""
    rows = [("a" if number % 2 else "A", state) for number, state in enumerate(states)]
    readings = [rows] if polls == "one" else [[row] for row in rows]
    cph = Cph(*readings, own={} if own is None else {"a": own, "A": own})
    try:
        outcome = cph.poll(expected=1, rule=rule).outcome
    except HwStatusError:
        assert own is None
        assert cph.target
        return
    if outcome == "success":
        # Unless the first reading ended the wait, when there was nothing to contradict it.
        assert own == 2 or (polls, states[0]) == ("several", 2)
    if polls == "one":
        assert own is not None
        assert {-1: "failure", 1: "in_progress", 2: "success"}[own] == outcome


def test_end_that_a_job_has_confirmed_is_not_asked_about_again() -> None:
    """A list that goes on lying costs one poll for each job."""
    lies = [("a", -1), ("a", 2), ("b", 1)]
    cph = Cph(lies, lies, lies, own={"a": 2})

    assert "in_progress" == cph.poll(expected=2).outcome
    assert ["a"] == cph.target


def test_contradictions_between_pages_and_in_the_second_look_count_for_nothing() -> None:
    """Whichever reading it is that shows them."""
    filler = [(f"j{number}", 2) for number in range(99)]
    rows = [("a", -1), *filler, ("a", 2)]
    assert ("failure", ["a"]) == ((cph := Cph(rows, own={"a": -1})).poll(expected=100).outcome, cph.target)
    assert ("success", ["a"]) == ((cph := Cph(rows, own={"a": 2})).poll(expected=100).outcome, cph.target)
    assert ("success", ["a"]) == ((cph := Cph(rows, own={"a": 2})).poll(expected=None).outcome, cph.target)
    assert "failure" == Cph(rows, own={"a": 2}).poll(expected=101).outcome


@pytest.mark.parametrize("job_id", ["", " ", "None", None, 7, ["a"], "a/b", "..", {"a": 1}, "a" * 129])
def test_row_without_an_id_is_a_reply_that_makes_no_sense(job_id: Any) -> None:
    """It is not counted, and nothing else is made of it."""
    with pytest.raises(MalformedResponseError, match="no job_id"):
        Cph([("a", 2), (job_id, 2)]).poll(expected=2)


jobs = st.sampled_from(["a", "A", " a", "b", "B ", "c"])


@given(
    readings=st.lists(
        st.lists(st.tuples(jobs, st.sampled_from([-1, 1, 2])), min_size=1, max_size=6), min_size=1, max_size=4
    ),
    own=st.fixed_dictionaries({name: st.sampled_from([-1, 1, 2]) for name in "abc"}),
    expected=st.none() | st.integers(1, 4),
)
def test_no_rows_make_a_false_success(readings: Any, own: dict[str, int], expected: int | None) -> None:
    """Success is when as many different jobs as expected have succeeded, and no row or job has said otherwise."""
    cph = Cph(*readings, own=own | {name.upper(): state for name, state in own.items()})
    try:
        summary = cph.poll(expected)
    except HwStatusError:
        return
    if summary.outcome != "success":
        return
    read = readings[: len(readings) - len(cph.polls) + 1]
    said: dict[str, set[int]] = {}
    for rows in read:
        for job_id, state in rows:
            said.setdefault(job_id.strip().lower(), set()).add(state)
    assert len(said) >= (expected or 1)
    target = {job_id.lower() for job_id in cph.target}
    assert all(
        own[job_id] == 2 if job_id in target else 2 in states and -1 not in states for job_id, states in said.items()
    )


def test_ids_that_users_give_in_other_letters_are_each_asked_about() -> None:
    """Whether they are one job is for the service to say: none is taken for another."""
    cph = Cph([], own={"a": 2, "A": -1})
    pollers = JobPollers(cph.client, CPH_JOB, ["a", "A", "a"], CompletionRule(fail_fast=False))

    summary = cph.run(pollers.poll(PLAN))
    assert ("failure", ["a", "A"]) == (summary.outcome, cph.target)
