"""Checks a connection step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.protocol.advice import normalised
from airflow_provider_hwstatus.core.protocol.effects import Flow, Request, Response
from airflow_provider_hwstatus.core.reporting.connection_check import NO_JOBS, why_unusable
from airflow_provider_hwstatus.errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    CredentialsRefusedError,
    HwStatusError,
    RetryableError,
)
from airflow_provider_hwstatus.kinds.job_kind import JobKind

#: Seconds by which a clock may be off: the gateway's limit for signatures.
_MAX_SKEW = 900.0

#: A refused token or key, whatever the HTTP status.
_LOGIN_CODES = {"DLI.0015", "IAM.0066", "IAM.0067", "IAM.1105", "IAM.1107", "IAM.1108"}

_SERVICES = ("iam", "dli", "cph")


class Result(StrEnum):
    """How a step went."""

    OK = "ok"
    FAILED = "failed"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True)
class Step:
    """
    One step.

    :param name: Which.
    :param said: What was found, and what to do about it.
    """

    name: str
    result: Result
    said: str


def usable(steps: list[Step]) -> bool:
    """Whether the connection can be used: somebody is logged in to a project, and one service can be asked."""
    results = {step.name: step.result for step in steps}
    permissions = [results.get(f"permission {kind.service}") for kind, _ in NO_JOBS]
    failed = {name for name, result in results.items() if result is Result.FAILED}
    return Result.OK in permissions and not failed & {"connection", "clock", "login", "project"}


class Checkup:
    """
    Looks into a connection.

    :param tell: Called with each step as it is done.
    """

    def __init__(self, client: Client, tell: Callable[[Step], object]) -> None:
        self.steps: list[Step] = []
        self._client = client
        self._tell = tell
        self._reached: set[str] = set()
        self._skew: float | None = None

    def run(self) -> Flow[list[Step]]:
        """Take every step, and return them."""
        for service in _SERVICES:
            yield from self._reach(service)
        self._clock()
        if not self._reached:
            for name in ("login", "project", *(f"permission {kind.service}" for kind, _ in NO_JOBS)):
                self._note(name, Result.NOT_CHECKED, "no service can be reached")
            return self.steps
        errors: dict[str, HwStatusError | None] = {}
        project = yield from self._project()
        for kind, job_id in NO_JOBS if not isinstance(project, HwStatusError) else ():
            refused = next((error for error in errors.values() if isinstance(error, CredentialsRefusedError)), None)
            errors[kind.service] = refused or (yield from why_unusable(self._client, kind, job_id))
        self._login([project, *errors.values()])
        self._say_project(project)
        for kind, _ in NO_JOBS:
            self._permission(kind, errors)
        return self.steps

    def _note(self, name: str, result: Result, said: str) -> None:
        self.steps.append(Step(name, result, said))
        self._tell(self.steps[-1])

    def _reach(self, service: str) -> Flow[None]:
        """Ask for nothing, as nobody: any reply says that the endpoint is there, and its TLS as it should be."""
        client, name = self._client, f"endpoint {service}"
        try:
            url = client.settings.endpoint(service)
        except ConfigurationError as error:
            self._note(name, Result.NOT_CHECKED, _text(error))
            return
        tls = "no TLS" if url.startswith("http:") else "TLS ok" if client.settings.verify else "TLS not verified"
        try:
            asked_at = client.clock()
            response: Response = yield Request("GET", f"{url}/")
        except RetryableError as error:
            self._note(name, Result.FAILED, _text(error))
            return
        except HwStatusError:  # a reply that is too long is one
            response = Response(200, {}, b"")
        self._reached.add(service)
        self._skew = _skew(response, (asked_at + client.clock()) / 2) if self._skew is None else self._skew
        self._note(name, Result.OK, f"{url}, {tls}")

    def _clock(self) -> None:
        if self._skew is None:
            self._note("clock", Result.NOT_CHECKED, "no service said what time it is")
        elif abs(self._skew) > _MAX_SKEW:
            said = f"this machine's clock is {self._skew:+.0f} s off; next: set it (NTP): signatures are refused"
            self._note("clock", Result.FAILED, said)
        else:
            self._note("clock", Result.OK, f"{abs(self._skew):.0f} s off; up to {_MAX_SKEW:.0f} s are allowed")

    def _project(self) -> Flow[str | HwStatusError]:
        try:
            return (yield from self._client.project_id())
        except HwStatusError as error:
            return error

    def _login(self, found: list[str | HwStatusError | None]) -> None:
        errors = [error for error in found if isinstance(error, HwStatusError)]
        refused = next((error for error in errors if _is_login(error)), None)
        answered = [error for error in errors if isinstance(error, ApiError) and not isinstance(error, RetryableError)]
        if refused:
            self._note("login", Result.FAILED, _text(refused))
        elif answered or None in found:
            self._note("login", Result.OK, self._client.who)
        else:
            said = _text(errors[0]) if errors else "nobody answered"
            self._note("login", Result.NOT_CHECKED, said)

    def _say_project(self, project: str | HwStatusError) -> None:
        if isinstance(project, str):
            how = "as configured" if self._client.settings.project_id else "found by the login or the region's name"
            self._note("project", Result.OK, f"{project}, {how}")
        elif _is_login(project):
            self._note("project", Result.NOT_CHECKED, "nobody is logged in")
        else:
            self._note("project", Result.FAILED, _text(project))

    def _permission(self, kind: JobKind, errors: dict[str, HwStatusError | None]) -> None:
        name, error = f"permission {kind.service}", errors.get(kind.service)
        if kind.service not in self._reached or kind.service not in errors:
            self._note(name, Result.NOT_CHECKED, "the step before it failed")
        elif error is not None and _is_login(error):
            self._note(name, Result.NOT_CHECKED, "nobody is logged in")
        elif isinstance(error, AuthenticationError):
            self._note(name, Result.FAILED, f"{kind.permission} is missing: {error}")
        elif error is not None:
            self._note(name, Result.FAILED, _text(error))
        else:
            self._note(name, Result.OK, kind.permission)


def _is_login(error: HwStatusError) -> bool:
    """Whether nobody is logged in: a 401, or a code that says so with another status."""
    code = normalised(error.code or "")
    return isinstance(error, CredentialsRefusedError) or error.http_status == 401 or code in _LOGIN_CODES


def _text(error: HwStatusError) -> str:
    """Return what went wrong, without the job that was asked about: there is none."""
    subjects = [f"{kind.title} {job_id}: " for kind, job_id in NO_JOBS]
    return next((text for subject in subjects if (text := str(error).removeprefix(subject)) != str(error)), str(error))


def _skew(response: Response, now: float) -> float | None:
    try:
        return now - parsedate_to_datetime(response.headers.get("date", "")).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
