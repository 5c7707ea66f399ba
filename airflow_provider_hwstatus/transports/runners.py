"""Running a flow, sync or async."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
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
from airflow_provider_hwstatus.transports.sleeping import sleep

#: Maximum number of flows of one wait that run concurrently. Without it, a wait for ten thousand jobs would fill the
#: queue ahead of all other waits.
_MAX_TOGETHER = 20


@dataclass(frozen=True)
class SyncHandlers:
    """
    The functions that perform the effects of a flow in a thread.

    :param send: Sends a request. Its second argument is the time by which the response must have arrived.
    :param flights: The locks for :class:`Exclusive`, by name.
    :param mask: Masks a secret in the logs.
    :param count: Increments a metric.
    :param sleep: Sleeps for a number of seconds.
    :param clock: Returns monotonic seconds.
    """

    send: Callable[[Request, float], Response]
    flights: SingleFlights[threading.Lock]
    mask: Callable[[str], object]
    count: Callable[[Count], object]
    sleep: Callable[[float], object] = time.sleep
    clock: Clock = time.monotonic


@dataclass(frozen=True)
class AsyncHandlers:
    """
    The functions that perform the effects of a flow in an event loop; see :class:`SyncHandlers`.

    :param slots: Limits the number of concurrent requests, by service.
    """

    send: Callable[[Request, float], Awaitable[Response]]
    flights: SingleFlights[asyncio.Lock]
    slots: Mapping[str, PrioritySemaphore]
    mask: Callable[[str], Awaitable[object]]
    count: Callable[[Count], object]
    sleep: Callable[[Sleep], Awaitable[object]] = sleep
    clock: Clock = time.monotonic


def run_sync(flow: Flow[T], handlers: SyncHandlers, until: float = math.inf) -> T:
    """
    Run *flow* in this thread, and return its result.

    :param until: When the requests of the flow end at the latest, in seconds of the handlers' clock.
    :raises HwStatusError: The flow raised it.
    """
    run = _SyncRun(handlers, until)
    step: Callable[[], Effect] = partial(flow.send, None)
    try:
        while True:
            effect = step()
            try:
                step = partial(flow.send, run.perform(effect))
            except HwStatusError as error:
                step = partial(flow.throw, error)
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        flow.close()


class _SyncRun:
    """A run of one flow in a thread, with the time by which the requests of the flow end."""

    def __init__(self, handlers: SyncHandlers, until: float) -> None:
        self._handlers = handlers
        self._until = self._limit = until

    def perform(self, effect: Effect) -> Any:
        """Perform an effect, and return its result."""
        handlers = self._handlers
        if isinstance(effect, Request):
            return handlers.send(effect, self._limit)
        if isinstance(effect, Sleep):
            return handlers.sleep(effect.seconds)
        if isinstance(effect, AcquireSlot):  # a thread needs no slot, because it sends one request at a time
            self._limit = min(self._until, effect.until)
        elif isinstance(effect, ReleaseSlot):
            self._limit = self._until
        elif isinstance(effect, Count):
            handlers.count(effect)
        elif isinstance(effect, Mask):
            handlers.mask(effect.secret)
        elif isinstance(effect, Together):
            return [run_sync(make(), handlers, self._limit) for make in effect.flows]
        else:
            timeout = self._limit - handlers.clock()
            return handlers.flights[effect.name].run(lambda: self._run_exclusively(effect), timeout)
        return None

    def _run_exclusively(self, effect: Exclusive) -> Any:
        with _own_deadline(self._limit, self._handlers.clock):
            return run_sync(effect.flow(), self._handlers, self._limit)


async def run_async(flow: Flow[T], handlers: AsyncHandlers, until: float = math.inf) -> T:
    """
    Run *flow* in this event loop, and return its result.

    :param until: When the requests of the flow end at the latest, in seconds of the handlers' clock.
    :raises HwStatusError: The flow raised it.
    """
    run = _AsyncRun(handlers, until)
    resume: Callable[[Any], Any] = flow.send
    value: Any = None
    try:
        while True:
            effect = resume(value)
            resume, value = flow.send, None
            try:
                if isinstance(effect, Request):
                    value = await handlers.send(effect, run.limit)
                elif isinstance(effect, Sleep):  # here, because each coroutine of a sleeping wait takes memory
                    await handlers.sleep(effect)
                elif not run.perform_now(effect):
                    value = await run.perform(effect)
            except HwStatusError as error:
                resume, value = flow.throw, error
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        flow.close()
        run.release_cancelled()


class _AsyncRun:
    """A run of one flow in an event loop, with its slot and the time by which the requests of the flow end."""

    def __init__(self, handlers: AsyncHandlers, until: float) -> None:
        self._handlers = handlers
        self._until = self.limit = until
        self._slots: PrioritySemaphore | None = None

    def perform_now(self, effect: Effect) -> bool:
        """Perform an effect that need not wait, without a coroutine. Return False if it has to wait."""
        if isinstance(effect, AcquireSlot):
            return self._acquire_now(effect)
        if isinstance(effect, ReleaseSlot):
            self._release(effect.error)
            return True
        if isinstance(effect, Count):
            self._handlers.count(effect)
            return True
        return False

    async def perform(self, effect: AcquireSlot | Mask | Together | Exclusive) -> Any:
        """Perform an effect that has to wait, and return its result."""
        handlers = self._handlers
        if isinstance(effect, AcquireSlot):
            return await self._acquire(effect)
        if isinstance(effect, Mask):
            return await handlers.mask(effect.secret)
        if isinstance(effect, Together):
            return await _run_together(effect, handlers, self.limit)
        timeout = self.limit - handlers.clock()
        return await handlers.flights[effect.name].arun(lambda: self._run_exclusively(effect), timeout)

    def release_cancelled(self) -> None:
        """Release the slot, if the flow was cancelled or ended while it had one."""
        if self._slots:
            self._slots.release_cancelled()

    def _acquire_now(self, effect: AcquireSlot) -> bool:
        slots = self._handlers.slots[effect.service]
        if slots.free <= 0:
            return False
        slots.free -= 1
        self.limit, self._slots = min(self._until, effect.until), slots
        return True

    async def _acquire(self, effect: AcquireSlot) -> None:
        self.limit = min(self._until, effect.until)
        slots, now = self._handlers.slots[effect.service], self._handlers.clock()
        await slots.acquire(effect.urgent_at - now, self.limit - now)
        self._slots = slots

    def _release(self, error: HwStatusError | None) -> None:
        self.limit, slots, self._slots = self._until, self._slots, None
        if slots is None:  # the wait did not get a slot
            return
        if error is None and not slots.waiting:  # the most frequent case, without a call
            slots.free += 1
            slots.unanswered = 0
        else:
            slots.release(error)

    async def _run_exclusively(self, effect: Exclusive) -> Any:
        with _own_deadline(self.limit, self._handlers.clock):
            return await run_async(effect.flow(), self._handlers, self.limit)


async def _run_together(effect: Together, handlers: AsyncHandlers, limit: float) -> list[Any]:
    results: list[Any] = [None] * len(effect.flows)
    left = iter(enumerate(effect.flows))

    async def work() -> None:
        for index, make in left:
            results[index] = await run_async(make(), handlers, limit)

    tasks = [asyncio.create_task(work()) for _ in range(min(_MAX_TOGETHER, len(effect.flows)))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return results


@contextmanager
def _own_deadline(until: float, clock: Clock) -> Iterator[None]:
    """
    Turn a TransportError after this wait's own deadline into a DeadlineError.

    Waits that share the flow share a TransportError, too, but must not take this deadline for an outage.
    """
    try:
        yield
    except TransportError as error:
        if clock() < until:
            raise
        raise DeadlineError(f"the deadline passed without an answer; the last error was: {error}") from error
