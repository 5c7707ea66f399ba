"""How the lists of jobs behave: as documented, unless a test changes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

from airflow_provider_hwstatus.testing.script import Job, State
from airflow_provider_hwstatus.testing.wire import Fault, Reply

Row = dict[str, object]


@dataclass
class JobList:
    """
    How one API lists jobs. Every field can be changed while the fake runs.

    :param answer: An HTTP status, a :class:`Reply` or a :class:`Fault` to send instead of a page, after the check of
        the credentials. None sends pages.
    :param stale: Age of the list in seconds. The list shows a snapshot this old.
    :param hidden: Ids of jobs that the list neither shows nor counts.
    :param lies: Wrong states to show, by job id.
    :param backwards: Whether the order is reversed.
    :param shuffled: Whether each request gets a new random order, so that pages do not fit together.
    :param max_rows: Maximum number of rows in a page, even if the request asks for more.
    :param overlap: Number of rows by which the list shifts between two pages, as if new jobs had been added in front.
        Each page begins with the last rows of the previous one. If it equals the page size, paging never ends.
    :param takes_steps: Whether a listed job takes its next step, as if its status endpoint had been called. Steps that
        are HTTP statuses, replies or faults do not appear in a list.
    :param edit: Called in the server's thread with the rows of each page. Returns the rows to send.
    :param calls: Number of requests for the list, failed ones included.
    """

    answer: int | Reply | Fault | None = None
    stale: float = 0.0
    hidden: set[str] = field(default_factory=set)
    lies: dict[str, State] = field(default_factory=dict)
    backwards: bool = False
    shuffled: bool = False
    max_rows: int | None = None
    overlap: int = 0
    takes_steps: bool = False
    edit: Callable[[list[Row]], list[Row]] | None = None
    calls: int = 0
    _random: Random = field(default_factory=lambda: Random(0), repr=False)  # noqa: S311 - a fixed seed makes runs repeatable

    def known(self, jobs: Iterable[Job], now: float) -> list[Job]:
        """Return the *jobs* that the list contains."""
        return [job for job in jobs if job.job_id not in self.hidden and self._lists(job, now)]

    def _lists(self, job: Job, now: float) -> bool:
        ago = self.stale + job.listed_after
        return (
            not ago or job.created + ago <= now
        )  # without a delay a job is always listed, even if the clock moves back

    def state(self, job: Job, now: float) -> tuple[State, float]:
        """Return the state that the list shows, and when it began, in seconds since 1970."""
        state, since = job.script.state(now, self.stale)
        return self.lies.get(job.job_id, state), since

    def moved(self, first: int, size: int) -> int:
        """Return the number of rows by which the list has shifted at the page that begins at *first*."""
        return self.overlap * (first // size) if size else 0

    def rows(
        self, jobs: Sequence[Job], first: int, size: int, now: float, render: Callable[[Job, State, float], Row]
    ) -> list[Row]:
        """
        Return the rows of a page.

        :param jobs: The jobs, in the documented order.
        :param render: Returns a job's row. Takes the job, its state, and when the state began, in seconds since 1970.
        """
        ordered = list(reversed(jobs)) if self.backwards else list(jobs)
        if self.shuffled:
            self._random.shuffle(ordered)
        first = max(first - self.moved(first, size), 0)
        page = ordered[first : first + size][: self.max_rows]
        if self.takes_steps:
            for job in page:
                job.script.take(now)
        rows = [render(job, *self.state(job, now)) for job in page]
        return rows if self.edit is None else self.edit(rows)


@dataclass
class BatchList(JobList):
    """
    DLI's list of batches.

    ``ignores={"start", "end", "order"}`` imitates a cloud without these parameters. ``backwards=True`` in addition
    imitates a cloud that lists the oldest job first.

    :param total: The total to report. None reports the real number.
    :param contains: Whether ``job_name`` matches all names that contain it. That is not documented.
    :param ignores: Query parameters to ignore.
    :param omits: Fields to leave out of the reply (``total``) and of its rows (``create_time``).
    """

    total: int | None = None
    contains: bool = False
    ignores: set[str] = field(default_factory=set)
    omits: set[str] = field(default_factory=set)


@dataclass
class CphJobList(JobList):
    """
    CPH's list of jobs.

    :param empty_is_error: Whether to answer ``CPS.0050`` if there are no jobs, as documented. Otherwise the list is
        empty.
    """

    empty_is_error: bool = True
