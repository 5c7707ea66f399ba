"""
Let a contestant wait for many jobs at once in this process. Print figures as one line of JSON.

Airflow's trigger runner runs triggers from their start to their end. They log at INFO, as in the triggerer.
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
from job_server import Counts, ServerOptions, job_id
from serving import JobServer, serving

if TYPE_CHECKING:
    from airflow.jobs.triggerer_job_runner import TriggerRunner

#: Maximum seconds between an event and a later end of its job. Ids have a resolution of milliseconds.
_ROUNDING = 0.002


@dataclass(frozen=True, kw_only=True)
class Work:
    """
    The work of a contestant.

    :param count: Number of waits.
    :param interval: Seconds between two polls.
    :param ramp: Seconds between the start of the first wait and the last.
    :param ends: When the first and the last job end, in seconds.
    :param patience: Seconds after the last job's end after which a wait counts as lost.
    :param server_options: The server's options.
    """

    contestant: str
    count: int
    interval: float
    ramp: float
    ends: tuple[float, float]
    patience: float
    server_options: dict[str, Any]

    @property
    def quiet(self) -> range:
        """The seconds in which each wait has polled at least once and no job has ended."""
        return range(math.ceil(self.ramp + self.interval) + 1, int(self.ends[0]))

    def starts_and_ends(self) -> list[tuple[float, float]]:
        """Return the start of each wait and the end of its job in seconds. They are the same for each contestant."""
        generator = random.Random(1)  # noqa: S311  # a fixed seed
        return [(number * self.ramp / self.count, generator.uniform(*self.ends)) for number in range(self.count)]


@dataclass(slots=True)
class Wait:
    """
    A wait.

    :param ends: Time of the job's end, on the monotonic clock.
    :param event_at: Time of the event, on the monotonic clock.
    :param error: Error in the event, if the wait did not succeed.
    """

    job_id: str
    ends: float
    event_at: float | None = None
    error: str | None = None

    def record(self, success: bool, event: object) -> None:
        """Record the event."""
        if self.event_at is None:
            self.event_at = time.monotonic()
            if not success:
                self.error = str(event)[:200]
            elif self.event_at < self.ends - _ROUNDING:
                self.error = f"{self.ends - self.event_at:.3f} s before the job's end"


#: Waits for the job with a number.
Waiter = Callable[[int, Wait], Awaitable[None]]


def bare(contestant: Bare) -> Waiter:
    """Return a waiter without Airflow."""

    async def wait(_: int, one: Wait) -> None:
        state = await contestant.wait(one.job_id)
        one.record(state == "success", state)

    return wait


def in_airflow(contestant: Triggers, runner: TriggerRunner) -> Waiter:
    """Return a waiter that uses Airflow's trigger runner."""
    waiting: dict[int, Wait] = {}

    class Events:
        """Replaces the queue to the supervisor."""

        def append(self, entry: Any) -> None:
            waiting[entry.trigger_id].record(contestant.is_success(entry.event.payload), entry.event.payload)

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


async def run_one(number: int, one: Wait, at: float, waiter: Waiter) -> None:
    """Wait from *at* on the monotonic clock and record the result."""
    await asyncio.sleep(at - time.monotonic())
    try:
        await waiter(number, one)
    except Exception as error:  # noqa: BLE001  # a trigger can raise anything
        one.record(False, repr(error))
    if one.event_at is None:
        one.record(False, "it ended without an event")


async def wait_for_all(waits: list[Wait], starts: list[float], waiter: Waiter, until: float) -> None:
    """Run all waits. Cancel those that have not ended at *until* on the monotonic clock."""
    tasks = [
        asyncio.create_task(run_one(number, one, at, waiter))
        for number, (one, at) in enumerate(zip(waits, starts, strict=True))
    ]
    _, lost = await asyncio.wait(tasks, timeout=until - time.monotonic())
    for task in lost:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def measure(
    work: Work, contestant: Contestant, waiter: Waiter, server: JobServer, log: probes.LogCounter
) -> dict[str, Any]:
    """Do the work and return its figures."""
    await contestant.open()
    await warm_up(waiter, server, work.interval)
    lag_probe = probes.LagProbe()
    probe_cost = await lag_probe.cost()
    base, log.lines = probes.reset_peak_memory(), 0
    epoch = time.monotonic() + 0.5
    server.begin(epoch)
    plan = work.starts_and_ends()
    waits = [Wait(job_id(number, ends), epoch + ends) for number, (_, ends) in enumerate(plan)]
    probe_task, quiet = (
        asyncio.create_task(lag_probe.run(epoch)),
        asyncio.create_task(measure_quiet_phase(work, epoch, log)),
    )
    cpu, busy, started_at = time.process_time(), probes.processor_seconds(), time.monotonic()
    until = epoch + work.ends[1] + work.patience
    await wait_for_all(waits, [epoch + at for at, _ in plan], waiter, until)
    cpu, busy, wall = time.process_time() - cpu, probes.processor_seconds() - busy, time.monotonic() - started_at
    own_cpu = cpu - probe_cost * wall
    quiet_lines, quiet_cpu = await quiet
    quiet_cpu -= probe_cost * len(work.quiet)
    peak, counts = probes.memory("VmHWM"), server.counts()
    probe_task.cancel()
    await contestant.close()
    return {
        "cpu_s": own_cpu,
        "cpu_s_per_1k": own_cpu * 1000 / counts.polls,
        "others_share": max(busy - cpu, 0.0) / wall,
        "memory_kb": (peak - base) / work.count,
        "lag_p99_ms": probes.percentile(lag_probe.lags, 0.99) * 1000,
        "lag_max_ms": max(lag_probe.lags) * 1000,
        **quiet_figures(quiet_lines, quiet_cpu, work, sum(counts.seconds[second] for second in work.quiet)),
        "lines_per_wait": log.lines / work.count,
        **server_figures(counts, work),
        **wait_figures(waits),
    }


async def measure_quiet_phase(work: Work, epoch: float, log: probes.LogCounter) -> tuple[int, float]:
    """Return the number of log lines and the CPU seconds while no job ends."""
    if not work.quiet:
        return 0, 0.0
    await asyncio.sleep(epoch + work.quiet.start - time.monotonic())
    lines, cpu = log.lines, time.process_time()
    await asyncio.sleep(epoch + work.quiet.stop - time.monotonic())
    return log.lines - lines, time.process_time() - cpu


def quiet_figures(lines: int, cpu: float, work: Work, requests: int) -> dict[str, float]:
    """Return the figures of the phase in which no job ends, if there is one. *cpu* is without the lag probe."""
    if not requests:
        return {}
    seconds = len(work.quiet)
    return {
        "lines_per_quiet_poll": lines / requests,
        "quiet_cpu_s_per_1k": cpu * 1000 / requests,
        "quiet_cpu_percent": cpu * 100 / seconds,
        "requests_per_interval": requests * work.interval / seconds,
    }


async def warm_up(waiter: Waiter, server: JobServer, interval: float) -> None:
    """Wait for three jobs that have ended, so that imports and the first TLS context are not measured."""
    server.begin(time.monotonic())
    waits = [Wait(job_id(number, 0.0), time.monotonic()) for number in range(3)]
    await wait_for_all(waits, [time.monotonic()] * len(waits), waiter, time.monotonic() + interval + 30)
    if wrong := [one.error or "lost" for one in waits if one.event_at is None or one.error]:
        raise RuntimeError(f"the warm-up failed: {wrong}")


def server_figures(counts: Counts, work: Work) -> dict[str, object]:
    """Return the figures from the server's counts."""
    begin = min(counts.seconds)  # an event loop that was blocked polls nothing at first, then much at once
    first = [counts.seconds[begin + second] for second in range(math.ceil(work.interval))]
    mean = work.count / work.interval
    return {
        "polls": counts.polls,
        "connections_per_1k": counts.connections * 1000 / counts.polls,
        "peak_over_mean": max(counts.seconds.values()) / mean,
        "first_peak_over_mean": max(first) / mean,
        "statuses": dict(counts.statuses),
    }


def wait_figures(waits: list[Wait]) -> dict[str, object]:
    """Return the figures about the delay of events and lost waits."""
    delays = [one.event_at - one.ends for one in waits if one.event_at is not None and not one.error]
    return {
        "delay_p50_s": probes.percentile(delays, 0.5),
        "delay_p99_s": probes.percentile(delays, 0.99),
        "delay_max_s": probes.percentile(delays, 1.0),
        "failed": sum(one.error is not None for one in waits),
        "lost": sum(one.event_at is None for one in waits),
        "errors": Counter(one.error for one in waits if one.error).most_common(3),
    }


def run(work: Work, log: probes.LogCounter) -> dict[str, object]:
    """Do the work. Return its figures, or the reason why a peer is skipped."""
    with serving(ServerOptions(**work.server_options)) as server:
        try:
            contestant = CONTESTANTS[work.contestant](server, work.interval)
        except ImportError as error:
            if work.contestant not in PEERS:
                raise
            return {"skipped": repr(error)}
        return asyncio.run(measure(work, contestant, waiter_of(contestant, log), server, log))


def waiter_of(contestant: Contestant, log: probes.LogCounter) -> Waiter:
    """Return the waiter of a contestant."""
    # Also for the minimal implementation, so that Python's garbage collector has the same work.
    from airflow.jobs.triggerer_job_runner import TriggerRunner
    from airflow.sdk.log import configure_logging, logger_at_level

    if not isinstance(contestant, Triggers):
        assert isinstance(contestant, Bare)
        return bare(contestant)
    configure_logging(json_output=True, log_level="INFO", output=cast("Any", log), sending_to_supervisor=True)
    sys.excepthook = sys.__excepthook__  # Airflow replaces it
    runner = TriggerRunner()  # type: ignore[no-untyped-call]  # Airflow's
    runner.log = logger_at_level("runner", logging.WARNING)  # hides the runner's three lines per trigger
    return in_airflow(contestant, runner)


def main() -> None:
    """Do the work in the argument."""
    fields = json.loads(sys.argv[1])
    print(json.dumps(run(Work(**fields), probes.LogCounter())))


if __name__ == "__main__":
    main()
