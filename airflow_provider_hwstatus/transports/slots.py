"""How many polls of one connection are under way at once in an event loop."""

from __future__ import annotations

import asyncio
import copy
import math
from collections import deque
from collections.abc import Coroutine
from typing import Any

from airflow_provider_hwstatus.core.errors import HwStatusError, TransportError
from airflow_provider_hwstatus.core.messages import T


class Slots:
    """
    Lets a number of coroutines run at once; the others queue, first come first served.

    While no request gets any answer, those that queue share the failures of those that run: ten thousand waits behind
    twenty requests that hang would else not notice an outage for hours.

    :param count: How many run at once.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._queue: deque[asyncio.Future[None]] = deque()
        self._answers = 0

    async def run(self, coroutine: Coroutine[Any, Any, T], patience: float) -> T:
        """
        Run *coroutine* when it is its turn, and return its result.

        :param patience: Seconds after which it goes before all others.
        :raises TransportError: Also if another one that ran meanwhile got no answer, and none did.
        """
        try:
            if self._free:
                self._free -= 1
            else:
                await self._queued(patience)
        except BaseException:
            coroutine.close()
            raise
        answers = self._answers
        try:
            result = await coroutine
        except HwStatusError as error:
            if not isinstance(error, TransportError):
                self._answers += 1
            elif answers == self._answers:
                self._fail_all(error)
            raise
        else:
            self._answers += 1
            return result
        finally:
            self._hand_over()

    async def _queued(self, patience: float) -> None:
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self._queue.append(waiter)
        timer = loop.call_later(max(patience, 0.0), self._put_first, waiter) if math.isfinite(patience) else None
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and not waiter.exception():
                self._hand_over()  # its turn had come, and it is not there to take it
            raise
        finally:
            if timer:
                timer.cancel()

    def _hand_over(self) -> None:
        while self._queue:
            waiter = self._queue.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1

    def _put_first(self, waiter: asyncio.Future[None]) -> None:
        if not waiter.done():
            self._queue.remove(waiter)
            self._queue.appendleft(waiter)

    def _fail_all(self, error: TransportError) -> None:
        while self._queue:
            waiter = self._queue.popleft()
            if not waiter.done():
                waiter.set_exception(copy.copy(error))  # its message is put together by whoever has it
