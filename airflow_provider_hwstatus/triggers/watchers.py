"""Event triggers for Airflow 3's asset watchers: a job's end starts a DAG run, without a task that waits."""

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
from airflow_provider_hwstatus.core.polling.job_status import JobStatus
from airflow_provider_hwstatus.core.protocol.arguments import one_of
from airflow_provider_hwstatus.core.protocol.responses import is_unknown_to_service
from airflow_provider_hwstatus.core.watching.batch_watermark import BatchFilter, BatchWatermark, RunningBatch
from airflow_provider_hwstatus.core.watching.request_watermark import RequestWatermark, poll_requests
from airflow_provider_hwstatus.errors import ConfigurationError, HwStatusError, ThrottledError
from airflow_provider_hwstatus.triggers.base_watcher import Watcher
from airflow_provider_hwstatus.triggers.shared_poll import SharedPoll, WatcherState

_ENDS = ("any", "success", "failure")

#: Ends that one poll reports, or a few more. Airflow stores events one by one, and drops a watcher after 300 s.
MAX_ENDS = 500


class DliBatchWatcher(Watcher):
    """
    Fires once for each DLI batch that ends, for an ``AssetWatcher``.

    The payload is ``{"status": …, "owner": …}``: the last status, as a sensor returns it, and the user who submitted
    the batch. On Airflow 3.3 and newer, the watcher keeps a checkpoint in the asset's state store. It then also reports
    batches that ended while no triggerer ran, and reports an end again only if the triggerer stopped before Airflow
    had confirmed that the event is stored.

    :param name: Pattern for the batch's name, with ``*`` and ``?``; None for any.
    :param queue: Pattern for its queue.
    :param owner: Pattern for the user who submitted it.
    :param ends: Which ends to report: ``any``, ``success`` or ``failure``.
    :param where: ``hwstatus_conn_id``, ``region``, ``project_id`` and ``poke_interval``, as for a sensor; and
        ``trigger_queue`` on Airflow 3.4: only triggerers with this name in their ``--queues`` run the watcher.
    :raises ValueError: *ends* is none of these, or a pattern is not text.
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
        self.dli_queue = queue  # Airflow 3.4 uses self.queue for the triggerers that may run the watcher
        self.owner = owner
        self.ends = one_of("ends", ends, _ENDS)
        self._filter = BatchFilter(name=name, queue=queue, owner=owner)

    def _watched_arguments(self) -> dict[str, Any]:
        return {"name": self.name, "queue": self.dli_queue, "owner": self.owner, "ends": self.ends}

    async def _load_state(self) -> WatcherState:
        """Return a state that loads its checkpoint in the first poll, once the project is known."""
        arguments = self._watched_arguments() | self._connection_arguments()
        return _BatchWatcherState(self._load, arguments, self._filter, self.ends)


class _BatchWatcherState(WatcherState):
    """
    The watermarks of one batch watcher, by project: the connection may name another project for a while.

    :param load: Returns the checkpoint that is stored under a key.
    :param arguments: The watcher's arguments. With the project, they make the key of the checkpoint.
    """

    def __init__(
        self,
        load: Callable[[str], Awaitable[object]],
        arguments: Mapping[str, object],
        batch_filter: BatchFilter,
        ends: str,
    ) -> None:
        super().__init__()
        self._load = load
        self._arguments = arguments
        self._filter = batch_filter
        self._ends = ends
        self._watermarks: dict[str, BatchWatermark] = {}

    async def poll(self, shared_poll: SharedPoll) -> AsyncIterator[dict[str, object]]:
        watermark = await self._watermark_of(await shared_poll.project_id())
        errors, found, not_found, ended = list[HwStatusError](), list[str](), list[str](), 0
        job_ids = watermark.update(await shared_poll.batches(watermark.since), self._filter, time.time())
        for first in range(0, len(job_ids), PAGE):
            if ended >= MAX_ENDS:  # the next poll reports the others
                break
            for job_id, status in (await shared_poll.poll_batches(job_ids[first : first + PAGE])).items():
                if isinstance(status, HwStatusError):
                    errors.append(status)
                    not_found += [job_id] if is_unknown_to_service(status) else []
                    continue
                found.append(job_id)
                if status.over:
                    ended += 1
                    batch = watermark.mark_ended(job_id)
                    if self._ends in {"any", status.outcome.value}:
                        yield _batch_payload(status, batch) | self.repeat_limit(watermark.saved_at)
        watermark.drop_not_found(found, not_found, time.time())
        if errors:
            raise _main_error(errors)

    async def _watermark_of(self, project_id: str) -> BatchWatermark:
        arguments = json.dumps([self._arguments, project_id], sort_keys=True)
        key = f"hwstatus_{hashlib.sha256(arguments.encode()).hexdigest()[:16]}"
        if key not in self._watermarks:
            self._watermarks[key] = BatchWatermark.from_dict(await self._load(key), time.time())
        return self._watermarks[key]

    def checkpoints(self) -> Mapping[str, dict[str, object]]:
        return {key: watermark.to_dict() for key, watermark in self._watermarks.items() if watermark.started}


def _batch_payload(status: JobStatus, batch: RunningBatch) -> dict[str, object]:
    """Return an end's payload. The list shows more of a batch than its status does."""
    status = replace(status, name=batch.name or status.name, queue=batch.queue or status.queue)
    return {"status": status.to_dict(), "owner": batch.owner}


class CphRequestWatcher(Watcher):
    """
    Fires once for each CPH request whose jobs have all ended, for an ``AssetWatcher``.

    The payload is ``{"request_id": …, "outcome": …, "counts": …, "statuses": […]}``. The outcome is ``success`` if all
    jobs succeeded, else ``failure``. ``counts`` gives the number of jobs by outcome, and ``statuses`` the last status
    of each job. On Airflow 3.3 and newer, the watcher keeps a checkpoint, as :class:`DliBatchWatcher` does.

    :param request_id: The ``request_id`` in the response to the submission, or a list of them.
    :param expected_jobs: For each request id, how many jobs the request has: a number, or the response to the
        submission. Without it, a request ends no sooner than a minute after the watcher has started, because an
        incomplete list of jobs looks like a complete one.
    :param ends: Which ends to report: ``any``, ``success`` or ``failure``.
    :param where: ``hwstatus_conn_id``, ``region``, ``project_id`` and ``poke_interval``, as for a sensor; and
        ``trigger_queue`` on Airflow 3.4: only triggerers with this name in their ``--queues`` run the watcher.
    :raises ValueError: *ends* is none of these.
    :raises ConfigurationError: Another argument has an invalid value.
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
        self._watermarks()  # check the other values where the DAG is parsed

    def _watched_arguments(self) -> dict[str, Any]:
        return {"request_id": self.request_id, "expected_jobs": self.expected_jobs, "ends": self.ends}

    async def _load_state(self) -> WatcherState:
        requests = self._watermarks()
        for request in requests:
            request.restore(await self._load(_checkpoint_key(request, self.ends)), time.time())
        return _RequestWatcherState(requests, self.ends)

    def _watermarks(self) -> list[RequestWatermark]:
        return [
            RequestWatermark(request_id, expected_from(self.expected_jobs.get(request_id)))
            for request_id in dict.fromkeys(self.request_id)
        ]


class _RequestWatcherState(WatcherState):
    def __init__(self, requests: list[RequestWatermark], ends: str) -> None:
        super().__init__()
        self._requests = requests
        self._ends = ends

    async def poll(self, shared_poll: SharedPoll) -> AsyncIterator[dict[str, object]]:
        errors = list[HwStatusError]()
        requests = await self._requests_to_poll(shared_poll)
        for first in range(0, len(requests), REQUESTS_PER_CALL):
            some = requests[first : first + REQUESTS_PER_CALL]
            summaries = await shared_poll.run(partial(poll_requests, requests=some))
            for request, summary in zip(some, summaries, strict=True):
                if isinstance(summary, HwStatusError):
                    errors.append(summary)
                elif summary and summary.over:
                    request.reported = True
                    if self._ends in {"any", summary.outcome.value}:
                        end = {"request_id": request.request_id, "outcome": summary.outcome.value}
                        yield end | summary.to_dict() | self.repeat_limit(request.started_at)
        if errors:
            raise _main_error(errors)

    async def _requests_to_poll(self, shared_poll: SharedPoll) -> list[RequestWatermark]:
        """Return the requests that may have ended: none of their jobs is known to be in progress."""
        unreported = [request for request in self._requests if not request.reported]
        running = [request.request_id for request in unreported if request.in_progress]
        in_progress = await shared_poll.jobs_in_progress(running) if running else set()
        return [request for request in unreported if not request.in_progress & in_progress]

    def checkpoints(self) -> Mapping[str, dict[str, object]]:
        return {_checkpoint_key(request, self._ends): request.to_dict() for request in self._requests}


def _main_error(errors: Sequence[HwStatusError]) -> HwStatusError:
    """Return a 429 if there is one, because it delays the next poll; else the first error."""
    return next((error for error in errors if isinstance(error, ThrottledError)), errors[0])


def _checkpoint_key(request: RequestWatermark, ends: str) -> str:
    return f"hwstatus_{ends}_{request.request_id}"
