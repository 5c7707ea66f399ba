"""Cancel a job, and wait until it has ended."""

from __future__ import annotations

from airflow_provider_hwstatus.core.connection.client import Call, Client
from airflow_provider_hwstatus.core.polling.job_ids import check_job_id
from airflow_provider_hwstatus.core.polling.job_poller import JobPoller
from airflow_provider_hwstatus.core.polling.job_status import JobStatus, job_path
from airflow_provider_hwstatus.core.protocol.effects import Flow, Response, Sleep
from airflow_provider_hwstatus.core.protocol.responses import json_or_raise, refusal_of
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget
from airflow_provider_hwstatus.errors import ApiError, AuthenticationError, ConfigurationError, RetryableError
from airflow_provider_hwstatus.kinds.job_kind import JobKind

#: Seconds between two polls of a job that was cancelled.
_PAUSE = 2.0


def cancel(client: Client, kind: JobKind, job_id: str, budget: RetryBudget, seconds: float) -> Flow[JobStatus]:
    """
    Cancel a job, and wait until it has ended. That the job has ended already is no error.

    :param budget: For how long to repeat each request.
    :param seconds: For how long to wait for the end.
    :return: The job's last status: a cancelled job can still succeed.
    :raises ConfigurationError: Such a job cannot be cancelled, or *job_id* is invalid.
    :raises HwStatusError: The service refused, or did not answer.
    """
    if kind.cancel is None:
        raise ConfigurationError(f"a {kind.title} cannot be cancelled: {kind.cloud_service.title} has no call for it")
    poller = JobPoller(client, kind, check_job_id(kind.id_name, job_id, kind.id_characters))
    try:
        yield from _send(client, kind, poller.job_id, budget)
    except ApiError as error:
        if isinstance(error, AuthenticationError | RetryableError):
            raise error.about(poller.subject)  # noqa: B904  # the same error, with its subject
        status = yield from poller.fetch_status(budget)  # the service refuses to cancel what has ended
        if status.over:
            return status
        raise error.about(poller.subject)  # noqa: B904  # the same error, with its subject
    until = client.clock() + seconds
    while True:
        status = yield from poller.fetch_status(budget)
        if status.over or client.clock() >= until:
            return status
        yield Sleep(min(_PAUSE, max(until - client.clock(), 0.0)))


def _send(client: Client, kind: JobKind, job_id: str, budget: RetryBudget) -> Flow[None]:
    method, _, path = (kind.cancel or "").partition(" ")

    def read(response: Response) -> None:
        if not response.body and 200 <= response.status < 300:
            return
        body = json_or_raise(response, client.redact, client.clock(), kind.cancel_permission)
        if kind.is_refused(body):
            raise refusal_of(response, body, body.get("message"), client.redact)

    call = Call(method, kind.cloud_service, job_path(path, job_id), headers=kind.headers)
    yield from client.send(call, budget, read, f"{kind.cloud_service.label}_cancel")
