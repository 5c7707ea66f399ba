"""How many polls are under way at once, and who goes next."""

import asyncio
import math
import time
from collections import defaultdict

import pytest

from airflow_provider_hwstatus.core.protocol.effects import AcquireSlot, ReleaseSlot, Request
from airflow_provider_hwstatus.errors import DeadlineError, HwStatusError, ServerError, TransportError
from airflow_provider_hwstatus.transports.priority_semaphore import PrioritySemaphore
from airflow_provider_hwstatus.transports.runners import AsyncHandlers, run_async


class Requests:
    """Requests that end when they are told to."""

    def __init__(self, count):
        self.slots = defaultdict(lambda: PrioritySemaphore(count))
        self.handlers = AsyncHandlers(self._send, None, self.slots, None, None)
        self.under_way = {}
        self.began = []
        self.most = 0

    def send(self, name, urgent_after=math.inf, service="dli", limit=math.inf):
        now = time.monotonic()
        flow = self._flow(name, AcquireSlot(service, now + urgent_after, now + limit), service)
        return asyncio.create_task(run_async(flow, self.handlers))

    def _flow(self, name, acquire, service):
        try:
            yield acquire
            reply = yield Request("GET", name)
        except HwStatusError as error:
            yield ReleaseSlot(error, service)
            raise
        yield ReleaseSlot(None, service)
        return reply

    async def _send(self, request, until):
        name = request.url
        self.began.append(name)
        self.under_way[name] = asyncio.get_running_loop().create_future()
        self.most = max(self.most, len(self.under_way))
        try:
            return await self.under_way[name]
        finally:
            del self.under_way[name]

    async def end(self, name, error=None):
        reply = self.under_way[name]
        if error:
            reply.set_exception(error)
        else:
            reply.set_result(name)
        await settled()


async def settled():
    for _ in range(10):
        await asyncio.sleep(0)


def test_no_more_than_the_bound_run_at_once():
    """The others queue, and go in the order in which they came."""

    async def run():
        requests = Requests(3)
        tasks = [requests.send(number) for number in range(50)]
        await settled()
        while requests.under_way:
            await requests.end(next(iter(requests.under_way)))
        return requests, await asyncio.gather(*tasks)

    requests, replies = asyncio.run(run())
    assert 3 == requests.most
    assert list(range(50)) == requests.began == replies


@pytest.mark.parametrize("cancelled", ["under way", "its turn has come", "queued"])
def test_a_wait_that_is_cancelled_keeps_no_slot(cancelled):
    """Whatever a wait was doing when its trigger was moved away, the next one goes on."""

    async def run():
        requests = Requests(1)
        first, second, third = (requests.send(name) for name in ("first", "second", "third"))
        await settled()
        if cancelled == "under way":
            first.cancel()
        elif cancelled == "its turn has come":
            requests.under_way["first"].set_result(None)
            await asyncio.sleep(0)
            second.cancel()
        else:
            second.cancel()
            await settled()
            await requests.end("first")
        await settled()
        if "second" in requests.under_way:
            await requests.end("second")
        await requests.end("third")
        return await third

    assert "third" == asyncio.run(run())


def test_those_who_queue_share_an_outage():
    """Where request after request gets no answer, those that queue need not find out one by one."""

    async def run():
        requests = Requests(2)
        tasks = [requests.send(number) for number in range(100)]
        await settled()
        for number in range(7):
            await requests.end(number, TransportError("hangs"))
        return requests.began, await asyncio.gather(*tasks, return_exceptions=True)

    began, results = asyncio.run(run())
    assert list(range(7)) == began
    assert ["hangs"] * 100 == list(map(str, results))
    assert 100 == len(set(map(id, results)))


def test_a_service_that_hangs_holds_back_no_other():
    """While DLI holds all of its slots, a poll of CPH is sent and answered, and it shares no outage of DLI."""

    async def run():
        requests = Requests(1)
        batches = [requests.send(number) for number in range(7)]
        await settled()
        phone = requests.send("phone", service="cph")
        await settled()
        await requests.end("phone")
        answered = await phone
        for number in range(6):
            await requests.end(number, TransportError("hangs"))
        return answered, await asyncio.gather(*batches, return_exceptions=True)

    answered, results = asyncio.run(run())
    assert "phone" == answered
    assert ["hangs"] * 7 == list(map(str, results))


def test_nobody_queues_beyond_the_limit():
    """A wait whose time is up leaves the queue, and the others keep their places."""

    async def run():
        requests = Requests(1)
        tasks = [requests.send(number, limit=0.0 if number == 1 else math.inf) for number in range(3)]
        with pytest.raises(DeadlineError):
            await tasks[1]
        for number in (0, 2):
            await requests.end(number)
        return await asyncio.gather(tasks[0], tasks[2]), requests.slots["dli"].idle

    assert ([0, 2], True) == asyncio.run(run())


def test_who_cannot_wait_is_let_in_beyond_the_bound():
    """At its deadline a wait asks, even if all slots are held by those that sleep for minutes."""

    async def run():
        requests = Requests(2)
        tasks = [requests.send(number) for number in range(4)]
        hurried = requests.send("hurried", urgent_after=0.05)
        await asyncio.sleep(0.7)
        under_way = set(requests.under_way)
        for name in (0, 1, "hurried", 2, 3):
            await requests.end(name)
        await asyncio.gather(hurried, *tasks)
        return under_way, requests.slots["dli"].idle

    assert ({0, 1, "hurried"}, True) == asyncio.run(run())


def test_a_single_failure_is_not_shared():
    """While others are answered, be it with an error of the service, a request that fails fails alone."""

    async def run():
        requests = Requests(2)
        tasks = [requests.send(number) for number in range(5)]
        await settled()
        await requests.end(0, TransportError("reset"))
        await requests.end(1, ServerError("503"))
        for number in (2, 3, 4):
            await requests.end(number)
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = asyncio.run(run())
    assert ["reset", "503", "2", "3", "4"] == list(map(str, results))
