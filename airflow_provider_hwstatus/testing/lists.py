"""How the lists of jobs behave: as documented, until a test says otherwise."""

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
    How one API lists jobs. Change it as you like, also while the fake runs.

    :param answer: An HTTP status, a :class:`Reply` or a :class:`Fault` for everybody who is logged in, instead of a
        page; None for pages.
    :param stale: Seconds by which it lags behind: what is shown is a snapshot that old.
    :param hidden: Ids of jobs that it neither shows nor counts.
    :param lies: States that it tells instead of the true ones, by job id.
    :param backwards: Whether everything is in the opposite order.
    :param shuffled: Whether everything is in a new order in each call, so that pages do not fit together.
    :param max_rows: Rows of a page at most, whatever was asked for.
    :param overlap: Rows by which it moves on from page to page, as if new jobs had come in front meanwhile: each page
        begins with the last rows of the page before. With as many as a page has, there is always another page.
    :param takes_steps: Whether a job that is shown takes its next step, as if its status endpoint had been called.
        HTTP statuses, replies and faults among the steps are not to be seen in a list.
    :param edit: Called in the server's thread with the rows of each page; returns what is sent instead.
    :param calls: How often it was asked, whatever it answered.
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
    _random: Random = field(default_factory=lambda: Random(0), repr=False)  # noqa: S311 - the same in every run

    def known(self, jobs: Iterable[Job], now: float) -> list[Job]:
        """Return those of *jobs* that the list has."""
        return [job for job in jobs if job.job_id not in self.hidden and self._knows(job, now)]

    def _knows(self, job: Job, now: float) -> bool:
        ago = self.stale + job.listed_after
        return not ago or job.created + ago <= now  # no delay at all, even if the clock is put back

    def state(self, job: Job, now: float) -> tuple[State, float]:
        """Return the state that the list tells, and since when it is the job's."""
        state, since = job.script.state(now, self.stale)
        return self.lies.get(job.job_id, state), since

    def moved(self, first: int, size: int) -> int:
        """Return by how many rows it has moved on when the page at *first* is asked for."""
        return self.overlap * (first // size) if size else 0

    def rows(
        self, jobs: Sequence[Job], first: int, size: int, now: float, render: Callable[[Job, State, float], Row]
    ) -> list[Row]:
        """
        Return a page.

        :param jobs: In the order that is documented.
        :param render: Returns a job's row from its state and the seconds since 1970 when that began.
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

    With ``ignores={"start", "end", "order"}`` it plays a cloud that does not document these parameters, and with
    ``backwards=True``, too, one that lists the oldest job first.

    :param total: How many jobs it says there are; None for the truth.
    :param ignores: Parameters of the query that it does not know.
    :param omits: Fields of the reply (``total``) and of its rows (``create_time``) that it leaves out.
    """

    total: int | None = None
    ignores: set[str] = field(default_factory=set)
    omits: set[str] = field(default_factory=set)


@dataclass
class CphJobList(JobList):
    """
    CPH's list of jobs.

    :param empty_is_error: Whether no job at all is ``CPS.0050``, as documented, and not an empty list.
    """

    empty_is_error: bool = True
