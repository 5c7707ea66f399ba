"""Event triggers for Airflow 3's asset watchers: a DAG runs when a job ends, and no task waits for it."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from airflow_provider_hwstatus.core.polling.expected_jobs import expected_from
from airflow_provider_hwstatus.core.polling.job_ids import all_of
from airflow_provider_hwstatus.core.polling.job_lists import PAGE, REQUESTS_PER_CALL
from airflow_provider_hwstatus.core.protocol.arguments import one_of
from airflow_provider_hwstatus.core.protocol.responses import is_unknown_to_service
from airflow_provider_hwstatus.core.watching.batch_watermark import BatchWatermark, Matches
from airflow_provider_hwstatus.core.watching.request_watermark import RequestWatermark, poll_each
from airflow_provider_hwstatus.errors import ConfigurationError, HwStatusError, ThrottledError
from airflow_provider_hwstatus.triggers.base_watcher import Watcher
from airflow_provider_hwstatus.triggers.shared_poll import SharedPoll, Watch

_ENDS = ("any", "success", "failure")

#: Ends that one reading reports, or a few more: Airflow stores events one by one, and those of a reading within 300 s.
MOST_ENDS = 500


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
    :param where: ``hwstatus_conn_id``, ``region``, ``project_id`` and ``poke_interval``, as of a sensor; and
        ``trigger_queue``, on Airflow 3.4: only triggerers that list it in their ``--queues`` run the watcher.
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
        self.dli_queue = queue  # self.queue is Airflow's, of triggers
        self.owner = owner
        self.ends = one_of("ends", ends, _ENDS)
        self._matches = Matches(name=name, queue=queue, owner=owner)

    def _watched(self) -> dict[str, Any]:
        """Return the arguments that say what is watched."""
        return {"name": self.name, "queue": self.dli_queue, "owner": self.owner, "ends": self.ends}

    async def _watch(self) -> Watch:
        """Begin; what was seen is read once the project is known."""
        return _Batches(self._kept, self._watched() | self._place(), self._matches, self.ends)


class _Batches(Watch):
    """
    The batches of one watcher, by project: a connection may name another one for a while.

    :param kept: Returns the mark that is stored under a name.
    :param arguments: The watcher's, which with the project make up the mark's name.
    """

    def __init__(
        self,
        kept: Callable[[str], Awaitable[object]],
        arguments: Mapping[str, object],
        matches: Matches,
        ends: str,
    ) -> None:
        super().__init__()
        self._kept = kept
        self._arguments = arguments
        self._matches = matches
        self._ends = ends
        self._seen: dict[str, BatchWatermark] = {}

    async def poll(self, shared_poll: SharedPoll) -> AsyncIterator[dict[str, object]]:
        seen = await self._seen_in(await shared_poll.project_id())
        errors, answered, gone, reported = list[HwStatusError](), list[str](), list[str](), 0
        job_ids = seen.take(await shared_poll.rows(seen.since), self._matches, time.time())
        for first in range(0, len(job_ids), PAGE):
            if reported >= MOST_ENDS:  # the next reading goes on
                break
            for job_id, answer in (await shared_poll.ask(job_ids[first : first + PAGE])).items():
                if isinstance(answer, HwStatusError):
                    errors.append(answer)
                    gone += [job_id] if is_unknown_to_service(answer) else []
                    continue
                answered.append(job_id)
                if answer.over:
                    job = seen.settle(job_id)
                    reported += 1
                    if self._ends in {"any", answer.outcome.value}:
                        status = replace(answer, name=job.name or answer.name, queue=job.queue or answer.queue)
                        yield {"status": status.to_dict(), "owner": job.owner} | self.first_after(seen.saved)
        seen.give_up(answered, gone, time.time())
        if errors:
            raise _gravest(errors)

    async def _seen_in(self, project_id: str) -> BatchWatermark:
        name = json.dumps([self._arguments, project_id], sort_keys=True)
        checkpoint = f"hwstatus_{hashlib.sha256(name.encode()).hexdigest()[:16]}"
        if checkpoint not in self._seen:
            self._seen[checkpoint] = BatchWatermark.from_dict(await self._kept(checkpoint), time.time())
        return self._seen[checkpoint]

    def checkpoints(self) -> Mapping[str, dict[str, object]]:
        return {checkpoint: seen.to_dict() for checkpoint, seen in self._seen.items() if seen.begun}


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
    :param where: ``hwstatus_conn_id``, ``region``, ``project_id`` and ``poke_interval``, as of a sensor; and
        ``trigger_queue``, on Airflow 3.4: only triggerers that list it in their ``--queues`` run the watcher.
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

    def _requests(self) -> list[RequestWatermark]:
        return [
            RequestWatermark(one, expected_from(self.expected_jobs.get(one))) for one in dict.fromkeys(self.request_id)
        ]


class _Requests(Watch):
    def __init__(self, requests: list[RequestWatermark], ends: str) -> None:
        super().__init__()
        self._requests = requests
        self._ends = ends

    async def poll(self, shared_poll: SharedPoll) -> AsyncIterator[dict[str, object]]:
        errors = list[HwStatusError]()
        left = [request for request in self._requests if not request.told]
        known = [request.request_id for request in left if request.going]
        going = await shared_poll.going(known) if known else set()
        left = [request for request in left if not request.going & going]
        for first in range(0, len(left), REQUESTS_PER_CALL):
            some = left[first : first + REQUESTS_PER_CALL]
            for request, summary in zip(some, await shared_poll.run(partial(poll_each, requests=some)), strict=True):
                if isinstance(summary, HwStatusError):
                    errors.append(summary)
                elif summary and summary.over:
                    request.told = True
                    if self._ends in {"any", summary.outcome.value}:
                        end = {"request_id": request.request_id, "outcome": summary.outcome.value}
                        yield end | summary.to_dict() | self.first_after(request.began)
        if errors:
            raise _gravest(errors)

    def checkpoints(self) -> Mapping[str, dict[str, object]]:
        return {_mark_of(request, self._ends): request.to_dict() for request in self._requests}


def _gravest(errors: Sequence[HwStatusError]) -> HwStatusError:
    """Return a 429 if there is one, as it puts the next reading off."""
    return next((error for error in errors if isinstance(error, ThrottledError)), errors[0])


def _mark_of(request: RequestWatermark, ends: str) -> str:
    return f"hwstatus_{ends}_{request.request_id}"
