"""What a user reads about a job that failed."""

from __future__ import annotations

from datetime import datetime

from airflow_provider_hwstatus.core.advice import by_code
from airflow_provider_hwstatus.core.jobs import JobKind
from airflow_provider_hwstatus.core.observing import duration
from airflow_provider_hwstatus.core.replies import clip
from airflow_provider_hwstatus.core.status import JobStatus

#: Lines of output in the message, and characters of each line or fact: the whole log is in the task's log.
_LAST_LINES = 10
_LENGTH = 300

#: Where to look next, by service; with the console's page, or the console as one finds it.
_NEXT = {
    "dli": "open {} for the driver's log",
    "cph": "look the error code up in the CPH API reference, and check the phone or server in {}",
}
_CONSOLE = {"dli": "the job under Job Management in the DLI console", "cph": "the CPH console"}


def failure_message(kind: JobKind, status: JobStatus, missing: str = "", console: str | None = None) -> str:
    """
    Return why the job failed, as far as it is told, and where to look next; one fact a line.

    :param missing: Why there is no log.
    :param console: The job's page in the console, if it is known.
    """
    what_next = _NEXT[kind.service].format(console or _CONSOLE[kind.service])
    facts = {
        "error": " ".join(part for part in (status.error_code, status.error_message) if part),
        "name": status.name,
        "queue": status.queue,
        "phone": status.phone_id,
        "server": status.server_id,
        "began": status.begin_time,
        "ended": _ended(status),
        "request id": status.request_id,
        "no log": missing,
        "next": by_code(status.error_code) or what_next,
    }
    lines = [f"{kind.title} {status.job_id} failed: its state is {status.state!r}"]
    lines += [f"  {name}: {clip(_one_line(fact), _LENGTH)}" for name, fact in facts.items() if fact]
    if log := status.log[-_LAST_LINES:]:
        lines += ["  its last lines of output:", *(f"    {clip(line, _LENGTH)}" for line in log)]
    return "\n".join(lines)


def _one_line(fact: str) -> str:
    return " ".join(fact.split())


def _ended(status: JobStatus) -> str | None:
    if not (status.begin_time and status.end_time):
        return status.end_time
    began, ended = (datetime.fromisoformat(time) for time in (status.begin_time, status.end_time))
    seconds = (ended - began).total_seconds()
    return f"{status.end_time}, after {duration(seconds)}" if seconds >= 0 else status.end_time
