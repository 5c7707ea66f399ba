"""Sending requests with ``requests``."""

from __future__ import annotations

import http.client
import io
import math
import socket
import ssl
import time
from http.cookiejar import DefaultCookiePolicy
from importlib.metadata import version
from types import TracebackType
from typing import Any, Self

import requests
import requests.adapters
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.protocol.effects import Request, Response
from airflow_provider_hwstatus.errors import ConfigurationError
from airflow_provider_hwstatus.transports import network

if int(version("urllib3").split(".")[0]) < 2:  # urllib3 1 takes a truncated body for a whole one
    raise ConfigurationError(f"urllib3 2 or newer is needed; {version('urllib3')} is installed")

#: Bytes of a body that are read at a time.
_CHUNK = 64 * 1024


class SyncTransport(network.Transport):
    """
    Sends requests over one session, which keeps connections.

    :param client: Has the settings of the connection, and redacts its secrets.
    """

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self._session = self._new_session()

    def send(self, request: Request, until: float = math.inf) -> Response:
        """
        Send one request. If the server closes a kept connection as the request arrives, send it once more.

        :param until: When the response must have arrived, in monotonic seconds.
        :raises DeadlineError: *until* has passed.
        :raises TransportError: There was no complete response within ``request_timeout``.
        :raises MalformedResponseError: The response is too long.
        """
        deadline = self._deadline(request, until)
        try:
            if request.method in network.IDEMPOTENT:
                try:
                    return self._exchange(self._session, request, deadline)
                except network.StaleConnectionError:
                    pass
            with self._new_session() as fresh:
                return self._exchange(fresh, request, deadline)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            failure = self._failure(request, _description(error), _could_not_connect(error))
        raise failure

    def _exchange(self, session: requests.Session, request: Request, deadline: float) -> Response:
        with session.send(
            _prepared(request),
            timeout=urllib3.Timeout(total=network.seconds_left(deadline)),  # type: ignore[arg-type]  # requests accepts it
            proxies=dict.fromkeys(("http", "https"), self._proxies.of(request)),  # type: ignore[arg-type]  # or None
            allow_redirects=False,
            stream=True,
        ) as response:
            return Response(response.status_code, response.headers, _body(response))

    def _new_session(self) -> requests.Session:
        session = _Session()
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.trust_env = False  # do not read .netrc; Proxies reads the proxy variables
        session.mount("https://", _Adapter(self._client.settings.verify))
        session.mount("http://", _Adapter(None))
        return session

    def close(self) -> None:
        """Close the session's connections."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _reason(error: BaseException) -> BaseException:
    """Return urllib3's error if *error* is one of requests around it."""
    return (getattr(error.args[0], "reason", None) if error.args else None) or error


def _description(error: BaseException) -> str:
    """Return the reason of an error, without the objects of the libraries that the whole error names."""
    reason = _reason(error)
    return f"{type(reason).__name__}: {reason.__cause__}" if reason.__cause__ else repr(reason)


def _could_not_connect(error: BaseException) -> bool:
    """Return whether there was no connection over which the request could have been sent."""
    return isinstance(_reason(error), _NOT_CONNECTED)


#: Errors of urllib3 before a connection is there. The third one is that of a proxy that cannot be reached or refuses.
_NOT_CONNECTED = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.ProxyError,
)


def _prepared(request: Request) -> requests.PreparedRequest:
    """Return a request for ``requests``, without merging settings of the session, which takes a fifth of a poll."""
    prepared = requests.PreparedRequest()
    prepared.prepare_method(request.method)
    prepared.url = request.url
    prepared.prepare_headers(network.HEADERS | {name: _utf8(value) for name, value in request.headers.items()})
    prepared.prepare_body(request.body or None, None)
    prepared.prepare_hooks({})
    return prepared


def _utf8(value: str) -> str | bytes:
    """Return a header's value in UTF-8, as it was signed. ``requests`` would send a text in Latin-1."""
    return value if value.isascii() else value.encode()


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Ignore ``Location``. requests would parse it and read the whole body, even without following redirects."""


def _body(response: requests.Response) -> bytes:
    body = bytearray()
    for chunk in response.raw.stream(_CHUNK, decode_content=False):
        body += chunk
        network.raise_if_too_long(body, response.status_code)
    return bytes(body)


class _DeadlineReader(io.RawIOBase):
    """
    Reads from a socket until a deadline. A time-out per read would not end a response that arrives byte by byte.

    :param seconds: Seconds from now to the deadline.
    :ivar received: Whether any byte has arrived.
    :ivar ended: Whether the server has closed the connection.
    """

    def __init__(self, sock: socket.socket, seconds: float) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._deadline = time.monotonic() + seconds
        self.received = False
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the response took too long")
        self._sock.settimeout(left)
        count = self._raw.readinto(buffer)
        self.received = self.received or bool(count)
        self.ended = not count
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _HTTPResponse(http.client.HTTPResponse):
    """
    A response that must be complete within the time-out that its connection has when the response begins.

    :param kept: Whether an earlier response came over the same connection.
    """

    def __init__(self, sock: socket.socket, *args: Any, kept: bool, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._kept = kept
        self._reader = _DeadlineReader(sock, sock.gettimeout() or 0.0)
        self.fp.close()
        self.fp = io.BufferedReader(self._reader)

    def begin(self) -> None:
        """Read the status line and headers, and raise if the connection ends in them, which ``http.client`` ignores."""
        try:
            super().begin()
        except ConnectionError:
            if self._kept and not self._reader.received:
                raise network.StaleConnectionError from None
            raise
        except http.client.HTTPException as error:
            if type(error) in (http.client.LineTooLong, http.client.HTTPException):  # HTTPException: too many headers
                raise network.head_too_long() from None
            raise
        if self._reader.ended:
            raise ConnectionResetError("the response ended in its headers")

    def _read_status(self) -> tuple[str, int, str]:
        """Skip interim responses. ``http.client`` only skips HTTP 100."""
        for _ in range(network.MOST_INTERIM + 1):
            version, status, reason = super()._read_status()  # type: ignore[misc]  # not in typeshed
            if not 100 <= status < 200 or status == http.HTTPStatus.SWITCHING_PROTOCOLS:
                return version, status, reason
            http.client.parse_headers(self.fp)
        raise network.too_many_interim()


class _HTTPConnection(HTTPConnection):
    _kept = False

    def response_class(self, *args: Any, **kwargs: Any) -> _HTTPResponse:  # type: ignore[override]  # a factory
        return _HTTPResponse(*args, kept=self._kept, **kwargs)

    def connect(self) -> None:
        self._kept = False
        super().connect()

    def send(self, data: Any) -> None:
        """
        Send data.

        :raises StaleConnectionError: The server has closed a kept connection.
        """
        held = [data]
        del data  # it contains the signature, and tracebacks can show local variables
        try:
            super().send(held.pop())
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):  # the latter two over TLS
            if self._kept:
                raise network.StaleConnectionError from None
            raise

    def getresponse(self) -> Any:
        response = super().getresponse()
        self._kept = True
        return response


class _HTTPSConnection(_HTTPConnection, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


_POOLS = {"http": _HTTPPool, "https": _HTTPSPool}


class _Adapter(requests.adapters.HTTPAdapter):
    """
    Opens connections with a time-out for the whole response, and with shared TLS settings.

    ``requests`` creates TLS settings for each connection, which takes 20 ms.

    :param verify: As in :func:`ssl_context`; None for connections without TLS.
    """

    def __init__(self, verify: bool | str | None) -> None:
        self._verify = verify is not False
        self._context: ssl.SSLContext | None = None if verify is None else network.ssl_context(verify)
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, ssl_context=self._context, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Do nothing: the TLS settings are complete."""

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        host, pool = super().build_connection_pool_key_attributes(request, self._verify, cert)
        pool.pop("ca_certs", None)
        pool.pop("ca_cert_dir", None)
        return host, pool
