"""Credentials that all waits on a connection share, and the refusals that all connections of a process share."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.core.protocol.effects import Exclusive, Flow, ProcessWide, Request, Response
from airflow_provider_hwstatus.core.protocol.throttle import Clock
from airflow_provider_hwstatus.errors import CredentialsRefusedError, HwStatusError

C = TypeVar("C")

#: Seconds for which a refused credential is not sent again. The gateway locks a key for as long after five refusals.
REFUSAL_MEMORY = 300.0


class CredentialRecord:
    """
    Whether a permanent access key or a password has been accepted or refused in this process.

    The vendor locks it after a few refusals in a row. So its first request is sent alone, and after a refusal no
    connection of the process sends it again for :data:`REFUSAL_MEMORY`.

    :param name: Identifies the credential without revealing it.
    :param clock: Returns monotonic seconds.
    """

    def __init__(self, name: str, clock: Clock) -> None:
        #: Name for :class:`~airflow_provider_hwstatus.core.protocol.effects.Exclusive`: one first request at a time.
        self.lock_name = ProcessWide(name)
        #: Whether the vendor has accepted the credential, and not refused it since.
        self.accepted = False
        self._clock = clock
        self._refusal: HwStatusError | None = None
        self._until = 0.0

    def refuse(self, error: HwStatusError) -> HwStatusError:
        """Record that the vendor refused the credential, and return *error*."""
        self.accepted = False
        self._refusal, self._until = copy.copy(error), self._clock() + REFUSAL_MEMORY
        return error

    def raise_if_refused(self) -> None:
        """:raises CredentialsRefusedError: The credential was refused less than :data:`REFUSAL_MEMORY` ago."""
        if self._refusal and self._clock() < self._until:
            raise CredentialsRefusedError(
                f"not sent again, because it was refused less than {REFUSAL_MEMORY / 60:g} minutes ago: "
                f"{self._refusal}",
                http_status=self._refusal.http_status,
                code=self._refusal.code,
                request_id=self._refusal.request_id,
            )


class CredentialRecords:
    """
    The record of each permanent access key and each password that a process uses.

    :param clock: Returns monotonic seconds.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._records: dict[str, CredentialRecord] = {}

    def record_of(self, settings: Settings) -> CredentialRecord:
        """Return the record of the login and password of *settings*: one for all regions and projects of a cloud."""
        parts = (settings.cloud, settings.domain_name, settings.login, settings.password)
        name = hashlib.sha256(repr(parts).encode()).hexdigest()
        return self._records.get(name) or self._records.setdefault(name, CredentialRecord(name, self._clock))


@dataclass(frozen=True, repr=False)
class Fetched(Generic[C]):
    """
    A fetched credential.

    :param renew_at: When to fetch a new one, shortly before this one expires; in seconds since 1970.
    """

    credential: C
    renew_at: float


def useful_life(life: float, lead: float) -> float:
    """
    Return for how many seconds to use a credential.

    :param life: Seconds until it expires. Zero or less means that a clock is wrong; then it is used for a minute.
    :param lead: Seconds before it expires at which it is replaced, but at most a tenth of *life*.
    """
    return life - min(lead, life / 10) if life > 0 else 60.0


class Renewable(Generic[C]):
    """
    A credential that is fetched at first use, and again shortly before it expires or when it is refused.

    One fetch serves all waits on the connection.

    :param fetch: Fetches the credential.
    :param clock: Returns seconds since 1970.
    """

    def __init__(self, fetch: Callable[[], Flow[Fetched[C]]], clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._current: Fetched[C] | None = None

    def ensure(self) -> Flow[None]:
        """Fetch the credential, unless there is a valid one."""
        if not self._valid():
            yield from self._renew(None)

    def exchange(
        self, request: Request, authenticate: Callable[[Request, C], Request], refused: Callable[[Response], bool]
    ) -> Flow[Response]:
        """
        Send *request* with the credential. If the service refuses a credential from an earlier request, renew it once.

        :param authenticate: Returns the request with a credential.
        :param refused: Returns whether a response means that a new credential may help.
        """
        known = self._valid()
        fetched = known or (yield from self._renew(None))
        response: Response = yield authenticate(request, fetched.credential)
        if known and refused(response):
            fetched = yield from self._renew(known)
            response = yield authenticate(request, fetched.credential)
        return response

    def _valid(self) -> Fetched[C] | None:
        return self._current if self._current and self._clock() < self._current.renew_at else None

    def _renew(self, refused: Fetched[C] | None) -> Flow[Fetched[C]]:
        fetched: Fetched[C] = yield Exclusive("login", lambda: self._fetch_unless_done(refused))
        return fetched

    def _fetch_unless_done(self, refused: Fetched[C] | None) -> Flow[Fetched[C]]:
        current = self._valid()
        if current and current is not refused:  # another wait has renewed it
            return current
        self._current = yield from self._fetch()
        return self._current
