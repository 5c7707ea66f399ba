"""How often a connection may send requests to one service."""

from __future__ import annotations

import math
from collections.abc import Callable

from airflow_provider_hwstatus.core.protocol.effects import (
    Flow,
    Sleep,
)
from airflow_provider_hwstatus.errors import (
    ThrottledError,
)

#: Seconds for which a connection is held back at most, whatever the service says.
LONGEST_HOLD = 900.0


#: Seconds between two requests of a connection that was throttled; and after how many the rate has doubled again.
_SHORTEST_GAP = 0.02


_LONGEST_GAP = 5.0


_HALVED_AFTER = 15.0


#: Turns that are booked ahead at most: those that were booked and not taken must not add up.
_MOST_BOOKED = 64


#: Returns seconds since 1970.
Clock = Callable[[], float]


class Throttle:
    """
    How often a connection may send requests to one service; all waits on the connection share it.

    A 429 holds all of them back. When its time is over they resume one after the other: at half the earlier rate, which
    rises again with time. All times are seconds of a clock that is never set.
    """

    def __init__(self) -> None:
        self._until = -math.inf
        self._next = -math.inf
        self._gap = 0.0

    def refused(self, seconds: float, now: float) -> None:
        """Let nobody ask for *seconds*."""
        if now >= self._until:  # else it is one of those that were under way, and says nothing new
            self._gap = min(max(2 * self._gap_at(now), _SHORTEST_GAP), _LONGEST_GAP)
        self._until = max(self._until, now + seconds)

    def turn(self, limit: float, clock: Clock) -> Flow[None]:
        """
        Pause until this connection may ask once more; where only its own pace keeps it from that, until *limit*.

        :param limit: By *clock*.
        :raises ThrottledError: The service let nobody ask before *limit*.
        """
        now = clock()
        at = self._book(now, limit)
        while now < min(at, limit):
            yield Sleep(min(at, limit) - now)
            now = clock()
            if now < self._until:  # refused meanwhile
                at = self._book(now, limit)
        if now < self._until:
            raise ThrottledError("held back, because the service said 429 to another wait of this connection")

    def _book(self, now: float, limit: float) -> float:
        gap, free = self._gap_at(now), self._until
        at = max(now, free, min(self._next, max(now, free) + _MOST_BOOKED * gap))
        if at <= limit:
            self._next = at + gap
        return at

    def _gap_at(self, now: float) -> float:
        gap: float = self._gap * 0.5 ** (max(now - self._until, 0.0) / _HALVED_AFTER)
        return gap if gap > _SHORTEST_GAP / 10 else 0.0
