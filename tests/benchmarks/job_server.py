"""
A fake cloud that answers fast, and counts what it is asked. It runs in a process of its own; see ``serving.py``.

The package's own fake checks all that it is sent, signatures above all, and so would be slower than what is measured.
This one only looks whether there is a signature. It speaks as much of four APIs as one wait needs:

======================================  ================================================
``/v2.0/{project}/batches/{id}/state``  DLI
``/batches/{id}/state``, ``…/log``      Livy
``/api/2.x/jobs/runs/get?run_id={id}``  Databricks
``/ready/{id}``                         none: 404 until the job is over, for ``HttpSensor``
======================================  ================================================

An id says when its job ends, so there is no table of jobs. Orders come as lines of JSON on standard input; each is
answered on standard output, and the end of the input ends the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import socket
import ssl
import struct
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import cast

_REASONS = {status.value: status.phrase for status in HTTPStatus}
_JOB_ID = re.compile(rb"\b1\d{6}(\d{8})\b")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)")


def job_id(number: int, ends: float) -> str:
    """
    Return the id of a job, which all of the APIs take.

    :param ends: Seconds after the epoch that the server is told.
    """
    return f"1{number:06d}{round(ends * 1000):08d}"


@dataclass(frozen=True, kw_only=True)
class Conduct:
    """
    How the server answers.

    :param certificate: Path of a certificate with its key; None for no TLS.
    :param latency: Seconds that every answer takes.
    :param errors: Share of requests that are answered with 503.
    :param resets: Share of requests whose connection is reset.
    :param outage: From when to when, in seconds after the epoch, all connections are reset.
    :param limit: Requests in a second above which the answer is 429.
    :param idle: Seconds after which a connection is closed that nothing comes on.
    """

    certificate: str | None = None
    latency: float = 0.0
    errors: float = 0.0
    resets: float = 0.0
    outage: tuple[float, float] = (0.0, 0.0)
    limit: int | None = None
    idle: float = 75.0


@dataclass
class Counts:
    """
    What was asked since the epoch.

    :param polls: Requests about jobs that had not been reported as over.
    :param seconds: Requests in each second after the epoch.
    """

    polls: int = 0
    connections: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    seconds: Counter[int] = field(default_factory=Counter)


class Cloud:
    """The server's state."""

    def __init__(self, conduct: Conduct) -> None:
        self.conduct = conduct
        self.begin(time.monotonic())

    def begin(self, epoch: float) -> None:
        """Count from nothing. *epoch* is the time from which jobs count theirs, on the machine's monotonic clock."""
        self.epoch = epoch
        self.counts = Counts()
        self.reported: set[bytes] = set()
        self.random = random.Random(1)  # noqa: S311  # the same faults in each run

    def fault(self, now: float) -> int:
        """Return the status of the fault that a request meets: 0 for a reset, 200 for none."""
        conduct = self.conduct
        if conduct.outage[0] <= now < conduct.outage[1]:
            return 0
        if conduct.limit is not None and self.counts.seconds[int(now)] > conduct.limit:
            return 429
        dice = self.random.random()
        if dice < conduct.resets:
            return 0
        return 503 if dice < conduct.resets + conduct.errors else 200

    def answer(self, head: bytes, body: bytes) -> tuple[int, bytes]:
        """Return the status and body for a request: status 0 for a reset."""
        now = time.monotonic() - self.epoch
        self.counts.seconds[int(now)] += 1
        status, payload = self.fault(now), b"{}"
        if status == 200:
            status, payload = self.report(head, body, now)
        self.counts.statuses[status] += 1
        return status, payload

    def report(self, head: bytes, body: bytes, now: float) -> tuple[int, bytes]:
        """Return the status and body about the job that a request names."""
        path = head.split(b" ", 2)[1]
        found = _JOB_ID.search(path) or _JOB_ID.search(body)
        if not found:
            return 400, b'{"error": "no job id"}'
        if path.startswith(b"/v2.0/") and b"authorization: sdk-hmac-sha256" not in head.lower():
            return 401, b'{"error_code": "APIG.0301", "error_msg": "no signature"}'
        over = now >= int(found[1]) / 1000
        self.counts.polls += found[0] not in self.reported
        if over:
            self.reported.add(found[0])
        return _reply(path, found[0], over)


def _reply(path: bytes, job: bytes, over: bool) -> tuple[int, bytes]:
    if path.startswith(b"/ready/"):
        return (200 if over else 404), b"{}"
    if path.startswith(b"/api/"):
        state = b'"TERMINATED", "result_state": "SUCCESS"' if over else b'"RUNNING"'
        return 200, b'{"run_id": %b, "run_page_url": "", "state": {"life_cycle_state": %b}}' % (job, state)
    state = b"success" if over else b"running"
    return 200, b'{"id": "%b", "state": "%b", "from": 0, "total": 0, "log": []}' % (job, state)


class Connection(asyncio.Protocol):
    """One connection, with HTTP/1.1 on it."""

    transport: asyncio.Transport

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.buffer = b""
        self.closing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.cloud.counts.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        if self.closing:
            self.closing.cancel()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end]
            length = _LENGTH.search(head.lower())
            stop = end + 4 + (int(length[1]) if length else 0)
            if len(self.buffer) < stop:
                return
            body, self.buffer = self.buffer[end + 4 : stop], self.buffer[stop:]
            status, payload = self.cloud.answer(head, body)
            asyncio.get_running_loop().call_later(self.cloud.conduct.latency, self.send, status, payload)

    def send(self, status: int, payload: bytes) -> None:
        """Send an answer, or reset the connection if *status* is 0."""
        if self.transport.is_closing():
            return
        if not status:
            linger = struct.pack("ii", 1, 0)
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.transport.abort()
            return
        retry = b"Retry-After: 1\r\n" if status == 429 else b""
        self.transport.write(
            b"HTTP/1.1 %d %b\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n%b"
            % (status, _REASONS[status].encode(), retry, len(payload), payload)
        )
        if self.closing:
            self.closing.cancel()
        self.closing = asyncio.get_running_loop().call_later(self.cloud.conduct.idle, self.transport.close)


async def serve(conduct: Conduct) -> None:
    """Serve on a free port, which is the first answer, until the input ends."""
    cloud, loop = Cloud(conduct), asyncio.get_running_loop()
    context = None
    if conduct.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(conduct.certificate)
    server = await loop.create_server(lambda: Connection(cloud), "127.0.0.1", 0, backlog=8192, ssl=context)
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    _say({"port": server.sockets[0].getsockname()[1]})
    while order := await orders.readline():
        if epoch := json.loads(order).get("epoch"):
            cloud.begin(epoch)
        _say(vars(cloud.counts))


def _say(answer: dict[str, object]) -> None:
    print(json.dumps(answer), flush=True)


def main() -> None:
    """Run the server that the argument describes."""
    fields = json.loads(sys.argv[1])
    conduct = Conduct(**fields | {"outage": tuple(fields["outage"])})
    with contextlib.suppress(ImportError):
        import uvloop

        return uvloop.run(serve(conduct))
    return asyncio.run(serve(conduct))


if __name__ == "__main__":
    main()
