"""Retry, as a flow."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from airflow_provider_hwstatus.core.errors import DeadlineError, HwStatusError, RetryableError, ThrottledError
from airflow_provider_hwstatus.core.messages import Flow, Sleep, T

#: Seconds.
DEFAULT_OUTAGE_TOLERANCE = 600.0
_FIRST_DELAY = 1.0
_LONGEST_DELAY = 60.0

#: Returns seconds since 1970.
Clock = Callable[[], float]


@dataclass(frozen=True)
class Patience:
    """
    How long to go on without an answer.

    :param outage_tolerance: Seconds since the first failed request after the last answer; 0 for not at all.
    :param deadline: Seconds since 1970, or None for no deadline.
    """

    outage_tolerance: float = DEFAULT_OUTAGE_TOLERANCE
    deadline: float | None = None

    def limit(self, outage_began: float | None) -> float:
        """Return when to give up, in seconds since 1970; *outage_began* is None while there is no outage."""
        tolerated = math.inf if outage_began is None else outage_began + self.outage_tolerance
        return tolerated if self.deadline is None else min(tolerated, self.deadline)


class Throttle:
    """What a connection has been told about asking too often; all of its waits share it."""

    def __init__(self) -> None:
        self.until = 0.0
        self._held = 0.0

    def hold(self, seconds: float, now: float) -> None:
        """Let nobody ask for *seconds*; within as long again, all come back."""
        self.until, self._held = max(self.until, now + seconds), seconds

    def turn(self) -> float:
        """Return when one of those who wait may ask, in seconds since 1970: not all of them at once."""
        return self.until + random.uniform(0.0, self._held)  # noqa: S311  # spreads, hides nothing


def delays() -> Iterator[float]:
    """Yield seconds to pause between repeats: doubled each time up to a minute, with jitter."""
    delay = _FIRST_DELAY
    while True:
        yield delay * random.uniform(0.5, 1.0)  # noqa: S311  # spreads, hides nothing
        delay = min(2 * delay, _LONGEST_DELAY)


def persist(attempt: Callable[[], Flow[T]], patience: Patience, throttle: Throttle, clock: Clock) -> Flow[T]:
    """
    Run *attempt*, and again after each failure that may pass, for as long as *patience* allows.

    The last attempt is made when patience ends, unless the service asked not to be asked by then.

    :raises RetryableError: The last failure, after ``outage_tolerance``.
    :raises DeadlineError: The deadline came first.
    """
    outage_began: float | None = None
    last: RetryableError | None = None
    pauses = delays()
    while True:
        limit = patience.limit(outage_began)
        if not (yield from _throttle_over(throttle, limit, clock)):
            raise _given_up(last, patience, clock())
        began = clock()
        try:
            return (yield from attempt())
        except RetryableError as error:
            last = error
        outage_began = began if outage_began is None else outage_began
        now, limit, pause = clock(), patience.limit(outage_began), max(next(pauses), last.retry_after or 0.0)
        if isinstance(last, ThrottledError):
            throttle.hold(pause, now)
        if now >= limit:
            raise _given_up(last, patience, now)
        yield Sleep(min(pause, limit - now))


def _throttle_over(throttle: Throttle, limit: float, clock: Clock) -> Flow[bool]:
    """Wait until this connection may ask again, and return whether that is before *limit*."""
    while (now := clock()) < throttle.until:
        if now >= limit:
            return False
        yield Sleep(min(throttle.turn(), limit) - now)
    return True


def _given_up(last: RetryableError | None, patience: Patience, now: float) -> HwStatusError:
    error = last or ThrottledError("held back, because the service said 429 to another wait of this connection")
    if patience.deadline is not None and now >= patience.deadline:
        return DeadlineError(f"the deadline passed without an answer; the last error was: {error}")
    if patience.outage_tolerance:
        return error.about(f"no answer for {patience.outage_tolerance:g} s (outage_tolerance); the last error was")
    return error
