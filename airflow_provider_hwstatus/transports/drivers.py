"""Run a flow, sync or async."""

from __future__ import annotations

import asyncio
import copy
import math
import threading
import time
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from airflow_provider_hwstatus.core.errors import DeadlineError, HwStatusError
from airflow_provider_hwstatus.core.messages import (
    Effect,
    Enter,
    Exclusive,
    Flow,
    Leave,
    Mask,
    Request,
    Response,
    Sleep,
    T,
    Together,
)
from airflow_provider_hwstatus.transports.slots import Slots

Lock = TypeVar("Lock")

#: Flows of one wait that run at the same time at most: a list of ten thousand jobs must not queue before all others.
_WIDTH = 20


@dataclass
class Past:
    """
    How turns have ended.

    :param shared: Errors that concern all who queue.
    :param ended: How many turns have.
    :param error: What the last one failed with, if that concerns all who queue.
    """

    shared: type[Exception] = Exception
    ended: int = 0
    error: Exception | None = None


class Turn(Generic[Lock]):
    """
    Whose turn it is to do what need be done only once.

    Those who queued while it failed share the failure: a thousand waits must not each sit out a time-out in turn.

    :param lock: Lets one in.
    :param past: What those who queue for the same lock know of each other.
    """

    def __init__(self, lock: Lock, past: Past) -> None:
        self._lock = lock
        self._past = past

    def run(self: Turn[threading.Lock], do: Callable[[], T], patience: float = math.inf) -> T:
        """
        Return the result of *do*, called when it is this thread's turn, or raise a failure that it queued for.

        :param patience: Seconds to wait for the turn.
        :raises DeadlineError: It did not come.
        """
        ticket = self._past.ended
        if not self._lock.acquire(timeout=min(patience, threading.TIMEOUT_MAX)):
            raise _too_late()
        try:
            with self._outcome(ticket):
                return do()
        finally:
            self._lock.release()

    async def arun(self: Turn[asyncio.Lock], do: Callable[[], Awaitable[T]], patience: float = math.inf) -> T:
        """Do as :meth:`run` does, in an event loop."""
        ticket = self._past.ended
        try:
            async with asyncio.timeout(patience if patience < math.inf else None):
                await self._lock.acquire()
        except TimeoutError:
            raise _too_late() from None
        try:
            with self._outcome(ticket):
                return await do()
        finally:
            self._lock.release()

    @contextmanager
    def _outcome(self, ticket: int) -> Iterator[None]:
        if self._past.ended != ticket and self._past.error:
            raise _copy(self._past.error)
        self._past.error = None
        try:
            yield
        except DeadlineError:  # this one's own
            raise
        except Exception as error:
            if isinstance(error, self._past.shared):
                self._past.error = _copy(error)
            raise
        finally:
            self._past.ended += 1


def _too_late() -> DeadlineError:
    return DeadlineError("the deadline passed while another wait of this connection logged in or looked something up")


def _copy(error: Exception) -> Exception:
    """Return an error of its own for one of those who share it: its message is put together by whoever has it."""
    if not isinstance(error, HwStatusError):
        return error
    copied = copy.copy(error)
    copied.__cause__ = error.__cause__
    return copied


class Turns(Generic[Lock]):
    """
    The turns of one connection, by name.

    :param lock: Returns the lock for a name.
    :param past: Returns the past of its turns.
    """

    def __init__(
        self, lock: Callable[[Hashable], Lock], past: Callable[[Hashable], Past] = lambda name: Past()
    ) -> None:
        self._lock = lock
        self._past = past
        self._turns: dict[Hashable, Turn[Lock]] = {}

    def __getitem__(self, name: Hashable) -> Turn[Lock]:
        return self._turns.get(name) or self._turns.setdefault(name, Turn(self._lock(name), self._past(name)))

    def forget(self, name: Hashable) -> None:
        """Have no turn of that name any more, except for those who queue for it."""
        self._turns.pop(name, None)


def drive(
    flow: Flow[T],
    send: Callable[[Request], Response],
    turns: Turns[threading.Lock],
    mask: Callable[[str], object],
    sleep: Callable[[float], object] = time.sleep,
) -> T:
    """Run *flow* to its end in this thread."""

    def perform(effect: Effect) -> Any:
        if isinstance(effect, Request):
            return send(effect)
        if isinstance(effect, Sleep):
            return sleep(effect.seconds)
        if isinstance(effect, Enter | Leave):  # a thread has one request under way
            return None
        if isinstance(effect, Mask):
            return mask(effect.secret)
        if isinstance(effect, Together):
            return [drive(make(), send, turns, mask, sleep) for make in effect.flows]
        return turns[effect.name].run(lambda: drive(effect.flow(), send, turns, mask, sleep), effect.patience)

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


async def adrive(
    flow: Flow[T],
    send: Callable[[Request], Awaitable[Response]],
    turns: Turns[asyncio.Lock],
    slots: Slots,
    mask: Callable[[str], Awaitable[object]],
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> T:
    """Run *flow* to its end in this event loop."""
    inside: str | None = None
    resume: Callable[[Any], Any] = flow.send
    value: Any = None
    try:
        while True:
            effect = resume(value)
            resume, value = flow.send, None
            try:
                if isinstance(effect, Request):
                    value = await send(effect)
                elif isinstance(effect, Sleep):
                    await sleep(effect.seconds)
                elif isinstance(effect, Enter):
                    await slots.enter(effect.patience, effect.service, effect.limit)
                    inside = effect.service
                elif isinstance(effect, Leave):
                    if inside:
                        inside = None
                        slots.leave(effect.error, effect.service)
                elif isinstance(effect, Mask):
                    await mask(effect.secret)
                else:
                    value = await _nested(effect, send, turns, slots, mask, sleep)
            except HwStatusError as error:
                resume, value = flow.throw, error
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        flow.close()
        if inside:  # cancelled
            slots.abandon(inside)


async def _nested(effect: Exclusive | Together, *how: Any) -> Any:
    if isinstance(effect, Together):
        return await _together(effect, *how)
    turns: Turns[asyncio.Lock] = how[1]
    return await turns[effect.name].arun(lambda: adrive(effect.flow(), *how), effect.patience)


async def _together(effect: Together, *how: Any) -> list[Any]:
    results: list[Any] = [None] * len(effect.flows)
    left = iter(enumerate(effect.flows))

    async def work() -> None:
        for index, make in left:
            results[index] = await adrive(make(), *how)

    tasks = [asyncio.create_task(work()) for _ in range(min(_WIDTH, len(effect.flows)))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return results
