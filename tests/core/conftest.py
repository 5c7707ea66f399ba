"""A cloud with given responses, and a clock that only tests and flows move."""

import asyncio
import json
import math
import re
import threading
from collections import defaultdict
from datetime import UTC, datetime

import pytest

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.core.protocol.effects import Response
from airflow_provider_hwstatus.errors import DeadlineError, TransportError
from airflow_provider_hwstatus.transports.priority_semaphore import PrioritySemaphore
from airflow_provider_hwstatus.transports.runners import AsyncHandlers, SyncHandlers, run_async, run_sync
from airflow_provider_hwstatus.transports.single_flight import SingleFlights

_START = datetime(2026, 11, 21, tzinfo=UTC).timestamp()

#: A connection whose login sends no requests of its own.
_PLAIN = {
    "auth": "token",
    "password": "T0ken",
    "region": "cn-north-4",
    "project_id": "p1",
    "dli_endpoint": "https://dli",
    "cph_endpoint": "https://cph",
    "iam_endpoint": "https://iam",
}


class StubCloud:
    """
    A cloud with given responses, and the machine that runs flows against it.

    :param replies: By a part of a request's method and URL, ``"GET https://dli/…"``; the first part that matches is
        used. A value is a reply, or a list with one reply for each request, whose last one repeats. A reply is a JSON
        object, an HTTP status, a tuple of status, body and headers, a response, an error, or a function that returns
        one of these for a request.
    :param takes: Seconds that a request takes. It fails earlier if its time-out or its deadline comes first.
    :param now: What the machine's clocks show at the beginning, in seconds since 1970.
    :ivar now: The monotonic clock.
    :ivar clock_set_by: Seconds by which the time of day was set forward meanwhile.
    :ivar requests: The requests that were sent.
    :ivar sent_at: When each of them was sent, in seconds since the beginning.
    :ivar seconds_left: Seconds until the deadline of each of them.
    :ivar masked: Secrets that were masked in logs.
    :ivar counted: Metrics that were incremented.
    """

    def __init__(self, replies=(), takes=0.0, now=_START):
        self.replies = dict(replies)
        self.takes = takes
        self.began = now
        self.now = now
        self.clock_set_by = 0.0
        self.requests = []
        self.sent_at = []
        self.seconds_left = []
        self.masked = []
        self.counted = []
        self._flights = SingleFlights(lambda name: threading.Lock())

    @property
    def sent(self):
        """The requests that were sent, as method and URL without the host."""
        return [f"{request.method} /{request.url.split('/', 3)[3]}" for request in self.requests]

    @property
    def elapsed(self):
        """Seconds since the beginning."""
        return self.now - self.began

    def client(self, **fields):
        """Return the client of a connection with a token, in which *fields* are replaced."""
        return Client(Settings(**(_PLAIN | fields)), self.clock, self.monotonic)

    def clock(self):
        return self.now + self.clock_set_by

    def monotonic(self):
        return self.now

    def run(self, flow):
        """Run a flow to its end, as in a thread."""
        handlers = SyncHandlers(
            self.send, self._flights, self.masked.append, self.counted.append, self.sleep, self.monotonic
        )
        return run_sync(flow, handlers)

    async def arun(self, flow, slots=None):
        """
        Run a flow to its end, as in an event loop.

        :param slots: What limits concurrent requests, by service; by default a semaphore for each.
        """

        async def send(request, until):
            return self.send(request, until)

        async def mask(secret):
            self.masked.append(secret)

        async def sleep(effect):
            self.sleep(effect.seconds)

        flights = SingleFlights(lambda name: asyncio.Lock())
        slots = defaultdict(lambda: PrioritySemaphore(20)) if slots is None else slots
        return await run_async(
            flow, AsyncHandlers(send, flights, slots, mask, self.counted.append, sleep, self.monotonic)
        )

    def sleep(self, seconds):
        assert seconds >= 0
        self.now += seconds

    def send(self, request, until):
        if until <= self.now:
            raise DeadlineError("the deadline passed before a request could be sent")
        self.requests.append(request)
        self.sent_at.append(self.elapsed)
        self.seconds_left.append(until - self.now)
        limit = min(until, self.now + (request.timeout or math.inf))
        if self.now + self.takes > limit:
            self.now = limit
            raise TransportError("timed out")
        self.now += self.takes
        reply = self._reply(f"{request.method} {request.url}")
        reply = reply(request) if callable(reply) else reply
        if isinstance(reply, Exception):
            raise reply
        if isinstance(reply, Response):
            return reply
        if isinstance(reply, dict):
            reply = (200, reply)
        return _response(*reply) if isinstance(reply, tuple) else _response(reply)

    def _reply(self, line):
        part = next((part for part in self.replies if part in line), None)
        assert part is not None, f"no reply to {line}"
        reply = self.replies[part]
        if isinstance(reply, list):
            return reply.pop(0) if len(reply) > 1 else reply[0]
        return reply


def _response(status, body=b"", headers=None):
    return Response(status, headers or {}, body if isinstance(body, bytes) else json.dumps(body).encode())


@pytest.fixture(scope="session")
def states_in():
    """Return a function that returns what a reply has at a kind's paths to the state, without the package's code."""
    return lambda kind, body, job_id: [
        value for path in kind.paths["state"] if (value := _at(path, body, job_id)) is not None
    ]


def _at(path, value, job_id):
    for name, position, field in re.findall(r"(\w+)(?![\w=\]])|\[(\d+)\]|\[\?(\w+)==job_id\]", path):
        if name:
            value = value.get(name) if isinstance(value, dict) else None
            continue
        rows = value if isinstance(value, list) else []
        if field:
            rows = [row for row in rows if isinstance(row, dict) and str(row.get(field)).lower() == job_id.lower()]
        value = next(iter(rows[int(position or 0) :]), None)
    return value


@pytest.fixture(scope="session")
def stub_cloud():
    """Return the class of stub clouds."""
    return StubCloud
