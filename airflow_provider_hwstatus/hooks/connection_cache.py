"""Looking connections up once for many waits: in a triggerer, each look-up is a round trip to Airflow's API server."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Hashable
from weakref import WeakKeyDictionary

from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.transports.single_flight import SingleFlights

#: Seconds for which what was found is used again: a restarted triggerer begins all of its waits at once.
MEMORY = 5.0

#: Seconds in which waits whose login was refused share one look-up: all of a connection are refused together.
CROWD = 1.0


class ConnectionCache:
    """What one event loop has found. What could not be found is looked up again."""

    def __init__(self) -> None:
        self._turns = SingleFlights(lambda name: asyncio.Lock())
        self._found: dict[Hashable, tuple[float, Settings]] = {}

    async def get(self, name: Hashable, look_up: Callable[[], Awaitable[Settings]]) -> Settings:
        """
        Return the settings of that name; those who ask at the same time share one look-up.

        :raises ConfigurationError: They could not be found.
        """

        async def unless_found() -> Settings:
            if found := self._remembered(name):  # another wait was first
                return found
            settings = await look_up()
            self._found[name] = (time.monotonic(), settings)
            return settings

        if found := self._remembered(name):
            return found
        try:
            return await self._turns[name].arun(unless_found)
        finally:
            self._turns.forget(name)  # its lock would keep the event loop alive

    async def get_changed(
        self, name: Hashable, look_up: Callable[[], Awaitable[Settings]], used: Settings
    ) -> Settings | None:
        """
        Look up the settings of that name again; return them if they are not those that were *used*.

        :raises ConfigurationError: They could not be found.
        """
        found_at, found = self._found.get(name, (-math.inf, None))
        if found == used and time.monotonic() >= found_at + CROWD:
            del self._found[name]
        settings = await self.get(name, look_up)
        return None if settings == used else settings

    def _remembered(self, name: Hashable) -> Settings | None:
        found_at, settings = self._found.get(name, (0.0, None))
        if settings and time.monotonic() >= found_at + MEMORY:
            del self._found[name]
            return None
        return settings


_in_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, ConnectionCache] = WeakKeyDictionary()


def connection_cache() -> ConnectionCache:
    """Return those of the running event loop."""
    return _in_loops.setdefault(asyncio.get_running_loop(), ConnectionCache())
