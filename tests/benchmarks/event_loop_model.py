"""
A model of the event loop of one triggerer with many waits: formulas and a simulation. ``scale_model.py`` prints it.

The event loop is one server. In one iteration, it runs everything that is due, one after the other, as asyncio does.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count

# Measured with TLS (docs/scale.md, "Results"): a poll takes 0.91 ms of CPU time while 1,000 waits send ten polls per
# tick, and 0.65 ms while 5,000 waits send fifty. Fewer than eight polls per tick were not measured. The memory per wait
# is that of 1,000 and of 5,000 waits.
WAKE = (0.91e-3 - 0.65e-3) / (1 / 10 - 1 / 50)  # CPU seconds per tick on which polls are due
POLL = 0.91e-3 - WAKE / 10  # CPU seconds per poll besides. Half is for its response, which is an assumption.
BEGIN_AND_END = 1.3e-3  # CPU seconds per wait
CHECK = 0.5e-6  # CPU seconds per wait in the queue, twice per second (transports/priority_semaphore.py, measured alone)
WAIT_KB = (5_000 * 23.2 - 1_000 * 26.6) / 4_000
SHARED_KB = 1_000 * (26.6 - WAIT_KB)

TICK, JITTER, GOLDEN_RATIO = 0.05, 0.1, 0.618034  # as in the package: seconds, part of an interval, part of an interval


@dataclass(frozen=True)
class Load:
    """
    The waits of one triggerer for jobs of one service. Times are in seconds.

    :param response: From the request to the response.
    :param slots: ``max_concurrent_requests``.
    :param job: Duration of each job. A new wait replaces each wait that ends, and polls an interval later.
    :param ends: When the first and the last job end. If given, as in the benchmarks, the waits start one after the
        other within the first interval, and no new ones follow.
    """

    waits: int
    interval: float = 60.0
    response: float = 0.02
    slots: int = 20
    job: float = 3600.0
    ends: tuple[float, float] | None = None

    def cpu(self, rate: float) -> float:
        """Return the part of a CPU that *rate* polls per second take, if they are independent of each other."""
        busy_ticks = (1 - math.exp(-rate * TICK)) / TICK  # per second
        return busy_ticks * WAKE + rate * POLL + self.waits / self.job * BEGIN_AND_END

    def waits_limit(self) -> tuple[float, float]:
        """Return the largest number of waits that poll in time: by the slots, and by the CPU."""
        by_cpu = (1 - WAKE / TICK) / (POLL / self.interval + BEGIN_AND_END / self.job)
        return self.slots / (self.response + POLL) * self.interval, by_cpu

    def memory_mb(self) -> float:
        """Return the memory of the waits. That of a triggerer without waits is not included."""
        return (SHARED_KB + self.waits * WAIT_KB) / 1000


@dataclass
class Figures:
    """
    What happened in a period. Times are in seconds.

    :param connections: Open connections, which are as many as the most polls in progress.
    :param late: How late sleeps of 10 ms end.
    :param delays: From the end of a job to the end of its wait.
    """

    seconds: float
    polls: int
    cpu: float
    connections: int
    late: list[float]
    delays: list[float]


def percentile(values: list[float], part: float) -> float:
    """Return a percentile of *values*, or nan if there are none."""
    return sorted(values)[math.ceil(part * len(values)) - 1] if values else math.nan


def simulate(load: Load, start: float, stop: float = math.inf) -> Figures:
    """Return the figures of *load* from *start* to *stop* or to the last end. They are the same each time."""
    loop = _EventLoop(load, start)
    while loop.left and loop.now < stop:
        loop.iterate()
    loop.figures.seconds = loop.now - start
    return loop.figures


class _EventLoop:
    def __init__(self, load: Load, start: float) -> None:
        self.load, self.start, self.now, self.left = load, start, 0.0, load.waits
        self.figures = Figures(0.0, 0, 0.0, 0, [], [])
        self._chance, self._number, self._free = random.Random(1), count(), load.slots  # noqa: S311  # a simulation
        self._due: list[tuple[float, int, Callable[[float, int], None], int]] = []
        self._queue = deque[int]()
        self._sent = [0.0] * load.waits
        self._ends = [self._chance.uniform(*load.ends or (0.0, load.job)) for _ in self._sent]
        for wait in range(load.waits):
            begin = wait / load.waits * load.interval
            self._at(begin, self._begin, wait) if load.ends else self._sleep(begin, wait)
        self._at(0.0, self._probe, 0)
        self._at(0.0, self._check_queue, 0)

    def iterate(self) -> None:
        """Run what is due now, or else what is due next."""
        began = self.now = max(self.now, self._due[0][0])
        ready = []
        while self._due and self._due[0][0] <= began:
            ready.append(heappop(self._due))
        self.now += WAKE * any(callback == self._poll for _, _, callback, _ in ready)
        for time, _, callback, wait in ready:
            callback(time, wait)
        self.figures.cpu += (self.now - began) * (began >= self.start)

    def _at(self, time: float, callback: Callable[[float, int], None], wait: int) -> None:
        heappush(self._due, (time, next(self._number), callback, wait))

    def _sleep(self, seconds: float, wait: int) -> None:
        self._at(math.ceil((self.now + seconds) / TICK) * TICK, self._poll, wait)

    def _begin(self, _: float, wait: int) -> None:
        self.now += BEGIN_AND_END / 2
        self._sleep(wait * GOLDEN_RATIO % 1 * self.load.interval, wait)

    def _poll(self, time: float, wait: int) -> None:
        if self._free:
            self._free -= 1
            self._send(time, wait)
        else:
            self._queue.append(wait)

    def _send(self, _: float, wait: int) -> None:
        self.now += POLL / 2
        self._sent[wait] = self.now
        self._at(self.now + self.load.response, self._receive, wait)
        self.figures.polls += self.now >= self.start
        self.figures.connections = max(self.figures.connections, self.load.slots - self._free)

    def _receive(self, _: float, wait: int) -> None:
        self.now += POLL / 2
        if self._queue:
            self._at(self.now, self._send, self._queue.popleft())
        else:
            self._free += 1
        over = self._sent[wait] >= self._ends[wait]
        if over:
            self._end(wait)
        if not (over and self.load.ends):
            self._sleep(self.load.interval * self._chance.uniform(1 - JITTER, 1 + JITTER), wait)

    def _end(self, wait: int) -> None:
        if self.now >= self.start:
            self.figures.delays.append(self.now - self._ends[wait])
        if self.load.ends:
            self.now += BEGIN_AND_END / 2
            self.left -= 1
        else:  # a new wait follows
            self.now += BEGIN_AND_END
            self._ends[wait] = self.now + self.load.job

    def _check_queue(self, _: float, __: int) -> None:
        self.now += CHECK * len(self._queue)
        self._at(self.now + 0.5, self._check_queue, 0)

    def _probe(self, time: float, _: int) -> None:
        if self.now >= self.start:
            self.figures.late.append(self.now - time)
        self._at(self.now + self._chance.uniform(0.005, 0.015), self._probe, 0)  # at times independent of the ticks
