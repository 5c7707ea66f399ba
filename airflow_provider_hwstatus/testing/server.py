"""The HTTP server: a thread with an event loop of its own. The only file that knows the HTTP library."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from threading import Thread

from aiohttp import web

from airflow_provider_hwstatus.testing.script import new_request_id
from airflow_provider_hwstatus.testing.wire import Fault, Incoming, Reply

HOST = "127.0.0.1"
DRIP_SECONDS = 0.2

#: Turns of an event loop in which an accepted connection is set up: three, in CPython 3.11 to 3.13, and some to spare.
_TURNS = 5

#: Bytes of a request line or a header: as many as API Gateway allows for all headers of a request together.
MAX_LINE = 128 * 1024

#: Ports that servers of this process have had, the last of them: a client remembers what was said at an address.
_had: deque[int] = deque(maxlen=1000)


class Server:
    """
    Serves HTTP on this machine.

    :param answer: Called in the server's thread, one request at a time.
    :param clock: Returns seconds since 1970.
    :param port: 0 takes a free one at the first start, which no server of this process had lately, and keeps it.
    """

    def __init__(self, answer: Callable[[Incoming], Reply | Fault], clock: Callable[[], float], port: int) -> None:
        self.port = port
        self.connections = 0
        self._answer = answer
        self._clock = clock
        self._thread: Thread | None = None

    def start(self) -> None:
        """
        Start serving; returns when connections are accepted.

        :raises OSError: The port is taken.
        """
        if self._thread is not None:
            return
        started: Future[int] = Future()
        thread = Thread(target=lambda: asyncio.run(self._serve(started)), daemon=True)
        thread.name = "fake-huawei-cloud"
        thread.start()
        try:
            self.port = started.result()
        except OSError:
            thread.join()
            raise
        self._thread = thread

    def stop(self) -> None:
        """Stop serving and close every connection; returns when the port is free."""
        if self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._thread = None

    async def _serve(self, started: Future[int]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        # Cancelled when the client leaves: a fault that never ends must not outlive its connection.
        self._http = web.Server(
            self._handle,
            handler_cancellation=True,
            access_log=None,
            max_line_size=MAX_LINE,
            max_field_size=MAX_LINE,
        )
        try:
            listener = await self._listen()
        except OSError as exc:
            started.set_exception(exc)
            return
        started.set_result(_port_of(listener))
        await self._stopping.wait()
        listener.close()
        for _ in range(_TURNS):  # a connection that was just accepted is known to the server some turns later
            await asyncio.sleep(0)
        self._http.pre_shutdown()  # without it, shutdown waits for connections that are kept alive
        transports = [connection.transport for connection in self._http.connections]
        await self._http.shutdown(timeout=1)
        for transport in transports:
            if transport is not None:  # one whose client does not read would never close
                transport.abort()
        await asyncio.sleep(0)  # they close in the loop's next turn

    async def _listen(self) -> asyncio.Server:
        passed_over = list[asyncio.Server]()
        try:
            while True:
                listener = await self._loop.create_server(self._accept, HOST, self.port)
                if self.port or _port_of(listener) not in _had:
                    _had.append(_port_of(listener))
                    return listener
                passed_over.append(listener)  # and still open, or it might be the next again
        finally:
            for other in passed_over:
                other.close()

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
        response.headers.update(reply.headers)  # whatever their letter case
        return response

    async def _pause(self, seconds: float | None) -> None:
        """Wait, but not beyond the server's end; None waits for that."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _fail(self, request: web.BaseRequest, fault: Fault, headers: dict[str, str]) -> web.StreamResponse:
        """Do to the client what *fault* says. What is returned no longer reaches it."""
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


def _port_of(listener: asyncio.Server) -> int:
    port: int = listener.sockets[0].getsockname()[1]
    return port


async def _begin(request: web.BaseRequest, response: web.StreamResponse, start: bytes) -> None:
    """Send the beginning of a body that promises to become much longer."""
    response.content_type = "application/json"
    response.content_length = 1_000_000
    await response.prepare(request)
    await response.write(start)


def _cut(request: web.BaseRequest, reset: bool) -> None:
    """Close the connection: with a reset, or after what has been written."""
    transport = request.transport
    if transport is None:
        return
    if reset:
        # Lingering for no time makes the kernel send RST instead of FIN.
        no_time = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_time)
        transport.abort()
    else:
        transport.close()


def _text(text: str) -> str:
    """Return *text* without the surrogates that stand for bytes which are no UTF-8: they cannot be signed."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
