"""Replies and ends of connections that only a server of one's own can give, byte by byte, in both colours."""

import asyncio
import contextlib
import http.client
import re
import socket
import ssl
import struct
import threading
import time

import pytest

from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.core.protocol.effects import Request
from airflow_provider_hwstatus.errors import HwStatusError, MalformedResponseError, TransportError
from airflow_provider_hwstatus.transports.shared_connections import AsyncConnection, SyncConnection

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"state": "running"}'

#: Instead of bytes to send: how to end the connection, or to leave it until the client does, or the test says so.
CLOSE, RESET, HANG, WAIT = "close", "reset", "hang", "wait"


async def amask(secret):
    """Mask nothing."""


class Server:
    """Answers the requests of each connection with the replies that the next script has, then closes it."""

    def __init__(self, *scripts, certificate=None):
        self.requests = []
        self.connections = 0
        self.resumed, self.closed = threading.Event(), threading.Event()
        self._scripts = list(scripts)
        self._sockets = [socket.create_server(("127.0.0.1", 0))]
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self._sockets[0].getsockname()[1]}"
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if certificate else None
        if self._tls:
            self._tls.load_cert_chain(certificate)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):  # closed
            for script in self._scripts:
                sock, _ = self._sockets[0].accept()
                self._sockets.append(sock)
                self.connections += 1
                threading.Thread(target=self._answer, args=(sock, script), daemon=True).start()

    def _answer(self, plain, script):
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.callback(self.closed.set)
            sock = stack.enter_context(self._secured(plain))
            for step in script:
                request = read_request(sock)
                if not request:
                    return
                self.requests.append(request)
                for part in step if isinstance(step, list) else [step]:
                    if part is RESET:
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    if part is HANG:
                        sock.recv(1)
                    if part is WAIT:
                        self.resumed.wait(10)
                        continue
                    if part in (CLOSE, RESET, HANG):
                        return
                    sock.sendall(part)

    def _secured(self, sock):
        return self._tls.wrap_socket(sock, server_side=True) if self._tls else sock

    def close(self):
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


def read_request(sock):
    """Return the next request, head and body; what there is of it if the client leaves."""
    request = b""
    while not (head := re.search(rb"(?s)^.*?\r\n\r\n", request)):
        data = sock.recv(65536)
        if not data:
            return b""
        request += data
    length = re.search(rb"(?i)content-length: (\d+)", head[0])
    while length and len(request) < len(head[0]) + int(length[1]):
        request += sock.recv(65536)
    return request


@pytest.fixture
def serve():
    """Return a function that starts a server; all of them are stopped at the end."""
    with contextlib.ExitStack() as stack:

        def start(*scripts, **how):
            server = Server(*scripts, **how)
            stack.callback(server.close)
            return server

        yield start


def flow_of(requests):
    """Return the replies to *requests*, or what was raised instead."""
    replies = []
    for request in requests:
        try:
            reply = yield request
            replies.append((reply.status, reply.body))
        except HwStatusError as error:
            replies.append(error)
    return replies


def send_sync(settings, *requests):
    connection = SyncConnection(settings, str)
    try:
        return connection.run(flow_of(requests))
    finally:
        connection.close()


def send_async(settings, *requests):
    async def send():
        connection = AsyncConnection(settings, amask)
        try:
            return await connection.run(flow_of(requests))
        finally:
            await connection.close()

    return asyncio.run(send())


@pytest.fixture(params=[send_sync, send_async], ids=["sync", "async"])
def send(request):
    """Send requests one after the other in one colour."""
    return request.param


def settings_for(server, **fields):
    return Settings(auth="token", password="T", project_id="p1", dli_endpoint=server.url, **fields)


def get(server, method="GET", **fields):
    return Request(method, f"{server.url}/v2.0/p1/batches/b1/state", **fields)


RUNNING = (200, b'{"state": "running"}')


@pytest.mark.parametrize("end", [CLOSE, RESET])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_request_on_a_connection_that_was_just_closed_is_repeated(send, serve, method, end):
    """The server closes a kept connection as the next request arrives: it is sent once more, on a new one."""
    server = serve([OK, end], [OK, OK])

    assert [RUNNING] * 2 == send(settings_for(server), get(server), get(server, method))
    assert (3, 2) == (len(server.requests), server.connections)


@pytest.mark.parametrize("end", [CLOSE, RESET])
def test_request_on_a_tls_connection_that_was_just_closed_is_repeated(send, serve, certificate, end):
    """So it is over HTTPS, where a server may end without TLS's own good-bye."""
    server = serve([OK, end], [OK], certificate=certificate)

    assert [RUNNING] * 2 == send(settings_for(server, verify=str(certificate)), get(server), get(server))
    assert (3, 2) == (len(server.requests), server.connections)


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_request_that_cannot_be_sent_any_more_is_repeated(serve, certificate, monkeypatch, tls):
    """Where the connection is closed between the pool's look at it and the request, sending fails already."""
    server = serve([[OK, WAIT, RESET]], [OK], certificate=certificate if tls else None)
    settings = settings_for(server, verify=str(certificate))

    def dropped(connection):
        server.resumed.set()
        assert server.closed.wait(10)
        return False

    monkeypatch.setattr("urllib3.connectionpool.is_connection_dropped", dropped)
    assert [RUNNING] * 2 == send_sync(settings, get(server), get(server))
    assert 2 == server.connections


@pytest.mark.parametrize(
    "error", [BrokenPipeError(), ConnectionResetError(), ssl.SSLEOFError(8, "EOF"), ssl.SSLZeroReturnError(6, "closed")]
)
def test_every_way_in_which_sending_fails_is_known(serve, monkeypatch, error):
    """Which error the system gives depends on what has arrived, and on TLS."""
    server = serve([OK], [OK])
    sent, send_on = [], http.client.HTTPConnection.send

    def send(connection, data):
        sent.append(data)
        if len(sent) == 2:
            raise error
        send_on(connection, data)

    monkeypatch.setattr(http.client.HTTPConnection, "send", send)
    assert [RUNNING] * 2 == send_sync(settings_for(server), get(server), get(server))
    assert (2, 3) == (server.connections, len(sent))


@pytest.mark.parametrize("end", [CLOSE, RESET])
def test_request_is_repeated_once_only(send, serve, end):
    """A server that closes the new connection, too, has a problem that is not the old connection's age."""
    server = serve([OK, end], [end], [OK])

    kept, failed = send(settings_for(server), get(server), get(server))
    assert RUNNING == kept
    assert isinstance(failed, TransportError)
    assert 3 == len(server.requests)


@pytest.mark.parametrize("end", [CLOSE, RESET])
def test_request_on_a_new_connection_is_not_repeated(send, serve, end):
    """Where no connection was kept, there is nothing to be in doubt about."""
    server = serve([end], [OK])

    (failed,) = send(settings_for(server), get(server))
    assert isinstance(failed, TransportError)
    assert 1 == len(server.requests)


@pytest.mark.parametrize("start", [b"H", b"HTTP/1.1 200 O", b"HTTP/1.1 102 Processing\r\n\r\n", OK[:-5]])
def test_request_is_not_repeated_once_its_reply_has_begun(send, serve, start):
    """What the server has begun to answer it has received."""
    server = serve([OK, [start, CLOSE]], [OK])

    kept, failed = send(settings_for(server), get(server), get(server))
    assert RUNNING == kept
    assert isinstance(failed, TransportError)
    assert 2 == len(server.requests)


@pytest.mark.parametrize("end", [CLOSE, RESET])
def test_what_may_not_be_done_twice_is_sent_on_a_new_connection(send, serve, end):
    """A POST cannot be repeated, so it meets no connection that may be about to be closed."""
    server = serve([OK, end], [OK], [OK])

    assert [RUNNING] * 2 == send(settings_for(server), get(server), get(server, "POST", body=b"{}"))
    assert (2, 2) == (len(server.requests), server.connections)


@pytest.mark.parametrize("end", [CLOSE, RESET])
def test_post_is_never_repeated(send, serve, end):
    """Nobody knows whether the server has done it."""
    server = serve([end], [OK])

    (failed,) = send(settings_for(server), get(server, "POST", body=b"{}"))
    assert isinstance(failed, TransportError)
    assert 1 == len(server.requests)


def test_repeat_has_what_is_left_of_the_time_out(send, serve):
    """A request takes no longer for having been repeated."""
    server = serve([OK, CLOSE], [HANG])
    settings = settings_for(server, request_timeout=1.0)

    began = time.monotonic()
    kept, failed = send(settings, get(server), get(server))
    assert RUNNING == kept
    assert isinstance(failed, TransportError)
    assert time.monotonic() - began < 5.0


INTERIM = b"HTTP/1.1 102 Processing\r\nX-A: b\r\n\r\n"


@pytest.mark.parametrize("interim", [b"HTTP/1.1 100 Continue\r\n\r\n", INTERIM, INTERIM.replace(b"102", b"103")])
@pytest.mark.parametrize("count", [1, 10])
def test_interim_reply_is_skipped(send, serve, interim, count):
    """100, 102 and 103 announce a reply, and are none; the connection stays usable."""
    server = serve([interim * count + OK] * 2)

    assert [RUNNING] * 2 == send(settings_for(server), get(server), get(server))
    assert 1 == server.connections


def test_interim_replies_are_bounded(send, serve):
    """A server that only announces is not listened to until the time-out."""
    server = serve([INTERIM * 1000])

    (failed,) = send(settings_for(server, request_timeout=60.0), get(server))
    assert isinstance(failed, MalformedResponseError)
    assert "interim" in str(failed)


def with_header(value, name="X-Subject-Token"):
    return OK.replace(b"\r\n\r\n", f"\r\n{name}: {value}\r\n\r\n".encode())


@pytest.mark.parametrize("length", [9_000, 60_000])
def test_long_header_is_read(send, serve, length):
    """A token of an account with many roles has many KB."""
    server = serve([with_header("a" * length)] * 2)

    assert [RUNNING] * 2 == send(settings_for(server), get(server), get(server))


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(with_header("a" * 66_000), id="value"),
        pytest.param(with_header("a", "X-" + "a" * 66_000), id="name"),
        pytest.param(OK.replace(b"OK", b"O" + b"K" * 66_000), id="reason"),
        pytest.param(
            OK.replace(b"\r\n\r\n", b"".join(b"\r\nX-%d: a" % n for n in range(110)) + b"\r\n\r\n"), id="many"
        ),
        pytest.param(
            OK.replace(b"\r\n\r\n", b"".join(b"\r\nX-%d: a" % n for n in range(500)) + b"\r\n\r\n"), id="most"
        ),
        pytest.param(b"HTTP/1.1 102 P\r\nX-A: " + b"a" * 66_000 + b"\r\n\r\n" + OK, id="interim"),
    ],
)
def test_headers_are_bounded(send, serve, reply):
    """More than 64 KB in a line, or more than 100 lines, is no outage that may pass: it is no reply of this API."""
    server = serve([reply])

    (failed,) = send(settings_for(server), get(server))
    assert isinstance(failed, MalformedResponseError)
    assert "header" in str(failed)
    assert len(str(failed)) < 500


@pytest.mark.parametrize("length", [9_000, 60_000])
def test_long_header_is_sent(send, serve, length):
    """The token goes back as it came."""
    server = serve([OK])

    assert [RUNNING] == send(settings_for(server), get(server, headers={"X-Auth-Token": "a" * length}))
    assert b"a" * length in server.requests[0]
