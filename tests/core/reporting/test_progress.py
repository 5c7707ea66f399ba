"""The log lines of a wait."""

import pytest

from airflow_provider_hwstatus.core.polling.job_status import JobStatus
from airflow_provider_hwstatus.core.reporting.progress import ProgressLogger, duration
from airflow_provider_hwstatus.errors import ApiError
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH


class Log:
    def __init__(self):
        self.lines = []

    def __getattr__(self, level):
        return lambda message, *args: self.lines.append((level, message % args))


def logged(*states, pause=0.0):
    log, now = Log(), 1_000_000.0
    progress = ProgressLogger(log, "DLI batch b1", lambda: now, now)
    for state in states:
        if isinstance(state, Exception):
            progress.on_poll(state)
        else:
            progress.on_poll(JobStatus(kind="dli_batch", job_id="b1", state=state, outcome=DLI_BATCH.outcome_of(state)))
        now += pause
    return log.lines


def test_one_line_per_change_of_state():
    """There is one log line for each change of state, with the time in the previous state."""
    assert [
        ("info", "DLI batch b1: state 'starting' (in progress)"),
        ("info", "DLI batch b1: state 'running' (in progress), was 'starting' for 20 s"),
        ("info", "DLI batch b1: state 'success' (success), was 'running' for 30 s"),
    ] == logged("starting", "starting", "running", "running", "running", "success", pause=10.0)


def test_one_warning_per_unknown_state():
    """Each unknown state is logged as a warning once."""
    levels = [level for level, _ in logged("paused", "paused", "parked", "running", "paused", "parked")]

    assert 2 == levels.count("warning")


def test_ignored_error_is_logged():
    """An error that silent_fail ignores is logged."""
    assert [("error", "Going on after an error: no")] == logged(ApiError("no"))


def test_one_line_an_hour_in_an_unchanged_state():
    """A wait in an unchanged state logs one line in an hour."""
    assert [
        ("info", "DLI batch b1: state 'running' (in progress)"),
        ("info", "DLI batch b1: still waiting after 1 h and 61 polls; 'running' for 1 h"),
        ("info", "DLI batch b1: still waiting after 2 h and 121 polls; 'running' for 2 h"),
        ("info", "DLI batch b1: state 'success' (success), was 'running' for 2 h 30 min"),
    ] == logged(*["running"] * 150, "success", pause=60.0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"),
        (59.9, "59 s"),
        (60.0, "1 min"),
        (200.0, "3 min 20 s"),
        (3600.0, "1 h"),
        (191_000.0, "2 d 5 h"),
        (86_401.0, "1 d 1 s"),
    ],
)
def test_duration_has_two_units(seconds, text):
    """A duration has at most two units."""
    assert text == duration(seconds)
