"""
Let one contestant wait for many jobs at once, in this process, and print figures as one line of JSON.

Triggers run in Airflow's own runner, from a trigger's start to its end, and log at INFO as in the triggerer.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import probes
from contestants import CONTESTANTS, PEERS, Bare, Contestant, Triggers
from job_server import Conduct, Counts, job_id
from serving import JobServer, serving

if TYPE_CHECKING:
    from airflow.jobs.triggerer_job_runner import TriggerRunner

#: Seconds by which an event may come before its job's end without being wrong: an id has milliseconds.
_ROUNDING = 0.002


@dataclass(frozen=True, kw_only=True)
class Work:
    """
    What one contestant has to do.

    :param interval: Seconds between two polls.
    :param ramp: Seconds over which the waits begin.
    :param ends: Between when and when jobs end, in seconds.
    :param patience: Seconds after the last end of a job when a wait is given up for lost.
    :param conduct: The server's.
    """

    contestant: str
    count: int
    interval: float
    ramp: float
    ends: tuple[float, float]
    patience: float
    conduct: dict[str, Any]

    @property
    def quiet(self) -> range:
        """The seconds in which all have asked once, and no job has ended yet."""
        return range(math.ceil(self.ramp + self.interval) + 1, int(self.ends[0]))

    def begins_and_ends(self) -> list[tuple[float, float]]:
        """Return for each wait when it begins and when its job ends, in seconds; the same for each contestant."""
        dice = random.Random(1)  # noqa: S311  # likewise
        return [(number * self.ramp / self.count, dice.uniform(*self.ends)) for number in range(self.count)]


@dataclass(slots=True)
class Wait:
    """
    One wait.

    :param ends: When its job does, on the monotonic clock.
    :param seen: When the event came, likewise.
    :param error: What it was instead of success.
    """

    job_id: str
    ends: float
    seen: float | None = None
    error: str | None = None

    def saw(self, success: bool, what: object) -> None:
        """Note the event."""
        if self.seen is None:
            self.seen = time.monotonic()
            if not success:
                self.error = str(what)[:200]
            elif self.seen < self.ends - _ROUNDING:
                self.error = f"{self.ends - self.seen:.3f} s before the job's end"


#: Waits for one job, whose number comes first.
Waiter = Callable[[int, Wait], Awaitable[None]]


def bare(contestant: Bare) -> Waiter:
    """Return what waits without Airflow."""

    async def wait(_: int, one: Wait) -> None:
        state = await contestant.wait(one.job_id)
        one.saw(state == "success", state)

    return wait


def in_airflow(contestant: Triggers, runner: TriggerRunner) -> Waiter:
    """Return what waits in Airflow's runner of triggers."""
    waiting: dict[int, Wait] = {}

    class Events:
        """Takes the place of the queue to the supervisor."""

        def append(self, entry: Any) -> None:
            waiting[entry.trigger_id].saw(contestant.is_success(entry.event.payload), entry.event.payload)

    runner.events = cast("Any", Events())

    async def wait(number: int, one: Wait) -> None:
        waiting[number] = one
        runner.triggers[number] = cast("Any", {"name": f"wait {number}", "is_watcher": False, "events": 0})
        trigger = contestant.trigger(one.job_id)
        trigger.trigger_id = number
        try:
            await runner.run_trigger(number, trigger)
        finally:
            del runner.triggers[number], waiting[number]

    return wait


async def begin(number: int, one: Wait, at: float, waiter: Waiter) -> None:
    """Wait from *at* on the monotonic clock, and note how that ends."""
    await asyncio.sleep(at - time.monotonic())
    try:
        await waiter(number, one)
    except Exception as error:  # noqa: BLE001  # whatever a trigger raises
        one.saw(False, repr(error))
    if one.seen is None:
        one.saw(False, "it ended without an event")


async def wait_for_all(waits: list[Wait], begins: list[float], waiter: Waiter, until: float) -> None:
    """Let all wait, and give up those that have not ended *until* then, on the monotonic clock."""
    tasks = [
        asyncio.create_task(begin(number, one, at, waiter))
        for number, (one, at) in enumerate(zip(waits, begins, strict=True))
    ]
    _, lost = await asyncio.wait(tasks, timeout=until - time.monotonic())
    for task in lost:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def measure(
    work: Work, contestant: Contestant, waiter: Waiter, server: JobServer, log: probes.LogCounter
) -> dict[str, Any]:
    """Do the work, and return its figures."""
    await contestant.open()
    await warm_up(waiter, server, work.interval)
    ticker = probes.Ticker()
    ticking_cost = await ticker.cost()
    base, log.lines = probes.forget_peak(), 0
    epoch = time.monotonic() + 0.5
    server.begin(epoch)
    plan = work.begins_and_ends()
    waits = [Wait(job_id(number, ends), epoch + ends) for number, (_, ends) in enumerate(plan)]
    ticking, quiet = asyncio.create_task(ticker.run(epoch)), asyncio.create_task(quietly(work, epoch, log))
    cpu, busy, began = time.process_time(), probes.busy(), time.monotonic()
    until = epoch + work.ends[1] + work.patience
    await wait_for_all(waits, [epoch + at for at, _ in plan], waiter, until)
    cpu, busy, wall = time.process_time() - cpu, probes.busy() - busy, time.monotonic() - began
    peak, counts = probes.memory("VmHWM"), server.counts()
    ticking.cancel()
    await contestant.close()
    return {
        "cpu_s_per_1k": (cpu - ticking_cost * wall) * 1000 / counts.polls,
        "others_share": max(busy - cpu, 0.0) / wall,
        "memory_kb": (peak - base) / work.count,
        "lag_p99_ms": probes.percentile(ticker.lags, 0.99) * 1000,
        "lag_max_ms": max(ticker.lags) * 1000,
        **of_quiet(*await quiet, polls=sum(counts.seconds[second] for second in work.quiet)),
        "lines_per_wait": log.lines / work.count,
        **of_server(counts, work),
        **of_waits(waits),
    }


async def quietly(work: Work, epoch: float, log: probes.LogCounter) -> tuple[int, float]:
    """Return how many lines are logged while nothing changes, and the processor time that this takes."""
    if not work.quiet:
        return 0, 0.0
    await asyncio.sleep(epoch + work.quiet.start - time.monotonic())
    lines, cpu = log.lines, time.process_time()
    await asyncio.sleep(epoch + work.quiet.stop - time.monotonic())
    return log.lines - lines, time.process_time() - cpu


def of_quiet(lines: int, cpu: float, polls: int) -> dict[str, float]:
    """Return the figures of the time when nothing changes, if there was one."""
    return {"lines_per_quiet_poll": lines / polls, "quiet_cpu_s_per_1k": cpu * 1000 / polls} if polls else {}


async def warm_up(waiter: Waiter, server: JobServer, interval: float) -> None:
    """Wait for three jobs that are over: imports and the first TLS settings are not measured."""
    server.begin(time.monotonic())
    waits = [Wait(job_id(number, 0.0), time.monotonic()) for number in range(3)]
    await wait_for_all(waits, [time.monotonic()] * len(waits), waiter, time.monotonic() + interval + 30)
    if wrong := [one.error or "lost" for one in waits if one.seen is None or one.error]:
        raise RuntimeError(f"the warm-up failed: {wrong}")


def of_server(counts: Counts, work: Work) -> dict[str, object]:
    """Return the figures that the server counted."""
    begin = min(counts.seconds)  # a loop that stands still asks nothing, and much when it goes on
    first = [counts.seconds[begin + second] for second in range(math.ceil(work.interval))]
    mean = work.count / work.interval
    return {
        "polls": counts.polls,
        "connections_per_1k": counts.connections * 1000 / counts.polls,
        "peak_over_mean": max(counts.seconds.values()) / mean,
        "first_peak_over_mean": max(first) / mean,
        "statuses": dict(counts.statuses),
    }


def of_waits(waits: list[Wait]) -> dict[str, object]:
    """Return the figures about how soon ends were seen, and whether they were."""
    delays = [one.seen - one.ends for one in waits if one.seen is not None and not one.error]
    return {
        "delay_p50_s": probes.percentile(delays, 0.5),
        "delay_p99_s": probes.percentile(delays, 0.99),
        "delay_max_s": probes.percentile(delays, 1.0),
        "failed": sum(one.error is not None for one in waits),
        "lost": sum(one.seen is None for one in waits),
        "errors": Counter(one.error for one in waits if one.error).most_common(3),
    }


def run(work: Work, log: probes.LogCounter) -> dict[str, object]:
    """Do the work, and return its figures, or why it cannot be done."""
    with serving(Conduct(**work.conduct)) as server:
        try:
            contestant = CONTESTANTS[work.contestant](server, work.interval)
        except ImportError as error:
            if work.contestant not in PEERS:
                raise
            return {"skipped": repr(error)}
        return asyncio.run(measure(work, contestant, waiter_of(contestant, log), server, log))


def waiter_of(contestant: Contestant, log: probes.LogCounter) -> Waiter:
    """Return what waits for one job as a contestant does."""
    # For the bare one, too: Python's garbage collector looks at all that is loaded.
    from airflow.jobs.triggerer_job_runner import TriggerRunner
    from airflow.sdk.log import configure_logging, logger_at_level

    if not isinstance(contestant, Triggers):
        assert isinstance(contestant, Bare)
        return bare(contestant)
    configure_logging(json_output=True, log_level="INFO", output=cast("Any", log), sending_to_supervisor=True)
    sys.excepthook = sys.__excepthook__  # Airflow's logs, too
    runner = TriggerRunner()  # type: ignore[no-untyped-call]  # Airflow's
    runner.log = logger_at_level("runner", logging.WARNING)  # its three lines about every trigger are not the trigger's
    return in_airflow(contestant, runner)


def main() -> None:
    """Do the work that the argument describes."""
    fields = json.loads(sys.argv[1])
    print(json.dumps(run(Work(**fields), probes.LogCounter())))


if __name__ == "__main__":
    main()
