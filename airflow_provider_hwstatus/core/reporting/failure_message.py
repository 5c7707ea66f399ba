"""The message of a job that failed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from airflow_provider_hwstatus.core.polling.job_status import JobStatus
from airflow_provider_hwstatus.core.polling.jobs_summary import JobsSummary, ids
from airflow_provider_hwstatus.core.protocol.advice import by_code
from airflow_provider_hwstatus.core.protocol.responses import clip
from airflow_provider_hwstatus.core.reporting.progress import duration
from airflow_provider_hwstatus.kinds.job_kind import JobKind
from airflow_provider_hwstatus.kinds.template import fill

#: Lines of output in the message, and characters of each line or fact: the whole log is in the task's log.
_LAST_LINES = 10
_LENGTH = 300

#: Jobs that are described at length, and jobs that are listed by id and state.
AT_LENGTH = 5
_IN_A_WORD = 200


def failure_message(kind: JobKind, status: JobStatus, missing: str = "", console: str | None = None) -> str:
    """
    Return why the job failed, as far as it is known, and where to look next; one fact a line.

    :param missing: Why there is no log.
    :param console: The job's page in the console, if it is known.
    """
    page = console or kind.cloud_service.console_name
    extra = {name.replace("_", " ").removesuffix(" id"): value for name, value in status.extra_fields.items()}
    facts = {
        "error": " ".join(part for part in (status.error_code, status.error_message) if part),
        "name": status.name,
        "queue": status.queue,
        **extra,
        "began": status.begin_time,
        "ended": _ended(status),
        "request id": status.request_id,
        "no log": missing,
        "next": by_code(status.error_code) or fill(kind.advice, lambda name: page),
    }
    lines = [f"{kind.title} {status.job_id} failed: its state is {status.state!r}"]
    lines += [f"  {name}: {clip(_one_line(fact), _LENGTH)}" for name, fact in facts.items() if fact]
    if log := status.log[-_LAST_LINES:]:
        lines += ["  its last lines of output:", *(f"    {clip(line, _LENGTH)}" for line in log)]
    return "\n".join(lines)


def failures_message(kind: JobKind, summary: JobsSummary, known: Sequence[str] = ()) -> str:
    """
    Return why a wait for several jobs failed: all jobs that failed, the first ones at length.

    :param known: Messages of the first of them, made by :func:`failure_message`.
    """
    counts = summary.counts
    lines = [
        f"{summary.subject}: {counts['failed']} of {counts['total']} failed, {counts['succeeded']} succeeded"
        + (f", {counts['in_progress']} not over" if counts["in_progress"] else "")
    ]
    failed = summary.bounded().failed
    messages = [*known, *(failure_message(kind, status) for status in failed[len(known) : AT_LENGTH])]
    lines += [f"  {line}" for message in messages for line in message.splitlines()]
    if summary.gone and summary.missing:
        why = "probably rejected at submission, see the reply to it; or not_found_grace is too short"
        lines.append(f"  expected, and not in the list of jobs: {summary.missing} ({why})")
    if rest := failed[AT_LENGTH:]:
        texts = (f"{status.job_id} ({status.state!r})" for status in rest)
        lines.append(f"  also failed: {ids(texts, _IN_A_WORD)}")
    return "\n".join(lines)


def _one_line(fact: str) -> str:
    return " ".join(fact.split())


def _ended(status: JobStatus) -> str | None:
    if not (status.begin_time and status.end_time):
        return status.end_time
    began, ended = (datetime.fromisoformat(time) for time in (status.begin_time, status.end_time))
    seconds = (ended - began).total_seconds()
    return f"{status.end_time}, after {duration(seconds)}" if seconds >= 0 else status.end_time
