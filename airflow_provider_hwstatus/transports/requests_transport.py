"""Requests over ``requests``."""

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
from airflow_provider_hwstatus.core.protocol.advice import by_class, with_next
from airflow_provider_hwstatus.core.protocol.effects import Request, Response
from airflow_provider_hwstatus.errors import ConfigurationError, DeadlineError, MalformedResponseError, TransportError
from airflow_provider_hwstatus.transports.network import (
    CHUNK,
    HEADERS,
    IDEMPOTENT,
    LONGEST_BODY,
    MOST_INTERIM,
    Proxies,
    StaleConnectionError,
    head_too_long,
    ssl_context,
    too_many_interim,
)

if int(version("urllib3").split(".")[0]) < 2:  # the first that notices half a body
    raise ConfigurationError(f"urllib3 2 or newer is needed; {version('urllib3')} is installed")


#: Seconds for a request that has no time left: the libraries take no less.
_SHORTEST = 0.001

#: Where the host begins in a URL, or before.
_HOST = len("http://")


class SyncTransport:
    """
    Sends requests over one session, whose connections are kept.

    :param client: Whose settings say how, and which knows what must not be shown.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._proxies = Proxies(client)
        self._session = self._new_session()

    def send(self, request: Request, until: float = math.inf) -> Response:
        """
        Send one request, and once more if the server closes a reused connection as the request arrives.

        :param until: When the response has arrived at the latest, in monotonic seconds.
        :raises DeadlineError: *until* has passed.
        :raises TransportError: There was no complete response within ``request_timeout``.
        :raises MalformedResponseError: The response is longer than a status can be.
        """
        now = time.monotonic()
        if until <= now:
            raise DeadlineError("the deadline passed before a request could be sent")
        deadline = min(now + (request.timeout or self._client.settings.request_timeout), until)
        try:
            if request.method in IDEMPOTENT:
                try:
                    return self._exchange(self._session, request, deadline)
                except StaleConnectionError:
                    pass
            with self._new_session() as fresh:
                return self._exchange(fresh, request, deadline)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            failure = self._client.redact(f"{request}: {error!r}")
        raise TransportError(
            with_next(failure, by_class(TransportError, failure))
        )  # not where it is caught: its context may hold secrets

    def _exchange(self, session: requests.Session, request: Request, deadline: float) -> Response:
        left = max(deadline - time.monotonic(), _SHORTEST)
        with (
            session.send(
                _prepared(request),
                timeout=urllib3.Timeout(total=left),  # type: ignore[arg-type]  # requests takes it
                # In no local variable: its URL may have a password.
                proxies=dict.fromkeys(
                    ("http", "https"),
                    None if request.direct else self._proxies[request.url[: request.url.find("/", _HOST)]],
                ),  # type: ignore[arg-type]  # or None
                allow_redirects=False,
                stream=True,
            ) as reply
        ):
            return Response(reply.status_code, reply.headers, _body(reply))

    def _new_session(self) -> requests.Session:
        session = _Session()
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.trust_env = False  # .netrc is never read; the proxy variables are read by Proxies
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


def _prepared(request: Request) -> requests.PreparedRequest:
    """Return a request as it goes onto the wire: making one of the session's takes a fifth of a poll."""
    prepared = requests.PreparedRequest()
    prepared.prepare_method(request.method)
    prepared.url = request.url
    prepared.prepare_headers(HEADERS | {name: _utf8(value) for name, value in request.headers.items()})
    prepared.prepare_body(request.body or None, None)
    prepared.prepare_hooks({})
    return prepared


def _utf8(value: str) -> str | bytes:
    """Return a header's value as it is sent and was signed: text would be sent as Latin-1."""
    return value if value.isascii() else value.encode()


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Look at no ``Location``: requests would parse it and read the whole body, also where it does not follow."""


def _body(reply: requests.Response) -> bytes:
    body = bytearray()
    for chunk in reply.raw.stream(CHUNK, decode_content=False):
        body += chunk
        if len(body) > LONGEST_BODY:
            raise MalformedResponseError(
                f"the reply is longer than {LONGEST_BODY} bytes", http_status=reply.status_code
            )
    return bytes(body)


class _DeadlineReader(io.RawIOBase):
    """
    Reads from a socket until a point in time: a time-out for each piece would let a dripping reply go on.

    :ivar received: Whether anything came.
    :ivar ended: Whether its end did.
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
            raise TimeoutError("the reply took too long")
        self._sock.settimeout(left)
        count = self._raw.readinto(buffer)
        self.received = self.received or bool(count)
        self.ended = not count
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Reply(http.client.HTTPResponse):
    """
    A reply that must be read within the time-out that its connection has when it begins.

    :param kept: Whether the connection had another reply before.
    """

    def __init__(self, sock: socket.socket, *args: Any, kept: bool, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._kept = kept
        self._reader = _DeadlineReader(sock, sock.gettimeout() or 0.0)
        self.fp.close()
        self.fp = io.BufferedReader(self._reader)

    def begin(self) -> None:
        """Read the head, which ``http.client`` takes for whole where the connection ends in it."""
        try:
            super().begin()
        except ConnectionError:
            if self._kept and not self._reader.received:
                raise StaleConnectionError from None
            raise
        except http.client.HTTPException as error:
            if type(error) in (http.client.LineTooLong, http.client.HTTPException):  # the latter: too many
                raise head_too_long() from None
            raise
        if self._reader.ended:
            raise ConnectionResetError("the reply ended in its headers")

    def _read_status(self) -> tuple[str, int, str]:
        """Skip interim replies, of which ``http.client`` knows but one."""
        for _ in range(MOST_INTERIM + 1):
            version, status, reason = super()._read_status()  # type: ignore[misc]  # not in typeshed
            if not 100 <= status < 200 or status == http.HTTPStatus.SWITCHING_PROTOCOLS:
                return version, status, reason
            http.client.parse_headers(self.fp)
        raise too_many_interim()


class _HTTPConnection(HTTPConnection):
    _kept = False

    def response_class(self, *args: Any, **kwargs: Any) -> _Reply:  # type: ignore[override]  # called alike
        return _Reply(*args, kept=self._kept, **kwargs)

    def connect(self) -> None:
        self._kept = False
        super().connect()

    def send(self, data: Any) -> None:
        """Send, unless the server has closed a kept connection; with TLS, that is no ``ConnectionError``."""
        held = [data]
        del data  # it has the signature, and a traceback may show local variables
        try:
            super().send(held.pop())
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            if self._kept:
                raise StaleConnectionError from None
            raise

    def getresponse(self) -> Any:
        reply = super().getresponse()
        self._kept = True
        return reply


class _HTTPSConnection(_HTTPConnection, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


_POOLS = {"http": _HTTPPool, "https": _HTTPSPool}


class _Adapter(requests.adapters.HTTPAdapter):
    """
    Connections with a time-out for the whole reply and, if *verify* is not None, with our TLS settings.

    ``requests`` alone builds new TLS settings with each new connection, which takes 20 ms.
    """

    def __init__(self, verify: bool | str | None) -> None:
        self._verify = verify is not False
        self._context: ssl.SSLContext | None = None if verify is None else ssl_context(verify)
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, ssl_context=self._context, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave the pool as it is: our TLS settings say all."""

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        host, pool = super().build_connection_pool_key_attributes(request, self._verify, cert)
        pool.pop("ca_certs", None)
        pool.pop("ca_cert_dir", None)
        return host, pool
