"""
Ways to log in.

Each has a flow ``exchange`` that sends a request as somebody. A login belongs to a connection and is shared by all of
its waits: what is fetched is fetched once, and what is refused is not tried again by each of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import ClassVar, Protocol

from airflow_provider_hwstatus.core.errors import (
    ConfigurationError,
    CredentialsRefusedError,
    HwStatusError,
    MalformedResponseError,
)
from airflow_provider_hwstatus.core.flow import Clock
from airflow_provider_hwstatus.core.messages import Exclusive, Flow, Request, Response
from airflow_provider_hwstatus.core.redaction import Redactor
from airflow_provider_hwstatus.core.replies import error_of, json_object, normalised, promised
from airflow_provider_hwstatus.core.settings import Settings
from airflow_provider_hwstatus.core.signing import AccessKey, sign

#: Seconds for which a refusal is remembered: as long as the gateway locks a key after five of them.
REFUSAL_MEMORY = 300.0

#: Seconds before its end at which a token is replaced; a tenth of its life, if that is less.
RENEWAL_LEAD = 300.0

_KEY_WAS_READ = {200, 400, 403, 404}  # a gateway in trouble answers other statuses without looking at the key
_TOKEN_CODES = {"DLI.0015", "IAM.0066", "IAM.0067"}  # a refused token, whatever the HTTP status


class Login(Protocol):
    """A way to log in."""

    #: The connection's fields that it needs, and what they mean to it.
    needs: ClassVar[Mapping[str, str]]

    #: The project that it is logged in to, once known.
    project_id: str | None

    def __init__(self, settings: Settings, clock: Clock, redact: Redactor) -> None: ...

    def exchange(self, request: Request) -> Flow[Response]:
        """Send *request* as the one who is logged in."""
        ...

    def ensure(self) -> Flow[None]:
        """Log in, if that is a step of its own."""
        ...


class _Refusal:
    """Remembers that something was refused, so that other waits do not try it again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._error: HwStatusError | None = None
        self._until = 0.0

    def remember(self, error: HwStatusError) -> HwStatusError:
        self._error, self._until = error, self._clock() + REFUSAL_MEMORY
        return error

    def check(self) -> None:
        if self._error and self._clock() < self._until:
            raise CredentialsRefusedError(
                f"not tried again, because it was refused just now: {self._error}",
                http_status=self._error.http_status,
                code=self._error.code,
                request_id=self._error.request_id,
            )


class AkSk:
    """
    An access key signs each request; with a security token it is a temporary one.

    A permanent key is locked for five minutes after five refusals in a row. So the first request is sent while the
    others wait for what it finds, and nothing is sent for five minutes after a refusal.
    """

    needs: ClassVar[Mapping[str, str]] = {"login": "the access key (AK)", "password": "the secret key (SK)"}

    def __init__(self, settings: Settings, clock: Clock, redact: Redactor) -> None:
        self.project_id: str | None = None
        self._key = AccessKey(settings.login or "", settings.password or "", settings.security_token)
        self._clock = clock
        self._redact = redact
        self._refusal = _Refusal(clock)
        self._proven = False
        for secret in (settings.login, settings.password, settings.security_token):
            redact.add(secret)

    def exchange(self, request: Request) -> Flow[Response]:
        response: Response | None = None
        if not self._proven and not self._key.security_token:
            response = yield Exclusive("login", lambda: self._first(request))
        if response is None:
            response = yield from self._send(request)
        return response

    def ensure(self) -> Flow[None]:
        yield from ()

    def _first(self, request: Request) -> Flow[Response | None]:
        return None if self._proven else (yield from self._send(request))

    def _send(self, request: Request) -> Flow[Response]:
        self._refusal.check()
        response: Response = yield sign(request, self._key, datetime.fromtimestamp(self._clock(), UTC))
        if response.status == 401 and not self._key.security_token:
            error = error_of(response, self._redact, self._clock(), CredentialsRefusedError)
            raise self._refusal.remember(error)
        self._proven = self._proven or response.status in _KEY_WAS_READ
        return response


class Token:
    """A token that somebody else fetched; it cannot be renewed."""

    needs: ClassVar[Mapping[str, str]] = {"password": "the token"}

    def __init__(self, settings: Settings, clock: Clock, redact: Redactor) -> None:
        self.project_id: str | None = None
        self._token = settings.password or ""
        redact.add(settings.password)

    def exchange(self, request: Request) -> Flow[Response]:
        response: Response = yield with_token(request, self._token)
        return response

    def ensure(self) -> Flow[None]:
        yield from ()


@dataclass(frozen=True, repr=False)
class _Fetched:
    token: str
    renew_at: float


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

    def __init__(self, settings: Settings, clock: Clock, redact: Redactor) -> None:
        self.project_id: str | None = None
        self._settings = settings
        self._clock = clock
        self._redact = redact
        self._refusal = _Refusal(clock)
        self._fetched: _Fetched | None = None
        redact.add(settings.password)
        if not (settings.project_id or settings.region):
            raise ConfigurationError("auth=password needs region or project_id: a token is for one project")

    def exchange(self, request: Request) -> Flow[Response]:
        known = self._usable()
        fetched = known or (yield from self._renew(None))
        response: Response = yield with_token(request, fetched.token)
        if known and token_refused(response):
            fetched = yield from self._renew(known)
            response = yield with_token(request, fetched.token)
        return response

    def ensure(self) -> Flow[None]:
        if not self._usable():
            yield from self._renew(None)

    def _usable(self) -> _Fetched | None:
        return self._fetched if self._fetched and self._clock() < self._fetched.renew_at else None

    def _renew(self, refused: _Fetched | None) -> Flow[_Fetched]:
        fetched: _Fetched = yield Exclusive("login", lambda: self._fetch_unless_done(refused))
        return fetched

    def _fetch_unless_done(self, refused: _Fetched | None) -> Flow[_Fetched]:
        present = self._usable()
        if present and present is not refused:  # another wait was first
            return present
        self._fetched = yield from self._fetch()
        return self._fetched

    def _fetch(self) -> Flow[_Fetched]:
        self._refusal.check()
        began = self._clock()
        response: Response = yield self._login_request()
        if response.status == 401:
            raise self._refusal.remember(error_of(response, self._redact, began, CredentialsRefusedError))
        reply = promised(response, self._redact, began).get("token")
        token = response.headers.get("x-subject-token")
        if not token or not isinstance(reply, dict):
            raise MalformedResponseError("IAM's reply to the login has no X-Subject-Token or no token in its body")
        self._redact.add(token)
        project = reply.get("project")
        if isinstance(project, dict) and isinstance(project.get("id"), str):
            self.project_id = project["id"]
        return _Fetched(token, began + _useful_life(reply))

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


#: Every way to log in, by the name that the connection's ``auth`` has for it.
LOGINS: dict[str, type[Login]] = {"aksk": AkSk, "password": Password, "token": Token}


def login_for(settings: Settings, clock: Clock, redact: Redactor) -> Login:
    """
    Return the login that *settings* describe.

    :raises ConfigurationError: ``auth`` is none of :data:`LOGINS`, or a field that it needs is missing.
    """
    cls = LOGINS.get(settings.auth)
    if cls is None:
        raise ConfigurationError(f"auth must be one of {', '.join(LOGINS)}; it is {settings.auth[:64]!r}")
    for name, meaning in cls.needs.items():
        if not getattr(settings, name):
            raise ConfigurationError(f"{name} is not set: with auth={settings.auth} it is {meaning}")
    return cls(settings, clock, redact)


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
    except (ValueError, TypeError) as error:
        raise MalformedResponseError("IAM's reply to the login has no valid expires_at and issued_at") from error
    return life - min(RENEWAL_LEAD, life / 10)
