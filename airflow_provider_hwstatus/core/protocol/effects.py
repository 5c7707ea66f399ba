"""
Flows and their effects.

A *flow* is a generator that yields effects, receives their results, and returns a result of its own. It does no I/O.
:mod:`airflow_provider_hwstatus.transports.runners` runs a flow, sync or async.

Nothing changes an effect. Those of every poll are not frozen, because a frozen dataclass takes three times as long to
create.
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


@dataclass(slots=True)
class Request:
    """
    One HTTP request.

    :param url: Absolute and percent-encoded; sent unchanged.
    :param headers: May hold secrets, like *body*, so neither is in the ``repr``.
    :param timeout: Seconds, including reading the response; None for the connection's ``request_timeout``.
    :param direct: Whether to bypass all proxies.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    timeout: float | None = None
    direct: bool = False

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        return f"{self.method} {parts.scheme}://{parts.netloc}{parts.path}"


@dataclass(slots=True)
class Response:
    """
    One HTTP response.

    :param headers: Case-insensitive, or with lower-case names.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(slots=True, eq=False)
class Alarm:
    """
    Ends a sleep in an event loop early.

    :param ring: Ends the sleep after some seconds; None while there is no sleep. A sleep in a thread does not set it.
    """

    ring: Callable[[float], object] | None = None


@dataclass(slots=True)
class Sleep:
    """
    Sleep for *seconds*, or until the alarm rings.

    :param again: Called in an event loop when the seconds are over. It returns for how many more seconds the sleep
        lasts, or None if it ends. To call it takes less time than to run the flow. It needs an alarm.
    """

    seconds: float
    alarm: Alarm | None = None
    again: Callable[[], float | None] | None = None


@dataclass(frozen=True)
class ProcessWide:
    """A name for :class:`Exclusive` that all connections, threads and event loops of a process share."""

    name: str


@dataclass(frozen=True)
class Exclusive:
    """
    Run a flow while no other wait on this connection runs one of the same *name*.

    Waits that queue for the same name check inside the flow whether another one has done the work meanwhile. So one
    login, one renewal and one look-up serve all of them. The flow may use ``Exclusive`` only with other names.

    :param name: A :class:`ProcessWide` name excludes all other connections of this process, too.
    :param flow: Makes the flow; called when no other one runs.
    """

    name: str | ProcessWide
    flow: Callable[[], Generator[Any, Any, Any]]


@dataclass(frozen=True)
class Together:
    """
    Run several flows, concurrently in an event loop, and return their results in this order.

    The first error ends all of them.

    :param flows: Make the flows; each is called when its flow starts.
    """

    flows: Sequence[Callable[[], Generator[Any, Any, Any]]]


@dataclass(slots=True)
class AcquireSlot:
    """
    Wait for one of the ``max_concurrent_requests`` slots of this connection, and set the deadline of what follows.

    Until :class:`ReleaseSlot`, every request ends by *until*, and so does every wait for an :class:`Exclusive` flow.

    :param service: The service that requests will be sent to; each service has slots of its own.
    :param urgent_at: When this wait overtakes the queue, in seconds of the client's monotonic clock.
    :param until: When it fails with a :class:`~airflow_provider_hwstatus.errors.DeadlineError`, by the same clock.
    """

    service: str
    urgent_at: float = math.inf
    until: float = math.inf


@dataclass(slots=True)
class ReleaseSlot:
    """
    Release the slot. The end of a flow releases it, too.

    :param error: Why there was no answer, if there was none.
    :param service: As in :class:`AcquireSlot`.
    """

    error: HwStatusError | None
    service: str


@dataclass(slots=True)
class Count:
    """
    Increment a counter of Airflow's metrics.

    :param metric: What is counted, such as ``polls``.
    :param kind: The kind of job, or of request if it is not about one job, such as ``dli_list``.
    """

    metric: str
    kind: str


@dataclass(frozen=True)
class Mask:
    """Mask a fetched secret in all logs of this process. Airflow masks the connection's own secrets itself."""

    secret: str = field(repr=False)


Effect = Request | Sleep | Exclusive | Together | AcquireSlot | ReleaseSlot | Count | Mask
Flow = Generator[Effect, Any, T]


def encode(text: str) -> str:
    """Return *text* as one percent-encoded path segment or query value, as the API gateway encodes it."""
    return text if _UNRESERVED.fullmatch(text) else quote(text, safe="~")  # quote takes ten times as long
