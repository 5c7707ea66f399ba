"""
A fast fake cloud that counts requests. It runs in its own process; see ``serving.py``.

The package's fake cloud checks every signature, so it would be slower than the measured programs. This one only checks
that there is a signature. It implements what a wait needs of four APIs:

======================================  ================================================
``/v2.0/{project}/batches/{id}/state``  DLI
``/v2.0/{project}/batches?state=…``     DLI: the batches of earlier requests, in progress
``/batches/{id}/state``, ``…/log``      Livy
``/api/2.x/jobs/runs/get?run_id={id}``  Databricks
``/ready/{id}``                         none: 404 until the job has ended, for ``HttpSensor``
======================================  ================================================

A job's id contains the time of its end, so nobody creates jobs. Commands are lines of JSON on standard input.
The server answers each on standard output. It stops at the end of the input.
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
_PAGE = re.compile(rb"/batches\?state=running&from=(\d+)&size=(\d+)$")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)")


def job_id(number: int, ends: float) -> str:
    """
    Return the id of a job that is valid in every API.

    :param ends: Seconds from the server's epoch to the job's end.
    """
    return f"1{number:06d}{round(ends * 1000):08d}"


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """
    The server's behaviour.

    :param certificate: Path of a certificate with its key. None disables TLS.
    :param latency: Seconds until each response.
    :param errors: Share of requests that get a 503.
    :param resets: Share of requests whose connection is reset.
    :param outage: Start and end of an outage that resets all connections, in seconds since the epoch.
    :param limit: Requests per second above which the response is 429.
    :param idle: Seconds after which an idle connection is closed.
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
    Counts since the epoch.

    :param polls: Requests about jobs whose end had not been reported.
    :param seconds: Requests in each second since the epoch.
    """

    polls: int = 0
    connections: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    seconds: Counter[int] = field(default_factory=Counter)


class Cloud:
    """The server's state."""

    def __init__(self, server_options: ServerOptions) -> None:
        self.server_options = server_options
        self.begin(time.monotonic())

    def begin(self, epoch: float) -> None:
        """Reset the counts and set the epoch, on the machine's monotonic clock."""
        self.epoch = epoch
        self.counts = Counts()
        self.reported: set[bytes] = set()
        self.jobs: dict[bytes, float] = {}
        self.random = random.Random(1)  # noqa: S311  # a fixed seed gives the same faults in each run

    def fault(self, now: float) -> int:
        """Return the status of a request's fault: 0 is a reset, 200 is no fault."""
        server_options = self.server_options
        if server_options.outage[0] <= now < server_options.outage[1]:
            return 0
        if server_options.limit is not None and self.counts.seconds[int(now)] > server_options.limit:
            return 429
        sample = self.random.random()
        if sample < server_options.resets:
            return 0
        return 503 if sample < server_options.resets + server_options.errors else 200

    def answer(self, head: bytes, body: bytes) -> tuple[int, bytes]:
        """Return the status and body of a response. Status 0 is a reset."""
        now = time.monotonic() - self.epoch
        self.counts.seconds[int(now)] += 1
        status, payload = self.fault(now), b"{}"
        if status == 200:
            status, payload = self.report(head, body, now)
        self.counts.statuses[status] += 1
        return status, payload

    def report(self, head: bytes, body: bytes, now: float) -> tuple[int, bytes]:
        """Return the status and body of a response about a job."""
        path = head.split(b" ", 2)[1]
        found = _JOB_ID.search(path) or _JOB_ID.search(body)
        if path.startswith(b"/v2.0/") and b"authorization: sdk-hmac-sha256" not in head.lower():
            return 401, b'{"error_code": "APIG.0301", "error_msg": "no signature"}'
        if page := _PAGE.search(path):
            return 200, self.listed(int(page[1]), int(page[2]), now)
        if not found:
            return 400, b'{"error": "no job id"}'
        self.jobs[found[0]] = ends = int(found[1]) / 1000
        over = now >= ends
        self.counts.polls += found[0] not in self.reported
        if over:
            self.reported.add(found[0])
        return _reply(path, found[0], over)

    def listed(self, first: int, size: int, now: float) -> bytes:
        """Return a page of the jobs in progress."""
        running = [job.decode() for job, ends in self.jobs.items() if now < ends]
        rows = [{"id": job, "state": "running"} for job in running[first : first + size]]
        return json.dumps({"from": first, "total": len(running), "sessions": rows}).encode()


def _reply(path: bytes, job: bytes, over: bool) -> tuple[int, bytes]:
    if path.startswith(b"/ready/"):
        return (200 if over else 404), b"{}"
    if path.startswith(b"/api/"):
        state = b'"TERMINATED", "result_state": "SUCCESS"' if over else b'"RUNNING"'
        return 200, b'{"run_id": %b, "run_page_url": "", "state": {"life_cycle_state": %b}}' % (job, state)
    state = b"success" if over else b"running"
    return 200, b'{"id": "%b", "state": "%b", "from": 0, "total": 0, "log": []}' % (job, state)


class Connection(asyncio.Protocol):
    """An HTTP/1.1 connection."""

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
            asyncio.get_running_loop().call_later(self.cloud.server_options.latency, self.send, status, payload)

    def send(self, status: int, payload: bytes) -> None:
        """Send a response, or reset the connection if *status* is 0."""
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
        self.closing = asyncio.get_running_loop().call_later(self.cloud.server_options.idle, self.transport.close)


async def serve(server_options: ServerOptions) -> None:
    """Serve on a free port until the input ends. The first answer is the port."""
    cloud, loop = Cloud(server_options), asyncio.get_running_loop()
    context = None
    if server_options.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(server_options.certificate)
    server = await loop.create_server(lambda: Connection(cloud), "127.0.0.1", 0, backlog=8192, ssl=context)
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    _answer({"port": server.sockets[0].getsockname()[1]})
    while command := await commands.readline():
        if epoch := json.loads(command).get("epoch"):
            cloud.begin(epoch)
        _answer(vars(cloud.counts))


def _answer(answer: dict[str, object]) -> None:
    print(json.dumps(answer), flush=True)


def main() -> None:
    """Run a server with the options in the argument."""
    fields = json.loads(sys.argv[1])
    server_options = ServerOptions(**fields | {"outage": tuple(fields["outage"])})
    with contextlib.suppress(ImportError):
        import uvloop

        return uvloop.run(serve(server_options))
    return asyncio.run(serve(server_options))


if __name__ == "__main__":
    main()
