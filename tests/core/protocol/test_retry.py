"""Retries of a request during an outage, with a clock that only sleeping moves."""

import asyncio
from itertools import pairwise

import pytest

from airflow_provider_hwstatus.core.protocol.retry import LAST_POLL, RetryBudget
from airflow_provider_hwstatus.core.protocol.throttle import Throttle
from airflow_provider_hwstatus.errors import (
    ApiError,
    DeadlineError,
    ServerError,
    ThrottledError,
    TransportError,
)
from airflow_provider_hwstatus.kinds.service import DLI
from airflow_provider_hwstatus.transports.priority_semaphore import PrioritySemaphore

ANSWER = {}


def down(request):
    """Return a new error for each request, because retries add to its message."""
    return TransportError("connect refused")


def throttled(seconds):
    return 429, b"", {"retry-after": str(seconds)}


class Service:
    """A service that gives these replies, one for each request; the last one repeats."""

    def __init__(self, stub_cloud, *replies, takes=0.0, throttle=None):
        self.cloud = stub_cloud({"https://dli": list(replies)}, takes)
        self.client = self.cloud.client()
        if throttle:
            self.client.throttles["dli"] = throttle

    def get(self, tolerance=600.0, deadline=None, until=None):
        """Send a request with retries; times are in seconds since the beginning."""
        budget = RetryBudget(tolerance, *(at if at is None else self.cloud.began + at for at in (deadline, until)))
        return self.cloud.run(self.client.get(DLI, "/job", budget, self._read, "test"))

    def _read(self, response):
        if response.status == 503:
            raise ServerError("503")
        if response.status == 429:
            raise ThrottledError("429", http_status=429, retry_after=float(response.headers["retry-after"]))
        if response.status == 404:
            raise ApiError("no")
        return "answer"

    @property
    def sent_at(self):
        return self.cloud.sent_at

    @property
    def elapsed(self):
        return self.cloud.elapsed


@pytest.fixture
def service(stub_cloud):
    """Return a function that makes a service."""
    return lambda *replies, **more: Service(stub_cloud, *replies, **more)


def test_answered_request_is_sent_once(service):
    """A request that is answered is sent once, without a pause."""
    dli = service(ANSWER)

    assert "answer" == dli.get()
    assert [0.0] == dli.sent_at
    assert 0.0 == dli.elapsed


def test_short_outage_is_not_noticed(service):
    """An outage that ends within the tolerance raises no error."""
    dli = service(down, 503, down, ANSWER)

    assert "answer" == dli.get()
    assert 4 == len(dli.sent_at)
    assert dli.elapsed > 0


def test_pauses_grow_to_a_minute(service):
    """Retries become less frequent, up to one a minute, with jitter."""
    dli = service(down)
    with pytest.raises(TransportError):
        dli.get(tolerance=3600.0)

    pauses = [later - earlier for earlier, later in pairwise(dli.sent_at)]
    assert 0.5 <= pauses[0] <= 1.0
    assert 30.0 <= max(pauses) <= 60.0
    assert 60 <= len(pauses) <= 130


@pytest.mark.parametrize("tolerance", [1.0, 7.0, 600.0])
def test_retries_end_with_the_tolerance(service, tolerance):
    """The last request is sent when the tolerance ends, and the error names the tolerance."""
    dli = service(down)

    with pytest.raises(TransportError, match=rf"no answer for {tolerance:g} s .*connect refused"):
        dli.get(tolerance)
    assert tolerance == pytest.approx(dli.elapsed)
    assert tolerance == pytest.approx(dli.sent_at[-1])


def test_outage_begins_when_the_first_failed_request_is_sent(service):
    """The time that a failing request takes is part of the outage."""
    dli = service(down, takes=4.0)

    with pytest.raises(TransportError):
        dli.get(10.0)
    assert 10.0 <= dli.elapsed < 14.1


def test_no_tolerance_means_no_retry(service):
    """With outage_tolerance=0 the first failure is raised."""
    dli = service(down, ANSWER)

    with pytest.raises(TransportError, match=r"^connect refused$"):
        dli.get(0.0)
    assert 0.0 == dli.elapsed


def test_permanent_error_is_not_retried(service):
    """A request that fails for good is sent once."""
    dli = service(404, ANSWER)

    with pytest.raises(ApiError, match="no"):
        dli.get()
    assert 1 == len(dli.sent_at)


def test_deadline_ends_retries_before_the_tolerance(service):
    """The earlier of tolerance and deadline ends the retries; the deadline's error names the last failure."""
    dli = service(down)

    with pytest.raises(DeadlineError, match="connect refused"):
        dli.get(tolerance=600.0, deadline=5.0)
    assert 5.0 == pytest.approx(dli.elapsed)


def test_one_request_is_sent_after_the_deadline(service):
    """A wait that resumes after its deadline sends one request, if its budget gives that request time."""
    assert "answer" == service(ANSWER).get(deadline=-100.0, until=LAST_POLL)
    late = service(down)
    with pytest.raises(DeadlineError):
        late.get(deadline=-100.0, until=LAST_POLL)
    assert 1 == len(late.sent_at)


def test_retry_after_is_honoured(service):
    """A Retry-After that is longer than the pause replaces it."""
    dli = service(ServerError("503", retry_after=42.0), ANSWER)

    dli.get()
    assert 42.0 == pytest.approx(dli.elapsed)


def test_retry_after_extends_neither_tolerance_nor_deadline(service):
    """The retries end in time, and no request is sent before the service's Retry-After."""
    for bounds, error in (({"tolerance": 10.0}, ThrottledError), ({"deadline": 10.0}, DeadlineError)):
        dli = service(throttled(300), ANSWER)
        with pytest.raises(error):
            dli.get(**bounds)
        assert 10.0 == pytest.approx(dli.elapsed)
        assert [0.0] == dli.sent_at


def test_throttling_holds_back_all_waits_of_a_connection(service):
    """After a 429 to one wait, the next wait of the connection sends no request before Retry-After."""
    first = service(throttled(60), ANSWER)
    with pytest.raises(ThrottledError):
        first.get(tolerance=0.0)

    second = service(ANSWER, throttle=first.client.throttles["dli"])
    second.get()
    assert 60.0 == pytest.approx(second.sent_at[0])


def test_waits_that_give_up_delay_no_other(service, stub_cloud):
    """Turns that were booked by waits that ended or were cancelled do not delay the next wait."""
    machine, throttle = stub_cloud(), Throttle()
    throttle.refused(1.0, machine.now)
    for _ in range(1000):
        with pytest.raises(DeadlineError):
            service(ANSWER, throttle=throttle).get(deadline=0.5)
        cancelled = throttle.turn(machine.now + 600.0, machine.monotonic)
        next(cancelled)
        cancelled.close()

    machine.run(throttle.turn(machine.now + 600.0, machine.monotonic))
    assert machine.elapsed < 1.0 + 65 * 0.02


def test_reduced_rate_ends_no_wait(service, stub_cloud):
    """At its deadline a wait sends its request, although the reduced rate gives it a later turn."""
    now, throttle = stub_cloud().now, Throttle()
    for second in range(10):
        throttle.refused(1.0, now - 20.0 + second)
    for _ in range(50):
        next(throttle.turn(now + 600.0, lambda: now), None)

    dli = service(ANSWER, throttle=throttle)
    assert "answer" == dli.get(deadline=0.1)
    assert [0.1] == pytest.approx(dli.sent_at)


def test_wait_that_is_held_back_until_its_deadline_says_why(service, stub_cloud):
    """The deadline's error of a wait that was held back names the 429, and no request was sent."""
    throttle = Throttle()
    throttle.refused(600.0, stub_cloud().now)

    dli = service(ANSWER, throttle=throttle)
    with pytest.raises(DeadlineError, match="429"):
        dli.get(deadline=5.0)
    assert [] == dli.sent_at


def test_being_held_back_is_no_outage(service, stub_cloud):
    """The time in which another wait's 429 holds back a wait does not count against its tolerance."""
    throttle = Throttle()
    throttle.refused(600.0, stub_cloud().now)

    assert "answer" == service(ANSWER, throttle=throttle).get(tolerance=0.0)


def test_being_held_back_does_not_lengthen_an_outage(service):
    """The time in which a 429 to another wait holds back a retry does not count against the tolerance."""
    dli = service(down)

    def fail_and_hold_back(request):
        dli.client.throttles["dli"].refused(300.0, dli.cloud.now)
        return down(request)

    dli.cloud.replies = {"https://dli": [fail_and_hold_back, down]}
    with pytest.raises(TransportError, match="no answer for 100 s"):
        dli.get(tolerance=100.0)
    assert 300.0 == pytest.approx(dli.sent_at[1])
    assert 399.0 <= dli.elapsed <= 400.0


class Queue:
    """Slots of which none is free: a wait queues for 300 seconds, and then shares an outage of 20 seconds."""

    free = 0

    def __init__(self, cloud):
        self.cloud = cloud
        self.acquired = 0

    async def acquire(self, urgent_after, limit):
        self.acquired += 1
        self.cloud.sleep(300.0)
        error = TransportError("connect refused")
        error.unanswered_for = 20.0
        raise error


def test_queueing_does_not_lengthen_an_outage(service):
    """Of the time in which a retry queues for a slot, only the outage that it shares counts against the tolerance."""
    dli = service(down)
    queue, semaphore = Queue(dli.cloud), PrioritySemaphore(1)

    class Slots(dict):
        def __missing__(self, service):
            return queue if dli.sent_at and queue.acquired < 2 else semaphore

    budget = RetryBudget(100.0)
    with pytest.raises(TransportError, match="no answer for 100 s"):
        asyncio.run(dli.cloud.arun(dli.client.get(DLI, "/job", budget, str, "test"), Slots()))
    assert 2 * 280.0 + 99.0 <= dli.elapsed <= 2 * 280.0 + 100.1


@pytest.mark.parametrize("wrong_by", [-3600.0, 0.0, 3600.0])
def test_deadline_survives_a_clock_that_is_set(service, wrong_by):
    """A deadline and a 429 keep their distance when the time of day is set, before the request or during the outage."""
    dli = service(throttled(3), down)
    dli.cloud.clock_set_by = wrong_by

    def set_clock(request):
        dli.cloud.clock_set_by -= 2 * wrong_by
        return down(request)

    dli.cloud.replies = {"https://dli": [throttled(3), set_clock, down]}
    with pytest.raises(DeadlineError):
        dli.get(deadline=60.0 + wrong_by)
    assert 60.0 == pytest.approx(dli.elapsed)
    assert [0.0, 3.0] == pytest.approx(dli.sent_at[:2])
    assert [60.0 + LAST_POLL] * len(dli.sent_at) == pytest.approx(
        [at + left for at, left in zip(dli.sent_at, dli.cloud.seconds_left, strict=True)]
    )
