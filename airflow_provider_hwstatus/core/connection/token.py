"""Logging in with a token: a given one, or one that a name and password buy."""

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

#: Seconds before its end at which a token is replaced; a tenth of its life, if that is less.
RENEWAL_LEAD = 300.0

_LOGIN_ADVICE = "check the IAM user's name (login), password and account name (domain_name)"
_TOKEN_CODES = {"DLI.0015", "IAM.0066", "IAM.0067"}  # a refused token, whatever the HTTP status


class Token:
    """A token that somebody else fetched; it cannot be renewed."""

    needs: ClassVar[Mapping[str, str]] = {"password": "the token"}

    def __init__(self, settings: Settings, clock: Clock, redact: Redactor, records: CredentialRecords) -> None:
        self.project_id: str | None = None
        self._token = settings.password or ""
        redact.add(settings.password)

    @property
    def who(self) -> str:
        return "the owner of the given token"

    def exchange(self, request: Request) -> Flow[Response]:
        response: Response = yield with_token(request, self._token)
        return response

    def ensure(self) -> Flow[None]:
        yield from ()


class Password:
    """
    An IAM user's name and password buy a token, which is kept until shortly before its end.

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
        self._record = records.of(settings)
        self._token = Renewable(self._fetch, clock)
        redact.add(settings.password)
        if not (settings.project_id or settings.region):
            raise ConfigurationError("auth=password needs region or project_id: a token is for one project")

    @property
    def who(self) -> str:
        return f"IAM user {self._settings.login} of account {self._settings.domain_name}"

    def exchange(self, request: Request) -> Flow[Response]:
        return self._token.exchange(request, with_token, token_refused)

    def ensure(self) -> Flow[None]:
        return self._token.ensure()

    def _fetch(self) -> Flow[Fetched[str]]:
        fetched: Fetched[str] | None = None
        if not self._record.proven:
            fetched = yield Exclusive(self._record.turn, self._first)
        return fetched or (yield from self._log_in())

    def _first(self) -> Flow[Fetched[str] | None]:
        return None if self._record.proven else (yield from self._log_in())

    def _log_in(self) -> Flow[Fetched[str]]:
        self._record.check()
        began = self._clock()
        try:
            response: Response = yield self._login_request()
        except TransportError as error:
            raise error.about("IAM cannot be reached to log in")  # noqa: B904  # the same error, with its subject
        if response.status == 401:
            raise self._record.refused(error_of(response, self._redact, began, CredentialsRefusedError, _LOGIN_ADVICE))
        reply = json_or_raise(response, self._redact, began).get("token")
        token = response.headers.get("x-subject-token")
        if not token or not token.isascii() or not isinstance(reply, dict):
            raise MalformedResponseError("IAM's reply to the login has no X-Subject-Token or no token in its body")
        self._redact.add_renewed(token)
        yield Mask(token)
        project = reply.get("project")
        if isinstance(project, dict):
            self.project_id = check_project_id(project.get("id"))
        self._record.proven = True
        return Fetched(token, began + _useful_life(reply))

    def _login_request(self) -> Request:
        settings = self._settings
        user = {"domain": {"name": settings.domain_name}, "name": settings.login, "password": settings.password}
        project = {"id": settings.project_id} if settings.project_id else {"name": settings.region}
        identity = {"methods": ["password"], "password": {"user": user}}
        body = {"auth": {"identity": identity, "scope": {"project": project}}}
        return Request(
            "POST",
            f"{settings.endpoint('iam')}/v3/auth/tokens?nocatalog=true",
            {"Content-Type": "application/json;charset=utf8"},
            json.dumps(body).encode(),
        )


def with_token(request: Request, token: str) -> Request:
    """Return *request* with a token."""
    return replace(request, headers={**request.headers, "X-Auth-Token": token})


def token_refused(response: Response) -> bool:
    """Whether a new token may help."""
    if response.status == 401:
        return True
    code = (json_object(response) or {}).get("error_code") if response.status >= 400 else None
    return isinstance(code, str) and normalised(code) in _TOKEN_CODES


def _useful_life(token: Mapping[str, object]) -> float:
    """Seconds to use a token for. Both ends are IAM's own, so that a wrong clock here does no harm."""
    try:
        ends, issued = (datetime.fromisoformat(str(token.get(name))) for name in ("expires_at", "issued_at"))
        life = (ends - issued).total_seconds()
    except (ValueError, TypeError):
        raise MalformedResponseError(
            "IAM's reply to the login has no valid expires_at and issued_at"
        ) from None  # it quotes the reply
    return useful_life(life, RENEWAL_LEAD)
