"""The simulation of polls for long jobs."""

from __future__ import annotations

import importlib.util
import math
import random
import subprocess
import sys
from collections import defaultdict
from itertools import count
from pathlib import Path
from statistics import NormalDist

import pytest

PROGRAM = Path(__file__).with_name("long_jobs.py")


@pytest.fixture(scope="module")
def long_jobs():
    """Return the program as a module."""
    spec = importlib.util.spec_from_file_location("long_jobs", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def figures():
    """Run the program. Return its figures by scenario and policy: polls, gain, mean delay, p99 and longest delay."""
    done = subprocess.run([sys.executable, PROGRAM, "--quick"], capture_output=True, text=True, check=True)
    found = defaultdict(dict)
    for line in done.stdout.splitlines()[2:]:
        scenario, policy, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        found[scenario][policy] = [float(cell) for cell in cells if cell]
    return found


def test_each_scenario_has_each_policy(long_jobs, figures):
    """The program prints all figures of all policies."""
    policies = ["limit", "fixed", *(policy.__name__ for policy in long_jobs.POLICIES)]

    assert list(long_jobs.SCENARIOS) == list(figures)
    assert all(policies == list(rows) for rows in figures.values())
    assert {2, 5} == {len(row) for rows in figures.values() for row in rows.values()}


def test_polls_every_minute_detect_an_end_after_half_a_minute(figures):
    """A fixed interval has a mean delay of half the interval, and never a longer delay than the interval."""
    for rows in figures.values():
        _, _, mean, p99, longest = rows["fixed"]

        assert 30 == pytest.approx(mean, abs=3)
        assert mean < p99 <= longest <= 60


def test_no_policy_detects_too_many_ends_late(figures):
    """Policies are compared at the delay that polls every minute reach for 99 % of the ends."""
    for rows in figures.values():
        for policy in rows.keys() - {"limit", "fixed"}:
            *_, p99, longest = rows[policy]

            assert p99 <= 59.4
            assert policy == "elapsed" or longest <= 900


def test_no_policy_beats_the_limit(figures):
    """The limit holds for all policies. With 300 runs, chance moves the figures by a few percent."""
    for rows in figures.values():
        limit = rows["limit"][0]
        polls = [row[0] for policy, row in rows.items() if policy != "limit"]

        assert min(polls) >= 0.85 * limit


def test_limit_of_one_log_normal_distribution(long_jobs):
    """For one distribution, dense polls from its 1 % quantile are the best to within a percent."""
    sigma = 0.1
    quantile = math.exp(NormalDist().inv_cdf(0.01) * sigma)
    mean_above = math.exp(sigma**2 / 2) * NormalDist().cdf(sigma - NormalDist().inv_cdf(0.01)) - 0.99 * quantile

    periods, polls = long_jobs.likeliest(long_jobs.Scenario(((1, 6, sigma),)), 0.99)

    assert 6 * 3600 * mean_above / 59.4 == pytest.approx(polls, rel=0.01)
    assert 6 * 3600 * quantile == pytest.approx(periods[0][0], rel=0.01)


def poll_times(periods):
    """Yield when a wait polls, one poll after the other."""
    now = 0.0
    for start, end in [*periods, (math.inf, math.inf)]:
        for gap, until in ((900.0, start), (59.4, end)):
            begin = now
            for number in count(1):
                if now >= until:
                    break
                now = min(begin + number * gap, until)
                yield now


def test_a_wait_ends_with_its_first_poll_after_the_end(long_jobs):
    """The formula for polls and delay agrees with single polls."""
    chance = random.Random(2)  # noqa: S311  # a test
    for _ in range(300):
        edges = sorted(chance.uniform(0, 20_000) for _ in range(4))
        periods, duration = [(edges[0], edges[1]), (edges[2], edges[3])], chance.uniform(1, 25_000)
        polls, time = next((n, time) for n, time in enumerate(poll_times(periods), 1) if time >= duration)

        assert (polls, pytest.approx(time - duration)) == long_jobs.wait(duration, periods)
