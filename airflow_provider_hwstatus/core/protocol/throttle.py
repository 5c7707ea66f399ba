"""How often a connection may send requests to one service."""

from __future__ import annotations

import math
from collections.abc import Callable

from airflow_provider_hwstatus.core.protocol.effects import Flow, Sleep
from airflow_provider_hwstatus.errors import ThrottledError

#: Seconds for which a 429 holds back a connection at most, whatever the service says.
LONGEST_HOLD = 900.0

#: Seconds between two requests of a throttled connection, and the seconds after which the rate has doubled again.
_SHORTEST_GAP = 0.02
_LONGEST_GAP = 5.0
_HALVED_AFTER = 15.0

#: How many turns are booked ahead at most, so that turns that were booked and not used do not add up.
_MOST_BOOKED = 64

#: Returns seconds.
Clock = Callable[[], float]


class Throttle:
    """
    The request rate to one service, shared by all waits on a connection.

    A 429 holds back all of them. Then they resume one after the other, at half the earlier rate, which rises again with
    time. All times are seconds of a monotonic clock.
    """

    def __init__(self) -> None:
        #: Whether the service has throttled this connection recently. If not, no wait needs a turn.
        self.active = False
        self._until = -math.inf
        self._next = -math.inf
        self._gap = 0.0

    def refused(self, seconds: float, now: float) -> None:
        """Hold back all requests for *seconds*."""
        if now >= self._until:  # else the request was sent before the hold began, and says nothing new
            self._gap = min(max(2 * self._gap_at(now), _SHORTEST_GAP), _LONGEST_GAP)
        self._until = max(self._until, now + seconds)
        self.active = True

    def turn(self, limit: float, clock: Clock) -> Flow[None]:
        """
        Pause until the connection may send one more request, or until *limit* if only the reduced rate delays it.

        :param limit: Seconds of *clock*.
        :raises ThrottledError: The service allows no request before *limit*.
        """
        now = clock()
        at = self._book(now, limit)
        while now < min(at, limit):
            yield Sleep(min(at, limit) - now)
            now = clock()
            if now < self._until:  # refused meanwhile
                at = self._book(now, limit)
        if now < self._until:
            raise ThrottledError("held back, because the service answered 429 to another wait of this connection")
        self.active = self._gap_at(now) > 0

    def _book(self, now: float, limit: float) -> float:
        gap, free = self._gap_at(now), self._until
        at = max(now, free, min(self._next, max(now, free) + _MOST_BOOKED * gap))
        if at <= limit:
            self._next = at + gap
        return at

    def _gap_at(self, now: float) -> float:
        gap: float = self._gap * 0.5 ** (max(now - self._until, 0.0) / _HALVED_AFTER)
        return gap if gap > _SHORTEST_GAP / 10 else 0.0
