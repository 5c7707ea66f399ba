"""What event triggers for Airflow 3's asset watchers have in common: shared readings, and marks of what was told."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from airflow.triggers.base import TriggerEvent

from airflow_provider_hwstatus.core.ends import Row, ask_each, read_since
from airflow_provider_hwstatus.core.errors import DeadlineError, HwStatusError
from airflow_provider_hwstatus.core.request_ends import read_going
from airflow_provider_hwstatus.core.settings import seconds
from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook

if TYPE_CHECKING:
    from airflow.triggers.shared_stream import SharedStreamProducer

    from airflow_provider_hwstatus.core.client import Client
    from airflow_provider_hwstatus.core.messages import Flow
    from airflow_provider_hwstatus.core.status import JobStatus

try:
    from airflow.triggers.base import BaseEventTrigger
except ImportError as error:
    raise ImportError(
        "Asset watchers need Airflow 3; this is an older one, where a DAG can wait with a sensor"
    ) from error

_log = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")

#: Seconds between two readings at least, and until what was told is stored where Airflow does not say when it is.
SHORTEST_INTERVAL = 1.0
SETTLING = 5.0

#: Seconds for all that is asked in one interval: whoever is not done after 300 shares no reading of Airflow's again.
LONGEST_READING = 200.0

#: Seconds that are read more than was asked for: watchers that began together ask for nearly the same.
_SLACK = 60.0

#: Seconds in which all watchers that are awake say which requests they watch, so that they are read together.
_GATHERING = 0.1


class Tick:
    """What all watchers of a connection read in one interval, and when what they told is known to be stored."""

    def __init__(self, hook: HwStatusHook) -> None:
        self._hook = hook
        self._turn = asyncio.Lock()
        self._rows: list[Row] = []
        self._since: float | None = None
        self._error: HwStatusError | None = None
        self._until = time.monotonic() + LONGEST_READING
        self._answers: dict[str, JobStatus | HwStatusError] = {}
        self._watched: dict[str, None] = {}
        self._going: asyncio.Task[set[str]] | None = None
        #: Whether there is a newer one.
        self.stale = False
        #: What stores the marks, once Airflow has stored the events.
        self.saves: list[Callable[[], Awaitable[None]]] = []

    async def run(self, flow_with: Callable[[Client], Flow[_Answer]]) -> _Answer:
        """
        Ask something, over the connection that all waits share.

        :raises HwStatusError: It could not be answered, or not soon enough.
        """
        try:
            async with asyncio.timeout(self._until - time.monotonic()), self._hook.get_async_conn() as connection:
                return await connection.run(flow_with(connection.client))
        except TimeoutError as error:
            raise DeadlineError(f"not answered within {LONGEST_READING:g} s; it is asked again") from error

    async def rows(self, since: float) -> list[Row]:
        """
        Return the batches that were submitted since then, and maybe others.

        :raises HwStatusError: The list could not be read.
        """
        async with self._turn:
            if self._error:  # who asks next has the same
                raise self._error
            if self._since is None or since < self._since:
                try:
                    self._rows = await self.run(partial(read_since, since=since - _SLACK))
                except HwStatusError as error:
                    self._error = error
                    raise
                self._since = since - _SLACK
            return self._rows

    async def ask(self, job_ids: Sequence[str]) -> dict[str, JobStatus | HwStatusError]:
        """
        Ask about each batch by itself, once for all who watch it.

        :raises HwStatusError: Nothing could be asked.
        """
        async with self._turn:
            if left := [job_id for job_id in job_ids if job_id not in self._answers]:
                self._answers |= await self.run(partial(ask_each, job_ids=left))
            return {job_id: self._answers[job_id] for job_id in job_ids}

    async def going(self, request_ids: Iterable[str]) -> set[str]:
        """
        Return ids of jobs of CPH requests that go on: none that does not, but maybe not all.

        :raises HwStatusError: They could not be read.
        """
        self._watched |= dict.fromkeys(request_ids)
        if self._going is None:
            self._going = asyncio.create_task(self._read_going())
        return await asyncio.shield(self._going)

    async def _read_going(self) -> set[str]:
        await asyncio.sleep(_GATHERING)
        return await self.run(partial(read_going, request_ids=list(self._watched)))

    async def save(self) -> None:
        """Store the marks."""
        for save in self.saves:
            try:
                await save()
            except Exception as error:  # noqa: BLE001  # it is stored with the next reading
                _log.warning("What a watcher has seen could not be stored: %s", type(error).__name__)


class Watch(Protocol):
    """What one watcher has seen."""

    def look(self, tick: Tick) -> AsyncIterator[dict[str, object]]:
        """
        Yield what to tell of each end.

        :raises HwStatusError: Not all could be answered; what was, is told before.
        """

    def marks(self) -> Mapping[str, object]:
        """Return what has been seen, as JSON by the name under which it is kept."""


class Watcher(BaseEventTrigger):
    """
    Fires when jobs end. It never fails: what keeps it from an answer is waited out, and logged when that changes.

    :param hwstatus_conn_id: The Airflow connection.
    :param region: Wins over the connection's.
    :param project_id: Wins over the connection's.
    :param poke_interval: Seconds between two readings; watchers with the same connection and interval share them.
    :raises ValueError: *poke_interval* is no duration.
    """

    def __init__(
        self,
        hwstatus_conn_id: str = HwStatusHook.default_conn_name,
        region: str | None = None,
        project_id: str | None = None,
        poke_interval: timedelta | float = 60.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's
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
        from airflow_provider_hwstatus.triggers.ticks import Ticks

        watcher = cls(**kwargs)
        return Ticks(lambda: Tick(watcher._hook()), watcher._interval())

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each end that is of interest; go on alone if the shared reading breaks down."""
        watch = await self._begin()
        try:
            async for tick in shared_stream:
                if tick.stale:  # many have come together while this watcher was held up
                    continue
                async for event in self._look(watch, tick):
                    yield event
        except Exception as error:  # noqa: BLE001  # a watcher that ends watches no more
            _log.warning("The shared reading ended (%s); this watcher goes on alone", type(error).__name__)
        async for event in self._alone(watch):
            yield event

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each end that is of interest, without an end; for Airflow before 3.3."""
        async for event in self._alone(await self._begin()):
            yield event

    async def _alone(self, watch: Watch) -> AsyncIterator[TriggerEvent]:
        while True:
            tick = Tick(self._hook())
            async for event in self._look(watch, tick):
                yield event
            await asyncio.sleep(min(self._interval(), SETTLING))
            await tick.save()
            await asyncio.sleep(max(self._interval() - SETTLING, 0.0))

    async def _look(self, watch: Watch, tick: Tick) -> AsyncIterator[TriggerEvent]:
        try:
            async for payload in watch.look(tick):
                yield TriggerEvent(payload)
            self._say(None)
        except Exception as error:  # noqa: BLE001  # there is another reading
            self._say(error)
        marks = {name: json.loads(json.dumps(mark)) for name, mark in watch.marks().items()}
        tick.saves.append(partial(self._keep, marks))

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
            await asyncio.sleep(SETTLING)

    async def _kept(self, name: str) -> object:
        """Return the mark that was stored under a name; None if there is none, or no place for it."""
        for store in self._stores():
            if (mark := await store.aget(name)) is not None:
                return mark
        return None

    async def _keep(self, marks: Mapping[str, object]) -> None:
        for name, mark in marks.items():
            if mark != self._stored.get(name):
                for store in self._stores():
                    await store.aset(name, mark)
                self._stored[name] = mark

    def _stores(self) -> list[Any]:
        """Return the state store of each asset that has this watcher: they get the same events, and may come and go."""
        stores: Any = getattr(self, "asset_state_store", None)
        by_name = getattr(stores, "_by_name", {})
        return [by_name[name] for name in sorted(by_name)] or ([] if stores is None else [stores])

    def _hook(self) -> HwStatusHook:
        return HwStatusHook(self.hwstatus_conn_id, self.region, self.project_id)

    def _interval(self) -> float:
        return max(self.poke_interval, SHORTEST_INTERVAL)
