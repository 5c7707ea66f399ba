"""Run flows without a network and with simulated time."""

import json
import threading
from datetime import UTC, datetime

import pytest

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.core.protocol.effects import Response
from airflow_provider_hwstatus.transports.runners import run_sync
from airflow_provider_hwstatus.transports.single_flight import SingleFlights

_START = datetime(2026, 11, 21, tzinfo=UTC).timestamp()

#: A connection with a token, so that there are no login requests.
_CONNECTION = {
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
    A cloud with predefined replies, and a clock.

    :param replies: Replies by a part of a request's method and URL, e.g. ``"GET https://dli/…"``. The first match
        counts. A value is a reply or a list with one reply per request, of which the last one stays. A reply is a JSON
        object, an HTTP status, a tuple of status, body and headers, an exception, or a function that takes a request
        and returns one of these.
    :param takes: Duration of a request in seconds.
    """

    def __init__(self, replies=(), takes=0.0):
        self.replies = dict(replies)
        self.takes = takes
        self.now = _START
        self.requests = []
        self.asked_at = []
        self.masked = []
        self._turns = SingleFlights(lambda name: threading.Lock())

    def client(self, **fields):
        """Return a client. *fields* replace fields of the connection."""
        return Client(Settings(**(_CONNECTION | fields)), self.clock)

    def clock(self):
        return self.now

    def run(self, flow):
        """Run a flow to its end, like the sync runner."""
        return run_sync(flow, self._send, self._turns, self.masked.append, self._sleep)

    @property
    def target(self):
        """The requests, as method and URL without the host."""
        return [f"{request.method} /{request.url.split('/', 3)[3]}" for request in self.requests]

    def _sleep(self, seconds):
        assert seconds >= 0
        self.now += seconds

    def _send(self, request):
        self.requests.append(request)
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
    """Return the class :class:`StubCloud`."""
    return StubCloud
