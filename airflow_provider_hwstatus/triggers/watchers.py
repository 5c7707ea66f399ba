"""Event triggers for Airflow 3's asset watchers: a DAG runs when a job ends, and no task waits for it."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from airflow_provider_hwstatus.core.ends import Ends, Matches
from airflow_provider_hwstatus.core.errors import ConfigurationError, HwStatusError, JobNotFoundError, ThrottledError
from airflow_provider_hwstatus.core.pages import PAGE, REQUESTS_PER_CALL
from airflow_provider_hwstatus.core.request_ends import RequestEnd, look_each
from airflow_provider_hwstatus.core.settings import one_of
from airflow_provider_hwstatus.core.submissions import all_of, expected_from
from airflow_provider_hwstatus.triggers.reading import Tick
from airflow_provider_hwstatus.triggers.watching import Watch, Watcher

_ENDS = ("any", "success", "failure")


class DliBatchWatcher(Watcher):
    """
    Fires once for each DLI batch that ends, for an ``AssetWatcher``.

    The event is ``{"status": …, "owner": …}``: the last status, as a sensor returns it, and who submitted the batch. On
    Airflow 3.3, what was seen is kept in the asset's state store, so that ends are told that come while no triggerer
    runs, and are told again only if a triggerer ends before Airflow has said that it has the event.

    :param name: Pattern of the batch's name, with ``*`` and ``?``; None for any.
    :param queue: Likewise of its queue's.
    :param owner: Likewise of who submitted it.
    :param ends: Which ends to tell: ``any``, ``success`` or ``failure``.
    :param where: ``hwstatus_conn_id``, ``region``, ``project_id`` and ``poke_interval``, as of a sensor.
    :raises ValueError: *ends* is none of these, or a pattern is no text.
    """

    def __init__(
        self,
        name: str | None = None,
        queue: str | None = None,
        owner: str | None = None,
        ends: str = "any",
        **where: Any,
    ) -> None:
        super().__init__(**where)
        self.name = name
        self.queue = queue
        self.owner = owner
        self.ends = one_of("ends", ends, _ENDS)
        self._matches = Matches(name=name, queue=queue, owner=owner)

    def _watched(self) -> dict[str, Any]:
        """Return the arguments that say what is watched."""
        return {"name": self.name, "queue": self.queue, "owner": self.owner, "ends": self.ends}

    async def _watch(self) -> Watch:
        """Begin, or go on where the mark says."""
        arguments = json.dumps(self._watched() | self._place(), sort_keys=True)
        mark = f"hwstatus_{hashlib.sha256(arguments.encode()).hexdigest()[:16]}"
        seen = Ends.from_dict(await self._kept(mark), time.time())
        return _Batches(mark, seen, self._matches, self.ends)


class _Batches:
    def __init__(self, mark: str, seen: Ends, matches: Matches, ends: str) -> None:
        self._mark = mark
        self._seen = seen
        self._matches = matches
        self._ends = ends

    async def look(self, tick: Tick) -> AsyncIterator[dict[str, object]]:
        job_ids = self._seen.take(await tick.rows(self._seen.since), self._matches, time.time())
        errors = list[HwStatusError]()
        for first in range(0, len(job_ids), PAGE):
            for job_id, answer in (await tick.ask(job_ids[first : first + PAGE])).items():
                if isinstance(answer, HwStatusError):
                    errors.append(answer)
                    if isinstance(answer, JobNotFoundError) and job_id not in self._seen.listed:  # it was deleted
                        self._seen.settle(job_id)
                elif answer.over:
                    told = self._seen.settle(job_id)
                    if self._ends in {"any", answer.outcome.value}:
                        status = replace(answer, name=told["name"] or None, queue=told["queue"] or None)
                        yield {"status": status.to_dict(), "owner": told["owner"]}
        if errors:
            raise _gravest(errors)

    def marks(self) -> Mapping[str, object]:
        return {self._mark: self._seen.to_dict()}


class CphRequestWatcher(Watcher):
    """
    Fires once for each CPH request of which all jobs are over, for an ``AssetWatcher``.

    The event is ``{"request_id": …, "outcome": …, "counts": …, "statuses": […]}``: ``success`` if all jobs ended well,
    else ``failure``; how many did what; and the last status of each job. On Airflow 3.3, which requests were told is
    kept in the asset's state store, as of :class:`DliBatchWatcher`.

    :param request_id: The ``request_id`` in the reply to the submission, or a list of them.
    :param expected_jobs: How many jobs each request should have, by its id: a number, or the reply to the submission.
        A request without one is over a minute after the watcher has begun at the earliest: a list that is not complete
        yet looks like one that is.
    :param ends: Which ends to tell: ``any``, ``success`` or ``failure``.
    :param where: ``hwstatus_conn_id``, ``region``, ``project_id`` and ``poke_interval``, as of a sensor.
    :raises ValueError: *ends* is none of these.
    :raises ConfigurationError: Another argument has a value that it cannot have.
    """

    def __init__(
        self,
        request_id: str | Sequence[str],
        expected_jobs: Mapping[str, object] | None = None,
        ends: str = "any",
        **where: Any,
    ) -> None:
        super().__init__(**where)
        self.request_id = all_of("request_id", request_id)
        self.expected_jobs = dict(expected_jobs or {})
        self.ends = one_of("ends", ends, _ENDS)
        if unwatched := self.expected_jobs.keys() - set(self.request_id):
            raise ConfigurationError(
                f"expected_jobs names requests that request_id does not: {sorted(map(str, unwatched))}"
            )
        self._requests()

    def _watched(self) -> dict[str, Any]:
        """Return the arguments that say what is watched."""
        return {"request_id": self.request_id, "expected_jobs": self.expected_jobs, "ends": self.ends}

    async def _watch(self) -> Watch:
        """Begin, or go on where the marks say."""
        requests = self._requests()
        for request in requests:
            request.remember(await self._kept(_mark_of(request, self.ends)), time.time())
        return _Requests(requests, self.ends)

    def _requests(self) -> list[RequestEnd]:
        return [RequestEnd(one, expected_from(self.expected_jobs.get(one))) for one in dict.fromkeys(self.request_id)]


class _Requests:
    def __init__(self, requests: list[RequestEnd], ends: str) -> None:
        self._requests = requests
        self._ends = ends

    async def look(self, tick: Tick) -> AsyncIterator[dict[str, object]]:
        errors = list[HwStatusError]()
        left = [request for request in self._requests if not request.told]
        known = [request.request_id for request in left if request.going]
        going = await tick.going(known) if known else set()
        left = [request for request in left if not request.going & going]
        for first in range(0, len(left), REQUESTS_PER_CALL):
            some = left[first : first + REQUESTS_PER_CALL]
            for request, tally in zip(some, await tick.run(partial(look_each, requests=some)), strict=True):
                if isinstance(tally, HwStatusError):
                    errors.append(tally)
                elif tally and tally.over:
                    request.told = True
                    if self._ends in {"any", tally.outcome.value}:
                        yield {"request_id": request.request_id, "outcome": tally.outcome.value} | tally.to_dict()
        if errors:
            raise _gravest(errors)

    def marks(self) -> Mapping[str, object]:
        return {_mark_of(request, self._ends): request.to_dict() for request in self._requests}


def _gravest(errors: Sequence[HwStatusError]) -> HwStatusError:
    """Return a 429 if there is one, as it puts the next reading off."""
    return next((error for error in errors if isinstance(error, ThrottledError)), errors[0])


def _mark_of(request: RequestEnd, ends: str) -> str:
    return f"hwstatus_{ends}_{request.request_id}"
