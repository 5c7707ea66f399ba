"""How many polls of one connection are under way at once in an event loop."""

from __future__ import annotations

import asyncio
import copy
from collections import Counter, deque

from airflow_provider_hwstatus.core.errors import HwStatusError, TransportError

#: Seconds between two looks at who queues for too long.
_WATCH = 0.5

#: Failures in a row that say nothing about a service yet.
_FEW = 5


class Slots:
    """
    Lets a number of waits ask at once; the others queue, first come first served.

    While a service gives no answer, those that queue for it share the failures of those that ask: ten thousand waits
    behind twenty requests that hang would else not notice an outage for hours.

    :param count: How many ask at once.
    """

    def __init__(self, count: int) -> None:
        self._count = self._free = count
        self._queue: deque[_Waiter] = deque()
        self._watch: asyncio.TimerHandle | None = None
        self._unanswered: Counter[str] = Counter()
        self._since: dict[str, float] = {}

    async def enter(self, patience: float, service: str) -> None:
        """
        Take a slot, when it is this one's turn.

        :param patience: Seconds after which it goes before all others, half a second more or less, and beyond *count*.
        :param service: Whom it will ask.
        :raises TransportError: Another one's, while none got an answer from that service.
        """
        if self._free > 0:
            self._free -= 1
            return
        loop = asyncio.get_running_loop()
        waiter = _Waiter(loop.time() + patience, service, loop)
        self._queue.append(waiter)
        if not self._watch:
            self._watch = loop.call_later(_WATCH, self._look_for_impatient, loop)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and not waiter.exception():
                self.abandon()  # its turn had come, and it is not there to take it
            raise

    def leave(self, error: HwStatusError | None, service: str) -> None:
        """
        Give the slot to the next one.

        :param error: What kept this one from an answer, if anything did.
        :param service: Whom it asked.
        """
        self.abandon()
        if not isinstance(error, TransportError):
            self._unanswered[service] = 0
            return
        if not self._unanswered[service]:
            self._since[service] = asyncio.get_running_loop().time()
        self._unanswered[service] += 1
        if self._unanswered[service] >= max(self._count, _FEW):
            self._fail_all(error, service)

    def abandon(self) -> None:
        """Give the slot to the next one, without having found anything out."""
        self._free += 1
        while self._queue and self._free > 0:
            self._admit(self._queue.popleft())

    def _admit(self, waiter: _Waiter) -> None:
        if not waiter.done():
            waiter.set_result(None)
            self._free -= 1

    def _look_for_impatient(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        self._queue = deque(sorted(self._queue, key=lambda waiter: waiter.until > now))
        for _ in range(self._count):
            if self._queue and self._queue[0].until <= now:
                self._admit(self._queue.popleft())
        self._watch = loop.call_later(_WATCH, self._look_for_impatient, loop) if self._queue else None

    def _fail_all(self, error: TransportError, service: str) -> None:
        shared = copy.copy(error)
        shared.unanswered_for = asyncio.get_running_loop().time() - self._since[service]
        failed = [waiter for waiter in self._queue if waiter.service == service]
        self._queue = deque(waiter for waiter in self._queue if waiter.service != service)
        for waiter in failed:
            if not waiter.done():
                waiter.set_exception(copy.copy(shared))  # its message is put together by whoever has it


class _Waiter(asyncio.Future[None]):
    def __init__(self, until: float, service: str, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self.until = until
        self.service = service
