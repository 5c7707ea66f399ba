"""The limit of concurrent requests, and the order of queued ones."""

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
    """Requests that the test ends."""

    def __init__(self, count):
        self.slots = defaultdict(lambda: PrioritySemaphore(count))
        self.handlers = AsyncHandlers(self._send, None, self.slots, None, None)
        self.running = {}
        self.started = []
        self.maximum = 0

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
        self.started.append(name)
        self.running[name] = asyncio.get_running_loop().create_future()
        self.maximum = max(self.maximum, len(self.running))
        try:
            return await self.running[name]
        finally:
            del self.running[name]

    async def end(self, name, error=None):
        reply = self.running[name]
        if error:
            reply.set_exception(error)
        else:
            reply.set_result(name)
        await settled()


async def settled():
    for _ in range(10):
        await asyncio.sleep(0)


def test_number_of_slots_is_limited():
    """Other requests queue, in the order of arrival."""

    async def run():
        requests = Requests(3)
        tasks = [requests.send(number) for number in range(50)]
        await settled()
        while requests.running:
            await requests.end(next(iter(requests.running)))
        return requests, await asyncio.gather(*tasks)

    requests, replies = asyncio.run(run())
    assert 3 == requests.maximum
    assert list(range(50)) == requests.started == replies


@pytest.mark.parametrize("cancelled", ["running", "selected", "queued"])
def test_cancelled_wait_keeps_no_slot(cancelled):
    """A wait can be cancelled in any phase. Then the next one continues."""

    async def run():
        requests = Requests(1)
        first, second, third = (requests.send(name) for name in ("first", "second", "third"))
        await settled()
        if cancelled == "running":
            first.cancel()
        elif cancelled == "selected":
            requests.running["first"].set_result(None)
            await asyncio.sleep(0)
            second.cancel()
        else:
            second.cancel()
            await settled()
            await requests.end("first")
        await settled()
        if "second" in requests.running:
            await requests.end("second")
        await requests.end("third")
        return await third

    assert "third" == asyncio.run(run())


def test_queued_requests_share_an_outage():
    """If several requests in a row get no response, queued requests fail, too."""

    async def run():
        requests = Requests(2)
        tasks = [requests.send(number) for number in range(100)]
        await settled()
        for number in range(7):
            await requests.end(number, TransportError("hangs"))
        return requests.started, await asyncio.gather(*tasks, return_exceptions=True)

    started, results = asyncio.run(run())
    assert list(range(7)) == started
    assert ["hangs"] * 100 == list(map(str, results))
    assert 100 == len(set(map(id, results)))


def test_services_are_independent():
    """If DLI hangs and uses all its slots, polls of CPH continue."""

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


@pytest.mark.parametrize("limits", [(0.0, 100.0), (100.0, 0.0)], ids=["ascending", "descending"])
def test_queueing_ends_at_the_limit(quick_loop, limits):
    """Each wait leaves the queue at its own limit. The others keep their order."""

    async def run():
        requests = Requests(1)
        began = quick_loop.now
        first, *others = (requests.send(number, limit=limit) for number, limit in enumerate((math.inf, *limits)))
        last = requests.send(3)
        ended = []
        for task in others:
            task.add_done_callback(lambda _: ended.append(quick_loop.now - began))
        results = await asyncio.gather(*others, return_exceptions=True)
        for number in (0, 3):
            await requests.end(number)
        return ended, results, await asyncio.gather(first, last), requests.slots["dli"].idle

    ended, results, replies, idle = quick_loop.run_until_complete(asyncio.wait_for(run(), 1000.0))
    assert pytest.approx([0.5, 100.5], abs=0.5) == ended
    assert [DeadlineError, DeadlineError] == list(map(type, results))
    assert ([0, 3], True) == (replies, idle)


def test_request_without_patience_exceeds_the_limit(quick_loop):
    """Each wait at its deadline sends its request even if all slots are in use."""

    async def run():
        requests = Requests(2)
        tasks = [requests.send(number) for number in range(4)]
        tasks += [requests.send(after, urgent_after=after) for after in (10.0, 30.0, 20.0)]
        running = []
        for _ in range(4):
            await asyncio.sleep(9.0)
            running.append(set(requests.running))
        for name in (0, 1, 10.0, 20.0, 30.0, 2, 3):
            await requests.end(name)
        await asyncio.gather(*tasks)
        return running, requests.slots["dli"].idle

    at_9, at_18, at_27 = {0, 1}, {0, 1, 10.0}, {0, 1, 10.0, 20.0}
    assert ([at_9, at_18, at_27, at_27 | {30.0}], True) == quick_loop.run_until_complete(
        asyncio.wait_for(run(), 1000.0)
    )


def test_urgent_requests_exceed_the_limit_one_by_one(quick_loop):
    """If more waits are urgent than there are slots, they go first in the next checks of the queue."""

    async def run():
        requests = Requests(1)
        tasks = [requests.send(number) for number in range(2)]
        tasks += [requests.send(name, urgent_after=10.0) for name in "abcd"]
        running = []
        while len(requests.running) < 3:
            await asyncio.sleep(0.5)
            running.append(len(requests.running))
        for name in (0, "a", "b", "c", "d", 1):
            await requests.end(name)
        await asyncio.gather(*tasks)
        return running[-2:], requests.started

    assert ([2, 3], [0, "a", "b", "c", "d", 1]) == quick_loop.run_until_complete(asyncio.wait_for(run(), 1000.0))


def test_single_failure_is_not_shared():
    """If other requests get a response, even an error, a failed request fails alone."""

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
