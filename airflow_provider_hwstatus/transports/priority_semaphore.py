"""How many polls of one connection are under way at once in an event loop, for each service."""

from __future__ import annotations

import asyncio
import copy
from collections import deque

from airflow_provider_hwstatus.errors import DeadlineError, HwStatusError, TransportError

#: Seconds between two checks of who has queued for too long.
_WATCH = 0.5

#: Failures in a row that say nothing about a service yet.
_FEW = 5


class PrioritySemaphore:
    """
    Lets a number of waits poll each service at once; the others queue, first come first served.

    A service that does not answer holds back its own waits only. While it does not, those that queue for it share the
    failures of those that poll: ten thousand waits behind twenty requests that hang would otherwise not notice an
    outage for hours.

    :param count: How many poll one service at once.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._queues: dict[str, _Queue] = {}

    async def enter(self, patience: float, service: str, limit: float) -> None:
        """
        Take a slot of *service*, when it is this one's turn.

        :param patience: Seconds after which it goes before all others, half a second more or less, and beyond *count*.
        :param limit: Seconds after which it does not queue any more.
        :raises TransportError: Another one's, while none got an answer from that service.
        :raises DeadlineError: It has queued for *limit*.
        """
        queue = self._queues.get(service) or self._queues.setdefault(service, _Queue(self._count))
        await queue.enter(patience, limit)

    def leave(self, error: HwStatusError | None, service: str) -> None:
        """
        Give the slot to the next one.

        :param error: What kept this one from an answer, if anything did.
        """
        self._queues[service].leave(error)

    def abandon(self, service: str) -> None:
        """Give the slot to the next one, without having found anything out."""
        self._queues[service].abandon()

    @property
    def idle(self) -> bool:
        """Whether no slot is taken, and nobody queues."""
        return all(queue.idle for queue in self._queues.values())


class _Queue:
    def __init__(self, count: int) -> None:
        self._count = self._free = count
        self._waiting: deque[_Waiter] = deque()
        self._watch: asyncio.TimerHandle | None = None
        self._unanswered = 0
        self._since = 0.0

    @property
    def idle(self) -> bool:
        return self._free == self._count and not self._waiting

    async def enter(self, patience: float, limit: float) -> None:
        if self._free > 0:
            self._free -= 1
            return
        loop = asyncio.get_running_loop()
        waiter = _Waiter(loop.time() + patience, loop.time() + limit, loop)
        self._waiting.append(waiter)
        if not self._watch:
            self._watch = loop.call_later(_WATCH, self._look_for_impatient, loop)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and not waiter.exception():
                self.abandon()  # its turn had come, and it is not there to take it
            raise

    def leave(self, error: HwStatusError | None) -> None:
        self.abandon()
        if not isinstance(error, TransportError):
            self._unanswered = 0
            return
        if not self._unanswered:
            self._since = asyncio.get_running_loop().time()
        self._unanswered += 1
        if self._unanswered >= max(self._count, _FEW):
            self._fail_all(error)

    def abandon(self) -> None:
        self._free += 1
        while self._waiting and self._free > 0:
            self._admit(self._waiting.popleft())

    def _admit(self, waiter: _Waiter) -> None:
        if not waiter.done():
            waiter.set_result(None)
            self._free -= 1

    def _look_for_impatient(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for waiter in self._waiting:
            if waiter.limit <= now and not waiter.done():
                waiter.set_exception(DeadlineError("the deadline passed in the queue of this connection's polls"))
        left = (waiter for waiter in self._waiting if not waiter.done())
        self._waiting = deque(sorted(left, key=lambda waiter: waiter.until > now))
        for _ in range(self._count):
            if self._waiting and self._waiting[0].until <= now:
                self._admit(self._waiting.popleft())
        self._watch = loop.call_later(_WATCH, self._look_for_impatient, loop) if self._waiting else None

    def _fail_all(self, error: TransportError) -> None:
        shared = copy.copy(error)
        shared.unanswered_for = asyncio.get_running_loop().time() - self._since
        failed, self._waiting = self._waiting, deque()
        for waiter in failed:
            if not waiter.done():
                waiter.set_exception(copy.copy(shared))  # its message is put together by whoever has it


class _Waiter(asyncio.Future[None]):
    def __init__(self, until: float, limit: float, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self.until = until
        self.limit = limit
