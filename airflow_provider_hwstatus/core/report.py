"""What a user reads about a job that failed."""

from __future__ import annotations

from airflow_provider_hwstatus.core.jobs import KINDS
from airflow_provider_hwstatus.core.status import JobStatus
from airflow_provider_hwstatus.core.tally import Tally

_LAST_LINES = 10

#: Jobs that are told about at length, and by id and state alone.
_AT_LENGTH = 5
_IN_A_WORD = 200

#: Where to look next, by service.
_NEXT = {
    "dli": "open it in the DLI console under Job Management for the driver's log",
    "cph": "look the error code up in the CPH API reference, and check the phone or server in the CPH console",
}


def failure_message(status: JobStatus) -> str:
    """Return why the job failed, as far as the reply tells, and where to look next; one fact a line."""
    kind = KINDS[status.kind]
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


def failures_message(tally: Tally) -> str:
    """Return why a wait for several jobs ended badly: all that failed, the first of them at length."""
    counts = tally.counts
    lines = [
        f"{tally.subject}: {counts['failed']} of {counts['total']} failed, {counts['succeeded']} succeeded"
        + (f", {counts['in_progress']} not over" if counts["in_progress"] else "")
    ]
    failed = tally.bounded().failed
    lines += [f"  {line}" for status in failed[:_AT_LENGTH] for line in failure_message(status).splitlines()]
    if tally.gone and tally.missing:
        why = "probably rejected at submission, see the reply to it; or not_found_grace is too short"
        lines.append(f"  expected, and not in the list of jobs: {tally.missing} ({why})")
    if rest := failed[_AT_LENGTH:]:
        told = [f"{status.job_id} ({status.state!r})" for status in rest[:_IN_A_WORD]]
        more = f" and {len(rest) - len(told)} more" if len(rest) > len(told) else ""
        lines.append(f"  also failed: {', '.join(told)}{more}")
    return "\n".join(lines)
