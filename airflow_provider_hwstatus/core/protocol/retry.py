"""Retries of an attempt that failed, within a budget of time."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeVar

from airflow_provider_hwstatus.core.protocol.effects import Flow, Sleep
from airflow_provider_hwstatus.core.protocol.throttle import Clock, Throttle
from airflow_provider_hwstatus.errors import (
    DeadlineError,
    HwStatusError,
    RetryableError,
    ThrottledError,
    TransportError,
)

T_co = TypeVar("T_co", covariant=True)

#: Seconds.
DEFAULT_OUTAGE_TOLERANCE = 600.0
_FIRST_DELAY = 1.0
_LONGEST_DELAY = 60.0

#: Seconds that a poll at the deadline, or after it, may take.
LAST_POLL = 5.0


@dataclass(frozen=True)
class RetryBudget:
    """
    For how long to retry.

    :param outage_tolerance: Seconds from the first failed request since the last answer; 0 for no retry.
    :param deadline: Seconds since 1970; None for no deadline. No request is repeated after it.
    :param until: When the last request ends at the latest, in seconds since 1970; by default :data:`LAST_POLL` after
        *deadline*.
    """

    outage_tolerance: float = DEFAULT_OUTAGE_TOLERANCE
    deadline: float | None = None
    until: float | None = None

    @cached_property
    def end(self) -> float:
        """When the last request ends, in seconds since 1970; infinity for never."""
        if self.until is not None:
            return self.until
        return math.inf if self.deadline is None else self.deadline + LAST_POLL


class Attempt(Protocol[T_co]):
    """
    What is retried.

    All times are seconds of *clock*, which is monotonic.
    """

    budget: RetryBudget
    #: The budget's deadline by *clock*; infinity for none.
    deadline: float
    throttle: Throttle
    clock: Clock
    #: When the last attempt began to queue for a slot.
    queued_at: float
    #: When it sent its request; None if it did not.
    sent_at: float | None

    def send(self) -> Flow[T_co]:
        """Make one attempt."""
        ...


def retry(attempt: Attempt[T_co], error: RetryableError) -> Flow[T_co]:
    """
    Repeat an attempt that failed with *error* until it succeeds, fails for good, or its budget is used up.

    The last attempt is made at the end of the budget, unless the service asked for a longer pause. Time in the queue
    for a slot, and time in which only a throttle holds this wait back, is not part of an outage.

    :raises RetryableError: The last failure, after ``outage_tolerance``.
    :raises DeadlineError: The deadline came first.
    """
    outage_began: float | None = None
    pauses = delays()
    while True:
        outage_began = _outage_began(outage_began, attempt, error)
        limit = min(outage_began + attempt.budget.outage_tolerance, attempt.deadline)
        yield from _pause(attempt, error, limit, next(pauses))
        try:
            return (yield from attempt.send())
        except RetryableError as failure:
            error = failure


def _outage_began(began: float | None, attempt: Attempt[object], error: RetryableError) -> float:
    """Return when the outage began, moved by the time in which *attempt* only queued."""
    now = attempt.clock()
    if began is None:
        return now if attempt.sent_at is None else attempt.sent_at
    if attempt.sent_at is not None:
        return began + attempt.sent_at - attempt.queued_at
    if isinstance(error, TransportError):  # another wait's failure, shared with those in the queue
        return began + max(now - attempt.queued_at - error.unanswered_for, 0.0)
    return began


def _pause(attempt: Attempt[object], error: RetryableError, limit: float, delay: float) -> Flow[None]:
    """
    Sleep before the next attempt, or raise if there is none.

    :param limit: When to give up, in seconds of the attempt's clock.
    :param delay: Seconds to sleep; a longer ``Retry-After`` wins.
    """
    now, pause = attempt.clock(), max(delay, error.retry_after or 0.0)
    throttled = isinstance(error, ThrottledError) and error.http_status is not None  # by the service, not by us
    if throttled:
        attempt.throttle.refused(pause, now)
    if now < limit:
        yield Sleep(min(pause, limit - now))
    if now >= limit or (throttled and now + pause > limit):
        raise _given_up(error, attempt)


def _given_up(last: RetryableError, attempt: Attempt[object]) -> HwStatusError:
    if attempt.clock() >= attempt.deadline:
        return DeadlineError(f"the deadline passed without an answer; the last error was: {last}")
    if tolerance := attempt.budget.outage_tolerance:
        return last.about(f"no answer for {tolerance:g} s (outage_tolerance); the last error was")
    return last


def delays() -> Iterator[float]:
    """Yield the seconds to sleep before each retry: doubled each time up to a minute, with jitter."""
    delay = _FIRST_DELAY
    while True:
        yield delay * random.uniform(0.5, 1.0)  # noqa: S311  # spreads, hides nothing
        delay = min(2 * delay, _LONGEST_DELAY)
