"""One flight for all who need the same: a login, a look-up."""

from __future__ import annotations

import asyncio
import copy
import math
import threading
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from airflow_provider_hwstatus.core.protocol.effects import (
    T,
)
from airflow_provider_hwstatus.errors import DeadlineError, HwStatusError

Lock = TypeVar("Lock")


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


class SingleFlight(Generic[Lock]):
    """
    Whose turn it is to do what need be done only once.

    Those who queued while it failed share the failure: a thousand waits must not each sit out a time-out in turn.

    :param lock: Lets one in.
    :param past: What those who queue for the same lock know of each other.
    """

    def __init__(self, lock: Lock, past: Past) -> None:
        self._lock = lock
        self._past = past

    def run(self: SingleFlight[threading.Lock], do: Callable[[], T], patience: float = math.inf) -> T:
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

    async def arun(self: SingleFlight[asyncio.Lock], do: Callable[[], Awaitable[T]], patience: float = math.inf) -> T:
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


class SingleFlights(Generic[Lock]):
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
        self._turns: dict[Hashable, SingleFlight[Lock]] = {}

    def __getitem__(self, name: Hashable) -> SingleFlight[Lock]:
        return self._turns.get(name) or self._turns.setdefault(name, SingleFlight(self._lock(name), self._past(name)))

    def forget(self, name: Hashable) -> None:
        """Have no turn of that name any more, except for those who queue for it."""
        self._turns.pop(name, None)
