"""
Simulate polls for jobs of hours. Print how many are saved if polls are dense only while the end of the job is likely.

Each policy detects 99 % of the ends as early as a poll every minute does. Its margin is the smallest one with which it
does so over all runs. A real wait does not know this margin and needs more polls. See docs/scale.md, "Long jobs".
"""

from __future__ import annotations

import argparse
import math
import random
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise
from statistics import NormalDist, fmean

INTERVAL = 60.0  # seconds between two polls without a policy
IN_TIME = 0.99  # the part of the ends to detect within DELAY
DELAY = IN_TIME * INTERVAL  # seconds: what polls every INTERVAL reach, and the time between two dense polls
BOUND = 900.0  # seconds between two sparse polls: the longest delay
HISTORY = 30  # earlier runs that a policy knows
NORMAL = NormalDist()

#: Periods of dense polls, from and to elapsed seconds, in order and without overlap.
Periods = list[tuple[float, float]]
#: The number of polls of a wait, and the seconds from the end of the job to the poll that detects it.
Outcome = tuple[int, float]


@dataclass(frozen=True)
class Scenario:
    """
    The durations of a task's jobs: a mixture of log-normal distributions.

    :param parts: Weight, median in hours and sigma of each.
    :param drift: Standard deviation of the change of all log-medians from one run to the next.
    :param history: Whether policies know earlier runs.
    """

    parts: tuple[tuple[float, float, float], ...]
    drift: float = 0.0
    history: bool = True

    def survival(self, elapsed: float) -> float:
        """Return the probability of a duration above *elapsed* seconds, without drift."""
        quantiles = ((weight, math.log(median * 3600 / elapsed) / sigma) for weight, median, sigma in self.parts)
        return sum(weight * NORMAL.cdf(quantile) for weight, quantile in quantiles)

    def runs(self, count: int) -> Iterator[Run]:
        """Yield *count* runs. They are the same each time."""
        chance, level, earlier = random.Random(1), 0.0, list[float]()  # noqa: S311  # a simulation
        for number in range(HISTORY + count):
            level = 0.98 * level + chance.gauss(0, self.drift)
            _, median, sigma = chance.choices(self.parts, [weight for weight, _, _ in self.parts])[0]
            duration = median * 3600 * math.exp(level + chance.gauss(0, sigma))
            if number >= HISTORY:
                yield Run(self, duration, math.exp(level), earlier if self.history else [])
            earlier = [*earlier, duration][-HISTORY:]


@dataclass(frozen=True)
class Run:
    """One run of a task: its duration in seconds, the factor of the drift, and earlier durations."""

    scenario: Scenario
    duration: float
    level: float
    earlier: list[float]


SCENARIOS = {
    "sigma 0.05": Scenario(((1, 6, 0.05),)),
    "sigma 0.1": Scenario(((1, 6, 0.1),)),
    "sigma 0.3": Scenario(((1, 6, 0.3),)),
    "sigma 0.6": Scenario(((1, 6, 0.6),)),
    "half of the jobs 1 h, half 6 h, sigma 0.1": Scenario(((0.5, 1, 0.1), (0.5, 6, 0.1))),
    "drift of 2 % per run, sigma 0.05": Scenario(((1, 6, 0.05),), drift=0.02),
    "3 % fail early, others sigma 0.05": Scenario(((0.97, 6, 0.05), (0.03, 0.5, 1))),
    "first run, sigma 1": Scenario(((1, 6, 1),), history=False),
}


@cache
def cells(scenario: Scenario) -> list[tuple[float, float, float, tuple[float, float]]]:
    """Return short periods of time, the highest hazard first: hazard, part of the ends, polls, and the period."""
    found, times = [], [math.exp(step / 500) for step in range(500 * 16)]  # 1 s to 100 days
    for (start, before), (end, after) in pairwise((time, scenario.survival(time)) for time in times):
        polls = (before + after) / 2 * (end - start) / DELAY
        if before > after:
            found.append(((before - after) / polls, before - after, polls, (start, end)))
    return sorted(found, reverse=True)


@cache
def likeliest(scenario: Scenario, part: float) -> tuple[Periods, float]:
    """
    Return the periods that contain *part* of the ends and need the fewest polls, and the number of polls.

    No policy needs fewer polls to detect *part* of the ends within DELAY. A poll detects the ends of the last DELAY
    seconds, and is sent only if the job still ran at the poll before. So the best periods are those with the highest
    hazard, which is the rate at which running jobs end.
    """
    found = cells(scenario)
    best = found[: bisect_left(list(accumulate(ends for _, ends, _, _ in found)), part)]
    return merged(period for *_, period in best), sum(polls for _, _, polls, _ in best)


def merged(periods: Iterable[tuple[float, float]]) -> Periods:
    """Return *periods* in order. Those that touch become one."""
    result: Periods = []
    for start, end in sorted(periods):
        if result and start <= result[-1][1]:
            result[-1] = result[-1][0], max(end, result[-1][1])
        else:
            result.append((start, end))
    return result


def wait(duration: float, dense: Periods, interval: float = DELAY) -> Outcome:
    """Poll each *interval* in *dense* periods, and sparsely otherwise. Without periods, poll densely."""
    polls, now = 0, 0.0
    for start, end in [*dense, (math.inf, math.inf)] if dense else [(0.0, math.inf)]:
        for gap, until in ((BOUND, start), (interval, end)):
            if duration <= until:
                needed = math.ceil((duration - now) / gap)
                return polls + needed, min(now + needed * gap, until) - duration
            polls, now = polls + math.ceil((until - now) / gap), until
    raise AssertionError("the last period does not end")


def known(run: Run, margin: float) -> Outcome:
    """Poll densely where the end is likeliest. A real wait does not know the distribution."""
    periods, _ = likeliest(run.scenario, 1 - math.exp(-margin))
    return wait(run.duration, [(start * run.level, end * run.level) for start, end in periods])


def fitted(run: Run, margin: float) -> Outcome:
    """Fit a log-normal distribution to earlier durations. Poll densely from a low quantile."""
    if not run.earlier:
        return wait(run.duration, [])
    logs = [math.log(duration) for duration in run.earlier]
    mean = fmean(logs)
    deviation = math.sqrt(fmean((log - mean) ** 2 for log in logs))  # stdev() is slow
    return wait(run.duration, [(math.exp(mean - margin * deviation), math.inf)])


def near(run: Run, margin: float) -> Outcome:
    """Poll densely near each earlier duration."""
    factor = math.exp(margin)
    return wait(run.duration, merged((one / factor, one * factor) for one in run.earlier))


def elapsed(run: Run, margin: float) -> Outcome:
    """Poll when the elapsed time has grown by a constant factor. This needs no history and has no bound."""
    growth = 1 + math.exp(-margin)
    polls = max(math.ceil(math.log(run.duration / DELAY, growth)), 0)
    return polls + 1, DELAY * growth**polls - run.duration


#: A policy returns the outcome of a run. A higher margin means more polls and fewer late detections.
Policy = Callable[[Run, float], Outcome]
POLICIES: tuple[Policy, ...] = (known, fitted, near, elapsed)


def tuned(policy: Policy, runs: list[Run]) -> list[Outcome]:
    """Return the outcome of each run, with the smallest margin with which enough ends are detected in time."""
    low, high = 0.0, 32.0
    for _ in range(14):
        margin = (low + high) / 2
        in_time = fmean(policy(run, margin)[1] <= DELAY for run in runs)
        low, high = (low, margin) if in_time >= IN_TIME else (margin, high)
    return [policy(run, high) for run in runs]


def rows(scenario: Scenario, count: int) -> Iterator[list[str]]:
    """Simulate *count* runs. Yield the figures of each policy."""
    runs = list(scenario.runs(count))
    outcomes = {"fixed": [wait(run.duration, [], INTERVAL) for run in runs]}
    outcomes |= {policy.__name__: tuned(policy, runs) for policy in POLICIES}
    by_minute = fmean(polls for polls, _ in outcomes["fixed"])
    fewest = likeliest(scenario, IN_TIME)[1] * fmean(run.level for run in runs)  # the same part at each level
    yield ["limit", f"{fewest:.0f}", f"{by_minute / fewest:.2f}", "", "", ""]
    for policy, found in outcomes.items():
        polls, delays = fmean(polls for polls, _ in found), sorted(delay for _, delay in found)
        seconds = (f"{delay:.1f}" for delay in (fmean(delays), delays[math.ceil(IN_TIME * count) - 1], delays[-1]))
        yield [policy, f"{polls:.0f}", f"{by_minute / polls:.2f}", *seconds]


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="simulate 300 runs instead of 5,000")
    count = 300 if parser.parse_args().quick else 5_000
    print("| durations | policy | polls | times fewer | mean delay, s | p99, s | longest, s |")
    print("| --- | --- | --: | --: | --: | --: | --: |")
    for name, scenario in SCENARIOS.items():
        for row in rows(scenario, count):
            print("|", " | ".join([name, *row]), "|", flush=True)


if __name__ == "__main__":
    main()
