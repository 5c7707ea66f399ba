"""Whether a connection works, without more rights than waiting needs."""

from __future__ import annotations

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.polling.job_poller import JobPoller
from airflow_provider_hwstatus.core.protocol.effects import Flow
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget
from airflow_provider_hwstatus.errors import (
    ApiError,
    ApiNotAvailableError,
    AuthenticationError,
    ConfigurationError,
    CredentialsRefusedError,
    HwStatusError,
    RetryableError,
)
from airflow_provider_hwstatus.kinds.cph import CPH_JOB
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH
from airflow_provider_hwstatus.kinds.job_kind import JobKind

#: Ids that no job has: whoever is told that is logged in, and at the right endpoint.
NO_JOBS = ((DLI_BATCH, "00000000-0000-0000-0000-000000000000"), (CPH_JOB, "0" * 32))


def check(client: Client) -> Flow[str]:
    """
    Ask IAM and each service once; return who is logged in where, and what each of them said.

    :raises HwStatusError: The connection cannot be used for anything; the message says what to change.
    """
    project_id = yield from client.project_id()
    project = yield from _project_name(client, project_id)
    said, errors = [], []
    for kind, job_id in NO_JOBS:
        error = yield from why_unusable(client, kind, job_id)
        if isinstance(error, CredentialsRefusedError):
            raise error
        said.append(f"{kind.service.upper()} {'answers' if error is None else f'cannot be used ({error})'}")
        errors.append(error)
    first = errors[0]
    if first is not None and all(errors):
        raise first
    region = f"region {client.settings.region}" if client.settings.region else "no region"
    return f"Logged in as {client.who}, project {project}, {region}. {'; '.join(said)}."


def _project_name(client: Client, project_id: str) -> Flow[str]:
    """Return the project as it is called, if whoever is logged in may know: waiting does not need that."""
    try:
        projects = yield from client.list_projects()
    except CredentialsRefusedError:
        raise
    except HwStatusError:
        return project_id
    names = [name for name, listed in projects if listed == project_id]
    return f"{names[0]} ({project_id})" if names else project_id


def why_unusable(client: Client, kind: JobKind, job_id: str) -> Flow[HwStatusError | None]:
    """Return why a service cannot be used; None if it can: it knows no such job, in whichever words."""
    try:
        yield from JobPoller(client, kind, job_id).fetch_status(RetryBudget(0.0))
    except (AuthenticationError, ApiNotAvailableError, ConfigurationError, RetryableError) as error:
        return error
    except ApiError:
        return None
    except HwStatusError as error:
        return error
    return None
