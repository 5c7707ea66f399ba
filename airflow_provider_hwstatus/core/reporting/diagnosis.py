"""
Fetch the details and the log of a job that has failed.

The outcome of the wait is fixed before: no error here changes it.
"""

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
from airflow_provider_hwstatus.core.protocol.advice import NEXT
from airflow_provider_hwstatus.core.protocol.effects import Flow, Response
from airflow_provider_hwstatus.core.protocol.responses import clip, json_or_raise
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget
from airflow_provider_hwstatus.core.reporting.console import console_url
from airflow_provider_hwstatus.errors import CredentialsRefusedError, HwStatusError, ThrottledError
from airflow_provider_hwstatus.kinds.job_kind import JobKind

#: Seconds for all requests of a diagnosis.
BUDGET = 10.0

#: Lines of the log that one request asks for.
_LINES = 100


@dataclass(frozen=True)
class Diagnosis:
    """
    What is known about a failed job.

    :param status: The job's status, with the name, queue, times and log that the service returned.
    :param missing: Why there is no log, in a few words; empty if there is a log.
    :param console: The URL of the job's page in the console, or of the service's; None if it is unknown.
    """

    status: JobStatus
    missing: str = ""
    console: str | None = None


def diagnose(client: Client, kind: JobKind, status: JobStatus, seconds: float = BUDGET) -> Flow[Diagnosis]:
    """
    Fetch a failed job's details and its log, once each. Never raises a :class:`HwStatusError`.

    :param kind: The kind of the job, with the values of its parameters.
    :param status: The job's last status.
    :param seconds: How long this may take in all.
    """
    if not is_job_id(status.job_id, kind.id_characters):  # a rejected submission: there is no job
        return Diagnosis(status)
    fetch = _Fetch(client, kind, status, seconds)
    missing = ""
    for step in (fetch.details, fetch.log):
        try:
            yield from step()
        except (CredentialsRefusedError, ThrottledError) as error:  # another request would make it worse
            missing = _short(error)
            break
        except HwStatusError as error:
            missing = _short(error)
    if any(line.strip() for line in fetch.status.log):
        missing = ""
    elif not missing and kind.log_path:
        missing = "the service has none"
    return Diagnosis(fetch.status, missing, console_url(kind, client.settings, status.job_id))


def _short(error: HwStatusError) -> str:
    """Return the message of an error without its advice, in at most 200 characters."""
    return clip(str(error).partition(NEXT)[0], 200)


class _Fetch:
    """
    Requests for one job's details and log, with a common time limit.

    :param status: The job's last status. The attribute is replaced as the service returns more.
    :param seconds: How long all requests may take.
    """

    def __init__(self, client: Client, kind: JobKind, status: JobStatus, seconds: float) -> None:
        self.client = client
        self.kind = kind
        self.status = status
        self._until = client.clock() + seconds

    def details(self) -> Flow[None]:
        """:raises HwStatusError: The details could not be fetched."""
        if self.kind.detail_path:
            body = yield from self._get(self.kind.detail_path)
            self.status = with_details(self.kind, self.status, body, self.client.redact)

    def log(self) -> Flow[None]:
        """:raises HwStatusError: The log could not be fetched."""
        path = self.kind.log_path
        if not path:
            return
        body = yield from self._get(path)
        if start := _later_start(body):
            body = yield from self._get(f"{path}{'&' if '?' in path else '?'}from={start}&size={_LINES}")
        lines = log_lines(body.get("log"), self.client.redact)
        self.status = replace(self.status, log=lines or self.status.log)

    def _get(self, path: str) -> Flow[Mapping[str, object]]:
        """Send one request, with half of the time that is left: a request that hangs leaves time for the next one."""
        client = self.client
        until = client.clock() + max(self._until - client.clock(), 0.1) / 2

        def read(response: Response) -> Mapping[str, object]:
            body = json_or_raise(response, client.redact, client.clock())
            check_id(self.kind, self.status.job_id, body, client.redact)
            return body

        once = RetryBudget(outage_tolerance=0.0, deadline=until, until=until)
        kind, path = self.kind, job_path(path, self.status.job_id)
        return (
            yield from client.get(
                kind.cloud_service, path, once, read, f"{kind.cloud_service.label}_details", kind.headers
            )
        )


def _later_start(body: Mapping[str, object]) -> int:
    """Return the first line of the log's last part; 0 if the response already has the end of the log."""
    first, total, lines = (body.get(name) for name in ("from", "total", "log"))
    if not isinstance(first, int) or not isinstance(total, int) or not isinstance(lines, list):
        return 0
    return max(total - _LINES, 0) if 0 <= first + len(lines) < total < 2**31 else 0
