"""Single flight: work that many waits need at the same time, such as a login or a look-up, is done once."""

from __future__ import annotations

import asyncio
import copy
import math
import threading
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from airflow_provider_hwstatus.core.protocol.effects import T
from airflow_provider_hwstatus.errors import DeadlineError, HwStatusError

Lock = TypeVar("Lock")


@dataclass
class FlightHistory:
    """
    How the calls under one lock have ended.

    :param shared: The errors that queued callers share.
    :param ended: Number of calls that have ended.
    :param error: The error of the last call, if it is one that queued callers share.
    """

    shared: type[Exception] = Exception
    ended: int = 0
    error: Exception | None = None


class SingleFlight(Generic[Lock]):
    """
    Calls one function at a time.

    If a call fails, the callers in the queue fail with the same error. Otherwise, a thousand waits would run into the
    same time-out one after the other. If it succeeds, the next caller's function checks whether work is left.

    :param lock: The lock for the calls.
    :param history: Shared by all objects with the same lock.
    """

    def __init__(self, lock: Lock, history: FlightHistory) -> None:
        self._lock = lock
        self._history = history

    def run(self: SingleFlight[threading.Lock], function: Callable[[], T], limit: float = math.inf) -> T:
        """
        Call *function* while no other call is in progress, and return its result.

        :param limit: Seconds to wait for the lock. If it is negative, this does not wait.
        :raises DeadlineError: The lock was not free within *limit*.
        :raises Exception: The error of *function*, or of a call for which this one has waited.
        """
        ended = self._history.ended
        # A lock takes -1 for no limit, and raises ValueError for any other negative time-out.
        if not self._lock.acquire(timeout=max(0.0, min(limit, threading.TIMEOUT_MAX))):
            raise _not_admitted()
        try:
            with self._recorded(ended):
                return function()
        finally:
            self._lock.release()

    async def arun(
        self: SingleFlight[asyncio.Lock], function: Callable[[], Awaitable[T]], limit: float = math.inf
    ) -> T:
        """Do the same as :meth:`run`, in an event loop."""
        ended = self._history.ended
        try:
            async with asyncio.timeout(limit if limit < math.inf else None):
                await self._lock.acquire()
        except TimeoutError:
            raise _not_admitted() from None
        try:
            with self._recorded(ended):
                return await function()
        finally:
            self._lock.release()

    @contextmanager
    def _recorded(self, ended: int) -> Iterator[None]:
        """
        Record how a call ends, or raise the error of a call that has ended meanwhile.

        :param ended: How many calls had ended before this one queued.
        """
        if self._history.ended != ended and self._history.error:
            raise _copy(self._history.error)
        self._history.error = None
        try:
            yield
        except DeadlineError:  # concerns this wait only
            raise
        except Exception as error:
            if isinstance(error, self._history.shared):
                self._history.error = _copy(error)
            raise
        finally:
            self._history.ended += 1


def _not_admitted() -> DeadlineError:
    return DeadlineError("the deadline passed while another wait on this connection logged in or looked something up")


def _copy(error: Exception) -> Exception:
    """Return a copy of an error for one wait, because each wait prefixes the message."""
    if not isinstance(error, HwStatusError):
        return error
    copied = copy.copy(error)
    copied.__cause__ = error.__cause__
    return copied


class SingleFlights(Generic[Lock]):
    """
    The single flights of one connection, by name.

    :param lock: Returns the lock for a name.
    :param history: Returns the history for a name.
    """

    def __init__(
        self,
        lock: Callable[[Hashable], Lock],
        history: Callable[[Hashable], FlightHistory] = lambda name: FlightHistory(),
    ) -> None:
        self._lock = lock
        self._history = history
        self._flights: dict[Hashable, SingleFlight[Lock]] = {}

    def __getitem__(self, name: Hashable) -> SingleFlight[Lock]:
        flight = self._flights.get(name)
        return flight or self._flights.setdefault(name, SingleFlight(self._lock(name), self._history(name)))

    def forget(self, name: Hashable) -> None:
        """Drop the single flight of that name. Callers in its queue keep it; later callers get a new one."""
        self._flights.pop(name, None)
