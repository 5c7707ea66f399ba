"""How many requests of one connection are sent to a service at the same time, in an event loop."""

from __future__ import annotations

import asyncio
import copy
from collections import deque

from airflow_provider_hwstatus.errors import DeadlineError, HwStatusError, TransportError

#: Seconds between two checks of the queue for waits that are urgent or too late.
_CHECK_INTERVAL = 0.5

#: Fewer failures in a row than this say nothing about a service.
_FEW = 5


class PrioritySemaphore:
    """
    Limits how many waits send requests to a service at the same time; the others queue, first come, first served.

    Queued waits learn of an outage from the requests in progress: otherwise, ten thousand waits behind twenty requests
    that hang would notice an outage after hours.

    :param count: Waits that send requests at the same time.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        #: How many slots are free. A wait may take one by counting down, and give it back if nothing is waiting.
        self.free = count
        self.waiting: deque[_Waiter] = deque()
        #: How many requests in a row got no answer.
        self.unanswered = 0
        self._check: asyncio.TimerHandle | None = None
        self._since = 0.0

    @property
    def idle(self) -> bool:
        """Whether no slot is taken and the queue is empty."""
        return self.free == self._count and not self.waiting

    async def acquire(self, urgent_after: float, limit: float) -> None:
        """
        Take a slot, or wait for one.

        :param urgent_after: Seconds after which it overtakes the queue, and *count*, to within half a second.
        :param limit: Seconds after which it stops waiting.
        :raises TransportError: Another wait's error, while no wait gets an answer from the service.
        :raises DeadlineError: There was no slot within *limit*.
        """
        if self.free > 0:
            self.free -= 1
            return
        loop = asyncio.get_running_loop()
        waiter = _Waiter(loop.time() + urgent_after, loop.time() + limit, loop)
        self.waiting.append(waiter)
        if not self._check:
            self._check = loop.call_later(_CHECK_INTERVAL, self._check_queue, loop)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and not waiter.exception():
                self.abandon()  # it had a slot already
            raise

    def release(self, error: HwStatusError | None) -> None:
        """
        Pass the slot on.

        :param error: Why there was no answer, if there was none.
        """
        self.abandon()
        if not isinstance(error, TransportError):
            self.unanswered = 0
            return
        if not self.unanswered:
            self._since = asyncio.get_running_loop().time()
        self.unanswered += 1
        if self.unanswered >= max(self._count, _FEW):
            self._fail_all(error)

    def abandon(self) -> None:
        """Pass the slot on, without a result."""
        self.free += 1
        while self.waiting and self.free > 0:
            self._admit(self.waiting.popleft())

    def _admit(self, waiter: _Waiter) -> None:
        if not waiter.done():
            waiter.set_result(None)
            self.free -= 1

    def _check_queue(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for waiter in self.waiting:
            if waiter.limit <= now and not waiter.done():
                waiter.set_exception(DeadlineError("the deadline passed in the queue of this connection's polls"))
        left = (waiter for waiter in self.waiting if not waiter.done())
        self.waiting = deque(sorted(left, key=lambda waiter: waiter.urgent_at > now))
        for _ in range(self._count):
            if self.waiting and self.waiting[0].urgent_at <= now:
                self._admit(self.waiting.popleft())
        self._check = loop.call_later(_CHECK_INTERVAL, self._check_queue, loop) if self.waiting else None

    def _fail_all(self, error: TransportError) -> None:
        shared = copy.copy(error)
        shared.unanswered_for = asyncio.get_running_loop().time() - self._since
        failed, self.waiting = self.waiting, deque()
        for waiter in failed:
            if not waiter.done():
                waiter.set_exception(copy.copy(shared))  # each wait adds to the message of its own


class _Waiter(asyncio.Future[None]):
    def __init__(self, urgent_at: float, limit: float, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self.urgent_at = urgent_at
        self.limit = limit
