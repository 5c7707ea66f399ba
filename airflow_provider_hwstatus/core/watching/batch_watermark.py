"""Find the DLI batches that ended since the last poll, from the list of batches."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from math import inf

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.polling.job_ids import is_job_id
from airflow_provider_hwstatus.core.polling.job_lists import MOST_PAGES, PAGE, Row
from airflow_provider_hwstatus.core.polling.job_poller import JobPoller
from airflow_provider_hwstatus.core.polling.job_status import JobStatus
from airflow_provider_hwstatus.core.polling.recent_batches import RecentBatches, created_at, read_recent
from airflow_provider_hwstatus.core.protocol.effects import Flow, Together
from airflow_provider_hwstatus.core.protocol.responses import clip
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget
from airflow_provider_hwstatus.core.watching.checkpoint import Checkpoint, valid_time
from airflow_provider_hwstatus.errors import ConfigurationError, HwStatusError
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH
from airflow_provider_hwstatus.kinds.job_kind import Outcome

_log = logging.getLogger(__name__)

#: Seconds: the first poll finds running batches that were submitted this long ago at most.
LOOKBACK = 86_400.0

#: Seconds: each poll lists batches from this long before the newest known one, because the list may lag.
OVERLAP = 3600.0

#: A watcher drops a batch that DLI does not know in this many polls in a row, over this many seconds.
NOT_FOUND_POLLS, NOT_FOUND_SECONDS = 3, 600.0

#: Characters that are kept of a batch's name, queue and owner.
_MAX_TEXT = 128


@dataclass
class RunningBatch:
    """
    A batch that has not ended, or whose end is not confirmed yet.

    :param created: When it was submitted, in seconds since 1970.
    :param name: Its name, from the first row of the list that showed it; so are *queue* and *owner*.
    :param queue: The queue on which it runs.
    :param owner: The user who submitted it.
    :param not_found_polls: In how many polls in a row DLI did not know it.
    :param not_found_since: The time of the first of these polls, in seconds since 1970.
    """

    created: float
    name: str = ""
    queue: str = ""
    owner: str = ""
    not_found_polls: int = 0
    not_found_since: float = 0.0


@dataclass
class BatchWatermark:
    """
    What one watcher knows about the batches of one project.

    :meth:`to_dict` returns the checkpoint, which survives a restart.

    :param since: Batches submitted before this time, in seconds since 1970, are ignored unless they are in *running*.
    :param running: Batches that have not ended, by id.
    :param ended: When each batch was submitted whose end was reported or ignored, by id.
    :param report_since: A batch that has already ended when it is first listed is reported only if it was submitted at
        or after this time: an earlier end may have been reported already. Infinity until the first poll.
    :param saved_at: Ends that were reported before this time are in the checkpoint. Later ones may be reported again.
    """

    since: float
    running: dict[str, RunningBatch] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    report_since: float = inf
    saved_at: float = 0.0
    #: Ids in the last list, and those of them that the watermark knew before.
    _listed: frozenset[str] = field(default=frozenset(), init=False, compare=False)
    _listed_again: frozenset[str] = field(default=frozenset(), init=False, compare=False)
    #: Whether DLI did not know most of the batches in the last poll.
    _most_not_found: bool = field(default=False, init=False, compare=False)

    @classmethod
    def start(cls, now: float) -> BatchWatermark:
        """Return the watermark of a watcher that has no checkpoint. *now* is in seconds since 1970."""
        return cls(now - LOOKBACK, saved_at=now)

    @property
    def started(self) -> bool:
        """Whether a list has been read. Before that, there is nothing to store."""
        return self.report_since == 0

    def update(self, rows: Iterable[Row], batch_filter: BatchFilter, now: float) -> list[str]:
        """
        Record the rows of the list; return the ids of the batches to poll.

        :param now: Seconds since 1970. A submission time in the future is taken as *now*, because it would make all
            later batches look old.
        """
        newest, listed, in_progress = self.since, set[str](), set[str]()
        known = self.running.keys() | self.ended.keys()
        for row in rows:
            job_id, time = row.get("id"), created_at(row)
            if not is_job_id(job_id):
                continue
            listed.add(job_id)
            created = now if time is None else min(time, now)
            newest = newest if time is None else max(newest, created)
            if self._record(job_id, row, created, batch_filter):
                in_progress.add(job_id)
        self.report_since, self._listed, self._listed_again = 0.0, frozenset(listed), frozenset(listed & known)
        self._advance(newest)
        return [job_id for job_id in self.running if job_id not in in_progress]

    def _record(self, job_id: str, row: Row, created: float, batch_filter: BatchFilter) -> bool:
        """Record one row; return whether it shows a watched batch in progress."""
        if job_id in self.ended:
            # A row without a time counts as submitted now, so the batch is remembered as long as it is listed.
            self.ended[job_id] = max(self.ended[job_id], created)
            return False
        is_known = job_id in self.running
        if not is_known and (created < self.since or not batch_filter.matches(row)):
            return False
        in_progress = DLI_BATCH.outcome_of(str(row.get("state"))) is Outcome.IN_PROGRESS
        if not is_known and not in_progress and created < self.report_since:
            self.ended[job_id] = created
            return False
        batch = self.running.setdefault(job_id, _batch_in(row, created))
        if in_progress:
            batch.not_found_polls = 0
        return in_progress

    def mark_ended(self, job_id: str) -> RunningBatch:
        """Record that the end of a batch was reported or ignored; return what the list showed of the batch."""
        batch = self.running.pop(job_id)
        self.ended[job_id] = batch.created
        return batch

    def drop_not_found(self, found: Collection[str], not_found: Iterable[str], now: float) -> None:
        """
        Record which batches DLI knows; drop those that it has not known for :data:`NOT_FOUND_SECONDS`.

        A batch that the list shows is never dropped. If DLI does not know most of the batches, none is dropped: the
        connection may name another project, or DLI may have a fault.

        :param found: Ids of the batches that DLI returned a status for.
        :param not_found: Ids of the batches that DLI does not know.
        :param now: Seconds since 1970.
        """
        for job_id in self.running.keys() & set(found):
            self.running[job_id].not_found_polls = 0
        unlisted = [job_id for job_id in not_found if job_id not in self._listed]
        known = self._listed_again | set(found)
        is_new, self._most_not_found = not self._most_not_found, len(unlisted) > len(known)
        if not self._most_not_found:
            for job_id in unlisted:
                self._count_not_found(job_id, now)
        elif is_new:
            _log.warning(
                "DLI knows only %d of the watched batches; %d others are not found. None is dropped; each is polled "
                "again.",
                len(known),
                len(unlisted),
            )

    def _count_not_found(self, job_id: str, now: float) -> None:
        batch = self.running[job_id]
        if not batch.not_found_polls:
            batch.not_found_since = now
        batch.not_found_polls += 1
        if batch.not_found_polls >= NOT_FOUND_POLLS and now - batch.not_found_since >= NOT_FOUND_SECONDS:
            del self.running[job_id]
            _log.warning(
                "DLI batch %s is dropped: DLI has not found it for %d s, in %d polls. Its end is not reported.",
                job_id,
                now - batch.not_found_since,
                batch.not_found_polls,
            )

    def _advance(self, newest: float) -> None:
        """Move *since* forward; forget ended batches that no list will show again."""
        self.since = max(self.since, newest - OVERLAP)
        recent = [(created, job_id) for job_id, created in self.ended.items() if created >= self.since]
        self.ended = {job_id: created for created, job_id in sorted(recent)[-MOST_PAGES * PAGE :]}

    def to_dict(self) -> dict[str, object]:
        """Return JSON for :meth:`from_dict`, without ``saved_at``: the caller adds it when it stores the checkpoint."""
        running = {job_id: asdict(batch) for job_id, batch in self.running.items()}
        return {"since": self.since, "running": running, "ended": self.ended}

    @classmethod
    def from_dict(cls, fields: object, now: float) -> BatchWatermark:
        """
        Return the watermark that a checkpoint describes. Corrupt parts are logged and ignored.

        :param fields: The stored JSON; None if nothing is stored.
        :param now: Seconds since 1970.
        """
        if fields is None:
            return cls.start(now)
        stored = Checkpoint("a watcher of DLI batches", fields, now)
        running = stored.jobs("running", partial(_batch_from, now=now), fallback=lambda: RunningBatch(now))
        ended = stored.jobs("ended", partial(valid_time, now=now), fallback=lambda: None) or {}
        since, saved_at = stored.time("since"), stored.time("saved_at")
        corrupt = stored.log_corrupt_fields()
        if since is None:
            known = [*ended.values(), *(batch.created for batch in (running or {}).values())]
            if not known:
                return cls.start(now)
            since = max(max(known) - OVERLAP, 0.0)
        saved_at = since if corrupt or saved_at is None else saved_at
        if running is None:  # find them again, as the first poll does
            return cls(min(since, now - LOOKBACK), {}, ended, report_since=since, saved_at=saved_at)
        return cls(since, running, ended, report_since=0.0, saved_at=saved_at)


@dataclass(frozen=True, kw_only=True)
class BatchFilter:
    """
    Which batches are watched.

    Each argument is a pattern with ``*`` and ``?``, as for file names, and is case-sensitive. None matches all.

    :param name: Pattern for the batch's name.
    :param queue: Pattern for its queue.
    :param owner: Pattern for the user who submitted it.
    :raises ValueError: An argument is not text.
    """

    name: str | None = None
    queue: str | None = None
    owner: str | None = None

    def __post_init__(self) -> None:
        for argument, pattern in vars(self).items():
            if not isinstance(pattern, str | None):
                raise ValueError(f"{argument} must be a pattern, as text; it is {pattern!r}")

    def matches(self, row: Row) -> bool:
        """Return whether a row of the list shows a watched batch."""
        shown = vars(_batch_in(row, 0.0))
        return all(pattern is None or fnmatchcase(shown[field], pattern) for field, pattern in vars(self).items())


def list_batches(client: Client, project_id: str, since: float) -> Flow[RecentBatches]:
    """
    List the batches that were submitted since a time.

    :param since: Seconds since 1970.
    :raises ConfigurationError: The connection names another project.
    :raises HwStatusError: The list could not be read.
    """
    yield from _check_project(client, project_id)
    return (yield from read_recent(client, since))


def poll_batches(client: Client, project_id: str, job_ids: Iterable[str]) -> Flow[dict[str, JobStatus | HwStatusError]]:
    """
    Poll each batch by itself, because the list does not say enough about an end.

    :return: The status of each batch, or why it could not be polled, by id.
    :raises ConfigurationError: The connection names another project.
    """
    yield from _check_project(client, project_id)
    job_ids = list(job_ids)
    results = yield Together([partial(_poll_batch, client, job_id) for job_id in job_ids])
    return dict(zip(job_ids, results, strict=True))


def _check_project(client: Client, project_id: str) -> Flow[None]:
    if (yield from client.project_id()) != project_id:
        raise ConfigurationError("the connection names another project now; the next poll uses it")


def _poll_batch(client: Client, job_id: str) -> Flow[JobStatus | HwStatusError]:
    try:
        return (yield from JobPoller(client, DLI_BATCH, job_id).fetch_status(RetryBudget(0.0)))
    except HwStatusError as error:
        return error


def _batch_in(row: Row, created: float) -> RunningBatch:
    """Return the batch that a row of the list shows. *created* is in seconds since 1970."""
    texts = (row.get("name"), row.get("queue") or row.get("cluster_name"), row.get("owner"))
    name, queue, owner = (clip(str(text or ""), _MAX_TEXT) for text in texts)
    return RunningBatch(created, name, queue, owner)


def _batch_from(fields: object, now: float) -> RunningBatch | None:
    """Return the batch that an entry of a checkpoint describes; None if the entry is corrupt."""
    if not isinstance(fields, dict):
        return None
    created, not_found_since = (valid_time(fields.get(name), now) for name in ("created", "not_found_since"))
    texts = [clip(text, _MAX_TEXT) for name in ("name", "queue", "owner") if isinstance(text := fields.get(name), str)]
    polls = fields.get("not_found_polls")
    if created is None or not_found_since is None or len(texts) < 3:
        return None
    if isinstance(polls, bool) or not isinstance(polls, int) or polls < 0:
        return None
    name, queue, owner = texts
    return RunningBatch(created, name, queue, owner, polls, not_found_since)
