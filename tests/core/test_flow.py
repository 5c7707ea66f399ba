"""Going on without an answer, by a clock that only sleeping moves."""

import pytest

from airflow_provider_hwstatus.core.errors import (
    ApiError,
    DeadlineError,
    ServerError,
    ThrottledError,
    TransportError,
)
from airflow_provider_hwstatus.core.flow import Patience, Throttle, persist
from airflow_provider_hwstatus.core.messages import Sleep

START = 1_000_000.0


class World:
    """Runs a flow in which each attempt takes a given time and has a given end; the last end stays."""

    def __init__(self, *ends, takes=0.0, throttle=None):
        self.now = START
        self.takes = takes
        self.ends = list(ends)
        self.asked = []
        self.throttle = throttle or Throttle()

    def attempt(self):
        self.asked.append(self.now - START)
        self.now += self.takes
        end = self.ends.pop(0) if len(self.ends) > 1 else self.ends[0]
        if isinstance(end, Exception):
            raise end
        return end
        yield

    def run(self, tolerance=600.0, deadline=None):
        patience = Patience(tolerance, None if deadline is None else START + deadline)
        flow = persist(self.attempt, patience, self.throttle, lambda: self.now)
        try:
            while True:
                effect = flow.send(None)
                assert isinstance(effect, Sleep)
                assert effect.seconds >= 0
                self.now += effect.seconds
        except StopIteration as done:
            return done.value

    @property
    def elapsed(self):
        return self.now - START


def down():
    return TransportError("connect refused")


def test_answer_needs_no_patience():
    """A question that is answered is asked once, without a pause."""
    world = World("answer")

    assert "answer" == world.run()
    assert [0.0] == world.asked


def test_outage_is_waited_out():
    """A service that comes back within the tolerance is never noticed."""
    world = World(down(), ServerError("503"), down(), "answer")

    assert "answer" == world.run()
    assert 4 == len(world.asked)
    assert world.elapsed > 0


def test_pauses_grow_up_to_a_minute():
    """An outage is asked about less and less often, and never in step with others."""
    world = World(down())
    with pytest.raises(TransportError):
        world.run(tolerance=3600.0)

    pauses = [later - earlier for earlier, later in zip(world.asked, world.asked[1:], strict=False)]
    assert 0.5 <= pauses[0] <= 1.0
    assert 30.0 <= max(pauses) <= 60.0
    assert 60 <= len(pauses) <= 130


@pytest.mark.parametrize("tolerance", [1.0, 7.0, 600.0])
def test_outage_tolerance_is_honoured(tolerance):
    """Patience ends when it should, with a last question at its end, and says how long it was."""
    world = World(down())

    with pytest.raises(TransportError, match=rf"no answer for {tolerance:g} s .*connect refused"):
        world.run(tolerance)
    assert tolerance == pytest.approx(world.elapsed)
    assert tolerance == pytest.approx(world.asked[-1])


def test_outage_begins_with_the_first_failed_request():
    """The time that a failing request took counts."""
    world = World(down(), takes=4.0)

    with pytest.raises(TransportError):
        world.run(10.0)
    assert 10.0 <= world.elapsed <= 14.0


def test_no_tolerance_asks_once():
    """With outage_tolerance=0 the first failure is the last."""
    world = World(down(), "answer")

    with pytest.raises(TransportError, match=r"^connect refused$"):
        world.run(0.0)
    assert 0.0 == world.elapsed


def test_a_no_is_not_repeated():
    """What trying again does not change is not tried again."""
    world = World(ApiError("no"), "answer")

    with pytest.raises(ApiError, match="no"):
        world.run()
    assert 1 == len(world.asked)


def test_deadline_comes_first():
    """Between tolerance and deadline the earlier one decides; the deadline's error names the last one."""
    world = World(down())

    with pytest.raises(DeadlineError, match="connect refused"):
        world.run(tolerance=600.0, deadline=5.0)
    assert 5.0 == pytest.approx(world.elapsed)


def test_last_look_after_the_deadline():
    """Who comes after the deadline still asks once."""
    assert "answer" == World("answer").run(deadline=-100.0)
    late = World(down())
    with pytest.raises(DeadlineError):
        late.run(deadline=-100.0)
    assert 1 == len(late.asked)


def test_retry_after_is_honoured():
    """The service's own time is kept, when it is longer than ours."""
    world = World(ServerError("503", retry_after=42.0), "answer")

    world.run()
    assert 42.0 == pytest.approx(world.elapsed)


def test_retry_after_never_outlasts_patience():
    """Neither the tolerance nor the deadline moves, and nobody asks before the time that the service set."""
    for bounds, error in (({"tolerance": 10.0}, ThrottledError), ({"deadline": 10.0}, DeadlineError)):
        world = World(ThrottledError("429", retry_after=300.0), "answer")
        with pytest.raises(error):
            world.run(**bounds)
        assert 10.0 == pytest.approx(world.elapsed)
        assert [0.0] == world.asked


def test_throttling_holds_back_all_waits_of_a_connection():
    """A 429 to one wait is heard by the next one, which does not ask before the time is over."""
    first = World(ThrottledError("429", retry_after=60.0), "answer")
    with pytest.raises(ThrottledError):
        first.run(tolerance=0.0)

    second = World("answer", throttle=first.throttle)
    second.run()
    assert 60.0 <= second.asked[0] <= 120.0


def test_waits_that_were_held_back_do_not_come_back_at_once():
    """Who was told to wait a minute comes back within the next one, spread over it."""
    throttle, turns = Throttle(), []
    throttle.hold(60.0, START)
    for _ in range(200):
        world = World("answer", throttle=throttle)
        world.run()
        turns += world.asked

    by_second = [sum(second <= turn < second + 10 for turn in turns) for second in range(60, 120, 10)]
    assert 200 == sum(by_second)
    assert max(by_second) < 2.2 * 200 / 6


def test_held_back_until_the_deadline_is_a_deadline():
    """A wait that may not ask before its deadline says why."""
    throttle = Throttle()
    throttle.hold(600.0, START)

    world = World("answer", throttle=throttle)
    with pytest.raises(DeadlineError, match="429"):
        world.run(deadline=5.0)
    assert [] == world.asked


def test_being_held_back_is_no_outage():
    """Tolerance counts from a failed request; keeping quiet because others were told to is not one."""
    throttle = Throttle()
    throttle.hold(600.0, START)

    assert "answer" == World("answer", throttle=throttle).run(tolerance=0.0)
