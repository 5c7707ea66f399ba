"""What a wait says while it goes on."""

from airflow_provider_hwstatus.core.errors import ApiError
from airflow_provider_hwstatus.core.jobs import DLI_BATCH
from airflow_provider_hwstatus.core.observing import Observer
from airflow_provider_hwstatus.core.status import JobStatus


class Log:
    def __init__(self):
        self.lines = []

    def __getattr__(self, level):
        return lambda message, *args: self.lines.append((level, message % args))


def told(*states):
    log = Log()
    observer = Observer(log)
    for state in states:
        if isinstance(state, Exception):
            observer.saw(state)
        else:
            observer.saw(JobStatus(kind="dli_batch", job_id="b1", state=state, outcome=DLI_BATCH.outcome_of(state)))
    return log.lines


def test_one_line_per_change_of_state():
    """A wait of days in one state is one line."""
    assert [
        ("info", "DLI batch b1: state 'starting' (in progress)"),
        ("info", "DLI batch b1: state 'running' (in progress), was 'starting'"),
        ("info", "DLI batch b1: state 'success' (success), was 'running'"),
    ] == told("starting", "starting", "running", "running", "running", "success")


def test_one_warning_per_unknown_state():
    """Each new unknown state is warned about once, however often it comes back."""
    levels = [level for level, _ in told("paused", "paused", "parked", "running", "paused", "parked")]

    assert 2 == levels.count("warning")


def test_overlooked_error_is_told():
    """silent_fail goes on, but not silently."""
    assert [("error", "Going on after an error: no")] == told(ApiError("no"))
