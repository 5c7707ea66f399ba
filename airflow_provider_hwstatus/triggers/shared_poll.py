"""What watchers read in one interval, together."""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_hwstatus.core.protocol.responses import utc
from airflow_provider_hwstatus.core.watching.batch_watermark import poll_each_batch, read_batches
from airflow_provider_hwstatus.core.watching.request_watermark import read_going
from airflow_provider_hwstatus.errors import DeadlineError, HwStatusError

if TYPE_CHECKING:
    from airflow_provider_hwstatus.core.connection.client import Client
    from airflow_provider_hwstatus.core.polling.job_lists import Row
    from airflow_provider_hwstatus.core.polling.job_status import JobStatus
    from airflow_provider_hwstatus.core.protocol.backoff import Backoff
    from airflow_provider_hwstatus.core.protocol.effects import Flow
    from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook

_log = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")

#: Seconds for all that is asked in one interval: whoever is not done after 300 shares no reading of Airflow's again.
LONGEST_READING = 200.0

#: Seconds that are read more than was asked for: watchers that began together ask for nearly the same.
_SLACK = 60.0

#: Seconds in which all watchers that are awake say which requests they watch, so that they are read together.
_GATHERING = 0.1


class Watch(ABC):
    """What one watcher has seen."""

    def __init__(self) -> None:
        #: When the marks were taken that were stored last, in seconds since 1970.
        self.saved_at = 0.0
        #: Whether Airflow may not have stored all its events, so that its marks must not be stored either.
        self.unstored = False

    @abstractmethod
    def poll(self, shared_poll: SharedPoll) -> AsyncIterator[dict[str, object]]:
        """
        Yield what to tell of each end.

        :raises HwStatusError: Not all could be answered; what was, is told before.
        """

    @abstractmethod
    def checkpoints(self) -> Mapping[str, dict[str, object]]:
        """Return what has been seen, as JSON by the name under which it is kept."""

    def first_after(self, saved: float) -> dict[str, object]:
        """
        Return what an event says about earlier ones: it may repeat one that is not older than this, and no other.

        :param saved: When the mark was taken with which the watcher began, in seconds since 1970.
        """
        return {"first_reported_after": utc(max(saved, self.saved_at))}


class SharedPoll:
    """
    What all watchers of a connection read in one interval, and when what they told is known to be stored.

    :param backoffs: Which kinds of watchers are to leave this reading out.
    :param said: Remarks on the list of batches that have been logged.
    """

    def __init__(self, hook: HwStatusHook, backoffs: Mapping[type, Backoff], said: set[str]) -> None:
        self._hook = hook
        self.backoffs = backoffs
        self._said = said
        self._turn = asyncio.Lock()
        self._project_id: str | None = None
        self._rows: Sequence[Row] = ()
        self._since: float | None = None
        self._error: HwStatusError | None = None
        self._until = time.monotonic() + LONGEST_READING
        self._answers: dict[str, JobStatus | HwStatusError] = {}
        self._watched: dict[str, None] = {}
        self._going: asyncio.Task[set[str]] | None = None
        #: Whether there is a newer one.
        self.stale = False
        #: Which watchers have told something in it, and what stores the marks of each once Airflow has the events.
        self.told: set[Watch] = set()
        self.saves: dict[Watch, Callable[[], Awaitable[None]]] = {}

    async def run(self, flow_with: Callable[[Client], Flow[_Answer]]) -> _Answer:
        """
        Ask something, over the connection that all waits share.

        :raises HwStatusError: It could not be answered, or not soon enough.
        """
        try:
            async with asyncio.timeout(self._until - time.monotonic()):
                return await self._hook.arun(lambda connection: flow_with(connection.client))
        except TimeoutError as error:
            raise DeadlineError(f"not answered within {LONGEST_READING:g} s; it is asked again") from error

    async def project_id(self) -> str:
        """
        Return the project that the connection names.

        :raises HwStatusError: It could not be looked up.
        """
        async with self._turn:
            if self._project_id is None:
                self._project_id = await self.run(lambda client: client.project_id())
            return self._project_id

    async def rows(self, since: float) -> Sequence[Row]:
        """
        Return the project's batches that were submitted since then, and maybe others.

        :raises HwStatusError: The list could not be read.
        """
        project_id = await self.project_id()
        async with self._turn:
            if self._error:  # who asks next has the same
                raise self._error
            if self._since is None or since < self._since:
                try:
                    found = await self.run(partial(read_batches, project_id=project_id, since=since - _SLACK))
                except HwStatusError as error:
                    self._error = error
                    raise
                self._rows, self._since = found.rows, since - _SLACK
                if found.remark and found.remark not in self._said:
                    self._said.add(found.remark)
                    _log.warning("%s", found.remark)
            return self._rows

    async def ask(self, job_ids: Sequence[str]) -> dict[str, JobStatus | HwStatusError]:
        """
        Ask about each of the project's batches by itself, once for all who watch it.

        :raises HwStatusError: Nothing could be asked.
        """
        project_id = await self.project_id()
        async with self._turn:
            if left := [job_id for job_id in job_ids if job_id not in self._answers]:
                self._answers |= await self.run(partial(poll_each_batch, project_id=project_id, job_ids=left))
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
        """Store the marks: Airflow has stored all events of this reading."""
        for watch, save in self.saves.items():
            if watch.unstored:
                continue
            try:
                await save()
            except Exception as error:  # noqa: BLE001  # it is stored with the next reading
                _log.warning("What a watcher has seen could not be stored: %s", type(error).__name__)

    def fail(self) -> None:
        """Have those begin anew who told something: some of it may not be stored, and Airflow does not say whose."""
        for watch in self.told:
            watch.unstored = True
