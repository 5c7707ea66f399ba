"""Connections that waits share: the login in a process, and the session in an event loop."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable
from contextlib import AbstractAsyncContextManager
from functools import lru_cache
from typing import TYPE_CHECKING, Literal
from weakref import WeakKeyDictionary, WeakSet

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.connection.credentials import CredentialRecords
from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.core.protocol.effects import Count, Flow, ProcessWide, T
from airflow_provider_hwstatus.errors import HwStatusError, RetryableError, is_refused_login, without_frames
from airflow_provider_hwstatus.transports.priority_semaphore import PrioritySemaphore
from airflow_provider_hwstatus.transports.runners import AsyncHandlers, SyncHandlers, run_async, run_sync
from airflow_provider_hwstatus.transports.single_flight import FlightHistory, SingleFlights
from airflow_provider_hwstatus.transports.sleeping import sleep_in_step

if TYPE_CHECKING:
    from airflow_provider_hwstatus.transports.aiohttp_transport import AsyncTransport
    from airflow_provider_hwstatus.transports.requests_transport import SyncTransport

#: Increments a metric.
Counter = Callable[[Count], object]

#: Seconds between two attempts to get a lock that other event loops use, too.
_LOCK_INTERVAL = 0.05


def _no_metrics(counted: Count) -> None:
    """Count nothing."""


class SyncConnection:
    """
    The connection of one hook: a session of its own, and the login that the process shares.

    :param settings: The settings of the connection.
    :param mask: Masks a secret in all logs of this process.
    :param count: Increments a metric.
    :raises ConfigurationError: A field that the method of authentication needs is missing.
    """

    def __init__(self, settings: Settings, mask: Callable[[str], object], count: Counter = _no_metrics) -> None:
        self.client = client_for(settings)
        with _creation_lock:
            self._flights = _flights(settings)
        self._mask = mask
        self._count = count
        self._transport: SyncTransport | None = None
        _connections.add(self)

    def run(self, flow: Flow[T]) -> T:
        """
        Run a flow of this connection's client.

        :raises HwStatusError: The flow raised it. The traceback has no frames of the flow.
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

    def reset_after_fork(self) -> SyncTransport | None:
        """Drop the session in a forked process, and return it, because only the parent may use or close it."""
        inherited, self._transport, self._flights = self._transport, None, _flights(self.client.settings)
        return inherited


class AsyncConnection:
    """
    The connection that all waits in one event loop share; :func:`shared_connection` returns it.

    :param settings: The settings of the connection.
    :param mask: Masks a secret in all logs of this process.
    :param count: Increments a metric.
    :raises ConfigurationError: A field that the method of authentication needs is missing.
    """

    def __init__(
        self,
        settings: Settings,
        mask: Callable[[str], Awaitable[object]],
        count: Counter = _no_metrics,
    ) -> None:
        self.client = client_for(settings)
        self._mask = mask
        self._count = count
        #: Number of waits that use the connection now.
        self.waits = 0
        #: Number of waits that have used it since it was opened.
        self.joined = 0
        self._flights = SingleFlights(_async_lock, _history)
        self._slots = defaultdict[str, PrioritySemaphore](lambda: PrioritySemaphore(settings.max_concurrent_requests))
        self._opening = asyncio.Lock()
        self._transport: AsyncTransport | None = None
        self._handlers: AsyncHandlers | None = None
        _connections.add(self)

    async def run(self, flow: Flow[T]) -> T:
        """
        Run a flow of this connection's client in this event loop.

        :raises HwStatusError: The flow raised it. The traceback has no frames of the flow.
        """
        try:
            return await run_async(flow, self._handlers or await self._open())
        except HwStatusError as error:
            raise without_frames(error)  # noqa: B904  # the same error

    async def _open(self) -> AsyncHandlers:
        async with self._opening:
            if self._handlers is None:
                # In a thread, because importing aiohttp would block the event loop for a third of a second.
                transport = await asyncio.get_running_loop().run_in_executor(None, _async_transport_class)
                self._transport = await transport(self.client).open()
                send = self._transport.send
                self._handlers = AsyncHandlers(send, self._flights, self._slots, self._mask, self._count, sleep_in_step)
            return self._handlers

    async def close(self) -> None:
        """Close the session."""
        if self._transport is not None:
            await self._transport.close()

    def reset_after_fork(self) -> AsyncTransport | None:
        """Drop the session in a forked process, and return it, because only the parent may use or close it."""
        inherited, self._transport, self._handlers = self._transport, None, None
        return inherited


def _async_transport_class() -> type[AsyncTransport]:
    from airflow_provider_hwstatus.transports.aiohttp_transport import AsyncTransport

    return AsyncTransport


#: The connections in use, by event loop.
_in_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Settings, AsyncConnection]] = WeakKeyDictionary()

#: All connections of this process, for :func:`_reset_after_fork`.
_connections: WeakSet[SyncConnection | AsyncConnection] = WeakSet()

#: Transports of the parent process. A reference keeps them open: to close them would end the parent's TLS sessions.
_inherited: list[object] = []

#: Held while a client or the locks of a connection are created.
_creation_lock = threading.Lock()

_records = CredentialRecords(time.monotonic)

#: The lock and the history of each name that all connections, threads and event loops share.
_process_wide: dict[Hashable, tuple[threading.Lock, FlightHistory]] = {}


def _lock_and_history(name: Hashable) -> tuple[threading.Lock, FlightHistory]:
    if not isinstance(name, ProcessWide):
        return threading.Lock(), FlightHistory()
    # Connections with the same key share only errors that can pass. Other errors, such as a wrong project, concern one
    # connection.
    return _process_wide.setdefault(name, (threading.Lock(), FlightHistory(RetryableError)))


def _thread_lock(name: Hashable) -> threading.Lock:
    return _lock_and_history(name)[0]


def _async_lock(name: Hashable) -> asyncio.Lock:
    return _ProcessWideLock(_thread_lock(name)) if isinstance(name, ProcessWide) else asyncio.Lock()


def _history(name: Hashable) -> FlightHistory:
    return _lock_and_history(name)[1]


class _ProcessWideLock(asyncio.Lock):
    """
    A lock of this event loop that also excludes other event loops and threads.

    :param shared: The lock that all of them share. Only the first wait in the queue of this event loop polls it.
    """

    def __init__(self, shared: threading.Lock) -> None:
        super().__init__()
        self._shared = shared

    async def acquire(self) -> Literal[True]:
        await super().acquire()
        try:
            while not self._shared.acquire(blocking=False):  # noqa: ASYNC110  # a thread cannot set an asyncio.Event
                await asyncio.sleep(_LOCK_INTERVAL)
        except BaseException:
            super().release()
            raise
        return True

    def release(self) -> None:
        self._shared.release()
        super().release()


def _reset_after_fork() -> None:
    """In a forked process, drop the parent's sockets, and its locks, which a thread of the parent may hold."""
    _creation_lock.release()
    _process_wide.clear()
    _flights.cache_clear()
    _inherited.extend([connection.reset_after_fork() for connection in list(_connections)])


os.register_at_fork(
    before=_creation_lock.acquire, after_in_parent=_creation_lock.release, after_in_child=_reset_after_fork
)


class shared_connection:  # noqa: N801  # used as a function, like contextlib's
    """
    The connection that all waits in this event loop share, as a context manager. The last wait to leave closes it.

    It is no generator, because each wait keeps one, and a generator takes several objects.

    :param settings: The settings of the connection.
    :param mask: Masks a secret in all logs of this process.
    :param count: Increments a metric.
    :raises ConfigurationError: A field that the method of authentication needs is missing.
    """

    __slots__ = ("_connection", "_connections")

    def __init__(
        self, settings: Settings, mask: Callable[[str], Awaitable[object]], count: Counter = _no_metrics
    ) -> None:
        self._connections = _in_loops.setdefault(asyncio.get_running_loop(), {})
        self._connection = self._connections.get(settings) or AsyncConnection(settings, mask, count)
        self._connections[settings] = self._connection

    async def __aenter__(self) -> AsyncConnection:
        self._connection.waits += 1
        self._connection.joined += 1
        return self._connection

    async def __aexit__(self, *_: object) -> None:
        self._connection.waits -= 1
        if not self._connection.waits:
            del self._connections[self._connection.client.settings]
            await self._connection.close()


def run_with_current_login(
    flow_with: Callable[[Client], Flow[T]],
    connect: Callable[[], SyncConnection],
    has_changed: Callable[[Settings], bool],
) -> T:
    """
    Run a flow. If the login is refused and new credentials have been configured, run the flow again with them.

    :param flow_with: Creates the flow for a client.
    :param connect: Returns the connection, with the credentials that are configured now.
    :param has_changed: Returns whether the configured settings differ from these.
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
    """Do the same as :func:`run_with_current_login`, in an event loop."""
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
    Return whether the login was refused, so that new credentials may help.

    :param replaced: Whether these credentials have replaced refused ones. If they have never been accepted, no further
        ones are tried, because a secrets backend can create new ones at each look-up.
    """
    return is_refused_login(error) and (client.accepted or not replaced)


def client_for(settings: Settings) -> Client:
    """
    Return the client that all connections of this process with these settings share.

    :raises ConfigurationError: A field that the method of authentication needs is missing.
    """
    with _creation_lock:  # without it, lru_cache can create two
        return _client(settings)


@lru_cache(maxsize=64)
def _client(settings: Settings) -> Client:
    return Client(settings, time.time, time.monotonic, _records)


@lru_cache(maxsize=64)
def _flights(settings: Settings) -> SingleFlights[threading.Lock]:
    return SingleFlights(_thread_lock, _history)
