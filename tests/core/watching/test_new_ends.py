"""Which ends are new to a run: an end belongs to the run of its first report only."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hwstatus.core.watching.new_ends import Report, end_of, new_ends

BEGAN = datetime(2026, 11, 24, tzinfo=UTC)


def report(event_id, end, *runs, second=None):
    """Return a report; by default it is stored as many seconds after the beginning as its id."""
    stored_at = BEGAN + timedelta(seconds=event_id if second is None else second)
    return Report(end, {"event": event_id}, stored_at, event_id, frozenset(runs))


@pytest.mark.parametrize(
    ("payload", "end"),
    [
        ({"status": {"job_id": "b1", "state": "success"}, "owner": "ann"}, "DLI batch b1"),
        ({"request_id": "r1", "outcome": "success", "statuses": []}, "CPH request r1"),
        ({"status": {"job_id": 7}}, None),
        ({"status": "b1"}, None),
        ({"request_id": None}, None),
        ({}, None),
        ("b1", None),
        (None, None),
    ],
)
def test_end_has_a_name(payload, end):
    """A payload of a watcher names its end, and any other payload has none."""
    assert end == end_of(payload)


def test_repeated_end_is_not_new():
    """A repeated end is new to the run of its first report, also if that run is cleared later."""
    log = [report(1, "b1", "run1"), report(2, "b2", "run2"), report(3, "b1", "run3")]

    assert ["b1"] == list(new_ends(log, "run1", {}, None))
    assert ["b2"] == list(new_ends(log, "run2", {}, None))
    assert [] == list(new_ends(log, "run3", {}, None))


def test_events_of_the_same_moment_have_an_order():
    """Of two reports with the same time, the one with the lower id is the first."""
    log = [report(2, "b1", "run2", second=1), report(1, "b1", "run1", second=1)]

    assert [True, False] == [bool(new_ends(log, run, {}, None)) for run in ("run1", "run2")]


def test_end_without_a_run_is_not_new_to_others():
    """An end whose first report has no run yet is not new to the run of a later report."""
    assert {} == new_ends([report(1, "b1"), report(2, "b1", "run2")], "run2", {}, None)


def test_run_takes_ends_without_a_run():
    """A run takes the ends that have no run, from the time of the run's own events on."""
    log = [report(1, "b0"), report(2, "b1", "run1"), report(3, "b2"), report(4, "b1")]

    assert ["b1", "b2"] == list(new_ends(log, "run1", {}, BEGAN + timedelta(seconds=2)))


def test_end_that_a_run_has_taken_stays_its_own():
    """An end that a run has taken is new to this run only, also if the end gets another run later."""
    log = [report(1, "b1", "run1"), report(2, "b2", "run2"), report(3, "b3", "run2")]
    after = BEGAN + timedelta(seconds=1)

    assert ["b1", "b2"] == list(new_ends(log, "run1", {"b2": "run1"}, after))
    assert ["b3"] == list(new_ends(log, "run2", {"b2": "run1"}, after))


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=12),
    st.lists(st.booleans(), min_size=12, max_size=12),
)
def test_each_end_is_new_to_exactly_one_run(ends, joins):
    """If each event starts a run, each end is new to exactly one run."""
    numbers = itertools.accumulate(joins[: len(ends)])
    log = [report(n, f"b{end}", f"run{number}") for n, (end, number) in enumerate(zip(ends, numbers, strict=True))]
    runs = {run for each in log for run in each.runs}

    assert sorted({each.end for each in log}) == sorted(end for run in runs for end in new_ends(log, run, {}, None))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=12))
def test_each_end_is_new_to_exactly_one_run_if_events_share_runs(steps):
    """If the events of a burst share runs, as before Airflow 3.4, each end is new to exactly one run."""
    log, claimed, had, waiting, run = [], {}, [], [], 0
    for number, (end, rest) in enumerate(steps):
        waiting.append(report(number, f"b{end}"))
        if rest and number + 1 < len(steps):  # the scheduler has not run yet
            continue
        run += 1
        first_waiting = waiting[0]
        joining = [one for one in log if not one.runs] + [first_waiting]
        log = [one for one in log if one.runs]
        log += [Report(one.end, one.payload, one.stored_at, one.event_id, frozenset({f"run{run}"})) for one in joining]
        log += waiting[1:]
        waiting = []
        new = new_ends(log, f"run{run}", claimed, first_waiting.stored_at)
        claimed |= {one: f"run{run}" for one, found in new.items() if not found.runs}
        had += new

    assert sorted({one.end for one in log}) == sorted(had)
