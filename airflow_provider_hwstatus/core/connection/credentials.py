"""What is fetched once for all waits of a connection, and remembered: credentials, and refusals."""

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

#: Seconds for which a refusal is remembered: as long as the gateway locks a key after five of them.
REFUSAL_MEMORY = 300.0


class CredentialRecord:
    """
    What is known of a permanent key or a password: whether it was accepted, and whether it was refused.

    A few refusals in a row lock it at the vendor. So its first request is sent alone, and it is not sent again for
    :data:`REFUSAL_MEMORY` after a refusal, by any connection of the process.

    :param name: Stands for the secret, without showing it.
    :param clock: Returns seconds by a clock that is never set.
    """

    def __init__(self, name: str, clock: Clock) -> None:
        #: For :class:`~airflow_provider_hwstatus.core.protocol.effects.Exclusive`: the first request is sent alone.
        self.turn = ProcessWide(name)
        self.proven = False
        self._clock = clock
        self._error: HwStatusError | None = None
        self._until = 0.0

    def refused(self, error: HwStatusError) -> HwStatusError:
        """Let nobody try again for :data:`REFUSAL_MEMORY`; return *error*."""
        self.proven = False
        self._error, self._until = copy.copy(error), self._clock() + REFUSAL_MEMORY
        return error

    def check(self) -> None:
        """:raises CredentialsRefusedError: It was refused a short while ago."""
        if self._error and self._clock() < self._until:
            raise CredentialsRefusedError(
                f"not tried again, because it was refused just now: {self._error}",
                http_status=self._error.http_status,
                code=self._error.code,
                request_id=self._error.request_id,
            )


class CredentialRecords:
    """
    The standing of each permanent key and password that a process uses.

    :param clock: Returns seconds by a clock that is never set.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._records: dict[str, CredentialRecord] = {}

    def of(self, settings: Settings) -> CredentialRecord:
        """Return that of the login and password of *settings*: one for all regions and projects of a cloud."""
        parts = (settings.cloud, settings.domain_name, settings.login, settings.password)
        name = hashlib.sha256(repr(parts).encode()).hexdigest()
        return self._records.get(name) or self._records.setdefault(name, CredentialRecord(name, self._clock))


@dataclass(frozen=True, repr=False)
class Fetched(Generic[C]):
    """
    A credential.

    :param renew_at: Seconds since 1970 from which it is not used any more: shortly before its end.
    """

    credential: C
    renew_at: float


def useful_life(life: float, lead: float) -> float:
    """
    Return for how many seconds a credential is used.

    :param life: Seconds that it has. None at all says that a clock is wrong: it is used for a minute, or until refused.
    :param lead: Seconds before its end at which it is replaced; a tenth of its life, if that is less.
    """
    return life - min(lead, life / 10) if life > 0 else 60.0


class Renewable(Generic[C]):
    """
    A credential that is fetched when it is first needed, and again shortly before its end or when it is refused.

    However many waits need it, one fetches it.

    :param fetch: Fetches it.
    """

    def __init__(self, fetch: Callable[[], Flow[Fetched[C]]], clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._present: Fetched[C] | None = None

    def ensure(self) -> Flow[None]:
        """Fetch it if there is none to use."""
        if not self._usable():
            yield from self._renew(None)

    def exchange(
        self, request: Request, authenticate: Callable[[Request, C], Request], refused: Callable[[Response], bool]
    ) -> Flow[Response]:
        """
        Send *request* with it, and once more with a new one if it was refused; not if it was new already.

        :param dress: Returns a request with a credential.
        :param refused: Whether a reply says that a new credential may help.
        """
        known = self._usable()
        fetched = known or (yield from self._renew(None))
        response: Response = yield authenticate(request, fetched.credential)
        if known and refused(response):
            fetched = yield from self._renew(known)
            response = yield authenticate(request, fetched.credential)
        return response

    def _usable(self) -> Fetched[C] | None:
        return self._present if self._present and self._clock() < self._present.renew_at else None

    def _renew(self, refused: Fetched[C] | None) -> Flow[Fetched[C]]:
        fetched: Fetched[C] = yield Exclusive("login", lambda: self._fetch_unless_done(refused))
        return fetched

    def _fetch_unless_done(self, refused: Fetched[C] | None) -> Flow[Fetched[C]]:
        present = self._usable()
        if present and present is not refused:  # another wait was first
            return present
        self._present = yield from self._fetch()
        return self._present
