"""Authentication with a token: one from the connection, or one that IAM issues for a name and password."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import ClassVar

from airflow_provider_hwstatus.core.connection.credentials import CredentialRecords, Fetched, Renewable, useful_life
from airflow_provider_hwstatus.core.connection.settings import Settings, check_project_id
from airflow_provider_hwstatus.core.protocol.advice import normalised
from airflow_provider_hwstatus.core.protocol.effects import Exclusive, Flow, Mask, Request, Response
from airflow_provider_hwstatus.core.protocol.redaction import Redactor
from airflow_provider_hwstatus.core.protocol.responses import error_of, json_object, json_or_raise
from airflow_provider_hwstatus.core.protocol.throttle import Clock
from airflow_provider_hwstatus.errors import (
    ConfigurationError,
    CredentialsRefusedError,
    MalformedResponseError,
    TransportError,
)
from airflow_provider_hwstatus.kinds.service import IAM

#: Seconds before it expires at which a token is replaced, but at most a tenth of its lifetime.
RENEWAL_LEAD = 300.0

_LOGIN_ADVICE = "check the IAM user's name (login), password and account name (domain_name)"
_TOKEN_CODES = {"DLI.0015", "IAM.0066", "IAM.0067"}  # these mean a refused token, with any HTTP status


class Token:
    """Sends the token from the connection, which cannot be renewed."""

    needs: ClassVar[Mapping[str, str]] = {"password": "the token"}

    def __init__(self, settings: Settings, clock: Clock, redact: Redactor, records: CredentialRecords) -> None:
        self.project_id: str | None = None
        self._token = settings.password or ""
        redact.add(settings.password)

    @property
    def identity(self) -> str:
        return "the owner of the given token"

    def exchange(self, request: Request) -> Flow[Response]:
        response: Response = yield with_token(request, self._token)
        return response

    def ensure(self) -> Flow[None]:
        yield from ()


class Password:
    """
    Sends a token that IAM issues for an IAM user's name and password, and renews it shortly before it expires.

    Source: IAM API reference, "Obtaining a User Token Through Password Authentication".
    """

    needs: ClassVar[Mapping[str, str]] = {
        "login": "the IAM user's name",
        "password": "the IAM user's password",
        "domain_name": "the account's name",
    }

    def __init__(self, settings: Settings, clock: Clock, redact: Redactor, records: CredentialRecords) -> None:
        self.project_id: str | None = None
        self._settings = settings
        self._clock = clock
        self._redact = redact
        self._record = records.record_of(settings)
        self._token = Renewable(self._fetch, clock)
        redact.add(settings.password)
        if not (settings.project_id or settings.region):
            raise ConfigurationError(
                "auth=password needs region or project_id, because a token is valid for one project"
            )

    @property
    def identity(self) -> str:
        return f"IAM user {self._settings.login} of account {self._settings.domain_name}"

    def exchange(self, request: Request) -> Flow[Response]:
        return self._token.exchange(request, with_token, token_refused)

    def ensure(self) -> Flow[None]:
        return self._token.ensure()

    def _fetch(self) -> Flow[Fetched[str]]:
        fetched: Fetched[str] | None = None
        if not self._record.accepted:
            fetched = yield Exclusive(self._record.lock_name, self._log_in_first)
        return fetched or (yield from self._log_in())

    def _log_in_first(self) -> Flow[Fetched[str] | None]:
        """Log in while no other wait does, or return None if the password has been accepted meanwhile."""
        return None if self._record.accepted else (yield from self._log_in())

    def _log_in(self) -> Flow[Fetched[str]]:
        self._record.raise_if_refused()
        sent_at = self._clock()
        try:
            response: Response = yield self._login_request()
        except TransportError as error:
            raise error.about("IAM cannot be reached to log in")  # noqa: B904  # the same error, with its subject
        if response.status == 401:
            raise self._record.refuse(error_of(response, self._redact, sent_at, CredentialsRefusedError, _LOGIN_ADVICE))
        details = json_or_raise(response, self._redact, sent_at).get("token")
        token = response.headers.get("x-subject-token")
        if not token or not token.isascii() or not isinstance(details, dict):
            raise MalformedResponseError("IAM's response to the login has no X-Subject-Token or no token in its body")
        self._redact.add_renewed(token)
        yield Mask(token)
        project = details.get("project")
        if isinstance(project, dict):
            self.project_id = check_project_id(project.get("id"))
        self._record.accepted = True
        return Fetched(token, sent_at + _useful_life(details))

    def _login_request(self) -> Request:
        settings = self._settings
        user = {"domain": {"name": settings.domain_name}, "name": settings.login, "password": settings.password}
        project = {"id": settings.project_id} if settings.project_id else {"name": settings.region}
        identity = {"methods": ["password"], "password": {"user": user}}
        body = {"auth": {"identity": identity, "scope": {"project": project}}}
        return Request(
            "POST",
            f"{settings.endpoint(IAM)}/v3/auth/tokens?nocatalog=true",
            {"Content-Type": "application/json;charset=utf8"},
            json.dumps(body).encode(),
        )


def with_token(request: Request, token: str) -> Request:
    """Return a copy of *request* with a token."""
    return replace(request, headers={**request.headers, "X-Auth-Token": token})


def token_refused(response: Response) -> bool:
    """Return whether the service refused the token, so that a new one may help."""
    if response.status == 401:
        return True
    code = (json_object(response) or {}).get("error_code") if response.status >= 400 else None
    return isinstance(code, str) and normalised(code) in _TOKEN_CODES


def _useful_life(token: Mapping[str, object]) -> float:
    """Return for how many seconds to use a token. Both times are IAM's, so a wrong clock here is harmless."""
    try:
        expires, issued = (datetime.fromisoformat(str(token.get(name))) for name in ("expires_at", "issued_at"))
        life = (expires - issued).total_seconds()
    except (ValueError, TypeError):
        raise MalformedResponseError(
            "IAM's response to the login has no valid expires_at and issued_at"
        ) from None  # the cause quotes the response
    return useful_life(life, RENEWAL_LEAD)
