"""Requests over ``requests``."""

from __future__ import annotations

import http.client
import io
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

from airflow_provider_hwstatus.core.advice import by_class, with_next
from airflow_provider_hwstatus.core.client import Client
from airflow_provider_hwstatus.core.errors import ConfigurationError, MalformedResponseError, TransportError
from airflow_provider_hwstatus.core.messages import Request, Response
from airflow_provider_hwstatus.transports.network import CHUNK, HEADERS, LONGEST_BODY, Proxies, ssl_context

if int(version("urllib3").split(".")[0]) < 2:  # the first that notices half a body
    raise ConfigurationError(f"urllib3 2 or newer is needed; {version('urllib3')} is installed")


class SyncTransport:
    """
    Sends requests over one session, whose connections are kept.

    :param client: Whose settings say how, and which knows what must not be shown.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._proxies = Proxies(client)
        self._session = _Session()
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.trust_env = False  # .netrc is never read; the proxy variables are read below
        self._session.mount("https://", _Adapter(client.settings.verify))
        self._session.mount("http://", _Adapter(None))

    def send(self, request: Request) -> Response:
        """
        Send one request.

        :raises TransportError: There was no reply, or not all of it, within ``request_timeout``.
        :raises MalformedResponseError: The reply is longer than a status can be.
        """
        settings = self._client.settings
        proxy = self._proxies(request)
        try:
            with self._session.send(
                _prepared(request),
                timeout=urllib3.Timeout(total=request.timeout or settings.request_timeout),  # type: ignore[arg-type]  # requests takes it
                proxies={"http": proxy, "https": proxy} if proxy else None,
                allow_redirects=False,
                stream=True,
            ) as reply:
                return Response(reply.status_code, reply.headers, _body(reply))
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            failure = self._client.redact(f"{request}: {error!r}")
        raise TransportError(
            with_next(failure, by_class(TransportError, failure))
        )  # not where it is caught: its context may hold secrets

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
    """Reads from a socket until a point in time: a time-out for each piece would let a dripping reply go on."""

    def __init__(self, sock: socket.socket, seconds: float) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._deadline = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the reply took too long")
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Reply(http.client.HTTPResponse):
    """A reply that must be read within the time-out that its connection has when it begins."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        timeout = sock.gettimeout()
        if timeout is not None:
            self.fp.close()
            self.fp = io.BufferedReader(_DeadlineReader(sock, timeout))


class _HTTPConnection(HTTPConnection):
    response_class = _Reply


class _HTTPSConnection(HTTPSConnection):
    response_class = _Reply


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
