"""Event triggers for Airflow 3's asset watchers: a DAG runs when a job ends, and no task waits for it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import TriggerEvent

from airflow_provider_hwstatus.core.ends import Ends, Matches, Row, ask_each, read_since
from airflow_provider_hwstatus.core.errors import HwStatusError, JobNotFoundError
from airflow_provider_hwstatus.core.status import JobStatus
from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook

if TYPE_CHECKING:
    from airflow.triggers.shared_stream import SharedStreamProducer

try:
    from airflow.triggers.base import BaseEventTrigger
except ImportError as error:
    raise ImportError(
        "Asset watchers need Airflow 3; this is an older one, where a DAG can wait with a sensor"
    ) from error

_log = logging.getLogger(__name__)

#: Seconds between two readings at least, and until what was told is stored where Airflow does not say when it is.
SHORTEST_INTERVAL = 1.0
SETTLING = 5.0

#: Seconds that are read more than was asked for: watchers that began together ask for nearly the same.
_SLACK = 60.0

_ENDS = ("any", "success", "failure")


class Tick:
    """One reading of the list, for all watchers of a connection: made when the first of them asks for it."""

    def __init__(self, hook: HwStatusHook) -> None:
        self._hook = hook
        self._turn = asyncio.Lock()
        self._rows: list[Row] = []
        self._since: float | None = None
        self._error: HwStatusError | None = None
        #: Whether there is a newer one.
        self.stale = False
        #: What stores the watermarks, once Airflow has stored the events.
        self.saves: list[Callable[[], Awaitable[None]]] = []

    async def rows(self, since: float) -> list[Row]:
        """
        Return the jobs that were submitted since then, and maybe others.

        :raises HwStatusError: The list could not be read.
        """
        async with self._turn:
            if self._error:  # who asks next has the same
                raise self._error
            if self._since is None or since < self._since:
                try:
                    async with self._hook.get_async_conn() as connection:
                        self._rows = await connection.run(read_since(connection.client, since - _SLACK))
                except HwStatusError as error:
                    self._error = error
                    raise
                self._since = since - _SLACK
            return self._rows

    async def ask(self, job_ids: list[str]) -> dict[str, JobStatus | HwStatusError]:
        """Ask about jobs one by one."""
        async with self._hook.get_async_conn() as connection:
            return await connection.run(ask_each(connection.client, job_ids))

    async def save(self) -> None:
        """Store the watermarks."""
        for save in self.saves:
            try:
                await save()
            except Exception as error:  # noqa: BLE001  # it is stored with the next reading
                _log.warning("A watermark could not be stored: %s", type(error).__name__)


class DliBatchWatcher(BaseEventTrigger):
    """
    Fires once for each DLI batch that ends, for an ``AssetWatcher``.

    The event is ``{"status": …, "owner": …}``: the last status, as a sensor returns it, and who submitted the batch. It
    never fails: what keeps it from an answer is waited out, and logged. On Airflow 3.3, what it has seen is kept in the
    asset's state store, so that ends are told that come while no triggerer runs.

    :param name: Pattern of the batch's name, with ``*`` and ``?``; None for any.
    :param queue: Likewise of its queue's.
    :param owner: Likewise of who submitted it.
    :param ends: Which ends to tell: ``any``, ``success`` or ``failure``.
    :param hwstatus_conn_id: The Airflow connection.
    :param region: Wins over the connection's.
    :param project_id: Wins over the connection's.
    :param poke_interval: Seconds between two readings of the list; watchers with the same connection and interval share
        them.
    :raises ValueError: An argument has a value that it cannot have.
    """

    def __init__(
        self,
        name: str | None = None,
        queue: str | None = None,
        owner: str | None = None,
        ends: str = "any",
        hwstatus_conn_id: str = HwStatusHook.default_conn_name,
        region: str | None = None,
        project_id: str | None = None,
        poke_interval: float = 60.0,
        **_other_releases: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's
        if ends not in _ENDS:
            raise ValueError(f"ends must be {', '.join(map(repr, _ENDS))}; it is {ends!r}")
        self.name = name
        self.queue = queue
        self.owner = owner
        self.ends = ends
        self.hwstatus_conn_id = hwstatus_conn_id
        self.region = region
        self.project_id = project_id
        self.poke_interval = poke_interval
        self._saved: dict[str, object] | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        names = ("name", "queue", "owner", "ends", "hwstatus_conn_id", "region", "project_id", "poke_interval")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    def shared_stream_key(self) -> Hashable | None:
        """Return what watchers have in common that read the list together; asked by Airflow 3.3."""
        return ("hwstatus", self.hwstatus_conn_id, self.region, self.project_id, self.poke_interval)

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> SharedStreamProducer:
        """Return what reads the list for all of them, and has the watermarks stored when Airflow has the events."""
        from airflow_provider_hwstatus.triggers.ticks import Ticks

        watcher = cls(**kwargs)
        return Ticks(lambda: Tick(watcher._hook()), watcher._interval())

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each end that is of interest; go on alone if the shared reading breaks down."""
        seen = await self._load()
        try:
            async for tick in shared_stream:
                if tick.stale:  # many have come together while this watcher was held up
                    continue
                async for event in self._look(tick, seen):
                    yield event
        except Exception as error:  # noqa: BLE001  # a watcher that ends watches no more
            _log.warning("The shared reading ended (%s); this watcher goes on alone", type(error).__name__)
        async for event in self._alone(seen):
            yield event

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each end that is of interest, without an end; for Airflow before 3.3."""
        async for event in self._alone(await self._load()):
            yield event

    async def _alone(self, seen: Ends) -> AsyncIterator[TriggerEvent]:
        while True:
            tick = Tick(self._hook())
            async for event in self._look(tick, seen):
                yield event
            await asyncio.sleep(min(self._interval(), SETTLING))
            await tick.save()
            await asyncio.sleep(max(self._interval() - SETTLING, 0.0))

    async def _look(self, tick: Tick, seen: Ends) -> AsyncIterator[TriggerEvent]:
        try:
            job_ids = seen.take(await tick.rows(seen.since), self._matches())
            answers = await tick.ask(job_ids) if job_ids else {}
        except Exception as error:  # noqa: BLE001  # there is another reading
            _log.warning("Watching DLI batches goes on after an error: %s", error)
            return
        for job_id, answer in answers.items():
            if isinstance(answer, JobNotFoundError):
                seen.settle(job_id)
            elif isinstance(answer, HwStatusError):
                _log.warning("Watching DLI batches goes on after an error: %s", answer)
            elif answer.over:
                told = seen.settle(job_id)
                if self.ends in {"any", answer.outcome.value}:
                    status = replace(answer, name=told["name"] or None, queue=told["queue"] or None)
                    yield TriggerEvent({"status": status.to_dict(), "owner": told["owner"]})
        mark = json.loads(json.dumps(seen.to_dict()))
        tick.saves.append(lambda: self._save(mark))

    async def _load(self) -> Ends:
        """Return what was seen before, once that can be read: to begin anew would lose ends."""
        while True:
            try:
                store = self._store()
                mark = None if store is None else await store.aget(self._key)
                return Ends.from_dict(mark, time.time())
            except Exception as error:  # noqa: BLE001  # an API server that is away comes back
                _log.warning("The watermark could not be read: %s", type(error).__name__)
            await asyncio.sleep(SETTLING)

    async def _save(self, mark: dict[str, object]) -> None:
        store = self._store()
        if store is not None and mark != self._saved:
            await store.aset(self._key, mark)
            self._saved = mark

    def _store(self) -> Any:
        """Return the state store of the asset; of several, one tells for all: they get the same events."""
        stores = getattr(self, "asset_state_store", None)
        by_name = getattr(stores, "_by_name", {})
        return by_name[min(by_name)] if by_name else stores

    @property
    def _key(self) -> str:
        """Name of the watermark: an asset can have several watchers."""
        arguments = json.dumps(self.serialize()[1] | {"poke_interval": None}, sort_keys=True)
        return f"hwstatus_{hashlib.sha256(arguments.encode()).hexdigest()[:16]}"

    def _hook(self) -> HwStatusHook:
        return HwStatusHook(self.hwstatus_conn_id, self.region, self.project_id)

    def _matches(self) -> Matches:
        return Matches(name=self.name, queue=self.queue, owner=self.owner)

    def _interval(self) -> float:
        return max(float(self.poke_interval), SHORTEST_INTERVAL)
