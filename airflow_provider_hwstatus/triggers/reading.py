"""What watchers read in one interval, together."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_hwstatus.core.ends import Row, ask_each, read_since
from airflow_provider_hwstatus.core.errors import DeadlineError, HwStatusError
from airflow_provider_hwstatus.core.request_ends import read_going

if TYPE_CHECKING:
    from airflow_provider_hwstatus.core.backoff import Backoff
    from airflow_provider_hwstatus.core.client import Client
    from airflow_provider_hwstatus.core.messages import Flow
    from airflow_provider_hwstatus.core.status import JobStatus
    from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook

_log = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")

#: Seconds for all that is asked in one interval: whoever is not done after 300 shares no reading of Airflow's again.
LONGEST_READING = 200.0

#: Seconds that are read more than was asked for: watchers that began together ask for nearly the same.
_SLACK = 60.0

#: Seconds in which all watchers that are awake say which requests they watch, so that they are read together.
_GATHERING = 0.1


class Tick:
    """What all watchers of a connection read in one interval, and when what they told is known to be stored."""

    def __init__(self, hook: HwStatusHook, backoffs: Mapping[type, Backoff]) -> None:
        self._hook = hook
        #: Which kinds of watchers are to leave this reading out.
        self.backoffs = backoffs
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
