"""The rate at which a throttled connection sends requests, with a clock that only sleeping moves."""

from itertools import pairwise
from math import inf

import pytest

from airflow_provider_hwstatus.core.protocol.throttle import Throttle

START = 1_000_000.0


@pytest.fixture
def turns(stub_cloud):
    """Return a function that returns when each of some waits has its turn, in seconds after all of them began."""

    def run(throttle, count, now=START):
        waits = [stub_cloud(now=now) for _ in range(count)]
        for wait in waits:
            wait.run(throttle.turn(inf, wait.monotonic))
        return [wait.elapsed for wait in waits]

    return run


@pytest.fixture
def gap(turns):
    """Return a function that returns the seconds between two turns."""

    def between(throttle, now):
        one, other = turns(throttle, 2, now)
        return other - one

    return between


def test_waits_that_were_held_back_resume_one_by_one(turns):
    """Waits that a 429 held back for a minute have their turns one after the other."""
    throttle = Throttle()
    throttle.refused(60.0, START)

    back = turns(throttle, 50)
    assert 60.0 == pytest.approx(min(back))
    assert {0.02} == {round(later - earlier, 6) for earlier, later in pairwise(back)}


def test_each_refusal_halves_the_rate_and_time_raises_it(turns, gap):
    """Each refusal halves the rate; it doubles again every 15 seconds, and ten minutes later there is no limit."""
    throttle, gaps = Throttle(), []
    for now in (START, START + 1.0, START + 2.0, START + 3.0):
        throttle.refused(1.0, now)
        gaps.append(gap(throttle, now))
    assert gaps == pytest.approx([0.02, 0.04, 0.08, 0.16])

    assert 0.08 == pytest.approx(gap(throttle, START + 4.0 + 15.0))
    assert [0.0] * 50 == turns(throttle, 50, START + 600.0)


def test_rate_has_a_lower_bound(gap):
    """After an hour of refusals there is one request in five seconds, and five minutes later there is no limit."""
    throttle = Throttle()
    for second in range(3600):
        throttle.refused(1.0, START + second)

    assert 5.0 == pytest.approx(gap(throttle, START + 3600.0))
    assert 0.0 == gap(throttle, START + 3900.0)


def test_refusals_of_one_moment_count_once(gap):
    """Twenty concurrent requests that are refused together reduce the rate as much as one."""
    throttle = Throttle()
    for _ in range(20):
        throttle.refused(1.0, START)

    assert 0.02 == pytest.approx(gap(throttle, START))


def test_refusal_during_the_pause_extends_it(stub_cloud):
    """A wait whose turn comes after another wait was refused pauses again."""
    machine, throttle = stub_cloud(now=START), Throttle()
    throttle.refused(10.0, START)
    turn = throttle.turn(inf, machine.monotonic)
    machine.sleep(next(turn).seconds)
    throttle.refused(30.0, machine.now)

    assert 30.0 == pytest.approx(next(turn).seconds)


class Service:
    """A service that answers some requests in each second, and refuses the others for a second."""

    def __init__(self, machine, allowed):
        self.machine = machine
        self.allowed = allowed
        self.throttle = Throttle()
        self.answered = []
        self.refused = 0

    def request(self):
        self.machine.run(self.throttle.turn(inf, self.machine.monotonic))
        now = self.machine.now
        if sum(then > now - 1.0 for then in self.answered[-self.allowed :]) < self.allowed:
            self.answered.append(now)
        else:
            self.refused += 1
            self.throttle.refused(1.0, now)


@pytest.mark.parametrize("allowed", [1, 20])
def test_throttled_connection_serves_all_waits(stub_cloud, allowed):
    """A thousand requests to a service that allows few in a second are answered at half of that rate at least."""
    service = Service(stub_cloud(now=START), allowed)
    while len(service.answered) < 1000:
        service.request()

    assert 1000 / service.machine.elapsed > 0.5 * allowed
    assert service.refused < 100
