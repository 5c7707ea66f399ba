"""Retry, as a flow."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from airflow_provider_hwstatus.core.protocol.effects import (
    AcquireSlot,
    Effect,
    Exclusive,
    Flow,
    ReleaseSlot,
    Request,
    Sleep,
    T,
)
from airflow_provider_hwstatus.core.protocol.throttle import Clock, Throttle
from airflow_provider_hwstatus.errors import (
    DeadlineError,
    HwStatusError,
    RetryableError,
    ThrottledError,
    TransportError,
)

#: Seconds.
DEFAULT_OUTAGE_TOLERANCE = 600.0
_FIRST_DELAY = 1.0
_LONGEST_DELAY = 60.0

#: Seconds that a question at the deadline, or after it, may take.
LAST_POLL = 5.0


@dataclass(frozen=True)
class RetryBudget:
    """
    How long to go on without an answer.

    :param outage_tolerance: Seconds since the first failed request after the last answer; 0 for not at all.
    :param deadline: Seconds since 1970, or None for no deadline. No request is repeated after it.
    :param until: When the last request ends at the latest, likewise; by default :data:`LAST_POLL` after *deadline*.
    """

    outage_tolerance: float = DEFAULT_OUTAGE_TOLERANCE
    deadline: float | None = None
    until: float | None = None

    def limit(self, outage_began: float | None) -> float:
        """Return when to give up, in seconds since 1970; *outage_began* is None while there is no outage."""
        tolerated = math.inf if outage_began is None else outage_began + self.outage_tolerance
        return tolerated if self.deadline is None else min(tolerated, self.deadline)

    @property
    def end(self) -> float | None:
        """When everything ends, in seconds since 1970; None for never."""
        return self.until if self.until is not None or self.deadline is None else self.deadline + LAST_POLL

    def shifted(self, seconds: float) -> RetryBudget:
        """Return this by a clock that is *seconds* ahead."""
        if not seconds or self.deadline is None:
            return self
        end = self.end
        return replace(self, deadline=self.deadline + seconds, until=None if end is None else end + seconds)


def delays() -> Iterator[float]:
    """Yield seconds to pause between repeats: doubled each time up to a minute, with jitter."""
    delay = _FIRST_DELAY
    while True:
        yield delay * random.uniform(0.5, 1.0)  # noqa: S311  # spreads, hides nothing
        delay = min(2 * delay, _LONGEST_DELAY)


def bounded(flow: Flow[T], until: float, clock: Clock, request_timeout: float) -> Flow[T]:
    """
    Run *flow* so that each of its requests ends by *until*, and each wait for what others do.

    :param until: By *clock*.
    :param request_timeout: Seconds for a request that has no time-out of its own.
    :raises DeadlineError: *until* came first.
    """
    resume: Callable[[Any], Effect] = flow.send
    value: Any = None
    try:
        while True:
            effect = resume(value)
            resume, value = flow.send, None
            left = until - clock()
            try:
                if isinstance(effect, Request) and left < (effect.timeout or request_timeout):
                    if left <= 0:
                        raise DeadlineError("the deadline passed before a request could be sent")
                    effect = replace(effect, timeout=left)
                elif isinstance(effect, Exclusive):
                    inner = partial(_shared, effect.flow, until, clock, request_timeout)
                    effect = Exclusive(effect.name, inner, max(left, 0.0))
                value = yield effect
            except HwStatusError as error:
                resume, value = flow.throw, error
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        flow.close()


def _shared(flow: Callable[[], Flow[T]], until: float, clock: Clock, request_timeout: float) -> Flow[T]:
    """Run what others wait for; that this wait's own time is up must not look like an outage to them."""
    try:
        return (yield from bounded(flow(), until, clock, request_timeout))
    except TransportError as error:
        if clock() < until:
            raise
        raise DeadlineError(f"the deadline passed without an answer; the last error was: {error}") from error


def retry(
    attempt: Callable[[], Flow[T]],
    budget: RetryBudget,
    throttle: Throttle,
    clock: Clock,
    service: str,
    request_timeout: float = math.inf,
) -> Flow[T]:
    """
    Run *attempt*, and again after each failure that may pass, for as long as *patience* allows.

    The last attempt is made when patience ends, unless the service asked not to be asked by then. Queueing behind other
    waits of the connection is no outage, nor is being held back because of them.

    :param clock: The one that *patience* goes by.
    :param service: Whom it asks.
    :param request_timeout: Seconds for a request, if *patience* allows as much.
    :raises RetryableError: The last failure, after ``outage_tolerance``.
    :raises DeadlineError: The deadline came first.
    """
    outage_began: float | None = None
    pauses: Iterator[float] | None = None
    deadline, end = budget.limit(None), budget.end
    while True:
        queued_at, asked_at = clock(), None
        try:
            yield AcquireSlot(deadline - queued_at, service, math.inf if end is None else end - queued_at)
            yield from throttle.turn(deadline, clock)
            asked_at = clock()
            if outage_began is not None:
                outage_began += asked_at - queued_at
            flow = attempt()
            result = yield from flow if end is None else bounded(flow, end, clock, request_timeout)
        except HwStatusError as error:
            yield ReleaseSlot(error, service)
            if not isinstance(error, RetryableError):
                raise
            last = error
        else:
            yield ReleaseSlot(None, service)
            return result
        now, pauses = clock(), pauses or delays()
        if asked_at is None and outage_began is not None and isinstance(last, TransportError):
            outage_began += max(now - queued_at - last.unanswered_for, 0.0)  # before that it only queued
        outage_began = (asked_at or now) if outage_began is None else outage_began
        limit, pause = budget.limit(outage_began), max(next(pauses), last.retry_after or 0.0)
        throttled = isinstance(last, ThrottledError) and last.http_status is not None  # by the service, not by us
        if throttled:
            throttle.refused(pause, now)
        if now < limit:
            yield Sleep(min(pause, limit - now))
        if now >= limit or (throttled and now + pause > limit):
            raise _given_up(last, budget, clock())


def _given_up(last: RetryableError, budget: RetryBudget, now: float) -> HwStatusError:
    if budget.deadline is not None and now >= budget.deadline:
        return DeadlineError(f"the deadline passed without an answer; the last error was: {last}")
    if budget.outage_tolerance:
        return last.about(f"no answer for {budget.outage_tolerance:g} s (outage_tolerance); the last error was")
    return last
