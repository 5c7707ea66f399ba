"""Run a flow, sync or async: the only code that exists twice."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from airflow_provider_hwstatus.core.protocol.effects import (
    AcquireSlot,
    Count,
    Effect,
    Exclusive,
    Flow,
    Mask,
    ReleaseSlot,
    Request,
    Response,
    Sleep,
    T,
    Together,
)
from airflow_provider_hwstatus.core.protocol.throttle import Clock
from airflow_provider_hwstatus.errors import DeadlineError, HwStatusError, TransportError
from airflow_provider_hwstatus.transports.priority_semaphore import PrioritySemaphore
from airflow_provider_hwstatus.transports.single_flight import SingleFlights

#: Flows of one wait that run concurrently: a list of ten thousand jobs must not fill the queue before all other waits.
_WIDTH = 20


@dataclass(frozen=True)
class SyncHandlers:
    """
    What performs the effects of a flow in a thread.

    :param send: Sends a request; the response must arrive by a time of *clock*.
    :param flights: One lock for each name of :class:`Exclusive`.
    :param mask: Masks a secret in the logs.
    :param count: Increments a metric.
    :param clock: Returns monotonic seconds.
    """

    send: Callable[[Request, float], Response]
    flights: SingleFlights[threading.Lock]
    mask: Callable[[str], object]
    count: Callable[[str], object]
    sleep: Callable[[float], object] = time.sleep
    clock: Clock = time.monotonic


@dataclass(frozen=True)
class AsyncHandlers:
    """
    What performs the effects of a flow in an event loop; see :class:`SyncHandlers`.

    :param slots: Limits how many flows send requests at the same time, by service.
    """

    send: Callable[[Request, float], Awaitable[Response]]
    flights: SingleFlights[asyncio.Lock]
    slots: Mapping[str, PrioritySemaphore]
    mask: Callable[[str], Awaitable[object]]
    count: Callable[[str], object]
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    clock: Clock = time.monotonic


def run_sync(flow: Flow[T], handlers: SyncHandlers, until: float = math.inf) -> T:
    """
    Run *flow* to its end in this thread.

    :param until: When its requests end at the latest, in seconds of the handlers' clock.
    """
    limit = until

    def perform(effect: Effect) -> Any:
        nonlocal limit
        if isinstance(effect, Request):
            return handlers.send(effect, limit)
        if isinstance(effect, Sleep):
            return handlers.sleep(effect.seconds)
        if isinstance(effect, AcquireSlot):  # a thread sends one request at a time
            limit = min(until, effect.until)
        elif isinstance(effect, ReleaseSlot):
            limit = until
        elif isinstance(effect, Count):
            handlers.count(effect.name)
        elif isinstance(effect, Mask):
            handlers.mask(effect.secret)
        elif isinstance(effect, Together):
            return [run_sync(make(), handlers, limit) for make in effect.flows]
        else:
            return handlers.flights[effect.name].run(lambda: exclusively(effect), limit - handlers.clock())
        return None

    def exclusively(effect: Exclusive) -> Any:
        with _deadline(limit, handlers.clock):
            return run_sync(effect.flow(), handlers, limit)

    resume: Callable[[Any], Any] = flow.send
    value: Any = None
    try:
        while True:
            effect = resume(value)
            try:
                resume, value = flow.send, perform(effect)
            except HwStatusError as error:
                resume, value = flow.throw, error
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        flow.close()


async def run_async(flow: Flow[T], handlers: AsyncHandlers, until: float = math.inf) -> T:
    """
    Run *flow* to its end in this event loop.

    :param until: When its requests end at the latest, in seconds of the handlers' clock.
    """
    limit = until
    held: PrioritySemaphore | None = None
    resume: Callable[[Any], Any] = flow.send
    value: Any = None
    try:
        while True:
            effect = resume(value)
            resume, value = flow.send, None
            try:
                if isinstance(effect, Request):
                    value = await handlers.send(effect, limit)
                elif isinstance(effect, Sleep):
                    await handlers.sleep(effect.seconds)
                elif isinstance(effect, AcquireSlot):
                    limit = min(until, effect.until)
                    held = await _acquire(handlers, effect, limit)
                elif isinstance(effect, ReleaseSlot):
                    limit, released, held = until, held, None
                    _release(released, effect.error)
                elif isinstance(effect, Count):
                    handlers.count(effect.name)
                else:
                    value = await _perform_rare(effect, handlers, limit)
            except HwStatusError as error:
                resume, value = flow.throw, error
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        flow.close()
        if held:  # cancelled
            held.abandon()


async def _acquire(handlers: AsyncHandlers, effect: AcquireSlot, limit: float) -> PrioritySemaphore:
    slots = handlers.slots[effect.service]
    if slots.free > 0:  # nearly always: without a call
        slots.free -= 1
    else:
        now = handlers.clock()
        await slots.acquire(effect.urgent_at - now, limit - now)
    return slots


def _release(held: PrioritySemaphore | None, error: HwStatusError | None) -> None:
    if held is None:  # it did not get a slot
        return
    if error is None and not held.waiting:
        held.free += 1
        held.unanswered = 0
    else:
        held.release(error)


async def _perform_rare(effect: Mask | Exclusive | Together, handlers: AsyncHandlers, limit: float) -> Any:
    if isinstance(effect, Mask):
        return await handlers.mask(effect.secret)
    if isinstance(effect, Together):
        return await _together(effect, handlers, limit)

    async def exclusively() -> Any:
        with _deadline(limit, handlers.clock):
            return await run_async(effect.flow(), handlers, limit)

    return await handlers.flights[effect.name].arun(exclusively, limit - handlers.clock())


async def _together(effect: Together, handlers: AsyncHandlers, limit: float) -> list[Any]:
    results: list[Any] = [None] * len(effect.flows)
    left = iter(enumerate(effect.flows))

    async def work() -> None:
        for index, make in left:
            results[index] = await run_async(make(), handlers, limit)

    tasks = [asyncio.create_task(work()) for _ in range(min(_WIDTH, len(effect.flows)))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return results


@contextmanager
def _deadline(until: float, clock: Clock) -> Iterator[None]:
    """Raise a DeadlineError for a request that this wait's own deadline ended: waits that share it see no outage."""
    try:
        yield
    except TransportError as error:
        if clock() < until:
            raise
        raise DeadlineError(f"the deadline passed without an answer; the last error was: {error}") from error
