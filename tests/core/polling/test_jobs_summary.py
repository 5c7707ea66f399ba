"""The summary of several jobs, and when a wait for them is over."""

import json

import pytest

from airflow_provider_hwstatus.core.polling.job_status import JobStatus
from airflow_provider_hwstatus.core.polling.jobs_summary import LOG_BUDGET, CompletionRule, JobsSummary
from airflow_provider_hwstatus.core.reporting.failure_message import failures_message
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH
from airflow_provider_hwstatus.kinds.job_kind import Outcome


def status(job_id, state, **fields):
    return JobStatus(kind="dli_batch", job_id=job_id, state=state, outcome=DLI_BATCH.outcome_of(state), **fields)


def summary(*states, wait_for_all=True, fail_fast=True, **fields):
    statuses = tuple(status(f"b{number}", state) for number, state in enumerate(states))
    rule = CompletionRule(wait_for_all=wait_for_all, fail_fast=fail_fast)
    return JobsSummary(subject="jobs", rule=rule, statuses=statuses, **fields)


S, F, R = "success", "dead", "running"


@pytest.mark.parametrize(
    ("states", "all_fast", "all_slow", "first_fast", "first_slow"),
    [
        ((R, R), "in_progress", "in_progress", "in_progress", "in_progress"),
        ((S, R), "in_progress", "in_progress", "success", "success"),
        ((F, R), "failure", "in_progress", "failure", "in_progress"),
        ((S, S), "success", "success", "success", "success"),
        ((F, F), "failure", "failure", "failure", "failure"),
        ((S, F), "failure", "failure", "success", "success"),
        ((S, F, R), "failure", "in_progress", "success", "success"),
        ((S, "paused"), "in_progress", "in_progress", "success", "success"),
        ((), "in_progress", "in_progress", "in_progress", "in_progress"),
    ],
)
def test_rules(states, all_fast, all_slow, first_fast, first_slow):
    """Each of the four completion rules ends a wait for several jobs with the expected outcome."""
    assert all_fast == summary(*states).outcome
    assert all_slow == summary(*states, fail_fast=False).outcome
    assert first_fast == summary(*states, wait_for_all=False).outcome
    assert first_slow == summary(*states, wait_for_all=False, fail_fast=False).outcome


def test_missing_jobs_are_waited_for_until_they_are_gone():
    """A missing job is in progress until it is gone, and then a failure."""
    assert summary(S, missing=1).outcome is Outcome.IN_PROGRESS
    assert summary(S, missing=1, gone=True).outcome is Outcome.FAILURE
    assert summary(S, missing=1, wait_for_all=False).outcome is Outcome.SUCCESS
    assert summary(S, complete=False).outcome is Outcome.IN_PROGRESS
    assert summary(F, complete=False).outcome is Outcome.FAILURE
    assert summary(F, complete=False, fail_fast=False).outcome is Outcome.IN_PROGRESS
    assert {"total": 3, "succeeded": 1, "failed": 2, "in_progress": 0} == summary(S, F, missing=1, gone=True).counts


def test_progress_line():
    """The line has the number of jobs that are over, and a bounded number of failed ids."""
    assert "0 of 2 over" == summary(R, R).line
    assert "2 of 3 over, 1 failed: b1 ('dead')" == summary(S, F, R).line
    assert "7 of 7 over, 7 failed: b0 ('dead'), b1 ('dead'), b2 ('dead'), b3 ('dead'), b4 ('dead') and 2 more" == (
        summary(*[F] * 7).line
    )
    assert "1 of 3 over; not over: b1; 1 not listed" == summary(S, R, missing=1).standing
    assert "2 over" == summary(S, S, complete=False).line


def test_event_round_trips_and_is_small():
    """An event with a thousand jobs has less than 100 bytes for each, and its summary stays the same."""
    sent = summary(*[S] * 999, F, fail_fast=False)
    text = json.dumps(sent.to_dict())

    assert sent == JobsSummary.from_dict(json.loads(text), "jobs", sent.rule)
    assert len(text) < 100 * 1000
    assert sent.counts == json.loads(text)["counts"]


@pytest.mark.parametrize(
    "fields", [{}, {"statuses": 1}, {"statuses": [1]}, {"statuses": [{}]}, {"statuses": [], "missing": "x"}]
)
def test_invalid_event_is_refused(fields):
    """An event that is no summary raises an error."""
    with pytest.raises(ValueError, match="not a"):
        JobsSummary.from_dict(fields, "jobs", CompletionRule())


def test_output_of_all_jobs_is_bounded():
    """The summary keeps a bounded amount of output, that of failed jobs first, because Airflow's database stores it."""
    long = ("x" * 1000,) * 50
    jobs = (status("s", S, log=long), status("f", F, log=long))
    bounded = JobsSummary(subject="jobs", rule=CompletionRule(), statuses=jobs).bounded()

    assert [(), long] == [job.log for job in bounded.statuses]
    assert bounded == bounded.bounded()
    assert sum(len(line) for job in bounded.statuses for line in job.log) <= LOG_BUDGET


def test_message_lists_all_failures():
    """The message has the first failures in full and the other ones by id, within a bounded length."""
    message = failures_message(DLI_BATCH, summary(S, *[F] * 8, R))
    assert message.startswith(
        "jobs: 8 of 10 failed, 1 succeeded, 1 not over\n  DLI batch b1 failed: its state is 'dead'"
    )
    assert all(f"b{number}" in message for number in range(1, 9))
    assert "also failed: b6 ('dead'), b7 ('dead'), b8 ('dead')" in message
    assert len(failures_message(DLI_BATCH, summary(*[F] * 5000))) < 10_000
    assert "expected, and not in the list of jobs: 2" in failures_message(DLI_BATCH, summary(S, missing=2, gone=True))
