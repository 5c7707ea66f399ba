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
    """Return why the job failed, as far as the reply tells, and where to look next."""
    facts = [
        f"{kind.title} {status.job_id} failed: its state is {status.state!r}",
        " ".join(part for part in (status.error_code, status.error_message) if part),
        f"it began at {status.begin_time}" if status.begin_time else "",
        f"it ended at {status.end_time}" if status.end_time else "",
        f"request id {status.request_id}" if status.request_id else "",
    ]
    message = "; ".join(fact for fact in facts if fact) + f". Next: {_NEXT[kind.service]}."
    if status.log:
        message += "\nIts last lines of output:\n" + "\n".join(f"  {line}" for line in status.log[-_LAST_LINES:])
    return message
