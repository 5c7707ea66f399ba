"""The HTTP server. It runs an event loop in a thread. Only this file imports the HTTP library."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from threading import Thread
from weakref import finalize

from aiohttp import web

from airflow_provider_hwstatus.testing.script import new_request_id
from airflow_provider_hwstatus.testing.wire import Fault, Incoming, Reply

HOST = "127.0.0.1"
DRIP_SECONDS = 0.2

#: Iterations of the event loop until an accepted connection is set up. CPython 3.11 to 3.13 need three.
_SETUP_ITERATIONS = 5

#: Maximum bytes of a request line or a header. API Gateway allows this much for all headers of a request together.
MAX_LINE = 128 * 1024

#: The last ports of this process's servers. They are not reused, because clients keep state by address, such as which
#: keys were accepted. Linux chooses from 7,000 ports for a socket with SO_REUSEADDR.
_recent_ports: deque[int] = deque(maxlen=5000)

#: Attempts to get a port that was not used recently. A system with few ports may have none.
_ATTEMPTS = 100


class Server:
    """
    An HTTP server on 127.0.0.1.

    :param answer: Returns the reply to a request. Called in the server's thread, one request at a time.
    :param clock: Returns seconds since 1970.
    :param port: Port to listen on. 0 takes a free port at the first start and keeps it.
    """

    def __init__(self, answer: Callable[[Incoming], Reply | Fault], clock: Callable[[], float], port: int) -> None:
        self.port = port
        self.connections = 0
        self._answer = answer
        self._clock = clock
        self._thread: Thread | None = None
        self._reserved: socket.socket | None = None

    def start(self) -> None:
        """
        Start serving. Returns when the server accepts connections.

        :raises OSError: The port is in use.
        """
        if self._thread is not None:
            return
        if self._reserved is None:
            self._reserved = _reserved(self.port)
            finalize(self, self._reserved.close)
            self.port = _port_of(self._reserved)
        started: Future[None] = Future()
        thread = Thread(target=lambda: asyncio.run(self._serve(started)), daemon=True)
        thread.name = "fake-huawei-cloud"
        thread.start()
        try:
            started.result()
        except OSError:
            thread.join()
            raise
        self._thread = thread

    def stop(self) -> None:
        """
        Stop serving and close every connection. Returns when connections are refused.

        The port stays reserved as long as this object exists, so that the server can start again. A program that
        asks for any free port does not get it.
        """
        if self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._thread = None

    async def _serve(self, started: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        # A handler is cancelled when its client disconnects, so that HANG and DRIP end with the connection.
        self._http = web.Server(
            self._handle,
            handler_cancellation=True,
            access_log=None,
            max_line_size=MAX_LINE,
            max_field_size=MAX_LINE,
        )
        try:
            listener = await self._loop.create_server(self._accept, HOST, self.port, reuse_address=True)
        except OSError as exc:
            started.set_exception(exc)
            return
        started.set_result(None)
        await self._stopping.wait()
        for listening in listener.sockets:
            self._loop.remove_reader(listening.fileno())
        # Connections accepted just now are set up before the listener is closed. asyncio would leave later ones open.
        for _ in range(_SETUP_ITERATIONS):
            await asyncio.sleep(0)
        listener.close()
        self._http.pre_shutdown()  # otherwise shutdown waits for idle keep-alive connections
        transports = [connection.transport for connection in self._http.connections]
        await self._http.shutdown(timeout=1)
        for transport in transports:
            if transport is not None:  # it never closes by itself if its client does not read
                transport.abort()
        await asyncio.sleep(0)  # transports close in the next iteration

    def _accept(self) -> asyncio.Protocol:
        self.connections += 1
        return self._http()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        incoming = Incoming(
            time=self._clock(),
            method=request.method,
            path=_text(request.raw_path.partition("?")[0]),
            query=_text(request.raw_path.partition("?")[2]),
            headers={name.lower(): _text(",".join(request.headers.getall(name))) for name in request.headers},
            body=await request.read(),
            request_id=new_request_id(),
        )
        reply = self._answer(incoming)
        headers = {"Server": "api-gateway", "X-Request-Id": incoming.request_id}
        if isinstance(reply, Fault):
            return await self._fail(request, reply, headers)
        await self._pause(reply.delay)
        headers["Content-Type"] = reply.content_type
        response = web.Response(status=reply.status, body=reply.content, headers=headers)
        response.headers.update(reply.headers)  # case-insensitive
        return response

    async def _pause(self, seconds: float | None) -> None:
        """Wait until the time has passed or the server stops. None waits for the stop."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _fail(self, request: web.BaseRequest, fault: Fault, headers: dict[str, str]) -> web.StreamResponse:
        """Apply *fault* to the connection. The returned response does not reach the client."""
        response = web.StreamResponse(headers=headers)
        if fault is Fault.HANG:
            await self._pause(None)
        elif fault is Fault.HALF:
            await _begin(request, response, b'{"id": "0a32')
        elif fault is Fault.DRIP:
            await _begin(request, response, b"{")
            while not self._stopping.is_set():
                await response.write(b" ")
                await self._pause(DRIP_SECONDS)
        _cut(request, reset=fault is not Fault.HALF)
        return response


def _reserved(port: int) -> socket.socket:
    """
    Return a socket that has a port and refuses connections. A server that asks for this port still gets it.

    A server reserves its port before it starts. After a stop, another program could be faster.

    :param port: 0 for a new one.
    :raises OSError: The port is in use.
    """
    recently_used = list[socket.socket]()
    try:
        while True:
            reserved = _bound(port)
            if port or _port_of(reserved) not in _recent_ports or len(recently_used) >= _ATTEMPTS:
                _recent_ports.append(_port_of(reserved))
                return reserved
            recently_used.append(reserved)  # stays open for now, so that the next attempt gets another port
    finally:
        for other in recently_used:
            other.close()


def _bound(port: int) -> socket.socket:
    bound = socket.socket()
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((HOST, port))
    except OSError:
        bound.close()
        raise
    return bound


def _port_of(bound: socket.socket) -> int:
    port: int = bound.getsockname()[1]
    return port


async def _begin(request: web.BaseRequest, response: web.StreamResponse, start: bytes) -> None:
    """Send the beginning of a body with a much larger Content-Length."""
    response.content_type = "application/json"
    response.content_length = 1_000_000
    await response.prepare(request)
    await response.write(start)


def _cut(request: web.BaseRequest, reset: bool) -> None:
    """Close the connection: at once with a reset, or after the written data has been sent."""
    transport = request.transport
    if transport is None:
        return
    if reset:
        # With a linger time of zero the kernel sends RST instead of FIN.
        zero_linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, zero_linger)
        transport.abort()
    else:
        transport.close()


def _text(text: str) -> str:
    """Replace surrogates, which stand for invalid UTF-8: text that contains them cannot be signed."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
