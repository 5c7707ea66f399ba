"""A limit for the number of concurrent requests to a service, in one event loop."""

from __future__ import annotations

import asyncio
import copy
import math
from collections import deque

from airflow_provider_hwstatus.errors import DeadlineError, HwStatusError, TransportError

#: Seconds between two checks of the queue for waits that have become urgent, or whose deadline has passed.
_CHECK_INTERVAL = 0.5

#: Fewer consecutive failures than this do not count as an outage.
_MIN_FAILURES = 5


class PrioritySemaphore:
    """
    Limits how many waits send requests to a service concurrently. The others queue; the first in the queue goes first.

    During an outage, queued waits fail together with the requests in progress. Otherwise, with ten thousand waits and
    twenty slots whose requests all time out, the last waits would notice the outage after hours.

    :param count: Number of slots.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        #: Number of free slots. The runner decrements it to take a free slot without a call, and increments it to
        #: release a slot while no wait is queued.
        self.free = count
        #: The queue.
        self.waiting: deque[_Waiter] = deque()
        #: Number of consecutive requests without a response.
        self.unanswered = 0
        self._check: asyncio.TimerHandle | None = None
        #: No queued wait becomes urgent or reaches its limit before this time.
        self._due_at = math.inf
        self._outage_began = 0.0

    @property
    def idle(self) -> bool:
        """Whether no slot is taken and the queue is empty."""
        return self.free == self._count and not self.waiting

    async def acquire(self, urgent_after: float, limit: float) -> None:
        """
        Take a slot, or wait for one.

        :param urgent_after: Seconds after which this wait goes first, even if no slot is free. Accurate to 0.5 s.
        :param limit: Seconds after which it leaves the queue. Accurate to 0.5 s.
        :raises TransportError: The error of another wait, during an outage of the service.
        :raises DeadlineError: It got no slot within *limit*.
        """
        if self.free > 0:
            self.free -= 1
            return
        loop = asyncio.get_running_loop()
        waiter = _Waiter(loop.time() + urgent_after, loop.time() + limit, loop)
        self.waiting.append(waiter)
        self._due_at = min(self._due_at, waiter.due_at)
        if not self._check:
            self._check = loop.call_later(_CHECK_INTERVAL, self._check_queue, loop)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and not waiter.exception():
                self.release_cancelled()  # cancelled between getting the slot and resuming
            raise

    def release(self, error: HwStatusError | None) -> None:
        """
        Release a slot after its request.

        :param error: The error of the request; None if the service answered.
        """
        self.release_cancelled()
        if not isinstance(error, TransportError):
            self.unanswered = 0
            return
        if not self.unanswered:
            self._outage_began = asyncio.get_running_loop().time()
        self.unanswered += 1
        if self.unanswered >= max(self._count, _MIN_FAILURES):
            self._fail_queue(error)

    def release_cancelled(self) -> None:
        """Release a slot whose request was cancelled, so that it shows nothing about the service."""
        self.free += 1
        while self.waiting and self.free > 0:
            self._admit(self.waiting.popleft())

    def _admit(self, waiter: _Waiter) -> None:
        if not waiter.done():
            waiter.set_result(None)
            self.free -= 1

    def _check_queue(self, loop: asyncio.AbstractEventLoop) -> None:
        if loop.time() >= self._due_at:
            self._sort_queue(loop.time())
        self._check = loop.call_later(_CHECK_INTERVAL, self._check_queue, loop) if self.waiting else None

    def _sort_queue(self, now: float) -> None:
        """Remove waits at their limits, and admit urgent ones or move them to the front."""
        urgent, others = list[_Waiter](), list[_Waiter]()
        for waiter in self.waiting:
            if waiter.done():
                continue
            if waiter.limit <= now:
                waiter.set_exception(DeadlineError("the deadline passed in the queue of this connection's polls"))
            else:
                (urgent if waiter.urgent_at <= now else others).append(waiter)
        for waiter in urgent[: self._count]:
            self._admit(waiter)
        self.waiting = deque(urgent[self._count :] + others)
        self._due_at = min((waiter.due_at for waiter in self.waiting), default=math.inf)

    def _fail_queue(self, error: TransportError) -> None:
        shared = copy.copy(error)
        shared.unanswered_for = asyncio.get_running_loop().time() - self._outage_began
        failed, self.waiting = self.waiting, deque()
        for waiter in failed:
            if not waiter.done():
                waiter.set_exception(copy.copy(shared))  # a copy, because each wait prefixes the message


class _Waiter(asyncio.Future[None]):
    def __init__(self, urgent_at: float, limit: float, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self.urgent_at = urgent_at
        self.limit = limit
        self.due_at = min(urgent_at, limit)
