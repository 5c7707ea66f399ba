"""Single flight, in both colours."""

import asyncio
import threading

import pytest

from airflow_provider_hwstatus.core.protocol.effects import Exclusive, Sleep
from airflow_provider_hwstatus.errors import ServerError
from airflow_provider_hwstatus.transports.runners import AsyncHandlers, SyncHandlers, run_async, run_sync
from airflow_provider_hwstatus.transports.single_flight import SingleFlights


class Once:
    """Something that need be done only once, that goes on until *many* need it, and that fails at first if told so."""

    def __init__(self, failures=0, many=30):
        self.failures = failures
        self.many = many
        self.came = 0
        self.tries = 0
        self.done = None

    def need(self):
        self.came += 1
        return self.done or (yield Exclusive("once", self._do))

    def _do(self):
        if self.done:
            return self.done
        self.tries += 1
        while self.came < self.many:
            yield Sleep(0.01)
        yield Sleep(0.2)  # until the last one queues, too
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
    """Run many flows at once in one colour."""
    return request.param


def test_many_need_it_one_does_it(run_all):
    """Those who come while it is being done wait and share what was done."""
    once = Once()

    assert ["done 1"] * 30 == run_all(once.need, 30)
    assert 1 == once.tries


def test_failure_is_shared_by_those_who_waited(run_all):
    """A thousand waits do not sit out a time-out one after the other."""
    once = Once(failures=99)

    results = run_all(once.need, 30)
    assert 1 == once.tries
    assert {"failure 1"} == {str(error) for error in results}
    assert 30 == len({id(error) for error in results})


def test_who_comes_later_tries_again(run_all):
    """A failure is not remembered longer than it took."""
    once = Once(failures=1, many=5)
    run_all(once.need, 5)

    assert ["done 2"] * 5 == run_all(once.need, 5)


def test_other_names_do_not_wait(run_all):
    """A flow that is run alone may need something else done."""

    def outer():
        return (yield Exclusive("outer", inner))

    def inner():
        return (yield Exclusive("inner", iter_done))

    def iter_done():
        yield Sleep(0)
        return "both"

    assert ["both"] * 3 == run_all(outer, 3)


def test_cancelled_turn_lets_the_next_one_in():
    """A wait that is cancelled in its turn leaves the turn free and the work to do."""
    once = Once(many=0)

    async def run():
        handlers = AsyncHandlers(None, SingleFlights(lambda name: asyncio.Lock()), {}, None, None)
        first = asyncio.create_task(run_async(once.need(), handlers))
        second = asyncio.create_task(run_async(once.need(), handlers))
        await asyncio.sleep(0.05)
        first.cancel()
        return await second

    assert "done 2" == asyncio.run(run())
