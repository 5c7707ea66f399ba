"""How many polls of one connection are under way at once in an event loop."""

from __future__ import annotations

import asyncio
import copy
from collections import deque

from airflow_provider_hwstatus.core.errors import HwStatusError, TransportError

#: Seconds between two looks at who queues for too long.
_WATCH = 0.5


class Slots:
    """
    Lets a number of waits ask at once; the others queue, first come first served.

    While no request gets any answer, those that queue share the failures of those that ask: ten thousand waits behind
    twenty requests that hang would else not notice an outage for hours.

    :param count: How many ask at once.
    """

    def __init__(self, count: int) -> None:
        self._count = self._free = count
        self._queue: deque[_Waiter] = deque()
        self._watch: asyncio.TimerHandle | None = None
        self._unanswered = 0

    async def enter(self, patience: float) -> None:
        """
        Take a slot, when it is this one's turn.

        :param patience: Seconds after which it goes before all others, half a second more or less.
        :raises TransportError: Another one's, while none got an answer.
        """
        if self._free:
            self._free -= 1
        else:
            await self._queued(patience)

    def leave(self, error: HwStatusError | None) -> None:
        """
        Give the slot to the next one.

        :param error: What kept this one from an answer, if anything did.
        """
        if not isinstance(error, TransportError):
            self._unanswered = 0
        else:
            self._unanswered += 1
            if self._unanswered >= self._count:  # as many as there are slots, one after the other
                self._fail_all(error)
        self._hand_over()

    def abandon(self) -> None:
        """Give the slot to the next one, without having found anything out."""
        self._hand_over()

    async def _queued(self, patience: float) -> None:
        loop = asyncio.get_running_loop()
        waiter = _Waiter(loop.time() + patience, loop=loop)
        self._queue.append(waiter)
        if not self._watch:
            self._watch = loop.call_later(_WATCH, self._put_impatient_first, loop)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and not waiter.exception():
                self._hand_over()  # its turn had come, and it is not there to take it
            raise

    def _hand_over(self) -> None:
        while self._queue:
            waiter = self._queue.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1

    def _put_impatient_first(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        self._queue = deque(sorted(self._queue, key=lambda waiter: waiter.until > now))
        self._watch = loop.call_later(_WATCH, self._put_impatient_first, loop) if self._queue else None

    def _fail_all(self, error: TransportError) -> None:
        while self._queue:
            waiter = self._queue.popleft()
            if not waiter.done():
                waiter.set_exception(copy.copy(error))  # its message is put together by whoever has it


class _Waiter(asyncio.Future[None]):
    def __init__(self, until: float, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self.until = until
