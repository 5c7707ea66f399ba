"""
Ways to log in.

Each has a flow ``exchange`` that sends a request as somebody. A login belongs to a connection and is shared by all of
its waits: what is fetched is fetched once, and what is refused is not tried again by each of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import ClassVar, Protocol

from airflow_provider_hwstatus.core.errors import (
    ConfigurationError,
    CredentialsRefusedError,
    MalformedResponseError,
    TransportError,
)
from airflow_provider_hwstatus.core.flow import Clock
from airflow_provider_hwstatus.core.messages import Exclusive, Flow, Mask, Request, Response
from airflow_provider_hwstatus.core.profile import DEFAULT_PROFILE, Profile, read_profile
from airflow_provider_hwstatus.core.redaction import Redactor
from airflow_provider_hwstatus.core.renewal import Fetched, Refusal, Renewable, useful_life
from airflow_provider_hwstatus.core.replies import error_of, json_object, normalised, promised
from airflow_provider_hwstatus.core.settings import Settings, check_project_id
from airflow_provider_hwstatus.core.signing import AccessKey, sign

#: Seconds before its end at which a token is replaced; a tenth of its life, if that is less.
RENEWAL_LEAD = 300.0

#: Likewise for the key of an agency, which is replaced hours before its end; as the vendor's SDK.
AGENCY_LEAD = 2400.0

#: The same on every ECS and CCE node.
METADATA_ENDPOINT = "http://169.254.169.254"

#: Seconds. It is on this machine or nowhere.
METADATA_TIMEOUT = 3.0

_LOGIN_ADVICE = "check the IAM user's name (login), password and account name (domain_name)"

_KEY_WAS_READ = {400, 403, 404}  # a gateway in trouble answers other statuses without looking at the key
_TOKEN_CODES = {"DLI.0015", "IAM.0066", "IAM.0067"}  # a refused token, whatever the HTTP status


class Login(Protocol):
    """A way to log in."""

    #: The connection's fields that it needs, and what they mean to it.
    needs: ClassVar[Mapping[str, str]]

    #: The project that it is logged in to, once known.
    project_id: str | None

    def __init__(self, settings: Settings, clock: Clock, redact: Redactor) -> None: ...

    @property
    def who(self) -> str:
        """Who is logged in, without anything secret."""
        ...

    def exchange(self, request: Request) -> Flow[Response]:
        """Send *request* as the one who is logged in."""
        ...

    def ensure(self) -> Flow[None]:
        """Log in, if that is a step of its own."""
        ...


class AkSk:
    """
    An access key signs each request; with a security token it is a temporary one.

    A permanent key is locked for five minutes after five refusals in a row. So the first request is sent while the
    others wait for what it finds, and nothing is sent for five minutes after a refusal. (Requests that are under way
    when a good key is revoked are refused together.)
    """

    needs: ClassVar[Mapping[str, str]] = {"login": "the access key (AK)", "password": "the secret key (SK)"}

    def __init__(self, settings: Settings, clock: Clock, redact: Redactor) -> None:
        self.project_id: str | None = None
        self._clock = clock
        self._redact = redact
        self._use(settings)

    @property
    def who(self) -> str:
        return f"access key {self._key.access_key[:4]}…"

    def _use(self, settings: Settings) -> None:
        key = AccessKey(settings.login or "", settings.password or "", settings.security_token)
        if key == getattr(self, "_key", None):
            return
        self._key = key
        self._refusal = Refusal(self._clock)
        self._proven = False
        for secret in (settings.login, settings.password, settings.security_token):
            self._redact.add(secret)

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
        if self._proven:
            return None
        response = yield from self._send(request)
        if not self._proven:  # raised, so that those who queued share it and do not each ask in turn
            raise error_of(response, self._redact, self._clock())
        return response

    def _send(self, request: Request) -> Flow[Response]:
        self._refusal.check()
        response: Response = yield sign(request, self._key, datetime.fromtimestamp(self._clock(), UTC))
        if response.status == 401 and not self._key.security_token:
            self._proven = False
            error = error_of(response, self._redact, self._clock(), CredentialsRefusedError)
            raise self._refusal.remember(error)
        self._proven = self._proven or response.status < 300 or response.status in _KEY_WAS_READ
        return response


class Token:
    """A token that somebody else fetched; it cannot be renewed."""

    needs: ClassVar[Mapping[str, str]] = {"password": "the token"}

    def __init__(self, settings: Settings, clock: Clock, redact: Redactor) -> None:
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


class Agency:
    """
    The agency of the ECS or CCE node that this runs on: its metadata service gives temporary access keys.

    Source: ECS user guide, "Obtaining Metadata"; the handshake for a token comes first, where it is offered.
    """

    needs: ClassVar[Mapping[str, str]] = {}

    def __init__(self, settings: Settings, clock: Clock, redact: Redactor) -> None:
        self.project_id: str | None = None
        self._endpoint = settings.metadata_endpoint or METADATA_ENDPOINT
        self._clock = clock
        self._redact = redact
        self._key = Renewable(self._fetch, clock)

    @property
    def who(self) -> str:
        return "this node's agency"

    def exchange(self, request: Request) -> Flow[Response]:
        return self._key.exchange(request, self._sign, lambda response: response.status == 401)

    def ensure(self) -> Flow[None]:
        return self._key.ensure()

    def _sign(self, request: Request, key: AccessKey) -> Request:
        return sign(request, key, datetime.fromtimestamp(self._clock(), UTC))

    def _fetch(self) -> Flow[Fetched[AccessKey]]:
        try:
            headers = yield from self._handshake()
            response = yield self._ask("GET", "/openstack/latest/securitykey", headers)
        except TransportError as error:
            raise error.about(  # noqa: B904  # the same error, with its subject
                "auth=agency works on an ECS or CCE node only, and its metadata service cannot be reached"
            )
        if response.status in (401, 404):
            raise ConfigurationError(
                f"auth=agency: the metadata service has no key (HTTP {response.status}): give this node an agency"
            )
        fetched = self._read(promised(response, self._redact, self._clock()).get("credential"))
        yield from _mask(fetched.credential)
        return fetched

    def _handshake(self) -> Flow[dict[str, str]]:
        seconds = {"X-Metadata-Token-Ttl-Seconds": "21600"}
        response: Response = yield self._ask("PUT", "/meta-data/latest/api/token", seconds)
        if response.status in (404, 405, 503):  # not offered here
            return {}
        if response.status != 200:
            raise error_of(response, self._redact, self._clock())
        token = response.body.decode("ascii", "replace").strip()
        self._redact.add(token)
        yield Mask(token)
        return {"X-Metadata-Token": token}

    def _ask(self, method: str, path: str, headers: Mapping[str, str]) -> Request:
        return Request(method, self._endpoint + path, headers, timeout=METADATA_TIMEOUT, direct=True)

    def _read(self, reply: object) -> Fetched[AccessKey]:
        try:
            if not isinstance(reply, dict):
                raise TypeError("no object")
            parts = [reply[name] for name in ("access", "secret", "securitytoken")]
            if not all(isinstance(part, str) and part for part in parts):
                raise TypeError("no text")
            life = datetime.fromisoformat(reply["expires_at"]).timestamp() - self._clock()
        except (KeyError, TypeError, ValueError) as error:
            raise MalformedResponseError("the metadata service's reply is no temporary access key") from error
        for part in parts:
            self._redact.add(part)
        return Fetched(AccessKey(*parts), self._clock() + useful_life(life, AGENCY_LEAD))


class Environment(AkSk):
    """
    The access key of the vendor SDK's environment variables, or else of its profile file.

    It is read again when it is refused: something else may have put a new one there.
    """

    needs: ClassVar[Mapping[str, str]] = {}

    def __init__(self, settings: Settings, clock: Clock, redact: Redactor) -> None:
        self._settings = settings
        profile = read_profile(os.environ, settings.profile or DEFAULT_PROFILE)
        self._masked: AccessKey | None = None
        super().__init__(self._with(profile), clock, redact)
        self.project_id = profile.project_id

    def exchange(self, request: Request) -> Flow[Response]:
        used = self._key
        if used is not self._masked:
            self._masked = used
            yield from _mask(used)
        try:
            response = yield from super().exchange(request)
        except CredentialsRefusedError:
            if not self._changed(used):
                raise
        else:
            if response.status != 401 or not self._changed(used):
                return response
        return (yield from super().exchange(request))

    def _with(self, profile: Profile) -> Settings:
        return replace(
            self._settings,
            login=profile.access_key,
            password=profile.secret_key,
            security_token=profile.security_token,
        )

    def _changed(self, used: AccessKey) -> bool:
        if self._key == used:
            self._use(self._with(read_profile(os.environ, self._settings.profile or DEFAULT_PROFILE)))
        return self._key != used


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
        self._refusal = Refusal(clock)
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
        self._refusal.check()
        began = self._clock()
        try:
            response: Response = yield self._login_request()
        except TransportError as error:
            raise error.about("IAM cannot be reached to log in")  # noqa: B904  # the same error, with its subject
        if response.status == 401:
            raise self._refusal.remember(
                error_of(response, self._redact, began, CredentialsRefusedError, _LOGIN_ADVICE)
            )
        reply = promised(response, self._redact, began).get("token")
        token = response.headers.get("x-subject-token")
        if not token or not token.isascii() or not isinstance(reply, dict):
            raise MalformedResponseError("IAM's reply to the login has no X-Subject-Token or no token in its body")
        self._redact.add(token)
        yield Mask(token)
        project = reply.get("project")
        if isinstance(project, dict):
            self.project_id = check_project_id(project.get("id"))
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


#: Every way to log in, by the name that the connection's ``auth`` has for it.
LOGINS: dict[str, type[Login]] = {
    "aksk": AkSk,
    "password": Password,
    "token": Token,
    "agency": Agency,
    "env": Environment,
}


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


def _mask(key: AccessKey) -> Flow[None]:
    for secret in filter(None, (key.access_key, key.secret_key, key.security_token)):
        yield Mask(secret)


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
    return useful_life(life, RENEWAL_LEAD)
