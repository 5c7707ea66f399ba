"""A cache of Airflow connections, because each look-up in a triggerer is a round trip to Airflow's API server."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Hashable
from weakref import WeakKeyDictionary

from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.transports.single_flight import SingleFlights

#: Seconds for which settings are cached. A restarted triggerer starts all its waits within such a time.
LIFETIME = 5.0

#: Seconds for which one look-up serves all waits whose login was refused. Waits on a connection are refused together.
REFRESH_INTERVAL = 1.0


class ConnectionCache:
    """The settings of the connections that one event loop has looked up. Errors are not cached."""

    def __init__(self) -> None:
        self._flights = SingleFlights(lambda key: asyncio.Lock())
        self._cached: dict[Hashable, tuple[float, Settings]] = {}

    async def get(self, key: Hashable, look_up: Callable[[], Awaitable[Settings]]) -> Settings:
        """
        Return the settings for a key. Concurrent calls for the same key share one look-up.

        :param key: Identifies the settings.
        :param look_up: Looks up the settings.
        :raises ConfigurationError: *look_up* raised it.
        """

        async def look_up_unless_cached() -> Settings:
            if cached := self._valid(key):  # another wait was first
                return cached
            settings = await look_up()
            self._cached[key] = (time.monotonic(), settings)
            return settings

        if cached := self._valid(key):
            return cached
        try:
            return await self._flights[key].arun(look_up_unless_cached)
        finally:
            self._flights.forget(key)  # its lock would keep the event loop alive

    async def get_changed(
        self, key: Hashable, look_up: Callable[[], Awaitable[Settings]], used: Settings
    ) -> Settings | None:
        """
        Look up the settings for a key again, and return them; None if they equal *used*.

        :raises ConfigurationError: *look_up* raised it.
        """
        cached_at, cached = self._cached.get(key, (-math.inf, None))
        if cached == used and time.monotonic() >= cached_at + REFRESH_INTERVAL:
            del self._cached[key]
        settings = await self.get(key, look_up)
        return None if settings == used else settings

    def _valid(self, key: Hashable) -> Settings | None:
        cached_at, settings = self._cached.get(key, (0.0, None))
        if settings and time.monotonic() >= cached_at + LIFETIME:
            del self._cached[key]
            return None
        return settings


_in_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, ConnectionCache] = WeakKeyDictionary()


def connection_cache() -> ConnectionCache:
    """Return the cache of the running event loop."""
    return _in_loops.setdefault(asyncio.get_running_loop(), ConnectionCache())
