"""
Whether a connection works, without more permissions than waiting needs.

:func:`check` says it in one sentence. :class:`Checkup` checks step by step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.core.polling.job_poller import JobPoller
from airflow_provider_hwstatus.core.protocol.advice import normalised, on_one_line
from airflow_provider_hwstatus.core.protocol.effects import Flow, Request, Response
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
from airflow_provider_hwstatus.kinds import KINDS
from airflow_provider_hwstatus.kinds.job_kind import JobKind
from airflow_provider_hwstatus.kinds.service import CPH, DLI, IAM, Service, service_of

#: The id of no job. A service that says so has accepted the login, and is the right endpoint.
_NO_JOB = {CPH.label: "0" * 32}
_NO_UUID = "00000000-0000-0000-0000-000000000000"
_NO_JOBS = (_NO_UUID, *_NO_JOB.values())

#: Seconds that the clock of this machine may be off: the gateway's limit for signatures.
_MAX_SKEW = 900.0

#: Codes of a refused token or key, whatever the HTTP status.
_LOGIN_CODES = {"DLI.0015", "IAM.0066", "IAM.0067", "IAM.1105", "IAM.1107", "IAM.1108"}


def services_of(settings: Settings) -> list[Service]:
    """Return the services that a check asks: DLI, CPH, and those whose endpoint is set."""
    listed = [service_of(label) for label, _ in settings.endpoints if label not in ("*", "dli", "cph", "iam")]
    return [DLI, CPH, *listed]


def _probe(service: Service) -> JobKind | None:
    """Return the kind of job that a check asks a service for; None for a service without a kind in the table."""
    return next((kind for kind in KINDS.values() if kind.cloud_service.label == service.label), None)


def check(client: Client) -> Flow[str]:
    """
    Send one request to IAM and to each service, and describe the result in one sentence.

    :raises HwStatusError: The connection cannot be used; the message says what to change.
    """
    project_id = yield from client.project_id()
    project = yield from _project_name(client, project_id)
    found, errors = [], []
    for service in services_of(client.settings):
        if _probe(service) is None:
            continue
        error = yield from _why_unusable(client, service)
        if isinstance(error, CredentialsRefusedError):
            raise error
        found.append(f"{service.title} {'answers' if error is None else f'cannot be used ({on_one_line(str(error))})'}")
        errors.append(error)
    first = errors[0]
    if first is not None and all(errors):
        raise first
    region = f"region {client.settings.region}" if client.settings.region else "no region"
    return f"Logged in as {client.identity}, project {project}, {region}. {'; '.join(found)}."


def _project_name(client: Client, project_id: str) -> Flow[str]:
    """Return the name of the project with its id, if the login may list projects: waiting does not need that."""
    try:
        projects = yield from client.list_projects()
    except CredentialsRefusedError:
        raise
    except HwStatusError:
        return project_id
    names = [name for name, listed in projects if listed == project_id]
    return f"{names[0]} ({project_id})" if names else project_id


def _why_unusable(client: Client, service: Service) -> Flow[HwStatusError | None]:
    """Return why a service cannot be used; None if it can: it answers that there is no such job, in any words."""
    kind = _probe(service)
    if kind is None:
        return None
    kind = kind.with_parameters(dict.fromkeys(kind.parameters, "0"))
    try:
        yield from JobPoller(client, kind, _NO_JOB.get(service.label, _NO_UUID)).fetch_status(RetryBudget(0.0))
    except (AuthenticationError, ApiNotAvailableError, ConfigurationError, RetryableError) as error:
        return error
    except ApiError:
        return None
    except HwStatusError as error:
        return error
    return None


class Result(StrEnum):
    """The result of a step."""

    OK = "ok"
    FAILED = "failed"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True)
class Step:
    """
    One step of a check.

    :param said: What was found, and what to do about it.
    """

    name: str
    result: Result
    said: str


def usable(steps: list[Step]) -> bool:
    """Return whether the connection can be used: the login works, there is a project, and one service answers."""
    results = {step.name: step.result for step in steps}
    permissions = [result for name, result in results.items() if name.startswith("permission ")]
    failed = {name for name, result in results.items() if result is Result.FAILED}
    return Result.OK in permissions and not failed & {"connection", "clock", "login", "project"}


class Checkup:
    """
    Checks a connection step by step.

    :param on_step: Called with each step when it is done.
    """

    def __init__(self, client: Client, on_step: Callable[[Step], object]) -> None:
        self.steps: list[Step] = []
        self._client = client
        self._on_step = on_step
        self._reached: set[str] = set()
        self._skew: float | None = None

    def run(self) -> Flow[list[Step]]:
        """Take all steps, and return them."""
        services = services_of(self._client.settings)
        for service in (IAM, *services):
            yield from self._check_endpoint(service)
        self._check_clock()
        if not self._reached:
            for name in ("login", "project", *(f"permission {service.label}" for service in services)):
                self._note(name, Result.NOT_CHECKED, "no service can be reached")
            return self.steps
        errors: dict[str, HwStatusError | None] = {}
        project = yield from self._project()
        for service in services if not isinstance(project, HwStatusError) else ():
            refused = next((error for error in errors.values() if isinstance(error, CredentialsRefusedError)), None)
            errors[service.label] = refused or (yield from _why_unusable(self._client, service))
        self._note_login([project, *errors.values()])
        self._note_project(project)
        for service in services:
            self._note_permission(service, errors)
        return self.steps

    def _note(self, name: str, result: Result, said: str) -> None:
        self.steps.append(Step(name, result, said))
        self._on_step(self.steps[-1])

    def _check_endpoint(self, service: Service) -> Flow[None]:
        """Send a request without a login: any response shows that the endpoint is there, and that TLS works."""
        client, name = self._client, f"endpoint {service.label}"
        try:
            url = client.endpoint(service)
        except ConfigurationError as error:
            self._note(name, Result.NOT_CHECKED, _text(error))
            return
        tls = "no TLS" if url.startswith("http:") else "TLS ok" if client.settings.verify else "TLS not verified"
        try:
            sent_at = client.clock()
            response: Response = yield Request("GET", f"{url}/")
        except RetryableError as error:
            self._note(name, Result.FAILED, _text(error))
            return
        except HwStatusError:  # a response that is too long is a response
            response = Response(200, {}, b"")
        self._reached.add(service.label)
        self._skew = _skew(response, (sent_at + client.clock()) / 2) if self._skew is None else self._skew
        self._note(name, Result.OK, f"{url}, {tls}")

    def _check_clock(self) -> None:
        if self._skew is None:
            self._note("clock", Result.NOT_CHECKED, "no response had a date")
        elif abs(self._skew) > _MAX_SKEW:
            found = f"this machine's clock is {self._skew:+.0f} s off; next: set it (NTP): signatures are refused"
            self._note("clock", Result.FAILED, found)
        else:
            self._note("clock", Result.OK, f"{abs(self._skew):.0f} s off; up to {_MAX_SKEW:.0f} s are allowed")

    def _project(self) -> Flow[str | HwStatusError]:
        try:
            return (yield from self._client.project_id())
        except HwStatusError as error:
            return error

    def _note_login(self, results: list[str | HwStatusError | None]) -> None:
        errors = [error for error in results if isinstance(error, HwStatusError)]
        refused = next((error for error in errors if _is_login(error)), None)
        answered = [error for error in errors if isinstance(error, ApiError) and not isinstance(error, RetryableError)]
        if refused:
            self._note("login", Result.FAILED, _text(refused))
        elif answered or None in results:
            self._note("login", Result.OK, self._client.identity)
        else:
            self._note("login", Result.NOT_CHECKED, _text(errors[0]) if errors else "there was no answer")

    def _note_project(self, project: str | HwStatusError) -> None:
        if isinstance(project, str):
            source = "as configured" if self._client.settings.project_id else "found by the login or the region's name"
            self._note("project", Result.OK, f"{project}, {source}")
        elif _is_login(project):
            self._note("project", Result.NOT_CHECKED, "the login failed")
        else:
            self._note("project", Result.FAILED, _text(project))

    def _note_permission(self, service: Service, errors: dict[str, HwStatusError | None]) -> None:
        label, kind = service.label, _probe(service)
        name, error = f"permission {label}", errors.get(label)
        if kind is None:
            self._note(name, Result.NOT_CHECKED, "no kind of job in this package's table is of this service")
        elif label not in self._reached or label not in errors:
            self._note(name, Result.NOT_CHECKED, "an earlier step failed")
        elif error is not None and _is_login(error):
            self._note(name, Result.NOT_CHECKED, "the login failed")
        elif isinstance(error, AuthenticationError):
            missing = kind.permission or "a permission"
            self._note(name, Result.FAILED, f"{missing} is missing: {on_one_line(str(error))}")
        elif error is not None:
            self._note(name, Result.FAILED, _text(error))
        else:
            self._note(name, Result.OK, kind.permission or "the service answers")


def _is_login(error: HwStatusError) -> bool:
    """Return whether the login failed: a 401, or a code that means the same with another status."""
    code = normalised(error.code or "")
    return isinstance(error, CredentialsRefusedError) or error.http_status == 401 or code in _LOGIN_CODES


def _text(error: HwStatusError) -> str:
    """Return the message without the id of the job that does not exist."""
    message = on_one_line(str(error))
    _, no_job, text = message.partition(next((f" {no_job}: " for no_job in _NO_JOBS if no_job in message), "\n"))
    return text if no_job else message


def _skew(response: Response, now: float) -> float | None:
    try:
        return now - parsedate_to_datetime(response.headers.get("date", "")).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
