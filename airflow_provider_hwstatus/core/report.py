"""What a user reads about a job that failed."""

from __future__ import annotations

from airflow_provider_hwstatus.core.jobs import JobKind
from airflow_provider_hwstatus.core.status import JobStatus

_LAST_LINES = 10

#: Where to look next, by service.
_NEXT = {
    "dli": "open it in the DLI console under Job Management for the driver's log",
    "cph": "look the error code up in the CPH API reference, and check the phone or server in the CPH console",
}


def failure_message(kind: JobKind, status: JobStatus) -> str:
    """Return why the job failed, as far as the reply tells, and where to look next; one fact a line."""
    why = " ".join(part for part in (status.error_code, status.error_message) if part)
    facts = {
        "error": why,
        "began": status.begin_time,
        "ended": status.end_time,
        "request id": status.request_id,
        "next": _NEXT[kind.service],
    }
    lines = [f"{kind.title} {status.job_id} failed: its state is {status.state!r}"]
    lines += [f"  {name}: {fact}" for name, fact in facts.items() if fact]
    if status.log:
        lines += ["  its last lines of output:", *(f"    {line}" for line in status.log[-_LAST_LINES:])]
    return "\n".join(lines)
