"""Single flight, sync and async, and sleeps that an alarm ends."""

import asyncio
import threading

import pytest

from airflow_provider_hwstatus.core.protocol.effects import Exclusive, Sleep
from airflow_provider_hwstatus.errors import DeadlineError, ServerError
from airflow_provider_hwstatus.transports.runners import AsyncHandlers, SyncHandlers, run_async, run_sync
from airflow_provider_hwstatus.transports.single_flight import SingleFlights


class Once:
    """Work that runs once. It ends when *expected* callers have arrived, and fails the first *failures* times."""

    def __init__(self, failures=0, expected=30):
        self.failures = failures
        self.expected = expected
        self.callers = 0
        self.tries = 0
        self.done = None

    def run(self):
        self.callers += 1
        return self.done or (yield Exclusive("once", self._work))

    def _work(self):
        if self.done:
            return self.done
        self.tries += 1
        while self.callers < self.expected:
            yield Sleep(0.01)
        yield Sleep(0.2)  # until the last caller queues
        if self.tries <= self.failures:
            raise ServerError(f"failure {self.tries}")
        self.done = f"done {self.tries}"
        return self.done


def all_sync(make, count):
    handlers = SyncHandlers(None, SingleFlights(lambda name: threading.Lock()), None, None)
    results = []

    def run():
        try:
            results.append(run_sync(make(), handlers))
        except ServerError as error:
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def all_async(make, count):
    async def run():
        handlers = AsyncHandlers(None, SingleFlights(lambda name: asyncio.Lock()), {}, None, None)
        return await asyncio.gather(*(run_async(make(), handlers) for _ in range(count)), return_exceptions=True)

    return asyncio.run(run())


@pytest.fixture(params=[all_sync, all_async], ids=["sync", "async"])
def run_all(request):
    """Run many flows at once, sync and async."""
    return request.param


def test_concurrent_callers_share_the_result(run_all):
    """Callers that arrive during the work wait and share its result."""
    once = Once()

    assert ["done 1"] * 30 == run_all(once.run, 30)
    assert 1 == once.tries


def test_concurrent_callers_share_a_failure(run_all):
    """Callers that wait do not repeat a failed request one after the other."""
    once = Once(failures=99)

    results = run_all(once.run, 30)
    assert 1 == once.tries
    assert {"failure 1"} == {str(error) for error in results}
    assert 30 == len({id(error) for error in results})


def test_later_caller_retries(run_all):
    """A failure is not shared with callers that arrive later."""
    once = Once(failures=1, expected=5)
    run_all(once.run, 5)

    assert ["done 2"] * 5 == run_all(once.run, 5)


def test_other_names_are_independent(run_all):
    """Exclusive work can contain exclusive work with another name."""

    def outer():
        return (yield Exclusive("outer", inner))

    def inner():
        return (yield Exclusive("inner", iter_done))

    def iter_done():
        yield Sleep(0)
        return "both"

    assert ["both"] * 3 == run_all(outer, 3)


def late_sync(make, busy):
    """Run a flow whose deadline passed half a second ago. If *busy*, another flow does exclusive work."""
    lock = threading.Lock()
    if busy:
        lock.acquire()
    handlers = SyncHandlers(None, SingleFlights(lambda name: lock), None, None, clock=lambda: 100.0)
    return run_sync(make(), handlers, until=99.5)


def late_async(make, busy):
    async def run():
        lock = asyncio.Lock()
        if busy:
            await lock.acquire()
        handlers = AsyncHandlers(None, SingleFlights(lambda name: lock), {}, None, None, clock=lambda: 100.0)
        return await run_async(make(), handlers, until=99.5)

    return asyncio.run(run())


@pytest.mark.parametrize("late", [late_sync, late_async], ids=["sync", "async"])
def test_deadline_has_passed_before_the_work(late):
    """After its deadline, a flow still begins work that nobody does, but does not wait for another flow's."""
    once = Once(expected=0)

    assert "done 1" == late(once.run, busy=False)
    with pytest.raises(DeadlineError, match="while another wait"):
        late(Once().run, busy=True)


def test_cancelled_caller_is_replaced():
    """If the working caller is cancelled, the next one does the work."""
    once = Once(expected=0)

    async def run():
        handlers = AsyncHandlers(None, SingleFlights(lambda name: asyncio.Lock()), {}, None, None)
        first = asyncio.create_task(run_async(once.run(), handlers))
        second = asyncio.create_task(run_async(once.run(), handlers))
        await asyncio.sleep(0.05)
        first.cancel()
        return await second

    assert "done 2" == asyncio.run(run())
