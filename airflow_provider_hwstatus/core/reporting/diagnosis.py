"""Why a job failed: asked once, when it is known that it did. Nothing that happens here changes that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.polling.job_ids import is_job_id
from airflow_provider_hwstatus.core.polling.job_status import (
    JobStatus,
    check_id,
    job_path,
    log_lines,
    with_details,
)
from airflow_provider_hwstatus.core.protocol.effects import Flow, Response
from airflow_provider_hwstatus.core.protocol.responses import clip, json_or_raise
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget
from airflow_provider_hwstatus.core.reporting.console import console_url
from airflow_provider_hwstatus.errors import CredentialsRefusedError, HwStatusError, ThrottledError
from airflow_provider_hwstatus.kinds.job_kind import JobKind

#: Seconds that it may take in all.
BUDGET = 10.0

#: Lines of the log that are asked for.
_LINES = 100


@dataclass(frozen=True)
class Diagnosis:
    """
    What was found.

    :param status: The failed job's, with its name, queue, times and log, as far as they were told.
    :param missing: Why there is no log, in a few words; empty if there is one.
    :param console: The job's page in the console, or the service's; None where that is not known.
    """

    status: JobStatus
    missing: str = ""
    console: str | None = None


def diagnose(client: Client, kind: JobKind, status: JobStatus, seconds: float = BUDGET) -> Flow[Diagnosis]:
    """Ask for a failed job's details and log, once each, within *seconds*; never raises an error of ours."""
    if not is_job_id(status.job_id):  # no job was made of it
        return Diagnosis(status)
    inquiry = _Inquiry(client, kind, status, seconds)
    missing = ""
    for step in (inquiry.details, inquiry.log):
        try:
            yield from step()
        except (CredentialsRefusedError, ThrottledError) as error:  # another try makes it worse
            missing = _in_short(error)
            break
        except HwStatusError as error:
            missing = _in_short(error)
    if any(line.strip() for line in inquiry.status.log):
        missing = ""
    elif not missing and kind.log_path:
        missing = "the service has none"
    return Diagnosis(inquiry.status, missing, console_url(kind, client.settings, status.job_id))


def _in_short(error: HwStatusError) -> str:
    return clip(str(error).partition("; next: ")[0], 200)


class _Inquiry:
    """:param status: Grows with what is told."""

    def __init__(self, client: Client, kind: JobKind, status: JobStatus, seconds: float) -> None:
        self.client = client
        self.kind = kind
        self.status = status
        self._until = client.clock() + seconds

    def details(self) -> Flow[None]:
        if self.kind.detail_path:
            body = yield from self._ask(self.kind.detail_path)
            self.status = with_details(self.kind, self.status, body, self.client.redact)

    def log(self) -> Flow[None]:
        path = self.kind.log_path
        if not path:
            return
        body = yield from self._ask(path)
        if start := _later_start(body):
            body = yield from self._ask(f"{path}{'&' if '?' in path else '?'}from={start}&size={_LINES}")
        lines = log_lines(body.get("log"), self.client.redact)
        self.status = replace(self.status, log=lines or self.status.log)

    def _ask(self, path: str) -> Flow[Mapping[str, object]]:
        """Ask once, for half of the time that is left: what hangs must leave some for what comes next."""
        client = self.client
        until = client.clock() + max(self._until - client.clock(), 0.1) / 2

        def read(response: Response) -> Mapping[str, object]:
            body = json_or_raise(response, client.redact, client.clock())
            check_id(self.kind, self.status.job_id, body, client.redact)
            return body

        once = RetryBudget(outage_tolerance=0.0, deadline=until, until=until)
        service = self.kind.service
        return (yield from client.get(service, job_path(path, self.status.job_id), once, read, f"{service}_details"))


def _later_start(body: Mapping[str, object]) -> int:
    """Return the line from which on to ask again, where a reply is not the log's end; else 0."""
    first, total, lines = (body.get(name) for name in ("from", "total", "log"))
    if not isinstance(first, int) or not isinstance(total, int) or not isinstance(lines, list):
        return 0
    return max(total - _LINES, 0) if 0 <= first + len(lines) < total < 2**31 else 0
