"""The runners end every request by the deadline that a flow sets when it acquires a slot."""

import asyncio
from math import inf

import pytest

from airflow_provider_hwstatus.core.protocol.effects import AcquireSlot, Exclusive, ReleaseSlot, Request
from airflow_provider_hwstatus.errors import DeadlineError, TransportError

REPLIES = {"https://": {}}


def run_in_thread(cloud, flow):
    return cloud.run(flow)


def run_in_loop(cloud, flow):
    return asyncio.run(cloud.arun(flow))


@pytest.fixture(params=[run_in_thread, run_in_loop])
def run(request):
    """Return a function that runs a flow in a thread or in an event loop."""
    return request.param


def log_in(until=None):
    """Send the request of a login, with a slot of its own if *until* is set."""
    if until is not None:
        yield AcquireSlot("iam", until=until)
    return (yield Request("POST", "https://iam/"))


def send_all(until, timeouts=(), login=log_in):
    """Log in, and send a request with each of these time-outs, by a deadline."""
    yield AcquireSlot("dli", until=until)
    yield Exclusive("login", login)
    for timeout in timeouts:
        yield Request("GET", "https://dli/", timeout=timeout)
    yield ReleaseSlot(None, "dli")
    return "answer"


@pytest.mark.parametrize("timeouts", [(), (None,), (None, None, 3.0), (240.0,) * 30])
@pytest.mark.parametrize("takes", [0.0, 1.0, 4.0, 29.0, inf])
def test_every_request_ends_by_the_deadline(stub_cloud, run, takes, timeouts):
    """The last request ends in time, for any number of requests of any duration, the login included."""
    cloud = stub_cloud(REPLIES, takes)
    flow = send_all(cloud.now + 10.0, timeouts)
    if takes * (1 + len(timeouts)) < 10.0:
        assert "answer" == run(cloud, flow)
        assert [10.0 - takes * number for number in range(1 + len(timeouts))] == cloud.seconds_left
    else:
        with pytest.raises((DeadlineError, TransportError)):
            run(cloud, flow)
    assert cloud.elapsed <= 10.0


def test_login_that_a_deadline_ends_is_no_outage_for_others(stub_cloud, run):
    """A login that one wait's deadline ends raises a DeadlineError, which waits for the same login do not share."""
    cloud = stub_cloud(REPLIES, takes=inf)

    with pytest.raises(DeadlineError, match="timed out"):
        run(cloud, send_all(cloud.now + 3.0))
    assert 3.0 == cloud.elapsed


def test_login_that_fails_before_the_deadline_is_an_outage(stub_cloud, run):
    """A login that fails for another reason keeps its error."""
    cloud = stub_cloud({"https://": TransportError("reset")})

    with pytest.raises(TransportError, match=r"^reset$"):
        run(cloud, send_all(cloud.now + 3.0))


def test_flow_within_a_flow_has_no_later_deadline(stub_cloud, run):
    """The deadline of the outer flow limits an exclusive flow that sets a later one."""
    cloud = stub_cloud(REPLIES)
    run(cloud, send_all(cloud.now + 10.0, login=lambda: log_in(cloud.now + 60.0)))
    run(cloud, send_all(cloud.now + 10.0, login=lambda: log_in(cloud.now + 4.0)))

    assert [10.0, 4.0] == cloud.seconds_left


def test_deadline_ends_with_the_slot(stub_cloud, run):
    """A request that is sent after the slot was released has no deadline."""
    cloud = stub_cloud(REPLIES)

    def twice():
        yield from send_all(cloud.now + 10.0)
        yield Request("GET", "https://dli/")

    run(cloud, twice())
    assert [10.0, inf] == cloud.seconds_left
