"""What all waits on one connection share: in a process its login, in an event loop its session, too."""

from __future__ import annotations

import asyncio
import math
import os
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Literal
from weakref import WeakKeyDictionary, WeakSet

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.connection.credentials import CredentialRecords
from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.core.protocol.effects import Flow, ProcessWide, T
from airflow_provider_hwstatus.errors import HwStatusError, RetryableError, without_frames
from airflow_provider_hwstatus.transports.priority_semaphore import PrioritySemaphore
from airflow_provider_hwstatus.transports.runners import run_async, run_sync
from airflow_provider_hwstatus.transports.single_flight import Past, SingleFlights

if TYPE_CHECKING:
    from airflow_provider_hwstatus.transports.aiohttp_transport import AioTransport
    from airflow_provider_hwstatus.transports.requests_transport import SyncTransport

Count = Callable[[str, HwStatusError | None], object]

#: Seconds between two moments at which long pauses end.
_TICK = 0.05
_DAY = 86400.0


class SyncConnection:
    """
    A connection as one hook uses it: its own session, with the login that the process shares.

    :param settings: The connection.
    :param mask: Masks a secret in all logs of this process.
    :param count: Told of each attempt to ask; see :attr:`Client.count`.
    :raises ConfigurationError: A field that its way to log in needs is missing.
    """

    def __init__(self, settings: Settings, mask: Callable[[str], object], count: Count | None = None) -> None:
        self.client = client_for(settings)
        self.client.count = count or self.client.count
        with _creating:
            self._turns = _turns(settings)
        self._mask = mask
        self._transport: SyncTransport | None = None
        _made.add(self)

    def run(self, flow: Flow[T]) -> T:
        """
        Run a flow of this connection's client.

        :raises HwStatusError: The flow did. Its traceback begins here.
        """
        if self._transport is None:
            from airflow_provider_hwstatus.transports.requests_transport import SyncTransport

            self._transport = SyncTransport(self.client)
        try:
            return run_sync(flow, self._transport.send, self._turns, self._mask)
        except HwStatusError as error:
            raise without_frames(error)  # noqa: B904  # the same error

    def close(self) -> None:
        """Close the session."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def leave_to_parent(self) -> SyncTransport | None:
        """Start anew in a forked process; return what only the parent may use."""
        inherited, self._transport, self._turns = self._transport, None, _turns(self.client.settings)
        return inherited


class AsyncConnection:
    """
    A connection as all waits in one event loop use it; get it from :func:`joined`.

    :param settings: The connection.
    :param mask: Masks a secret in all logs of this process.
    :param count: Told of each attempt to ask; see :attr:`Client.count`.
    :raises ConfigurationError: A field that its way to log in needs is missing.
    """

    def __init__(
        self, settings: Settings, mask: Callable[[str], Awaitable[object]], count: Count | None = None
    ) -> None:
        self.client = client_for(settings)
        self.client.count = count or self.client.count
        self._mask = mask
        self.waits = 0  # how many share it now
        self.joined = 0  # how many have, since it was opened
        self._turns = SingleFlights(_async_lock, _past)
        self._slots = PrioritySemaphore(settings.max_concurrent_requests)
        self._opening = asyncio.Lock()
        self._transport: AioTransport | None = None
        _made.add(self)

    async def run(self, flow: Flow[T]) -> T:
        """
        Run a flow of this connection's client in this event loop.

        :raises HwStatusError: The flow did. Its traceback begins here.
        """
        try:
            transport = self._transport or await self._open()
            return await run_async(flow, transport.send, self._turns, self._slots, self._mask, _sleep)
        except HwStatusError as error:
            raise without_frames(error)  # noqa: B904  # the same error

    async def _open(self) -> AioTransport:
        async with self._opening:
            if self._transport is None:
                # aiohttp takes a third of a second to import: not in a loop that others wait in
                transport = await asyncio.get_running_loop().run_in_executor(None, _aio_transport)
                self._transport = await transport(self.client).open()
            return self._transport

    async def close(self) -> None:
        """Close the session."""
        if self._transport is not None:
            await self._transport.close()

    def leave_to_parent(self) -> AioTransport | None:
        """Start anew in a forked process, which has no event loop yet; return what only the parent may use."""
        inherited, self._transport = self._transport, None
        return inherited


async def _sleep(seconds: float) -> None:
    """
    Sleep, and wake up together with others: ten polls in one turn of the loop take half of what they take in ten.

    Pauses of less than a second are taken as they are; who sleeps longer does not mind a twentieth.
    """
    if 1.0 <= seconds < _DAY:
        now = asyncio.get_running_loop().time()
        seconds = math.ceil((now + seconds) / _TICK) * _TICK - now
    await asyncio.sleep(seconds)


def _aio_transport() -> type[AioTransport]:
    from airflow_provider_hwstatus.transports.aiohttp_transport import AioTransport

    return AioTransport


_in_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Settings, AsyncConnection]] = WeakKeyDictionary()
_creating = threading.Lock()
_records = CredentialRecords(time.monotonic)

#: The locks of the names that connections, threads and event loops share, and how their turns have ended.
_process_wide: dict[Hashable, tuple[threading.Lock, Past]] = {}


def _shared(name: Hashable) -> tuple[threading.Lock, Past]:
    if not isinstance(name, ProcessWide):
        return threading.Lock(), Past()
    # What is wrong with one connection, such as its project, is not wrong with others that have the same key.
    return _process_wide.setdefault(name, (threading.Lock(), Past(RetryableError)))


def _thread_lock(name: Hashable) -> threading.Lock:
    return _shared(name)[0]


def _async_lock(name: Hashable) -> asyncio.Lock:
    return _ProcessWideLock(_thread_lock(name)) if isinstance(name, ProcessWide) else asyncio.Lock()


def _past(name: Hashable) -> Past:
    return _shared(name)[1]


class _ProcessWideLock(asyncio.Lock):
    """A lock of this event loop that also keeps out other loops and threads; the first in the queue tries for all."""

    def __init__(self, everywhere: threading.Lock) -> None:
        super().__init__()
        self._everywhere = everywhere

    async def acquire(self) -> Literal[True]:
        await super().acquire()
        try:
            while not self._everywhere.acquire(blocking=False):  # noqa: ASYNC110  # a thread cannot set an Event
                await asyncio.sleep(_TICK)
        except BaseException:
            super().release()
            raise
        return True

    def release(self) -> None:
        self._everywhere.release()
        super().release()


_made: WeakSet[SyncConnection | AsyncConnection] = WeakSet()
_inherited: list[object] = []


def _leave_to_parent() -> None:
    """
    In a forked process, use no socket of the parent, and no lock that another of its threads may hold for ever.

    The parent's sockets are kept as they are: closing them would end the parent's TLS sessions.
    """
    _creating.release()
    _process_wide.clear()
    _turns.cache_clear()
    _inherited.extend([connection.leave_to_parent() for connection in list(_made)])


os.register_at_fork(before=_creating.acquire, after_in_parent=_creating.release, after_in_child=_leave_to_parent)


@asynccontextmanager
async def joined(
    settings: Settings, mask: Callable[[str], Awaitable[object]], count: Count | None = None
) -> AsyncIterator[AsyncConnection]:
    """
    Join the waits of this event loop on a connection; the last one out closes what they shared.

    :param mask: Masks a secret in all logs of this process.
    :param count: Told of each attempt to ask; see :attr:`Client.count`.
    :raises ConfigurationError: A field that its way to log in needs is missing.
    """
    connections = _in_loops.setdefault(asyncio.get_running_loop(), {})
    connection = connections.get(settings) or connections.setdefault(settings, AsyncConnection(settings, mask, count))
    connection.waits += 1
    connection.joined += 1
    try:
        yield connection
    finally:
        connection.waits -= 1
        if not connection.waits:
            del connections[settings]
            await connection.close()


def client_for(settings: Settings) -> Client:
    """
    Return the client that all of this process share.

    :raises ConfigurationError: A field that its way to log in needs is missing.
    """
    with _creating:  # lru_cache alone may make two
        return _client(settings)


@lru_cache(maxsize=64)
def _client(settings: Settings) -> Client:
    return Client(settings, time.time, time.monotonic, _records)


@lru_cache(maxsize=64)
def _turns(settings: Settings) -> SingleFlights[threading.Lock]:
    return SingleFlights(_thread_lock, _past)
