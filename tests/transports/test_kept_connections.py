"""Replies and closed connections that need a test server that sends single bytes, sync and async."""

import asyncio
import contextlib
import http.client
import re
import socket
import ssl
import struct
import threading
import time
from unittest.mock import AsyncMock

import pytest

from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.core.protocol.effects import Request
from airflow_provider_hwstatus.errors import HwStatusError, MalformedResponseError, TransportError
from airflow_provider_hwstatus.transports.shared_connections import AsyncConnection, SyncConnection

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"state": "running"}'

#: Steps besides bytes to send: close, reset, wait until the client closes, or wait for the test.
CLOSE, RESET, HANG, WAIT = "close", "reset", "hang", "wait"


class Server:
    """Answers each connection with the replies of the next script, then closes it."""

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
        with contextlib.suppress(OSError):  # the server is closed
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
    """Return the next request. It is incomplete if the client closes the connection."""
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
    """Return a function that starts a server. All servers are stopped at the end."""
    with contextlib.ExitStack() as stack:

        def start(*scripts, **options):
            server = Server(*scripts, **options)
            stack.callback(server.close)
            return server

        yield start


def flow_of(requests):
    """Return the replies to *requests*, or the errors."""
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
        connection = AsyncConnection(settings, AsyncMock())
        try:
            return await connection.run(flow_of(requests))
        finally:
            await connection.close()

    return asyncio.run(send())


@pytest.fixture(params=[send_sync, send_async], ids=["sync", "async"])
def send(request):
    """Send requests one after the other, sync and async."""
    return request.param


def settings_for(server, **fields):
    return Settings(auth="token", password="T", project_id="p1", dli_endpoint=server.url, **fields)


def get(server, method="GET", **fields):
    return Request(method, f"{server.url}/v2.0/p1/batches/b1/state", **fields)


RUNNING = (200, b'{"state": "running"}')


@pytest.mark.parametrize("end", [CLOSE, RESET])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_request_on_a_closed_connection_is_repeated(send, serve, method, end):
    """If the server closes a reused connection, the request is repeated once on a new one."""
    server = serve([OK, end], [OK, OK])

    assert [RUNNING] * 2 == send(settings_for(server), get(server), get(server, method))
    assert (3, 2) == (len(server.requests), server.connections)


@pytest.mark.parametrize("end", [CLOSE, RESET])
def test_request_on_a_closed_tls_connection_is_repeated(send, serve, certificate, end):
    """This also holds for HTTPS, where a server may close without a TLS shutdown."""
    server = serve([OK, end], [OK], certificate=certificate)

    assert [RUNNING] * 2 == send(settings_for(server, verify=str(certificate)), get(server), get(server))
    assert (3, 2) == (len(server.requests), server.connections)


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_request_that_cannot_be_sent_is_repeated(serve, certificate, monkeypatch, tls):
    """The connection can be closed after the pool's check, so that sending already fails."""
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
def test_every_send_error_is_repeated(serve, monkeypatch, error):
    """The error depends on what has arrived and on TLS."""
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
    """If the server also closes the new connection, the request fails."""
    server = serve([OK, end], [end], [OK])

    kept, failed = send(settings_for(server), get(server), get(server))
    assert RUNNING == kept
    assert isinstance(failed, TransportError)
    assert 3 == len(server.requests)


@pytest.mark.parametrize("end", [CLOSE, RESET])
def test_request_on_a_new_connection_is_not_repeated(send, serve, end):
    """On a new connection, a closed connection is an error."""
    server = serve([end], [OK])

    (failed,) = send(settings_for(server), get(server))
    assert isinstance(failed, TransportError)
    assert 1 == len(server.requests)


@pytest.mark.parametrize("start", [b"H", b"HTTP/1.1 200 O", b"HTTP/1.1 102 Processing\r\n\r\n", OK[:-5]])
def test_request_is_not_repeated_once_its_reply_has_begun(send, serve, start):
    """If a part of the reply has arrived, the server has received the request."""
    server = serve([OK, [start, CLOSE]], [OK])

    kept, failed = send(settings_for(server), get(server), get(server))
    assert RUNNING == kept
    assert isinstance(failed, TransportError)
    assert 2 == len(server.requests)


@pytest.mark.parametrize("end", [CLOSE, RESET])
def test_post_uses_a_new_connection(send, serve, end):
    """A POST cannot be repeated, so it does not use a connection that may be about to close."""
    server = serve([OK, end], [OK], [OK])

    assert [RUNNING] * 2 == send(settings_for(server), get(server), get(server, "POST", body=b"{}"))
    assert (2, 2) == (len(server.requests), server.connections)


@pytest.mark.parametrize("end", [CLOSE, RESET])
def test_post_is_never_repeated(send, serve, end):
    """The server may have processed the POST."""
    server = serve([end], [OK])

    (failed,) = send(settings_for(server), get(server, "POST", body=b"{}"))
    assert isinstance(failed, TransportError)
    assert 1 == len(server.requests)


def test_repeat_keeps_the_time_limit(send, serve):
    """A repeated request does not extend the request's time limit."""
    server = serve([OK, CLOSE], [HANG])

    started_at = time.monotonic()
    kept, failed = send(settings_for(server), get(server), get(server, timeout=1.0))
    assert RUNNING == kept
    assert isinstance(failed, TransportError)
    assert time.monotonic() - started_at < 5.0


INTERIM = b"HTTP/1.1 102 Processing\r\nX-A: b\r\n\r\n"


@pytest.mark.parametrize("interim", [b"HTTP/1.1 100 Continue\r\n\r\n", INTERIM, INTERIM.replace(b"102", b"103")])
@pytest.mark.parametrize("count", [1, 20])
def test_interim_reply_is_skipped(send, serve, interim, count):
    """Responses 100, 102 and 103 are skipped. The connection stays usable."""
    server = serve([interim * count + OK] * 2)

    assert [RUNNING] * 2 == send(settings_for(server), get(server), get(server))
    assert 1 == server.connections


@pytest.mark.parametrize("reply", [INTERIM * 21 + OK, INTERIM * 1000], ids=["21", "1000"])
def test_number_of_interim_replies_is_limited(send, serve, reply):
    """Too many interim replies are an error before the time-out."""
    server = serve([reply])

    (failed,) = send(settings_for(server, request_timeout=60.0), get(server))
    assert isinstance(failed, MalformedResponseError)
    assert "interim" in str(failed)


def with_header(value, name="X-Subject-Token"):
    return OK.replace(b"\r\n\r\n", f"\r\n{name}: {value}\r\n\r\n".encode())


def with_headers(count):
    """Return a reply with so many headers. One of them is Content-Length."""
    return OK.replace(b"\r\n\r\n", b"".join(b"\r\nX-%d: a" % number for number in range(count - 1)) + b"\r\n\r\n")


def test_many_headers_are_read(send, serve):
    """Both transports read 99 headers."""
    server = serve([with_headers(99)])

    assert [RUNNING] == send(settings_for(server), get(server))


@pytest.mark.parametrize("length", [9_000, 60_000])
def test_long_header_is_read(send, serve, length):
    """The token of a user with many roles has many KB."""
    server = serve([with_header("a" * length)] * 2)

    assert [RUNNING] * 2 == send(settings_for(server), get(server), get(server))


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(with_header("a" * 66_000), id="value"),
        pytest.param(with_header("a", "X-" + "a" * 66_000), id="name"),
        pytest.param(OK.replace(b"OK", b"O" + b"K" * 66_000), id="reason"),
        pytest.param(with_headers(100), id="many"),
        pytest.param(with_headers(500), id="most"),
        pytest.param(b"HTTP/1.1 102 P\r\nX-A: " + b"a" * 66_000 + b"\r\n\r\n" + OK, id="interim"),
    ],
)
def test_header_size_is_limited(send, serve, reply):
    """A header line over 64 KB, or 100 headers, is a malformed response, not an outage."""
    server = serve([reply])

    (failed,) = send(settings_for(server), get(server))
    assert isinstance(failed, MalformedResponseError)
    assert "header" in str(failed)
    assert len(str(failed)) < 500


@pytest.mark.parametrize("length", [9_000, 60_000])
def test_long_header_is_sent(send, serve, length):
    """A long token is sent unchanged."""
    server = serve([OK])

    assert [RUNNING] == send(settings_for(server), get(server, headers={"X-Auth-Token": "a" * length}))
    assert b"a" * length in server.requests[0]
