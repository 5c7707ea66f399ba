"""What event triggers for Airflow 3's asset watchers have in common: shared readings, and marks of what was told."""

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
from airflow_provider_hwstatus.triggers.shared_poll import SharedPoll, Watch

if TYPE_CHECKING:
    from airflow.triggers.shared_stream import SharedStreamProducer

try:
    from airflow.triggers.base import BaseEventTrigger
except ImportError as error:
    raise ImportError(
        "Asset watchers need Airflow 3; this is an older one, where a DAG can wait with a sensor"
    ) from error

_log = logging.getLogger(__name__)

_TAKES_QUEUE = "queue" in inspect.signature(BaseEventTrigger.__init__).parameters

#: Seconds between two readings at least, and before what was seen is asked for again where it could not be read.
SHORTEST_INTERVAL = 1.0
RETRY_PAUSE = 5.0


class Watcher(BaseEventTrigger):
    """
    Fires when jobs end. It never fails: what keeps it from an answer is waited out, and logged when that changes.

    :param hwstatus_conn_id: The Airflow connection.
    :param region: Wins over the connection's.
    :param project_id: Wins over the connection's.
    :param poke_interval: Seconds between two readings; watchers with the same connection and interval share them.
    :param trigger_queue: Airflow's name for the triggerers that may run the watcher: those that list it in their
        ``--queues``. Needs Airflow 3.4.
    :raises ValueError: *poke_interval* is no duration, or Airflow has no queues for watchers.
    """

    def __init__(
        self,
        hwstatus_conn_id: str = HwStatusHook.default_conn_name,
        region: str | None = None,
        project_id: str | None = None,
        poke_interval: timedelta | float = 60.0,
        trigger_queue: str | None = None,
    ) -> None:
        if trigger_queue is not None and not _TAKES_QUEUE:
            raise ValueError("trigger_queue needs Airflow 3.4: before it, any triggerer runs a watcher")
        # Not among the arguments of serialize(): Airflow keeps it beside them, and reads it from self.queue.
        super().__init__(**({} if trigger_queue is None else {"queue": trigger_queue}))  # type: ignore[no-untyped-call]  # Airflow's
        self.hwstatus_conn_id = hwstatus_conn_id
        self.region = region
        self.project_id = project_id
        self.poke_interval = seconds("poke_interval", poke_interval)
        self._stored: dict[str, object] = {}
        self._said: type = type(None)

    @abstractmethod
    def _watched(self) -> dict[str, Any]:
        """Return the arguments that say what is watched."""

    @abstractmethod
    async def _watch(self) -> Watch:
        """
        Begin, or go on where :attr:`asset_state_store` says.

        :raises ConfigurationError: An argument cannot be one.
        """

    def _place(self) -> dict[str, Any]:
        """Return the arguments that say where it is watched."""
        return {"hwstatus_conn_id": self.hwstatus_conn_id, "region": self.region, "project_id": self.project_id}

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        arguments = self._watched() | self._place() | {"poke_interval": self.poke_interval}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    def shared_stream_key(self) -> Hashable | None:
        """Return what watchers have in common that read together; asked by Airflow 3.3."""
        return ("hwstatus", *self._place().values(), self.poke_interval)

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> SharedStreamProducer:
        """Return what reads for all of them, and has the marks stored when Airflow has the events."""
        from airflow_provider_hwstatus.triggers.poll_stream import PollStream

        watcher = cls(**kwargs)
        backoffs, said = watcher._backoffs(), set[str]()
        return PollStream(lambda: SharedPoll(watcher._hook(), backoffs, said), watcher._interval())

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """
        Yield an event for each end that is of interest.

        It returns where the shared stream ends, or where Airflow takes this watcher out of it because its events were
        not stored in time. Airflow then starts the watcher again, from the stored marks, and ends that may not have
        been stored are reported once more. A watcher that read alone would never hear which of its events are stored.
        """
        watch = await self._begin()
        try:
            async for shared_poll in shared_stream:
                if watch.unstored:
                    break
                if shared_poll.stale:  # this watcher was held up: there is a later one
                    continue
                async for event in self._poll_once(watch, shared_poll):
                    yield event
        except Exception as error:  # noqa: BLE001  # whatever ended it
            _log.warning("The shared reading ended: %s", str(error) or type(error).__name__)
        _log.warning("This watcher ends, and Airflow starts it again: some ends may be reported again")

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each end that is of interest, for ever; for Airflow before 3.3, which stores no marks."""
        watch, backoffs, said = await self._begin(), self._backoffs(), set[str]()
        while True:
            async for event in self._poll_once(watch, SharedPoll(self._hook(), backoffs, said)):
                yield event
            await asyncio.sleep(self._interval())

    async def _poll_once(self, watch: Watch, shared_poll: SharedPoll) -> AsyncIterator[TriggerEvent]:
        backoff, asked_at = shared_poll.backoffs[type(self)], time.monotonic()
        if backoff.pausing(asked_at):
            return
        try:
            async for payload in watch.poll(shared_poll):
                shared_poll.told.add(watch)
                yield TriggerEvent(payload)
            self._say(None)
        except Exception as error:  # noqa: BLE001  # there is another reading
            self._say(error)
            if isinstance(error, ThrottledError) and error.http_status is not None:  # else another wait was told so
                backoff.failed(asked_at, time.monotonic(), error.retry_after)
        checkpoints = {name: json.loads(json.dumps(checkpoint)) for name, checkpoint in watch.checkpoints().items()}
        shared_poll.saves[watch] = partial(self._keep, watch, checkpoints, time.time())

    def _backoffs(self) -> Mapping[type, Backoff]:
        """Return, for each kind of watcher, how soon it reads again after a 429."""
        return defaultdict(lambda: Backoff(2 * self._interval()))

    def _say(self, error: Exception | None) -> None:
        """Log an error, and that it is over, but not each time that it is the same."""
        if type(error) is not self._said:
            self._said = type(error)
            if error:
                _log.warning("Watching goes on after an error: %s", str(error) or type(error).__name__)
            else:
                _log.info("Watching goes on; all is answered again")

    async def _begin(self) -> Watch:
        """Begin once what was seen before can be read: to begin anew would lose ends."""
        while True:
            try:
                return await self._watch()
            except Exception as error:  # noqa: BLE001  # an API server that is away comes back
                _log.warning("What this watcher has seen could not be read: %s", str(error) or type(error).__name__)
            await asyncio.sleep(RETRY_PAUSE)

    async def _kept(self, name: str) -> object:
        """Return the mark that was stored under a name; None if there is none, or no place for it."""
        for store in self._stores():
            if (checkpoint := await store.aget(name)) is not None:
                return checkpoint
        return None

    async def _keep(self, watch: Watch, checkpoints: Mapping[str, dict[str, object]], taken_at: float) -> None:
        """
        Store the marks that have changed.

        :param taken_at: Seconds since 1970.
        """
        for name, checkpoint in checkpoints.items():
            if checkpoint != self._stored.get(name):
                for store in self._stores():
                    await store.aset(name, checkpoint | {"saved": taken_at})
                self._stored[name] = checkpoint
        watch.saved_at = taken_at

    def _stores(self) -> list[Any]:
        """Return the state store of each asset that has this watcher: they get the same events, and may come and go."""
        stores: Any = getattr(self, "asset_state_store", None)
        by_name = getattr(stores, "_by_name", {})
        return [by_name[name] for name in sorted(by_name)] or ([] if stores is None else [stores])

    def _hook(self) -> HwStatusHook:
        return HwStatusHook(self.hwstatus_conn_id, self.region, self.project_id)

    def _interval(self) -> float:
        return max(self.poke_interval, SHORTEST_INTERVAL)
