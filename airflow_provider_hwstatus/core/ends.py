"""Which jobs have ended since somebody looked the last time, as far as a list tells: hints, to be asked about."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING

from airflow_provider_hwstatus.core.client import Question
from airflow_provider_hwstatus.core.errors import HwStatusError
from airflow_provider_hwstatus.core.flow import Patience
from airflow_provider_hwstatus.core.jobs import DLI_BATCH, Outcome
from airflow_provider_hwstatus.core.messages import Flow, Together
from airflow_provider_hwstatus.core.pages import PAGE, dli_batches_since
from airflow_provider_hwstatus.core.replies import clip, utc
from airflow_provider_hwstatus.core.status import JobStatus

if TYPE_CHECKING:
    from airflow_provider_hwstatus.core.client import Client

_log = logging.getLogger(__name__)

#: Seconds for which the first reading looks back for jobs that still go on.
FIRST = 86_400.0

#: Seconds by which each reading of the list begins before the newest job of the one before: the list may lag behind.
OVERLAP = 3600.0

#: Pages of one reading at most: ten thousand jobs, which is also how many ended ones are remembered.
_MOST_PAGES = 100

#: From here on, milliseconds since 1970 must be something else, such as microseconds: it is the year 33658.
_NO_TIME = 1e15

Row = Mapping[str, object]


@dataclass
class Ends:
    """
    What one watcher has seen. Its :meth:`to_dict` is the watermark that survives a restart.

    :param since: Submitted before this, in seconds since 1970, is no job that is not in *going* or *ended*, and new.
    :param going: Ids of jobs that go on, and what the list tells of each.
    :param ended: Ids of jobs whose end is settled, and when each was submitted.
    :param begun: Whether the list has been read before: what had ended until then is not news.
    """

    since: float
    going: dict[str, dict[str, str]] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    begun: bool = False
    #: Ids of the jobs that the list showed the last time.
    listed: frozenset[str] = field(default=frozenset(), init=False, compare=False)

    def take(self, rows: Iterable[Row], matches: Matches, now: float) -> list[str]:
        """
        Take note of what the list shows; return the ids of the jobs that are to be asked about.

        :param now: Seconds since 1970: no job is newer, whatever the list says, or those that come would look old.
        """
        newest, listed, shown = self.since, set[str](), set[str]()
        for row in rows:
            job_id, told = row.get("id"), _seconds(row.get("create_time"))
            newest = max(newest, min(told or 0.0, now))
            created = now if told is None else told
            listed |= {job_id} if isinstance(job_id, str) else set()
            if isinstance(job_id, str) and job_id in self.ended:  # one without a time is as new as it is shown
                self.ended[job_id] = max(self.ended[job_id], created)
            new = isinstance(job_id, str) and created >= self.since and job_id not in self.ended
            if not isinstance(job_id, str) or not (new or job_id in self.going) or not matches(row):
                continue
            over = DLI_BATCH.outcome_of(str(row.get("state"))) is not Outcome.IN_PROGRESS
            if over and not self.begun:
                self.ended[job_id] = created
                continue
            self.going.setdefault(job_id, _told(row, created))
            if not over:
                shown.add(job_id)
        self.begun, self.listed = True, frozenset(listed)
        self._move(newest)
        return [job_id for job_id in self.going if job_id not in shown]

    def settle(self, job_id: str) -> dict[str, str]:
        """Take note that the end of a job is told, or of no interest; return what the list told of it."""
        told = self.going.pop(job_id)
        self.ended[job_id] = float(told.pop("created"))
        return told

    def _move(self, newest: float) -> None:
        """Move on, and forget what can be in no reading any more."""
        self.since = max(self.since, newest - OVERLAP)
        kept = [(created, job_id) for job_id, created in self.ended.items() if created >= self.since]
        self.ended = {job_id: created for created, job_id in sorted(kept)[-_MOST_PAGES * PAGE :]}

    def to_dict(self) -> dict[str, object]:
        """Return JSON from which :meth:`from_dict` makes an equal one."""
        return {"since": self.since, "going": self.going, "ended": self.ended, "begun": self.begun}

    @classmethod
    def from_dict(cls, fields: object, now: float) -> Ends:
        """Return what :meth:`to_dict` described; a new one if *fields* is no such description."""
        new = cls(now - FIRST)
        if not isinstance(fields, dict):
            return new
        try:
            going = {str(job_id): {**told} for job_id, told in fields["going"].items() if float(told["created"]) >= 0}
            ended = {str(job_id): float(created) for job_id, created in fields["ended"].items()}
            return cls(min(float(fields["since"]), now), going, ended, fields["begun"] is True)
        except (AttributeError, KeyError, TypeError, ValueError):
            return new


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
        told = _told(row, 0.0)
        wanted = {"name": self.name, "queue": self.queue, "owner": self.owner}
        return all(pattern is None or fnmatchcase(told[field], pattern) for field, pattern in wanted.items())


def read_since(client: Client, since: float) -> Flow[list[Row]]:
    """
    Read the list of batches, the newest first, down to a time or ten thousand of them.

    :raises HwStatusError: It could not be read.
    """
    rows, first = dict[str, Row](), 0
    for _ in range(_MOST_PAGES):
        page = yield from dli_batches_since(client, since, first, Patience(0.0))
        new = {str(row.get("id")): row for row in page.rows}
        repeats = new.keys() <= rows.keys()
        rows |= new
        first += len(page.rows)
        if repeats or not (len(page.rows) >= PAGE or first < (page.total or 0)):
            return list(rows.values())
    _log.warning("More than %d DLI batches since %s; older ones are not looked at", len(rows), utc(since))
    return list(rows.values())


def ask_each(client: Client, job_ids: Iterable[str]) -> Flow[dict[str, JobStatus | HwStatusError]]:
    """Ask about each job by itself: what the list says of an end is not enough."""
    job_ids = list(job_ids)
    answers = yield Together([partial(_ask, client, job_id) for job_id in job_ids])
    return dict(zip(job_ids, answers, strict=True))


def _ask(client: Client, job_id: str) -> Flow[JobStatus | HwStatusError]:
    try:
        return (yield from Question(client, DLI_BATCH, job_id).ask(Patience(0.0)))
    except HwStatusError as error:
        return error


def _told(row: Row, created: float) -> dict[str, str]:
    queue = row.get("queue") or row.get("cluster_name")
    texts = {"name": row.get("name"), "queue": queue, "owner": row.get("owner")}
    return {name: clip(str(text or ""), 128) for name, text in texts.items()} | {"created": repr(created)}


def _seconds(milliseconds: object) -> float | None:
    known = isinstance(milliseconds, int | float) and not isinstance(milliseconds, bool)
    return milliseconds / 1000 if known and 0 <= milliseconds < _NO_TIME else None  # type: ignore[operator]  # a number
