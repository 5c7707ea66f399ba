"""What all waits on one connection share: in a process its login, in an event loop its session, too."""

from __future__ import annotations

import asyncio
import math
import os
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Literal
from weakref import WeakKeyDictionary, WeakSet

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.connection.credentials import CredentialRecords
from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.core.protocol.effects import Flow, ProcessWide, T
from airflow_provider_hwstatus.errors import HwStatusError, RetryableError, is_refused_login, without_frames
from airflow_provider_hwstatus.transports.priority_semaphore import PrioritySemaphore
from airflow_provider_hwstatus.transports.runners import AsyncHandlers, SyncHandlers, run_async, run_sync
from airflow_provider_hwstatus.transports.single_flight import Past, SingleFlights

if TYPE_CHECKING:
    from airflow_provider_hwstatus.transports.aiohttp_transport import AioTransport
    from airflow_provider_hwstatus.transports.requests_transport import SyncTransport

#: Increments a metric.
Count = Callable[[str], object]


def _no_metrics(name: str) -> None:
    """Count nothing."""


#: Seconds between two moments at which long pauses end.
_TICK = 0.05
_DAY = 86400.0


class SyncConnection:
    """
    A connection as one hook uses it: its own session, with the login that the process shares.

    :param settings: The connection.
    :param mask: Masks a secret in all logs of this process.
    :param count: Increments a metric.
    :raises ConfigurationError: A field that its way to log in needs is missing.
    """

    def __init__(self, settings: Settings, mask: Callable[[str], object], count: Count = _no_metrics) -> None:
        self.client = client_for(settings)
        with _creating:
            self._flights = _flights(settings)
        self._mask = mask
        self._count = count
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
            return run_sync(flow, SyncHandlers(self._transport.send, self._flights, self._mask, self._count))
        except HwStatusError as error:
            raise without_frames(error)  # noqa: B904  # the same error

    def close(self) -> None:
        """Close the session."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def leave_to_parent(self) -> SyncTransport | None:
        """Start anew in a forked process; return what only the parent may use."""
        inherited, self._transport, self._flights = self._transport, None, _flights(self.client.settings)
        return inherited


class AsyncConnection:
    """
    A connection as all waits in one event loop use it; get it from :func:`joined`.

    :param settings: The connection.
    :param mask: Masks a secret in all logs of this process.
    :param count: Increments a metric.
    :raises ConfigurationError: A field that its way to log in needs is missing.
    """

    def __init__(
        self, settings: Settings, mask: Callable[[str], Awaitable[object]], count: Count = _no_metrics
    ) -> None:
        self.client = client_for(settings)
        self._mask = mask
        self._count = count
        self.waits = 0  # how many share it now
        self.joined = 0  # how many have, since it was opened
        self._flights = SingleFlights(_async_lock, _past)
        self._slots = defaultdict[str, PrioritySemaphore](lambda: PrioritySemaphore(settings.max_concurrent_requests))
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
            handlers = AsyncHandlers(transport.send, self._flights, self._slots, self._mask, self._count, _sleep)
            return await run_async(flow, handlers)
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
    _flights.cache_clear()
    _inherited.extend([connection.leave_to_parent() for connection in list(_made)])


os.register_at_fork(before=_creating.acquire, after_in_parent=_creating.release, after_in_child=_leave_to_parent)


@asynccontextmanager
async def joined(
    settings: Settings, mask: Callable[[str], Awaitable[object]], count: Count = _no_metrics
) -> AsyncIterator[AsyncConnection]:
    """
    Join the waits of this event loop on a connection; the last one out closes what they shared.

    :param mask: Masks a secret in all logs of this process.
    :param count: Increments a metric.
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


def run_with_current_login(
    flow_with: Callable[[Client], Flow[T]],
    connect: Callable[[], SyncConnection],
    has_changed: Callable[[Settings], bool],
) -> T:
    """
    Run a flow; if the login is refused and there is a new one, run the flow again with it.

    :param flow_with: Makes the flow.
    :param connect: Returns the connection, with the login that is configured now.
    :param has_changed: Returns whether other settings than these are configured now.
    :raises HwStatusError: The flow raised it.
    """
    replaced = False
    while True:
        connection = connect()
        client = connection.client
        try:
            return connection.run(flow_with(client))
        except HwStatusError as error:
            if not (_may_be_replaced(error, client, replaced) and has_changed(client.settings)):
                raise
        replaced = True


async def arun_with_current_login(
    flow_with: Callable[[AsyncConnection], Flow[T]],
    connect: Callable[[], AbstractAsyncContextManager[AsyncConnection]],
    has_changed: Callable[[Settings], Awaitable[bool]],
) -> T:
    """Run a flow as :func:`run_with_current_login` does, in an event loop."""
    replaced = False
    while True:
        async with connect() as connection:
            client = connection.client
            try:
                return await connection.run(flow_with(connection))
            except HwStatusError as error:
                if not (_may_be_replaced(error, client, replaced) and await has_changed(client.settings)):
                    raise
        replaced = True


def _may_be_replaced(error: HwStatusError, client: Client, replaced: bool) -> bool:
    """
    Return whether the login was refused, and another one may help.

    :param replaced: Whether this login has replaced another one. If it was never accepted, a third one is not tried: a
        secrets backend may make a new one each time.
    """
    return is_refused_login(error) and (client.accepted or not replaced)


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
def _flights(settings: Settings) -> SingleFlights[threading.Lock]:
    return SingleFlights(_thread_lock, _past)
