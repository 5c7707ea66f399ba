"""The base class of the event triggers for Airflow 3's asset watchers: shared polls and checkpoints."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import time
from abc import abstractmethod
from collections import defaultdict
from collections.abc import AsyncIterator, Hashable, Mapping
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import TriggerEvent

from airflow_provider_hwstatus.core.protocol.arguments import seconds
from airflow_provider_hwstatus.core.protocol.backoff import Backoff
from airflow_provider_hwstatus.errors import ThrottledError
from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook
from airflow_provider_hwstatus.triggers.shared_poll import SharedPoll, WatcherState

if TYPE_CHECKING:
    from airflow.triggers.shared_stream import SharedStreamProducer

try:
    from airflow.triggers.base import BaseEventTrigger
except ImportError as error:
    raise ImportError("Asset watchers need Airflow 3. On this older Airflow, use a sensor to wait for a job") from error

_log = logging.getLogger(__name__)

#: Whether Airflow lets a watcher name the triggerers that run it (3.4 and newer).
_HAS_TRIGGER_QUEUES = "queue" in inspect.signature(BaseEventTrigger.__init__).parameters

#: Seconds between two polls at least.
SHORTEST_INTERVAL = 1.0

#: Seconds before a checkpoint that could not be loaded is loaded again.
RETRY_PAUSE = 5.0


class Watcher(BaseEventTrigger):
    """
    Fires when jobs end. It never fails: it logs an error once and polls again.

    :param hwstatus_conn_id: The Airflow connection.
    :param region: Replaces the connection's region.
    :param project_id: Replaces the connection's project.
    :param poke_interval: Seconds between two polls. Watchers with the same connection and interval share their polls.
    :param trigger_queue: Only triggerers with this name in their ``--queues`` run the watcher. Needs Airflow 3.4.
    :raises ValueError: *poke_interval* is not a duration, or this Airflow does not support *trigger_queue*.
    """

    def __init__(
        self,
        hwstatus_conn_id: str = HwStatusHook.default_conn_name,
        region: str | None = None,
        project_id: str | None = None,
        poke_interval: timedelta | float = 60.0,
        trigger_queue: str | None = None,
    ) -> None:
        if trigger_queue is not None and not _HAS_TRIGGER_QUEUES:
            raise ValueError("trigger_queue needs Airflow 3.4: on older versions, any triggerer may run a watcher")
        # serialize() leaves the queue out: Airflow stores it beside the arguments, and reads it from self.queue.
        super().__init__(**({} if trigger_queue is None else {"queue": trigger_queue}))  # type: ignore[no-untyped-call]  # Airflow's
        self.hwstatus_conn_id = hwstatus_conn_id
        self.region = region
        self.project_id = project_id
        self.poke_interval = seconds("poke_interval", poke_interval)
        self._stored: dict[str, object] = {}
        self._logged_error: type = type(None)

    @abstractmethod
    def _watched_arguments(self) -> dict[str, Any]:
        """Return the arguments that say which jobs are watched."""

    @abstractmethod
    async def _load_state(self) -> WatcherState:
        """Return the state of the stored checkpoints, or that of a new watcher."""

    def _connection_arguments(self) -> dict[str, Any]:
        """Return the arguments that say which project is watched."""
        return {"hwstatus_conn_id": self.hwstatus_conn_id, "region": self.region, "project_id": self.project_id}

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        arguments = self._watched_arguments() | self._connection_arguments() | {"poke_interval": self.poke_interval}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    def shared_stream_key(self) -> Hashable | None:
        """Return the key of the stream that this watcher shares. Airflow 3.3 and newer calls this."""
        return ("hwstatus", *self._connection_arguments().values(), self.poke_interval)

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> SharedStreamProducer:
        """Return the stream of polls for all watchers with one key. Airflow 3.3 and newer calls this."""
        from airflow_provider_hwstatus.triggers.poll_stream import PollStream

        watcher = cls(**kwargs)
        backoffs, logged = watcher._backoffs(), set[str]()
        return PollStream(lambda: SharedPoll(watcher._hook(), backoffs, logged), watcher._interval())

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """
        Yield an event for each end that is watched.

        Returns when the shared stream ends, or when Airflow drops this watcher because it did not store the events in
        time. Airflow then starts the watcher again. The watcher loads the last checkpoint, and reports ends again that
        Airflow may not have stored. It does not poll alone instead: outside the shared stream, Airflow does not say
        which events it has stored.
        """
        state = await self._start()
        try:
            async for shared_poll in shared_stream:
                if state.events_lost:
                    break
                if shared_poll.stale:  # the watcher was slow, and a newer poll follows
                    continue
                async for event in self._poll_once(state, shared_poll):
                    yield event
        except Exception as error:  # noqa: BLE001  # whatever ended the stream, the watcher starts again
            _log.warning("The shared stream of polls ended: %s", str(error) or type(error).__name__)
        _log.warning("The watcher stops, and Airflow starts it again. Some ends may be reported again.")

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each end that is watched. Airflow before 3.3 calls this, and stores no checkpoints."""
        state, backoffs, logged = await self._start(), self._backoffs(), set[str]()
        while True:
            async for event in self._poll_once(state, SharedPoll(self._hook(), backoffs, logged)):
                yield event
            await asyncio.sleep(self._interval())

    async def _poll_once(self, state: WatcherState, shared_poll: SharedPoll) -> AsyncIterator[TriggerEvent]:
        backoff, started_at = shared_poll.backoffs[type(self)], time.monotonic()
        if backoff.pausing(started_at):
            return
        try:
            async for payload in state.poll(shared_poll):
                shared_poll.reporters.add(state)
                yield TriggerEvent(payload)
            self._log_change(None)
        except Exception as error:  # noqa: BLE001  # the next poll may succeed
            self._log_change(error)
            # Without an HTTP status, the error repeats a 429 that another wait got.
            if isinstance(error, ThrottledError) and error.http_status is not None:
                backoff.failed(started_at, time.monotonic(), error.retry_after)
        checkpoints = {name: json.loads(json.dumps(checkpoint)) for name, checkpoint in state.checkpoints().items()}
        shared_poll.savers[state] = partial(self._store, state, checkpoints, time.time())

    def _backoffs(self) -> Mapping[type, Backoff]:
        """Return a backoff for each class of watchers: a 429 delays the polls of that class only."""
        return defaultdict(lambda: Backoff(2 * self._interval()))

    def _log_change(self, error: Exception | None) -> None:
        """Log the error of a poll, or the end of errors; an error of the same type is not logged again."""
        if type(error) is self._logged_error:
            return
        self._logged_error = type(error)
        if error:
            _log.warning("A watcher's poll failed, and the watcher polls again: %s", str(error) or type(error).__name__)
        else:
            _log.info("The watcher's polls succeed again.")

    async def _start(self) -> WatcherState:
        """Load the checkpoints; retry until that works, because a watcher that starts without them loses ends."""
        while True:
            try:
                return await self._load_state()
            except Exception as error:  # noqa: BLE001  # Airflow's API server may be down for a while
                _log.warning("A watcher's checkpoint could not be loaded: %s", str(error) or type(error).__name__)
            await asyncio.sleep(RETRY_PAUSE)

    async def _load(self, name: str) -> object:
        """Return the checkpoint that is stored under a key; None if there is none, or no store."""
        for store in self._stores():
            if (checkpoint := await store.aget(name)) is not None:
                return checkpoint
        return None

    async def _store(self, state: WatcherState, checkpoints: Mapping[str, dict[str, object]], taken_at: float) -> None:
        """
        Store the checkpoints that have changed.

        :param checkpoints: JSON objects by the key under which each is stored.
        :param taken_at: When they were taken, in seconds since 1970.
        """
        for name, checkpoint in checkpoints.items():
            if checkpoint != self._stored.get(name):
                for store in self._stores():
                    await store.aset(name, checkpoint | {"saved_at": taken_at})
                self._stored[name] = checkpoint
        state.saved_at = taken_at

    def _stores(self) -> list[Any]:
        """
        Return the state stores of all assets that have this watcher; none before Airflow 3.3.

        Each store gets every checkpoint, because an asset may be removed.
        """
        stores: Any = getattr(self, "asset_state_store", None)
        by_name = getattr(stores, "_by_name", {})
        return [by_name[name] for name in sorted(by_name)] or ([] if stores is None else [stores])

    def _hook(self) -> HwStatusHook:
        return HwStatusHook(self.hwstatus_conn_id, self.region, self.project_id)

    def _interval(self) -> float:
        return max(self.poke_interval, SHORTEST_INTERVAL)
