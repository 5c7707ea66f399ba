"""Thousands of waits on one connection whose service has faults, with simulated time."""

import asyncio
import random
from collections import Counter, defaultdict, deque

import pytest

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.core.polling.job_poller import JobPoller
from airflow_provider_hwstatus.core.polling.wait import wait
from airflow_provider_hwstatus.core.polling.wait_options import WaitOptions
from airflow_provider_hwstatus.core.protocol.effects import Response
from airflow_provider_hwstatus.errors import HwStatusError, TransportError
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH
from airflow_provider_hwstatus.transports.priority_semaphore import PrioritySemaphore
from airflow_provider_hwstatus.transports.runners import AsyncHandlers, run_async
from airflow_provider_hwstatus.transports.single_flight import SingleFlights

SETTINGS = Settings(login="AK", password="SK", region="cn-north-4", project_id="p1")
GOLDEN_RATIO = 0.618034


class Crowd:
    """Many waits for jobs that never end, and a service with faults."""

    def __init__(self, loop, allowed, throttled, resets, errors):
        self.loop, self.started_at = loop, loop.now
        self.allowed, self.throttled, self.resets, self.errors = allowed, throttled, resets, errors
        self.client = Client(SETTINGS, loop.time)
        self.slots = defaultdict(lambda: PrioritySemaphore(20))
        flights = SingleFlights(lambda name: asyncio.Lock())
        self.handlers = AsyncHandlers(self.send, flights, self.slots, None, lambda name: None, clock=loop.time)
        self.answers = Counter()
        self.failures = []
        self._window = deque()

    async def send(self, request, until):
        await asyncio.sleep(0.03)
        second = self.loop.now - self.started_at
        if second in self.resets:
            raise TransportError("reset")
        if random.random() < self.errors:  # noqa: S311  # not used for security
            return Response(503, {}, b"{}")
        while self._window and self._window[0] <= self.loop.now - 1.0:
            self._window.popleft()
        if second in self.throttled and len(self._window) >= self.allowed:
            return Response(429, {}, b"{}")
        self._window.append(self.loop.now)
        self.answers[second // 300] += 1
        return Response(200, {}, b'{"state": "running"}')

    async def one(self, number, options):
        poller = JobPoller(self.client, DLI_BATCH, f"b{number}")
        flow = wait(poller, options, lambda status: None, number * GOLDEN_RATIO % 1 * options.poke_interval)
        try:
            await run_async(flow, self.handlers)
        except HwStatusError as error:
            self.failures.append(error)

    async def run_for(self, count, seconds, tolerance):
        options = WaitOptions(poke_interval=60.0, began=self.started_at, outage_tolerance=tolerance)
        tasks = [asyncio.create_task(self.one(number, options)) for number in range(count)]
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Span:
    """A period of time in seconds. The end is excluded."""

    def __init__(self, first=0.0, last=0.0):
        self.first, self.last = first, last

    def __contains__(self, second):
        return self.first <= second < self.last


@pytest.mark.parametrize(
    ("allowed", "throttled", "resets", "errors", "tolerance"),
    [
        pytest.param(2, Span(0, 9999), Span(), 0.0, 600.0, id="two a second"),
        pytest.param(0, Span(300, 480), Span(), 0.0, 600.0, id="nothing for three minutes"),
        pytest.param(3, Span(0, 9999), Span(), 0.01, 120.0, id="three a second and errors"),
        pytest.param(3, Span(0, 9999), Span(1000, 1010), 0.0, 120.0, id="three a second and resets"),
    ],
)
def test_no_wait_is_lost_in_a_crowd(quick_loop, allowed, throttled, resets, errors, tolerance):
    """Queueing for minutes is no outage, and the waits use the rate that the service allows."""
    crowd = Crowd(quick_loop, allowed, throttled, resets, errors)
    quick_loop.run_until_complete(crowd.run_for(1000, 1500.0, tolerance))

    assert [] == crowd.failures
    allowed_at_the_end = 1000 / 60 if throttled.last < 1200 else allowed
    assert crowd.answers[1200 // 300] / 300 > 0.2 * allowed_at_the_end
    assert crowd.slots["dli"].idle
