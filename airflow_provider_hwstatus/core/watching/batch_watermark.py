"""Which DLI batches have ended since the last poll, as far as the list of batches shows."""

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
from airflow_provider_hwstatus.core.protocol.effects import Flow, Together
from airflow_provider_hwstatus.core.protocol.responses import clip
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget
from airflow_provider_hwstatus.core.watching.checkpoint import Checkpoint, time_of
from airflow_provider_hwstatus.core.watching.recent_batches import RecentBatches, created_at, read_recent
from airflow_provider_hwstatus.errors import ConfigurationError, HwStatusError
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH
from airflow_provider_hwstatus.kinds.job_kind import Outcome

_log = logging.getLogger(__name__)

#: Seconds for which the first reading looks back for jobs that are in progress.
FIRST = 86_400.0

#: Seconds by which each reading of the list begins before the newest job of the one before: the list may lag behind.
OVERLAP = 3600.0

#: A job that the service does not know any more is given up after so many polls in a row, and so many seconds.
GONE_POLLS, GONE_SECONDS = 3, 600.0


@dataclass
class RunningBatch:
    """
    A job in progress.

    :param created: When it was submitted, in seconds since 1970.
    :param name: As the list showed it when it was new; so are *queue* and *owner*.
    :param gone: Polls in a row in which the service did not know it, from *gone_since* on.
    """

    created: float
    name: str = ""
    queue: str = ""
    owner: str = ""
    gone: int = 0
    gone_since: float = 0.0


@dataclass
class BatchWatermark:
    """
    What one watcher has seen in one project. :meth:`to_dict` is the checkpoint that survives a restart.

    :param since: Jobs submitted before, in seconds since 1970, are neither new nor remembered.
    :param going: Jobs in progress, by id.
    :param ended: When each job was submitted whose end is settled, by id.
    :param news: Jobs submitted before this that are over when they are first seen are not reported: nobody knows
        whether they have been. Infinity in the first reading.
    :param saved: No end that is in no checkpoint was reported before this.
    """

    since: float
    going: dict[str, RunningBatch] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    news: float = inf
    saved: float = 0.0
    #: Ids of the jobs that the list showed the last time, and of those among them that were known before.
    listed: frozenset[str] = field(default=frozenset(), init=False, compare=False)
    _known: frozenset[str] = field(default=frozenset(), init=False, compare=False)
    _doubted: bool = field(default=False, init=False, compare=False)

    @classmethod
    def begin(cls, now: float) -> BatchWatermark:
        """Return what a watcher knows that begins."""
        return cls(now - FIRST, saved=now)

    @property
    def begun(self) -> bool:
        """Whether there has been a reading: before, there is nothing to store."""
        return self.news == 0

    def take(self, rows: Iterable[Row], matches: Matches, now: float) -> list[str]:
        """
        Take note of what the list shows; return the ids of the jobs to poll.

        :param now: Seconds since 1970: no job is newer, whatever the list says, or those that come would look old.
        """
        newest, listed, shown = self.since, set[str](), set[str]()
        known = self.going.keys() | self.ended.keys()
        for row in rows:
            job_id, time = row.get("id"), created_at(row)
            if not is_job_id(job_id):
                continue
            listed.add(job_id)
            created = now if time is None else min(time, now)
            newest = max(newest, created if time is not None else 0.0)
            if job_id in self.ended:  # one without a time is as new as it is shown
                self.ended[job_id] = max(self.ended[job_id], created)
            elif job_id not in self.going and (created < self.since or not matches(row)):
                continue
            elif DLI_BATCH.outcome_of(str(row.get("state"))) is Outcome.IN_PROGRESS:
                self.going.setdefault(job_id, _going(row, created)).gone = 0
                shown.add(job_id)
            elif job_id not in self.going and created < self.news:
                self.ended[job_id] = created
            else:
                self.going.setdefault(job_id, _going(row, created))
        self.news, self.listed, self._known = 0.0, frozenset(listed), frozenset(listed & known)
        self._move(newest)
        return [job_id for job_id in self.going if job_id not in shown]

    def settle(self, job_id: str) -> RunningBatch:
        """Take note that the end of a job is reported, or of no interest; return what the list showed of it."""
        job = self.going.pop(job_id)
        self.ended[job_id] = job.created
        return job

    def give_up(self, answered: Collection[str], gone: Iterable[str], now: float) -> None:
        """
        Take note of which jobs the service knows; give up those that it has not known for long.

        A reading in which it does not know most of the jobs shows nothing about any of them: it may be another project,
        or the service may be ill. Nor is a job given up that the list still shows.

        :param answered: Ids of jobs that were polled, and known.
        :param gone: Ids of those that the service says it does not know.
        :param now: Seconds since 1970.
        """
        for job_id in self.going.keys() & set(answered):
            self.going[job_id].gone = 0
        left = [job_id for job_id in gone if job_id not in self.listed]
        known = self._known | set(answered)
        doubted, self._doubted = self._doubted, len(left) > len(known)
        if self._doubted:
            if not doubted:
                _log.warning(
                    "DLI knows %d of the watched batches, and %d that it knew before it does not know, all at once: "
                    "none is given up, and each is polled again",
                    len(known),
                    len(left),
                )
            return
        for job_id in left:
            self._miss(job_id, now)

    def _miss(self, job_id: str, now: float) -> None:
        job = self.going[job_id]
        job.gone, job.gone_since = job.gone + 1, job.gone_since if job.gone else now
        if job.gone >= GONE_POLLS and now - job.gone_since >= GONE_SECONDS:
            del self.going[job_id]
            _log.warning(
                "DLI batch %s is given up: DLI has not known it for %d s, in %d polls. Its end is not reported.",
                job_id,
                now - job.gone_since,
                job.gone,
            )

    def _move(self, newest: float) -> None:
        """Move on, and forget what can be in no reading any more."""
        self.since = max(self.since, newest - OVERLAP)
        kept = [(created, job_id) for job_id, created in self.ended.items() if created >= self.since]
        self.ended = {job_id: created for created, job_id in sorted(kept)[-MOST_PAGES * PAGE :]}

    def to_dict(self) -> dict[str, object]:
        """Return JSON for :meth:`from_dict`, once there has been a reading. ``saved`` is added when it is stored."""
        going = {job_id: asdict(job) for job_id, job in self.going.items()}
        return {"since": self.since, "going": going, "ended": self.ended}

    @classmethod
    def from_dict(cls, fields: object, now: float) -> BatchWatermark:
        """
        Return what :meth:`to_dict` described, without what is corrupt in it, which is logged.

        :param fields: None if nothing is stored.
        :param now: Seconds since 1970.
        """
        if fields is None:
            return cls.begin(now)
        stored = Checkpoint("a watcher of DLI batches", fields, now)
        going = stored.jobs("going", partial(_going_from, now=now), unreadable=lambda: RunningBatch(now))
        ended = stored.jobs("ended", partial(time_of, now=now), unreadable=lambda: None) or {}
        since, saved = stored.time("since"), stored.time("saved")
        corrupt = stored.log_what_is_corrupt()
        known = [*ended.values(), *(job.created for job in (going or {}).values())]
        if since is None and not known:
            return cls.begin(now)
        since = max(max(known) - OVERLAP, 0.0) if since is None else since
        seen = cls(since, going or {}, ended, news=0.0, saved=since if corrupt or saved is None else saved)
        if going is None:  # find them as at first
            seen.since, seen.news = min(since, now - FIRST), since
        return seen


@dataclass(frozen=True, kw_only=True)
class Matches:
    """
    Which jobs are watched: patterns as of file names, with ``*`` and ``?``; None matches all.

    :param name: The batch's.
    :param queue: Its queue's.
    :param owner: Who submitted it.
    :raises ValueError: One of them is no text.
    """

    name: str | None = None
    queue: str | None = None
    owner: str | None = None

    def __post_init__(self) -> None:
        for argument, pattern in vars(self).items():
            if not isinstance(pattern, str | None):
                raise ValueError(f"{argument} must be a pattern, as text; it is {pattern!r}")

    def __call__(self, row: Row) -> bool:
        """Return whether a row of the list is of such a job."""
        shown = vars(_going(row, 0.0))
        return all(pattern is None or fnmatchcase(shown[field], pattern) for field, pattern in vars(self).items())


def read_batches(client: Client, project_id: str, since: float) -> Flow[RecentBatches]:
    """
    Read the list of the batches that were submitted since a time.

    :raises HwStatusError: It could not be read, or it is another project's.
    """
    yield from _check_project(client, project_id)
    return (yield from read_recent(client, since))


def poll_each_batch(
    client: Client, project_id: str, job_ids: Iterable[str]
) -> Flow[dict[str, JobStatus | HwStatusError]]:
    """
    Ask about each job by itself: what the list says of an end is not enough.

    :raises HwStatusError: It is another project.
    """
    yield from _check_project(client, project_id)
    job_ids = list(job_ids)
    answers = yield Together([partial(_ask, client, job_id) for job_id in job_ids])
    return dict(zip(job_ids, answers, strict=True))


def _check_project(client: Client, project_id: str) -> Flow[None]:
    if (yield from client.project_id()) != project_id:
        raise ConfigurationError("the connection names another project now; its batches are polled next time")


def _ask(client: Client, job_id: str) -> Flow[JobStatus | HwStatusError]:
    try:
        return (yield from JobPoller(client, DLI_BATCH, job_id).fetch_status(RetryBudget(0.0)))
    except HwStatusError as error:
        return error


def _going(row: Row, created: float) -> RunningBatch:
    texts = (row.get("name"), row.get("queue") or row.get("cluster_name"), row.get("owner"))
    name, queue, owner = (clip(str(text or ""), 128) for text in texts)
    return RunningBatch(created, name, queue, owner)


def _going_from(fields: object, now: float) -> RunningBatch | None:
    """Return the job that a checkpoint describes; None if the description is corrupt."""
    if not isinstance(fields, dict):
        return None
    created, since = (time_of(fields.get(name), now) for name in ("created", "gone_since"))
    texts = [text for name in ("name", "queue", "owner") if isinstance(text := fields.get(name), str)]
    gone = fields.get("gone")
    if (
        created is None
        or since is None
        or len(texts) < 3
        or isinstance(gone, bool)
        or not isinstance(gone, int)
        or gone < 0
    ):
        return None
    name, queue, owner = (clip(text, 128) for text in texts)
    return RunningBatch(created, name, queue, owner, gone, since)
