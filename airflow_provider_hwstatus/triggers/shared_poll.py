"""What the watchers of one connection poll together in one interval."""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_hwstatus.core.protocol.responses import utc
from airflow_provider_hwstatus.core.watching.batch_watermark import list_batches, poll_batches
from airflow_provider_hwstatus.core.watching.request_watermark import list_jobs_in_progress
from airflow_provider_hwstatus.errors import DeadlineError, HwStatusError

if TYPE_CHECKING:
    from airflow_provider_hwstatus.core.connection.client import Client
    from airflow_provider_hwstatus.core.polling.job_lists import Row
    from airflow_provider_hwstatus.core.polling.job_status import JobStatus
    from airflow_provider_hwstatus.core.protocol.backoff import Backoff
    from airflow_provider_hwstatus.core.protocol.effects import Flow
    from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook

_log = logging.getLogger(__name__)

_Result = TypeVar("_Result")

#: Seconds for all requests of one shared poll. Airflow drops a subscriber that takes longer than 300 s.
POLL_TIMEOUT = 200.0

#: Seconds by which the list begins before the time asked for: watchers that started together ask for similar times.
_SLACK = 60.0

#: Seconds in which watchers add their requests to the list of jobs, so that one call reads it for all of them.
_GATHERING = 0.1


class WatcherState(ABC):
    """What one running watcher knows."""

    def __init__(self) -> None:
        #: When the last stored checkpoints were taken, in seconds since 1970.
        self.saved_at = 0.0
        #: Whether Airflow may have lost some of the watcher's events. Then its checkpoints must not be stored either.
        self.events_lost = False

    @abstractmethod
    def poll(self, shared_poll: SharedPoll) -> AsyncIterator[dict[str, object]]:
        """
        Yield the payload of an event for each new end.

        :raises HwStatusError: Some jobs could not be polled. The ends of the others are yielded before.
        """

    @abstractmethod
    def checkpoints(self) -> Mapping[str, dict[str, object]]:
        """Return the checkpoints, as JSON objects by the key under which each is stored."""

    def repeat_limit(self, loaded_at: float) -> dict[str, object]:
        """
        Return the payload's field that says how old an earlier report of the same end can be.

        :param loaded_at: When the checkpoint that the watcher started with was taken, in seconds since 1970.
        """
        return {"first_reported_after": utc(max(loaded_at, self.saved_at))}


class SharedPoll:
    """
    One poll that all watchers of a connection share: each HTTP request is sent once for all of them.

    :param backoffs: For each class of watchers, whether it skips this poll.
    :param logged: Remarks on the list of batches that have been logged before; grows.
    """

    def __init__(self, hook: HwStatusHook, backoffs: Mapping[type, Backoff], logged: set[str]) -> None:
        self.backoffs = backoffs
        #: Whether there is a newer poll.
        self.stale = False
        #: The watchers that reported an end in this poll.
        self.reporters: set[WatcherState] = set()
        #: What stores the checkpoints of each watcher, to be called once Airflow has stored the events.
        self.savers: dict[WatcherState, Callable[[], Awaitable[None]]] = {}
        self._hook = hook
        self._logged = logged
        self._lock = asyncio.Lock()
        self._until = time.monotonic() + POLL_TIMEOUT
        self._project_id: str | None = None
        self._batches: Sequence[Row] = ()
        self._batches_since: float | None = None
        self._batches_error: HwStatusError | None = None
        self._statuses: dict[str, JobStatus | HwStatusError] = {}
        self._request_ids: dict[str, None] = {}
        self._jobs_in_progress: asyncio.Task[set[str]] | None = None

    async def run(self, flow_with: Callable[[Client], Flow[_Result]]) -> _Result:
        """
        Run a flow on the connection that all waits share.

        :raises HwStatusError: The flow failed, or the poll takes longer than :data:`POLL_TIMEOUT`.
        """
        try:
            async with asyncio.timeout(self._until - time.monotonic()):
                return await self._hook.arun(lambda connection: flow_with(connection.client))
        except TimeoutError as error:
            raise DeadlineError(f"no answer within {POLL_TIMEOUT:g} s; the next poll asks again") from error

    async def project_id(self) -> str:
        """
        Return the project that the connection names.

        :raises HwStatusError: The project could not be looked up.
        """
        async with self._lock:
            if self._project_id is None:
                self._project_id = await self.run(lambda client: client.project_id())
            return self._project_id

    async def batches(self, since: float) -> Sequence[Row]:
        """
        Return the rows of the project's batches that were submitted since a time, and maybe older ones.

        :param since: Seconds since 1970.
        :raises HwStatusError: The list could not be read. It is not read again in this poll.
        """
        project_id = await self.project_id()
        async with self._lock:
            if self._batches_error:
                raise self._batches_error
            if self._batches_since is None or since < self._batches_since:
                await self._list_batches(project_id, since - _SLACK)
            return self._batches

    async def _list_batches(self, project_id: str, since: float) -> None:
        try:
            found = await self.run(partial(list_batches, project_id=project_id, since=since))
        except HwStatusError as error:
            self._batches_error = error
            raise
        self._batches, self._batches_since = found.rows, since
        if found.remark and found.remark not in self._logged:
            self._logged.add(found.remark)
            _log.warning("%s", found.remark)

    async def poll_batches(self, job_ids: Sequence[str]) -> dict[str, JobStatus | HwStatusError]:
        """
        Poll each batch by itself, once for all watchers.

        :return: The status of each batch, or why it could not be polled, by id.
        :raises HwStatusError: No batch could be polled.
        """
        project_id = await self.project_id()
        async with self._lock:
            if left := [job_id for job_id in job_ids if job_id not in self._statuses]:
                self._statuses |= await self.run(partial(poll_batches, project_id=project_id, job_ids=left))
            return {job_id: self._statuses[job_id] for job_id in job_ids}

    async def jobs_in_progress(self, request_ids: Iterable[str]) -> set[str]:
        """
        Return ids of jobs of CPH requests that are in progress; some may be missing.

        :raises HwStatusError: The list of jobs could not be read.
        """
        self._request_ids |= dict.fromkeys(request_ids)
        if self._jobs_in_progress is None:
            self._jobs_in_progress = asyncio.create_task(self._list_jobs_in_progress())
        return await asyncio.shield(self._jobs_in_progress)

    async def _list_jobs_in_progress(self) -> set[str]:
        await asyncio.sleep(_GATHERING)
        return await self.run(partial(list_jobs_in_progress, request_ids=list(self._request_ids)))

    async def save(self) -> None:
        """Store the watchers' checkpoints: Airflow has stored all events of this poll."""
        for state, save in self.savers.items():
            if state.events_lost:
                continue
            try:
                await save()
            except Exception as error:  # noqa: BLE001  # the next poll stores it
                _log.warning("A watcher's checkpoint could not be stored: %s", type(error).__name__)

    def fail(self) -> None:
        """Make each watcher that reported an end start again: Airflow does not say whose events it has not stored."""
        for state in self.reporters:
            state.events_lost = True
