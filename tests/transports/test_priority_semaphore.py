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


def test_queueing_ends_at_the_limit():
    """A wait at its limit leaves the queue. The others keep their order."""

    async def run():
        requests = Requests(1)
        tasks = [requests.send(number, limit=0.0 if number == 1 else math.inf) for number in range(3)]
        with pytest.raises(DeadlineError):
            await tasks[1]
        for number in (0, 2):
            await requests.end(number)
        return await asyncio.gather(tasks[0], tasks[2]), requests.slots["dli"].idle

    assert ([0, 2], True) == asyncio.run(run())


def test_request_without_patience_exceeds_the_limit():
    """A wait at its deadline sends its request even if all slots are in use."""

    async def run():
        requests = Requests(2)
        tasks = [requests.send(number) for number in range(4)]
        hurried = requests.send("hurried", urgent_after=0.05)
        await asyncio.sleep(0.7)
        running = set(requests.running)
        for name in (0, 1, "hurried", 2, 3):
            await requests.end(name)
        await asyncio.gather(hurried, *tasks)
        return running, requests.slots["dli"].idle

    assert ({0, 1, "hurried"}, True) == asyncio.run(run())


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
