"""
One list of DLI batches instead of one poll for each of many waits.

The list only says that jobs are in progress. A job that the list shows as over, does not show, or shows in an unknown
state is polled itself. When a job disappears from the list, the sleep of its wait in an event loop ends, so ends are
detected as early as without the list. A list answers only waits whose last poll was before the list was read. So a
correct list delays a verdict by at most one interval. A list that lags delays it by that much more. A list that is
wrong about a job delays it until the job is polled itself again, after at most as many polls as :func:`_most_cached`
returns.
"""

from __future__ import annotations

import logging
import random
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from functools import partial
from math import ceil, inf
from weakref import WeakKeyDictionary, proxy

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.polling.job_lists import PAGE, Page, dli_batches, read_pages
from airflow_provider_hwstatus.core.polling.job_status import JobStatus
from airflow_provider_hwstatus.core.polling.wait_options import WaitOptions
from airflow_provider_hwstatus.core.protocol.backoff import LONGEST_PAUSE, Backoff
from airflow_provider_hwstatus.core.protocol.effects import Alarm, Exclusive, Flow
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget
from airflow_provider_hwstatus.errors import DeadlineError, HwStatusError, RetryableError
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH
from airflow_provider_hwstatus.kinds.job_kind import JobKind, Outcome

_log = logging.getLogger(__name__)

#: Fewer waits than this are polled one by one, and a page must serve so many jobs to be worth its call.
_FEW = 10
_WORTH = 4

#: Jobs that are polled themselves in an interval although the list shows them, on average.
_CHECKED = 2

#: How many waits whose jobs the list no longer shows in progress poll per second.
_WAKES_PER_SECOND = 50

#: Seconds that reading the list may take, because other waits queue for it.
LONGEST_READ = 30.0

#: Jobs whose end is remembered, to notice a list that lags.
_REMEMBERED = 200


@dataclass(slots=True, eq=False)
class CoalescedWait:
    """
    A wait that the list of batches may answer.

    :param key: The id as the list has it, in lower case.
    :param polled_at: When it was polled last, in seconds of the monotonic clock.
    :param state: The last known state of the job.
    :param cached: How many answers in a row came from the list; None before the first.
    :param alarm: Rings when the list no longer shows the job in progress, so that the job is polled soon.
    """

    coalescer: BatchCoalescer
    kind: JobKind
    job_id: str
    key: str
    polled_at: float
    state: str = "running"
    cached: int | None = None
    alarm: Alarm = field(default_factory=Alarm)

    def poll(self, options: WaitOptions) -> Flow[JobStatus | None]:
        """Return the status of a job that the list shows in progress; None if the job has to be polled itself."""
        return self._status((yield from self.coalescer.state(self))) if self._has_time(options) else None

    def poll_now(self, options: WaitOptions) -> JobStatus | None:
        """Return the status as :meth:`poll` would, if the list need not be read for it; None otherwise."""
        return self._status(self.coalescer.known_state(self)) if self._has_time(options) else None

    def _has_time(self, options: WaitOptions) -> bool:
        """Return whether the deadline is so far away that the list can be read before."""
        return options.deadline is None or self.coalescer.client.clock() + LONGEST_READ < options.deadline

    def _status(self, state: str | None) -> JobStatus | None:
        if state is None:
            return None
        return JobStatus(kind=self.kind.name, job_id=self.job_id, state=state, outcome=Outcome.IN_PROGRESS)

    def record(self, state: str, over: bool) -> None:
        """Record what a poll of the job itself found."""
        self.coalescer.record(self, state, over)

    def leave(self) -> None:
        """End the wait."""
        self.coalescer.waits.pop(self, None)


@dataclass(slots=True)
class _Reading:
    """
    The list as it is being read.

    :param shown: The jobs in progress, with their states.
    :param pages: How many calls it took.
    """

    shown: dict[str, str] = field(default_factory=dict)
    pages: int = 0


class BatchCoalescer:
    """
    The list of batches, shared by all waits on one connection, which may be in several threads.

    :param client: The connection, which must live longer.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        #: The waits that the list may answer, in the order in which they began.
        self.waits: dict[CoalescedWait, None] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._shown: dict[str, str] = {}
        self._read_at = -inf
        self._pages = 1
        self._polls = 0
        self._backoff = Backoff(LONGEST_PAUSE)
        self._announced = False
        self._complained = False

    def join(self, kind: JobKind, job_id: str) -> CoalescedWait | None:
        """Add a wait; return None for a kind of job that has no list."""
        if kind.name != DLI_BATCH.name:
            return None
        wait = CoalescedWait(self, kind, job_id, job_id.lower(), self.client.monotonic())
        self.waits[wait] = None
        return wait

    def state(self, wait: CoalescedWait) -> Flow[str | None]:
        """Return the state of a job that the list shows in progress; None if the job has to be polled itself."""
        if wait not in self.waits:
            return None
        now = self.client.monotonic()
        polled_at, wait.polled_at = wait.polled_at, now
        if self._backoff.pausing(now):
            return None
        self._polls += 1
        if self._read_at < polled_at and self._polls > max(_FEW, _WORTH * self._pages):
            yield Exclusive("list of batches", partial(self._read_for, polled_at))
        return self._answer(wait, polled_at)

    def known_state(self, wait: CoalescedWait) -> str | None:
        """Return what :meth:`state` would, if that needs no call; None otherwise."""
        now = self.client.monotonic()
        if wait not in self.waits or self._backoff.pausing(now):
            return None
        state = self._answer(wait, wait.polled_at)
        if state is not None:
            wait.polled_at = now
            self._polls += 1
        return state

    def _answer(self, wait: CoalescedWait, polled_at: float) -> str | None:
        """Return what the list says of a job whose wait was polled last at a time; None if the job has to be polled."""
        state = self._shown.get(wait.key) if self._read_at >= polled_at else None
        if state is None or wait.kind.outcome_of(state) is not Outcome.IN_PROGRESS:
            return None
        return self._unless_due(wait, state)

    def record(self, wait: CoalescedWait, state: str, over: bool) -> None:
        """Record what a poll of the job itself found."""
        if wait not in self.waits:
            return
        if not over:
            wait.state, wait.cached = state, 0
            return
        wait.leave()
        self._ended[wait.key] = None
        while len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)

    def _unless_due(self, wait: CoalescedWait, state: str) -> str | None:
        """Return *state*, or None if the job is due to be polled itself: no job is left to the list for ever."""
        most = _most_cached(len(self.waits))
        wait.cached = random.randrange(most) if wait.cached is None else wait.cached + 1  # noqa: S311  # spreads
        wait.state = state
        return state if wait.cached < most else None

    def _read_for(self, polled_at: float) -> Flow[None]:
        """Read the list for a wait that was polled last at a time."""
        began, reading = self.client.monotonic(), _Reading()
        if self._read_at >= polled_at or self._backoff.pausing(began):  # another wait was first
            return
        until = self.client.clock() + LONGEST_READ
        budget = RetryBudget(0.0, until, until)
        try:
            for state, count in Counter(wait.state for wait in self._waits_now()).items():
                if count >= _FEW and state in DLI_BATCH.in_progress:
                    yield from self._read(state, count, reading, budget)
        except (RetryableError, DeadlineError) as error:
            self._backoff.failed(began, self.client.monotonic(), error.retry_after)
            self._drop(str(error))
        except HwStatusError as error:
            self._give_up(str(error))
        else:
            self._use(reading, began)

    def _waits_now(self) -> list[CoalescedWait]:
        """Return a copy, because waits in other threads begin and end while this one goes through them."""
        return list(self.waits)

    def _use(self, reading: _Reading, began: float) -> None:
        """Use a list that was read, unless it is wrong; do not read it again soon if it serves too few waits."""
        shown = reading.shown
        if wrong := next((job_id for job_id in shown if job_id in self._ended), None):
            self._give_up(f"it shows {wrong} as {shown[wrong]!r}, which is over")
            return
        served = sum(wait.key in shown for wait in self._waits_now())
        if served < _WORTH * reading.pages:
            self._give_up(f"{reading.pages} calls answer only {served} of the waits")
        else:
            self._announce(served, reading.pages)
            self._complained = False
        before, self._pages = self._shown, reading.pages
        self._shown, self._read_at, self._polls = shown, began, 0
        self._wake(before.keys() - shown.keys())

    def _wake(self, job_ids: set[str]) -> None:
        """End the sleeps of the waits for these jobs one after the other, because their jobs have probably ended."""
        rings = [wait.alarm.ring for wait in self._waits_now() if wait.key in job_ids]
        for number, ring in enumerate(filter(None, rings)):
            ring(number / _WAKES_PER_SECOND)

    def _read(self, state: str, count: int, reading: _Reading, budget: RetryBudget) -> Flow[None]:
        """Read the pages of one state, as long as they are worth it for *count* waits."""
        read, over = 0, set[str]()

        def take(page: Page) -> bool:
            nonlocal read
            reading.pages += 1
            read += len(page.rows)
            for row in page.rows:
                job_id, listed = str(row.get("id")).lower(), str(row.get("state")).lower()
                if DLI_BATCH.outcome_of(listed) is Outcome.IN_PROGRESS and job_id not in over:
                    reading.shown[job_id] = listed
                else:
                    over.add(job_id)
                    reading.shown.pop(job_id, None)
            more = read < page.total if page.total is not None else len(page.rows) >= PAGE
            pages = max(ceil((page.total or 0) / PAGE), reading.pages)
            return bool(page.rows) and more and pages * _WORTH <= count

        yield from read_pages(self.client, dli_batches(state), budget, take)

    def _announce(self, served: int, pages: int) -> None:
        """Log once that the list is used, because requests for single jobs then become rare."""
        if not self._announced:
            self._announced = True
            _log.info("Polling DLI batches by their list: it answers %d waits, with %d calls", served, pages)

    def _give_up(self, why: str) -> None:
        self._backoff.useless(self.client.monotonic())
        self._drop(why)

    def _drop(self, why: str) -> None:
        self._shown, self._read_at = {}, -inf
        if not self._complained:
            self._complained = True
            _log.info("Polling DLI batches one by one, because their list cannot be used now: %s", why)


_coalescers: WeakKeyDictionary[Client, BatchCoalescer] = WeakKeyDictionary()


def coalescer_of(client: Client) -> BatchCoalescer | None:
    """Return the coalescer of a connection; None if the connection does not coalesce polls."""
    if not client.settings.coalesce:
        return None
    # The proxy lets the client go: a value of a WeakKeyDictionary must not keep its key alive.
    return _coalescers.get(client) or _coalescers.setdefault(client, BatchCoalescer(proxy(client)))


def _most_cached(waits: int) -> int:
    """Return after how many answers in a row from the list a job is polled itself, so that few are in each interval."""
    return max(_FEW, waits // _CHECKED)
