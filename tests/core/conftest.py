"""Flows without a network, by a clock that only a test moves."""

import json
import threading
from datetime import UTC, datetime

import pytest

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.core.protocol.effects import Response
from airflow_provider_hwstatus.errors import DeadlineError
from airflow_provider_hwstatus.transports.runners import SyncHandlers, run_sync
from airflow_provider_hwstatus.transports.single_flight import SingleFlights

_START = datetime(2026, 11, 21, tzinfo=UTC).timestamp()

#: A connection whose way to log in adds no requests of its own.
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
    A cloud of given replies, and the clock of the machine that runs flows against it.

    :param replies: By a part of a request's method and URL, ``"GET https://dli/…"``, the first that fits: a reply, or a
        list of them, one a request, of which the last stays. A reply is a JSON object, an HTTP status, a tuple of
        status, body and headers, an error, or a function that returns one of these for a request.
    :param takes: Seconds that a request takes.
    """

    def __init__(self, replies=(), takes=0.0):
        self.replies = dict(replies)
        self.takes = takes
        self.now = _START
        self.requests = []
        self.asked_at = []
        self.until = []
        self.masked = []
        self.counted = []
        self._flights = SingleFlights(lambda name: threading.Lock())

    def client(self, **fields):
        """Return the client of a connection with a token, in which *fields* are replaced."""
        return Client(Settings(**(_PLAIN | fields)), self.clock)

    def clock(self):
        return self.now

    def run(self, flow):
        """Run a flow to its end, as a thread does."""
        handlers = SyncHandlers(
            self._send, self._flights, self.masked.append, self.counted.append, self._sleep, self.clock
        )
        return run_sync(flow, handlers)

    @property
    def target(self):
        """What was asked, as method and URL without the host."""
        return [f"{request.method} /{request.url.split('/', 3)[3]}" for request in self.requests]

    def _sleep(self, seconds):
        assert seconds >= 0
        self.now += seconds

    def _send(self, request, until):
        if until <= self.now:
            raise DeadlineError("the deadline passed before a request could be sent")
        self.requests.append(request)
        self.until.append(until)
        self.asked_at.append(self.now - _START)
        self.now += self.takes
        reply = self._reply(f"{request.method} {request.url}")
        reply = reply(request) if callable(reply) else reply
        if isinstance(reply, Exception):
            raise reply
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
def stub_cloud():
    """Return the class of clouds that flows can be run against."""
    return StubCloud
