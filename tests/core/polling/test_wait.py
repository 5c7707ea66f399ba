"""A whole wait, by a clock that only sleeping moves."""

import json
from itertools import pairwise

import pytest

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.core.polling.job_poller import JobPoller
from airflow_provider_hwstatus.core.polling.wait import wait
from airflow_provider_hwstatus.core.polling.wait_options import WaitOptions
from airflow_provider_hwstatus.core.protocol.effects import AcquireSlot, Exclusive, ReleaseSlot, Response, Sleep
from airflow_provider_hwstatus.errors import (
    AuthenticationError,
    ConfigurationError,
    CredentialsRefusedError,
    DeadlineError,
    HwStatusError,
    UnknownStateError,
)
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH

START = 1_000_000.0
SETTINGS = Settings(auth="token", password="T", project_id="p1", dli_endpoint="https://dli.example.com")


class World:
    """Answers one state or HTTP status per poll; the last stays."""

    def __init__(self, *answers, settings=SETTINGS):
        self.now = START
        self.answers = list(answers)
        self.polls = []
        self.requests = []
        self.on_poll = []
        self.client = Client(settings, lambda: self.now)

    def answer(self):
        self.polls.append(self.now - START)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        status, body = (answer, {}) if isinstance(answer, int) else (200, {"id": "b1", "state": answer})
        return Response(status, {}, json.dumps(body).encode())

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
            return None
        if isinstance(effect, Exclusive):
            return self.run_sync(effect.flow())
        if isinstance(effect, Sleep):
            assert effect.seconds >= 0
            self.now += effect.seconds
            return None
        self.requests.append(effect)
        return self.answer()

    @property
    def gaps(self):
        return [later - earlier for earlier, later in pairwise(self.polls)]

    def wait(self, first_after=0.0, **options):
        options = WaitOptions(**({"poke_interval": 10.0, "began": START} | options))
        return self.run_sync(wait(JobPoller(self.client, DLI_BATCH, "b1"), options, self.on_poll.append, first_after))


def test_wait_ends_with_the_job():
    """Polls are about an interval apart, and the last one is the result."""
    world = World("starting", "running", "Success")

    assert "Success" == world.wait().state
    assert [10.0, 10.0] == pytest.approx(world.gaps, abs=1.0)
    assert ["starting", "running", "Success"] == [status.state for status in world.on_poll]


def test_failure_is_a_result():
    """A failed job is an answer, not an error."""
    assert "failure" == World("running", "dead").wait().outcome


def test_first_poll_can_be_later():
    """Waits that begin together need not ask together."""
    world = World("success")
    world.wait(first_after=7.0)
    assert [7.0] == world.polls


def test_deadline_ends_the_wait_with_a_last_look():
    """The last poll is at the deadline, not an interval behind or before it."""
    world = World("running")

    with pytest.raises(DeadlineError, match=r"DLI batch b1: timed out after 25 s; its state is 'running'"):
        world.wait(deadline=START + 25.0)
    assert 4 == len(world.polls)
    assert 25.0 == pytest.approx(world.polls[-1])


def test_wait_resumed_after_its_deadline_looks_once_more():
    """A triggerer that was away too long still finds the job's own end."""
    assert "success" == World("success").wait(deadline=START - 100.0).outcome
    with pytest.raises(DeadlineError):
        World("running").wait(deadline=START - 100.0, first_after=50.0)


@pytest.mark.parametrize("interval", [0.0, 0.001])
def test_no_interval_makes_a_hot_loop(interval):
    """At least a tenth of a second lies between two polls."""
    world = World(*["running"] * 10, "success")
    world.wait(poke_interval=interval)
    assert min(world.gaps) >= 0.099


def test_backoff_grows_like_airflows_and_survives_a_restart():
    """The interval follows the time waited: doubled, with jitter, up to max_wait."""
    world = World("running")
    with pytest.raises(DeadlineError):
        world.wait(exponential_backoff=True, deadline=START + 3600.0)
    assert len(world.gaps) < 13
    assert world.gaps[-2] > 300

    resumed = WaitOptions(poke_interval=10.0, began=START, exponential_backoff=True, max_wait=60.0)
    assert 60.0 == resumed.interval(START + 3000.0)
    assert 5.0 <= resumed.interval(START) <= 10.0


def test_unknown_state_is_waited_on_or_fails():
    """The plan says what an unknown state does; it never is a success."""
    assert "success" == World("paused", "success").wait().state
    with pytest.raises(UnknownStateError, match="'paused'"):
        World("paused", "success").wait(on_unknown_state="fail")


def test_silent_fail_goes_on_until_the_deadline():
    """An error is told and overlooked, for as long as there is time."""
    world = World(403, "running", 403, "success")
    assert "success" == world.wait(silent_fail=True).state
    assert 2 == sum(isinstance(seen, AuthenticationError) for seen in world.on_poll)

    with pytest.raises(DeadlineError, match="403"):
        World(403).wait(silent_fail=True, deadline=START + 25.0)
    with pytest.raises(AuthenticationError, match="DLI batch b1"):
        World(403).wait()


def test_refused_key_is_never_overlooked():
    """Asking on with a refused key would lock it."""
    aksk = Settings(login="AK", password="SK", project_id="p1", dli_endpoint="https://dli.example.com")
    world = World(401, settings=aksk)

    with pytest.raises(CredentialsRefusedError):
        world.wait(silent_fail=True)
    assert 1 == len(world.polls)


@pytest.mark.parametrize(
    "wrong",
    [
        {"poke_interval": "1"},
        {"poke_interval": None},
        {"poke_interval": float("nan")},
        {"began": "now"},
        {"deadline": "x"},
        {"max_wait": []},
        {"outage_tolerance": True},
        {"on_unknown_state": "ignore"},
    ],
)
def test_plan_of_another_release_is_checked(wrong):
    """What a database hands back may be anything; the error names the argument."""
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        WaitOptions(**({"poke_interval": 1.0, "began": START} | wrong))


def test_question_near_the_deadline_is_short():
    """A reply that hangs at the end of a wait does not carry it far beyond its deadline."""
    world = World("running")

    with pytest.raises(DeadlineError):
        world.wait(poke_interval=1.0, deadline=START + 12.0)
    ends = [polled + request.timeout for polled, request in zip(world.polls, world.requests, strict=True)]
    assert [12.0 + 5.0] * len(ends) == pytest.approx(ends)


def test_interval_is_honoured_on_average_and_never_in_step():
    """Each interval is a tenth longer or shorter at most; together they are what was asked for."""
    world = World(*["running"] * 1000, "success")
    world.wait()

    assert 9.0 <= min(world.gaps) < 9.2
    assert 10.8 < max(world.gaps) <= 11.0
    assert 10.0 == pytest.approx(sum(world.gaps) / len(world.gaps), abs=0.1)
