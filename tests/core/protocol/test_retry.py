"""Going on without an answer, by a clock that only sleeping moves."""

from itertools import pairwise
from math import inf

import pytest

from airflow_provider_hwstatus.core.protocol.effects import AcquireSlot, Exclusive, ReleaseSlot, Request, Sleep
from airflow_provider_hwstatus.core.protocol.retry import LAST_POLL, RetryBudget, bounded, retry
from airflow_provider_hwstatus.core.protocol.throttle import Throttle
from airflow_provider_hwstatus.errors import (
    ApiError,
    DeadlineError,
    HwStatusError,
    ServerError,
    ThrottledError,
    TransportError,
)

START = 1_000_000.0


class World:
    """Runs a flow in which each attempt takes a given time and has a given end; the last end stays."""

    def __init__(self, *ends, takes=0.0, throttle=None):
        self.now = START
        self.takes = takes
        self.ends = list(ends)
        self.target = []
        self.throttle = throttle or Throttle()

    def attempt(self):
        self.target.append(self.now - START)
        self.now += self.takes
        end = self.ends.pop(0) if len(self.ends) > 1 else self.ends[0]
        if isinstance(end, Exception):
            raise end
        return end
        yield

    def run(self, tolerance=600.0, deadline=None):
        budget = RetryBudget(tolerance, None if deadline is None else START + deadline)
        return self.run_sync(retry(self.attempt, budget, self.throttle, lambda: self.now, "dli"))

    def run_sync(self, flow):
        resume, value = flow.send, None
        try:
            while True:
                effect = resume(value)
                try:
                    resume, value = flow.send, self.perform(effect)
                except HwStatusError as error:
                    resume, value = flow.throw, error
        except StopIteration as done:
            return done.value

    def perform(self, effect):
        if isinstance(effect, AcquireSlot | ReleaseSlot):
            return
        assert isinstance(effect, Sleep)
        assert effect.seconds >= 0
        self.now += effect.seconds
        return

    @property
    def elapsed(self):
        return self.now - START


def down():
    return TransportError("connect refused")


def test_answer_needs_no_patience():
    """A question that is answered is asked once, without a pause."""
    world = World("answer")

    assert "answer" == world.run()
    assert [0.0] == world.target


def test_outage_is_waited_out():
    """A service that comes back within the tolerance is never noticed."""
    world = World(down(), ServerError("503"), down(), "answer")

    assert "answer" == world.run()
    assert 4 == len(world.target)
    assert world.elapsed > 0


def test_pauses_grow_up_to_a_minute():
    """An outage is asked about less and less often, and never in step with others."""
    world = World(down())
    with pytest.raises(TransportError):
        world.run(tolerance=3600.0)

    pauses = [later - earlier for earlier, later in pairwise(world.target)]
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
    assert tolerance == pytest.approx(world.target[-1])


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
    assert 1 == len(world.target)


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
    assert 1 == len(late.target)


def test_retry_after_is_honoured():
    """The service's own time is kept, when it is longer than ours."""
    world = World(ServerError("503", retry_after=42.0), "answer")

    world.run()
    assert 42.0 == pytest.approx(world.elapsed)


def test_retry_after_never_outlasts_patience():
    """Neither the tolerance nor the deadline moves, and nobody asks before the time that the service set."""
    for bounds, error in (({"tolerance": 10.0}, ThrottledError), ({"deadline": 10.0}, DeadlineError)):
        world = World(ThrottledError("429", http_status=429, retry_after=300.0), "answer")
        with pytest.raises(error):
            world.run(**bounds)
        assert 10.0 == pytest.approx(world.elapsed)
        assert [0.0] == world.target


def test_throttling_holds_back_all_waits_of_a_connection():
    """A 429 to one wait is heard by the next one, which does not ask before the time is over."""
    first = World(ThrottledError("429", http_status=429, retry_after=60.0), "answer")
    with pytest.raises(ThrottledError):
        first.run(tolerance=0.0)

    second = World("answer", throttle=first.throttle)
    second.run()
    assert 60.0 == pytest.approx(second.target[0])


def turns(throttle, count, now=START):
    """Return when each of *count* waits may ask that all come at the same time, in seconds since then."""
    pauses = [next(throttle.turn(inf, lambda: now), Sleep(0.0)).seconds for _ in range(count)]
    return [now - START + pause for pause in pauses]


def gap(throttle, now):
    one, other = turns(throttle, 2, now)
    return other - one


def test_waits_that_were_held_back_do_not_come_back_at_once():
    """Who was told to wait a minute comes back after the one before."""
    throttle = Throttle()
    throttle.refused(60.0, START)

    back = turns(throttle, 50)
    assert 60.0 == pytest.approx(min(back))
    assert {0.02} == {round(later - earlier, 6) for earlier, later in pairwise(back)}


def test_each_refusal_halves_the_rate_and_time_raises_it():
    """The rate finds its way below what the service allows, and is back within minutes when it allows all."""
    throttle, gaps = Throttle(), []
    for now in (START, START + 1.0, START + 2.0, START + 3.0):
        throttle.refused(1.0, now)
        gaps.append(gap(throttle, now))
    assert gaps == pytest.approx([0.02, 0.04, 0.08, 0.16])

    assert 0.08 == pytest.approx(gap(throttle, START + 4.0 + 15.0))
    assert [600.0] * 50 == pytest.approx(turns(throttle, 50, START + 600.0))


def test_no_refusal_makes_it_slower_than_a_question_in_seconds():
    """An hour of refusals is over within minutes, too."""
    throttle = Throttle()
    for second in range(3600):
        throttle.refused(1.0, START + second)

    assert 5.0 == pytest.approx(gap(throttle, START + 3600.0))
    assert 0.0 == gap(throttle, START + 3900.0)


def test_refusals_of_one_moment_count_once():
    """Twenty requests that were under way together and are refused together say no more than one."""
    throttle = Throttle()
    for _ in range(20):
        throttle.refused(1.0, START)

    assert 0.02 == pytest.approx(gap(throttle, START))


def test_refusal_during_the_pause_is_heard():
    """A wait whose turn has come after another was refused pauses anew."""
    throttle, now = Throttle(), START
    throttle.refused(10.0, START)
    turn = throttle.turn(inf, lambda: now)
    now += next(turn).seconds
    throttle.refused(30.0, now)

    assert 30.0 == pytest.approx(next(turn).seconds)


def test_those_who_give_up_keep_nobody_waiting():
    """Thousands of waits that end while they are held back, or are cancelled, leave no hole behind."""
    throttle = Throttle()
    throttle.refused(1.0, START)
    for _ in range(1000):
        with pytest.raises(DeadlineError):
            World("answer", throttle=throttle).run(deadline=0.5)
        turns(throttle, 1)  # booked, and cancelled

    assert turns(throttle, 1)[0] < 1.0 + 65 * 0.02


def test_own_pace_ends_no_wait():
    """At its deadline a wait asks, unless the service itself has forbidden it."""
    throttle = Throttle()
    for second in range(10):
        throttle.refused(1.0, START - 20.0 + second)
    turns(throttle, 50)

    world = World("answer", throttle=throttle)
    assert "answer" == world.run(deadline=0.1)
    assert [0.1] == pytest.approx(world.target)


class Service:
    """Answers a number of questions in any second, and refuses the others for a second."""

    def __init__(self, allowed):
        self.allowed = allowed
        self.throttle = Throttle()
        self.now = START
        self.answered = []
        self.refused = 0

    def ask(self):
        for pause in self.throttle.turn(inf, lambda: self.now):
            self.now += pause.seconds
        if sum(then > self.now - 1.0 for then in self.answered[-self.allowed :]) < self.allowed:
            self.answered.append(self.now)
        else:
            self.refused += 1
            self.throttle.refused(1.0, self.now)


@pytest.mark.parametrize("allowed", [1, 20])
def test_throttled_connection_serves_all(allowed):
    """A thousand questions to a service that allows few a second are answered at no less than half that rate."""
    service = Service(allowed)
    while len(service.answered) < 1000:
        service.ask()

    assert 1000 / (service.now - START) > 0.5 * allowed
    assert service.refused < 100


def test_held_back_until_the_deadline_is_a_deadline():
    """A wait that may not ask before its deadline says why."""
    throttle = Throttle()
    throttle.refused(600.0, START)

    world = World("answer", throttle=throttle)
    with pytest.raises(DeadlineError, match="429"):
        world.run(deadline=5.0)
    assert [] == world.target


def test_being_held_back_is_no_outage():
    """Tolerance counts from a failed request; keeping quiet because others were told to is not one."""
    throttle = Throttle()
    throttle.refused(600.0, START)

    assert "answer" == World("answer", throttle=throttle).run(tolerance=0.0)


def requests_of(seconds, timeouts=()):
    """A flow that sends requests one after the other, each of which takes *seconds*, logging in before the first."""

    def log_in():
        return (yield Request("POST", "https://iam/"))

    def flow(world):
        yield Exclusive("login", log_in)
        for timeout in timeouts:
            yield Request("GET", "https://dli/", timeout=timeout)
        return "answer"

    return flow


class Network:
    """Performs effects by a clock of its own: each request takes its time, or ends by its time-out."""

    def __init__(self, takes):
        self.now, self.takes, self.timeouts = START, takes, []

    def run(self, flow):
        resume, value = flow.send, None
        try:
            while True:
                effect = resume(value)
                resume, value = flow.send, None
                try:
                    if isinstance(effect, Exclusive):
                        value = self.run(effect.flow())
                    elif isinstance(effect, Request):
                        self.timeouts.append(effect.timeout)
                        timeout = 30.0 if effect.timeout is None else effect.timeout
                        self.now += min(self.takes, timeout)
                        if self.takes >= timeout:
                            raise TransportError("timed out")
                except HwStatusError as error:
                    resume, value = flow.throw, error
        except StopIteration as done:
            return done.value


@pytest.mark.parametrize("timeouts", [(), (None,), (None, None, 3.0), (240.0,) * 30])
@pytest.mark.parametrize("takes", [0.0, 1.0, 4.0, 29.0, inf])
def test_everything_ends_by_the_deadline(takes, timeouts):
    """However many requests an attempt has and however long they take, the login too, the last one ends in time."""
    network = Network(takes)
    flow = bounded(requests_of(takes, timeouts)(network), START + 10.0, lambda: network.now, 30.0)
    if takes * (1 + len(timeouts)) < 10.0:
        assert "answer" == network.run(flow)
        assert {None, 3.0, 10.0, *(10.0 - takes * n for n in range(31))} >= set(network.timeouts)
    else:
        with pytest.raises((DeadlineError, TransportError)):
            network.run(flow)
    assert network.now <= START + 10.0


def test_login_that_a_deadline_cut_short_is_no_outage_for_others():
    """Those who queue for a login share an outage, but not that the one who logged in had no time left."""
    network = Network(inf)

    with pytest.raises(DeadlineError, match="timed out"):
        network.run(bounded(requests_of(inf)(network), START + 3.0, lambda: network.now, 30.0))


def test_hold_survives_a_clock_that_is_set():
    """A 429 holds for as long as it says, and a deadline stays where it is, whatever happens to the time of day."""
    monotonic = 500.0
    for wall in (START - 3600.0, START, START + 3600.0):
        throttle = Throttle()
        throttle.refused(3.0, monotonic)
        budget = RetryBudget(600.0, wall + 60.0).shifted(monotonic - wall)
        assert (560.0, 560.0 + LAST_POLL) == (budget.deadline, budget.end)

        pause = next(throttle.turn(budget.limit(None), lambda: monotonic))
        assert 3.0 == pytest.approx(pause.seconds)
