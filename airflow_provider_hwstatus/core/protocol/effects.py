"""
What a flow yields and what it is handed back.

A *flow* is a generator: it yields effects, is handed their results, and returns its own. It does no I/O and has no
colour: :mod:`airflow_provider_hwstatus.transports.runners` runs it, sync or async.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from airflow_provider_hwstatus.errors import HwStatusError

T = TypeVar("T")

_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]*")


@dataclass(frozen=True, slots=True)
class Request:
    """
    One HTTP request.

    :param url: Absolute and percent-encoded; it goes onto the wire as it stands.
    :param headers: May hold secrets, like *body*, so neither is shown.
    :param timeout: Seconds, reading the reply included; None for the connection's.
    :param direct: Whether it goes past all proxies.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    timeout: float | None = None
    direct: bool = False

    def with_headers(self, headers: Mapping[str, str]) -> Request:
        """Return a copy with other headers."""
        return Request(self.method, self.url, headers, self.body, self.timeout, self.direct)

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        return f"{self.method} {parts.scheme}://{parts.netloc}{parts.path}"


@dataclass(frozen=True, slots=True)
class Response:
    """
    One HTTP reply.

    :param headers: Asked by lower-case name, whatever case the wire had.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sleep:
    """Do nothing for *seconds*."""

    seconds: float


@dataclass(frozen=True)
class ProcessWide:
    """A name for :class:`Exclusive` that all connections, threads and event loops of a process share."""

    name: str


@dataclass(frozen=True)
class Exclusive:
    """
    Run a flow while no other wait on this connection runs one of the same *name*; in this process, if it is
    :class:`ProcessWide`.

    Those who waited their turn find out inside whether what they came for has been done meanwhile: one login, one
    renewal and one look-up serve them all. A flow run like this may use ``Exclusive`` only with other names.

    :param flow: Makes the flow; called when it is this wait's turn.
    :param patience: Seconds to wait for the turn; then a :class:`DeadlineError` is raised.
    """

    name: str | ProcessWide
    flow: Callable[[], Generator[Any, Any, Any]]
    patience: float = math.inf


@dataclass(frozen=True)
class Together:
    """
    Run several flows, some at the same time where there is an event loop, and return their results in this order.

    The first error ends all of them.

    :param flows: Make the flows; each is called when its turn has come.
    """

    flows: Sequence[Callable[[], Generator[Any, Any, Any]]]


@dataclass(frozen=True, slots=True)
class AcquireSlot:
    """
    Wait for one of the ``max_concurrent_requests`` slots of this connection; :class:`ReleaseSlot` gives it back.

    :param patience: Seconds after which a wait that still queues goes before all others.
    :param service: The service to which it will send requests; each has a queue of its own.
    :param limit: Seconds after which it stops queueing and a :class:`DeadlineError` is raised.
    """

    patience: float
    service: str
    limit: float = math.inf


@dataclass(frozen=True, slots=True)
class ReleaseSlot:
    """
    Let the next one enter. A flow that ends has left.

    :param error: What kept this one from an answer, if anything did.
    :param service: Whom it asked.
    """

    error: HwStatusError | None
    service: str


@dataclass(frozen=True)
class Mask:
    """Have a secret that was fetched masked in all logs of this process; those of the connection are already."""

    secret: str = field(repr=False)


Effect = Request | Sleep | Exclusive | Together | AcquireSlot | ReleaseSlot | Mask
Flow = Generator[Effect, Any, T]


def encode(text: str) -> str:
    """Return *text* as one percent-encoded path segment or query value, in the gateway's own alphabet."""
    return text if _UNRESERVED.fullmatch(text) else quote(text, safe="~")  # quote takes ten times as long
