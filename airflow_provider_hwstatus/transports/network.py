"""What the sync and the async transport share: TLS settings, proxies, deadlines, and the limits of a response."""

from __future__ import annotations

import os
import ssl
import time
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.protocol.advice import by_class, with_next
from airflow_provider_hwstatus.core.protocol.effects import Request
from airflow_provider_hwstatus.errors import ConfigurationError, DeadlineError, MalformedResponseError, TransportError

#: Maximum length of a response body in bytes. The status of a job takes a hundred bytes.
LONGEST_BODY = 4 * 1024 * 1024

#: Maximum length of a status line or header in bytes, and maximum number of header lines; the same as in
#: ``http.client``.
LONGEST_LINE = 64 * 1024
MOST_LINES = 100

#: Maximum number of interim responses (1xx) before a response.
MOST_INTERIM = 20

#: Methods that have the same effect if a request arrives twice (RFC 9110, 9.2.2). Only their requests use kept
#: connections, and are repeated if the server closes a kept connection at that moment. Other requests use new
#: connections, where that cannot happen.
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})

HEADERS = {
    "User-Agent": f"airflow-provider-hwstatus/{version('airflow-provider-hwstatus')}",
    "Accept": "application/json",
    # Compressed bodies are not decompressed: a few KB can become gigabytes, and older libraries decompress all at once.
    "Accept-Encoding": "identity",
}

#: Time-out in seconds of a request that has no time left. Zero would mean no time-out, or be refused by the library.
_SHORTEST_TIMEOUT = 0.001


class StaleConnectionError(Exception):
    """
    The server closed a kept connection without a response, so it may not have received the request.

    It is not an ``OSError`` or ``ClientError``, because the HTTP libraries handle those themselves.
    """


class Transport:
    """
    The base class of both transports.

    :param client: Has the settings of the connection, and redacts its secrets.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._proxies = Proxies(client)

    def _deadline(self, request: Request, until: float) -> float:
        """
        Return when the response must have arrived, in monotonic seconds.

        :raises DeadlineError: *until* has passed.
        """
        now = time.monotonic()
        if until <= now:
            late = DeadlineError("the deadline passed before a request could be sent")
            late.unsent = True
            raise late
        return min(now + (request.timeout or self._client.settings.request_timeout), until)

    def _failure(self, request: Request, error: str, unsent: bool = False) -> TransportError:
        """
        Return the error of a request without a response.

        Raise it outside of an ``except`` block: the local variables of its context may hold secrets.

        :param error: The description of the library's exception; it may hold secrets.
        :param unsent: Whether it is certain that no part of the request left this machine.
        """
        message = self._client.redact(f"{request}: {error}")
        failure = TransportError(with_next(message, by_class(TransportError, message)))
        if unsent:
            failure.unsent = True
        return failure


def seconds_left(deadline: float) -> float:
    """Return the time-out of a request that ends by *deadline*, which is in monotonic seconds."""
    return max(deadline - time.monotonic(), _SHORTEST_TIMEOUT)


def raise_if_too_long(body: bytearray, status: int) -> None:
    """:raises MalformedResponseError: The part of the response body that has arrived is too long."""
    if len(body) > LONGEST_BODY:
        raise MalformedResponseError(f"the response is longer than {LONGEST_BODY} bytes", http_status=status)


def head_too_long() -> MalformedResponseError:
    """Return the error of a response whose status line or headers are too long."""
    return MalformedResponseError(
        f"the response has a header of more than {LONGEST_LINE} bytes, or {MOST_LINES} headers or more"
    )


def too_many_interim() -> MalformedResponseError:
    """Return the error of a response that follows too many interim responses."""
    return MalformedResponseError(f"more than {MOST_INTERIM} interim responses (HTTP 1xx), and no final one")


@lru_cache(maxsize=8)
def ssl_context(verify: bool | str) -> ssl.SSLContext:
    """
    Return the TLS settings of a connection. The first call takes tens of milliseconds, so do not call it in an event
    loop.

    Sync and async trust the same certificates: those of this machine, including ``SSL_CERT_FILE``, and those of
    ``REQUESTS_CA_BUNDLE`` or else certifi, as ``requests`` does.

    :param verify: True to verify certificates, False not to, or the path of a CA bundle that replaces all others.
    :raises ConfigurationError: The CA bundle cannot be read.
    """
    if verify is False:
        return _without_verification()
    try:
        if isinstance(verify, str):
            if Path(verify).is_dir():
                return ssl.create_default_context(capath=verify)
            return ssl.create_default_context(cafile=verify)
        context = ssl.create_default_context()
        context.load_verify_locations(os.environ.get("REQUESTS_CA_BUNDLE") or _certifi())
    except OSError as error:
        path = verify if isinstance(verify, str) else "REQUESTS_CA_BUNDLE"
        raise ConfigurationError(f"verify: no CA bundle can be read from {path}: {error}") from error
    return context


os.register_at_fork(after_in_child=ssl_context.cache_clear)  # a thread of the parent may have held its locks


def _without_verification() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _certifi() -> str:
    import certifi

    return certifi.where()


class Proxies(dict[str, str | None]):
    """
    The URL of the proxy for each origin: the connection's proxy, or else the one in the environment variables.

    :param client: Has the proxy of the connection, and redacts the user and password of each proxy.
    """

    def __init__(self, client: Client) -> None:
        super().__init__()
        self._client = client

    def of(self, request: Request) -> str | None:
        """
        Return the URL of the proxy for a request; None to connect directly.

        The URL may contain a password, so callers keep it in no local variable.

        :raises ConfigurationError: An environment variable names a proxy that is not an HTTP proxy.
        """
        return None if request.direct else self[request.url[: request.url.find("/", len("https://"))]]

    def __missing__(self, origin: str) -> str | None:
        """Look up the proxy for an origin, once: reading the environment variables takes as long as a request."""
        proxy = self._client.settings.proxy or _environment_proxy(origin)
        self._client.redact.add_url(proxy)
        self[origin] = proxy
        return proxy


def _environment_proxy(url: str) -> str | None:
    parts = urlsplit(url)
    if proxy_bypass(parts.hostname or ""):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy and "://" not in proxy:
        return f"http://{proxy}"
    if proxy and not proxy.startswith(("http://", "https://")):
        kind = proxy.partition(":")[0]
        raise ConfigurationError(f"{parts.scheme}_proxy or all_proxy: only HTTP proxies are supported, not {kind}")
    return proxy
