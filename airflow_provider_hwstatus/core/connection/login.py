"""
The methods of authentication.

Each has a flow ``exchange`` that sends an authenticated request. All waits on a connection share one login, so a
credential is fetched once for all of them, and a refused credential is not sent again by each of them.
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
    """A method of authentication."""

    #: The connection fields that it needs, and the meaning of each.
    needs: ClassVar[Mapping[str, str]]

    #: Id of the project that the credential belongs to; None while unknown.
    project_id: str | None

    def __init__(self, settings: Settings, clock: Clock, redact: Redactor, records: CredentialRecords) -> None: ...

    @property
    def identity(self) -> str:
        """The user, key or agency that sends the requests, without secrets."""
        ...

    def exchange(self, request: Request) -> Flow[Response]:
        """
        Send *request* with the credential.

        :raises HwStatusError: The credential was refused, or could not be fetched.
        """
        ...

    def ensure(self) -> Flow[None]:
        """
        Fetch the credential, if it has to be fetched and there is no valid one.

        :raises HwStatusError: It could not be fetched.
        """
        ...


#: Every method of authentication, by the value of the connection field ``auth``.
LOGINS: dict[str, type[Login]] = {
    "aksk": AkSk,
    "password": Password,
    "token": Token,
    "agency": Agency,
    "env": Environment,
}


def login_for(settings: Settings, clock: Clock, redact: Redactor, records: CredentialRecords | None = None) -> Login:
    """
    Return a new login for a connection.

    :param clock: Returns seconds since 1970.
    :param redact: Receives the secrets.
    :param records: The keys and passwords that were accepted or refused in this process; by default, none.
    :raises ConfigurationError: ``auth`` is not in :data:`LOGINS`, or a field that it needs is missing.
    """
    cls = LOGINS.get(settings.auth)
    if cls is None:
        raise ConfigurationError(f"auth must be one of {', '.join(LOGINS)}; it is {settings.auth[:64]!r}")
    for name, meaning in cls.needs.items():
        if not getattr(settings, name):
            raise ConfigurationError(f"{name} is not set; with auth={settings.auth} it is {meaning}")
    return cls(settings, clock, redact, records or CredentialRecords(clock))
