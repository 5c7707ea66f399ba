"""
Ways to log in.

Each has a flow ``exchange`` that sends a request as somebody. A login belongs to a connection and is shared by all of
its waits: what is fetched is fetched once, and what is refused is not tried again by each of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol

from airflow_provider_hwstatus.core.connection.access_key import AkSk, Environment
from airflow_provider_hwstatus.core.connection.agency import Agency
from airflow_provider_hwstatus.core.connection.credentials import CredentialRecords
from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.core.connection.token import Password, Token
from airflow_provider_hwstatus.core.protocol.effects import Flow, Request, Response
from airflow_provider_hwstatus.core.protocol.redaction import Redactor
from airflow_provider_hwstatus.core.protocol.throttle import Clock
from airflow_provider_hwstatus.errors import ConfigurationError


class Login(Protocol):
    """A way to log in."""

    #: The connection's fields that it needs, and what they mean to it.
    needs: ClassVar[Mapping[str, str]]

    #: The project that it is logged in to, once known.
    project_id: str | None

    def __init__(self, settings: Settings, clock: Clock, redact: Redactor, records: CredentialRecords) -> None: ...

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


#: Every way to log in, by the name that the connection's ``auth`` has for it.
LOGINS: dict[str, type[Login]] = {
    "aksk": AkSk,
    "password": Password,
    "token": Token,
    "agency": Agency,
    "env": Environment,
}


def login_for(settings: Settings, clock: Clock, redact: Redactor, records: CredentialRecords | None = None) -> Login:
    """
    Return the login that *settings* describe.

    :param standings: What this process knows of keys and passwords.
    :raises ConfigurationError: ``auth`` is none of :data:`LOGINS`, or a field that it needs is missing.
    """
    cls = LOGINS.get(settings.auth)
    if cls is None:
        raise ConfigurationError(f"auth must be one of {', '.join(LOGINS)}; it is {settings.auth[:64]!r}")
    for name, meaning in cls.needs.items():
        if not getattr(settings, name):
            raise ConfigurationError(f"{name} is not set: with auth={settings.auth} it is {meaning}")
    return cls(settings, clock, redact, records or CredentialRecords(clock))
