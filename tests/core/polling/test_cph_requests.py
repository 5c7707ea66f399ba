"""What the rows of CPH's list of jobs mean if they repeat or contradict each other."""

from __future__ import annotations

import re
from itertools import dropwhile
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_hwstatus.core.polling.cph_requests import CphRequests
from airflow_provider_hwstatus.core.polling.expected_jobs import Expected
from airflow_provider_hwstatus.core.polling.job_poller import JobPollers
from airflow_provider_hwstatus.core.polling.jobs_summary import CompletionRule
from airflow_provider_hwstatus.core.polling.wait_options import WaitOptions
from airflow_provider_hwstatus.core.protocol.effects import Request
from airflow_provider_hwstatus.errors import HwStatusError, MalformedResponseError
from airflow_provider_hwstatus.kinds.cph import CPH_JOB

NO_SUCH_JOB = (404, {"error_code": "CPS.0011", "error_msg": "no such job"})
STATES = sorted(int(state) for state in CPH_JOB.states)


class Cph:
    """
    A CPH that lists the jobs of a request.

    :param polls: The rows that each poll finds, as id and state.
    :param own: The states that jobs have when they are polled themselves; the other jobs do not exist.
    """

    def __init__(self, stub_cloud: Any, *polls: list[Any], own: dict[str, int] | None = None) -> None:
        self.polls = list(polls)
        self.own = own or {}
        self.polled: list[str] = []
        self.cloud = stub_cloud({"/jobs?": self._page, "/jobs/": self._job})
        self.client = self.cloud.client()
        began = self.cloud.now - 3600.0
        self.options = WaitOptions(poke_interval=10.0, began=began, outage_tolerance=0.0)

    def _page(self, request: Request) -> Any:
        offset = int(re.findall(r"offset=(\d+)", request.url)[0])
        rows = [{"job_id": job_id, "status": state} for job_id, state in self.polls[0]]
        return {"jobs": rows[offset : offset + 100]}

    def _job(self, request: Request) -> Any:
        job_id = request.url.rpartition("/")[2]
        self.polled.append(job_id)
        return {"job_id": job_id, "status": self.own[job_id]} if job_id in self.own else NO_SUCH_JOB

    def poll(self, expected: int | None, rule: CompletionRule | None = None) -> Any:
        """Poll once for each list, or until the wait is over; return the last summary."""
        requests = CphRequests(self.client, ["r1"], rule or CompletionRule(fail_fast=False), Expected(expected))
        while True:
            summary = self.cloud.run(requests.poll(self.options))
            if summary.over or len(self.polls) == 1:
                return summary
            del self.polls[0]


@pytest.fixture
def cph(stub_cloud: Any) -> Any:
    """Return a function that makes a CPH."""
    return lambda *polls, **own: Cph(stub_cloud, *polls, **own)


@pytest.mark.parametrize("other", ["A", " a", "a\n", "\tA "])
def test_id_in_other_letters_or_with_spaces_is_the_same_job(cph: Any, other: str) -> None:
    """Two rows whose ids differ in letter case or spaces count as one job."""
    summary = cph([("a", 2), (other, 2)]).poll(expected=2)

    assert ("failure", 1, 1) == (summary.outcome, summary.missing, len(summary.statuses))
    assert summary.gone


@pytest.mark.parametrize(
    "rule", [CompletionRule(wait_for_all=w, fail_fast=f) for w in (True, False) for f in (True, False)], ids=str
)
@pytest.mark.parametrize("states", [(-1, 2), (2, -1), (-1, 2, 2), (2, -1, 2), (-1, 1, 2), (2, 1)])
@pytest.mark.parametrize("polls", ["one", "several"])
@pytest.mark.parametrize("own", [-1, 1, 2, None])
def test_job_with_contradictory_rows_is_polled_itself(
    cph: Any, own: int | None, polls: str, states: Any, rule: CompletionRule
) -> None:
    """If rows contradict each other about a job, the state that the job itself has decides."""
    rows = [("a" if number % 2 else "A", state) for number, state in enumerate(states)]
    lists = [rows] if polls == "one" else [[row] for row in rows]
    liar = cph(*lists, own={} if own is None else {"a": own, "A": own})
    try:
        outcome = liar.poll(expected=1, rule=rule).outcome
    except HwStatusError:
        assert own is None
        assert liar.polled
        return
    if outcome == "success":
        # The first list can end the wait before another one contradicts it.
        assert own == 2 or (polls, states[0]) == ("several", 2)
    if polls == "one":
        assert own is not None
        assert CPH_JOB.outcome_of(str(own)) == outcome


def test_confirmed_end_is_not_polled_again(cph: Any) -> None:
    """A job whose rows contradict each other in every list is polled once."""
    lies = [("a", -1), ("a", 2), ("b", 1)]
    liar = cph(lies, lies, lies, own={"a": 2})

    assert "in_progress" == liar.poll(expected=2).outcome
    assert ["a"] == liar.polled


def test_contradictions_between_pages_and_lists_are_noticed(cph: Any) -> None:
    """Rows can contradict each other on different pages, and when the list is read a second time."""
    filler = [(f"j{number}", 2) for number in range(99)]
    rows = [("a", -1), *filler, ("a", 2)]
    for own, expected, outcome in ((-1, 100, "failure"), (2, 100, "success"), (2, None, "success")):
        liar = cph(rows, own={"a": own})
        assert (outcome, ["a"]) == (liar.poll(expected).outcome, liar.polled)
    assert "failure" == cph(rows, own={"a": 2}).poll(expected=101).outcome


@pytest.mark.parametrize("job_id", ["", " ", "None", None, 7, ["a"], "a/b", "..", {"a": 1}, "a" * 129])
def test_row_without_an_id_is_malformed(cph: Any, job_id: Any) -> None:
    """A row without a valid job id raises an error, and no job is counted."""
    with pytest.raises(MalformedResponseError, match="no job_id"):
        cph([("a", 2), (job_id, 2)]).poll(expected=2)


jobs = st.sampled_from(["a", "A", " a", "b", "B ", "c"])


@given(
    lists=st.lists(st.lists(st.tuples(jobs, st.sampled_from(STATES)), min_size=1, max_size=6), min_size=1, max_size=4),
    own=st.fixed_dictionaries({name: st.sampled_from(STATES) for name in "abc"}),
    expected=st.none() | st.integers(1, 4),
)
@example(lists=[[("b", 1)], [("a", -1)], [("a", 1), ("b", 2)]], own={"a": 2, "b": 1, "c": -1}, expected=None)
def test_no_rows_make_a_false_success(stub_cloud: Any, lists: Any, own: dict[str, int], expected: int | None) -> None:
    """A success has as many different jobs as expected, and neither a row nor a poll of a job contradicts it."""
    liar = Cph(stub_cloud, *lists, own=own | {name.upper(): state for name, state in own.items()})
    try:
        summary = liar.poll(expected)
    except HwStatusError:
        return
    if summary.outcome != "success":
        return
    read = lists[: len(lists) - len(liar.polls) + 1]
    listed: dict[str, list[int]] = {}
    for rows in read:
        for job_id, state in rows:
            listed.setdefault(job_id.strip().lower(), []).append(state)
    assert len(listed) >= (expected or 1)
    polled = {job_id.lower() for job_id in liar.polled}
    assert all(has_succeeded(states, own[job_id] if job_id in polled else None) for job_id, states in listed.items())


def has_succeeded(states: list[int], own: int | None) -> bool:
    """
    Return whether a job can count as a success.

    :param states: The states in its rows, in their order.
    :param own: The state that polls of the job itself have found; None if there was no poll.
    """
    if own in (-1, 2):
        return own == 2
    return set(dropwhile(lambda state: state == 1, states)) == {2}


def test_ids_of_users_that_differ_in_letters_are_each_polled(cph: Any) -> None:
    """Two ids that differ in letter case are polled as two jobs, because the service decides whether they are one."""
    two = cph([], own={"a": 2, "A": -1})
    pollers = JobPollers(two.client, CPH_JOB, ["a", "A", "a"], CompletionRule(fail_fast=False))

    summary = two.cloud.run(pollers.poll(two.options))
    assert ("failure", ["a", "A"]) == (summary.outcome, two.polled)
