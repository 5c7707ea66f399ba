"""
What the list of DLI batches tells about many waits at once: which of them still go on. A hint, never a verdict.

A job that the list shows as over, does not show, or shows in a state that no table has, is asked about by itself. A
hint serves a wait only if the list was read after that wait had looked the last time; so a list that is true delays a
verdict by one interval at most. One that lags delays it by that much more, and one that lies about a job until that job
is asked about by itself again, at the latest after as many polls as :func:`_unasked_at_most` says.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from dataclasses import dataclass
from functools import partial
from math import ceil, inf
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from airflow_provider_hwstatus.core.polling.job_lists import PAGE, Page, dli_batches
from airflow_provider_hwstatus.core.protocol.backoff import LONGEST_PAUSE, Backoff
from airflow_provider_hwstatus.core.protocol.effects import Exclusive, Flow
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget
from airflow_provider_hwstatus.errors import DeadlineError, HwStatusError, RetryableError
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH
from airflow_provider_hwstatus.kinds.job_kind import Outcome

if TYPE_CHECKING:
    from airflow_provider_hwstatus.core.connection.client import Client
    from airflow_provider_hwstatus.core.polling.job_poller import JobPoller

_log = logging.getLogger(__name__)

#: Waits below which each is asked about by itself, and jobs that a page has to show to be worth its call.
_FEW = 10
_WORTH = 4

#: Jobs that are asked about by themselves in an interval although the list shows them, on average.
_CHECKED = 2

#: Seconds that reading it may take, as other waits queue for it.
LONGEST_READ = 30.0

#: Jobs whose end is remembered, to see whether the list lags behind.
_REMEMBERED = 200


@dataclass(slots=True)
class _Watch:
    """What is known of a wait: when it last looked, its job's state, and how many hints in a row it has had."""

    looked_at: float
    state: str = "running"
    unasked: int | None = None


class BatchCoalescer:
    """The list of batches, as all waits on one connection share it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._watches: WeakKeyDictionary[JobPoller, _Watch] = WeakKeyDictionary()
        self._ended: dict[str, None] = {}
        self._shown: dict[str, str] = {}
        self._read_at = -inf
        self._pages = 1
        self._looks = 0
        self._backoff = Backoff(LONGEST_PAUSE)
        self._complained = False

    def watch(self, poller: JobPoller) -> None:
        """Count a wait; it is forgotten with its question."""
        if poller.kind.name == DLI_BATCH.name:
            self._watches[poller] = _Watch(self._client.monotonic())

    def cached_state(self, poller: JobPoller) -> Flow[str | None]:
        """Return the state in which the list shows a job that goes on; None if it is to be asked about by itself."""
        watch = self._watches.get(poller)
        if watch is None:
            return None
        now = self._client.monotonic()
        looked_at, watch.looked_at = watch.looked_at, now
        if self._backoff.pausing(now):
            return None
        self._looks += 1
        if self._read_at < looked_at and self._looks > max(_FEW, _WORTH * self._pages):
            yield Exclusive("list of batches", partial(self._read_for, looked_at))
        state = self._shown.get(poller.job_id.lower()) if self._read_at >= looked_at else None
        if state is None or poller.kind.outcome_of(state) is not Outcome.IN_PROGRESS:
            return None
        return self._in_turn(watch, state)

    def record(self, poller: JobPoller, state: str, over: bool) -> None:
        """Take note of what a job said itself."""
        watch = self._watches.get(poller)
        if watch and over:
            del self._watches[poller]
            self._ended[poller.job_id.lower()] = None
            while len(self._ended) > _REMEMBERED:
                del self._ended[next(iter(self._ended))]
        elif watch:
            watch.state, watch.unasked = state, 0

    def _in_turn(self, watch: _Watch, state: str) -> str | None:
        """Return *state*, but now and then None: no job is left to the list for good."""
        most = _unasked_at_most(len(self._watches))
        watch.unasked = random.randrange(most) if watch.unasked is None else watch.unasked + 1  # noqa: S311  # spreads
        watch.state = state
        return state if watch.unasked < most else None

    def _read_for(self, looked_at: float) -> Flow[None]:
        began, shown = self._client.monotonic(), dict[str, str]()
        if self._read_at >= looked_at or self._backoff.pausing(began):  # another wait was first
            return
        self._pages = 0
        states = Counter(watch.state for watch in list(self._watches.values()))
        until = self._client.clock() + LONGEST_READ
        budget = RetryBudget(0.0, until, until)
        try:
            for state, count in states.items():
                if count >= _FEW and state in DLI_BATCH.in_progress:
                    yield from self._read(state, count, shown, budget)
        except (RetryableError, DeadlineError) as error:
            self._backoff.failed(began, self._client.monotonic(), error.retry_after)
            self._drop(str(error))
            return
        except HwStatusError as error:
            self._give_up(str(error))
            return
        if wrong := next((job_id for job_id in shown if job_id in self._ended), None):
            self._give_up(f"it shows {wrong} as {shown[wrong]!r}, which is over")
            return
        served = sum(poller.job_id.lower() in shown for poller in list(self._watches))
        if served < _WORTH * self._pages:
            self._give_up(f"{self._pages} calls tell about {served} of the jobs that are waited for")
        else:
            self._complained = False
        self._shown, self._read_at, self._looks = shown, began, 0

    def _read(self, state: str, count: int, shown: dict[str, str], budget: RetryBudget) -> Flow[None]:
        """Read the pages of one state, as long as they are worth it for *count* waits."""
        first, over = 0, set[str]()
        while True:
            page: Page = yield from dli_batches(self._client, state, first, budget)
            self._pages += 1
            for row in page.rows:
                job_id, told = str(row.get("id")).lower(), str(row.get("state")).lower()
                if DLI_BATCH.outcome_of(told) is Outcome.IN_PROGRESS and job_id not in over:
                    shown[job_id] = told
                else:
                    over.add(job_id)
                    shown.pop(job_id, None)
            first += len(page.rows)
            more = first < page.total if page.total is not None else len(page.rows) >= PAGE
            if not page.rows or not more or max(ceil((page.total or 0) / PAGE), self._pages) * _WORTH > count:
                return

    def _give_up(self, why: str) -> None:
        self._backoff.useless(self._client.monotonic())
        self._drop(why)

    def _drop(self, why: str) -> None:
        self._shown, self._read_at = {}, -inf
        if not self._complained:
            self._complained = True
            _log.warning("Asking about DLI batches one by one; the list of them is of no use now: %s", why)


def _unasked_at_most(waits: int) -> int:
    """Return after how many hints in a row a job is asked about by itself, so that few are in each interval."""
    return max(_FEW, waits // _CHECKED)
