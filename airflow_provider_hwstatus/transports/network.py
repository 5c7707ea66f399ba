"""What both colours take from this machine: its certificates and proxy variables; and the bounds of a reply."""

from __future__ import annotations

import os
import ssl
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.errors import ConfigurationError, MalformedResponseError

#: Bytes of a reply that are read at most. A status takes a hundred.
LONGEST_BODY = 4 * 1024 * 1024

#: Bytes that are read at a time.
CHUNK = 64 * 1024

#: Bytes of a status line or a header of a reply, and lines of its head, both at most. They are ``http.client``'s own.
LONGEST_LINE = 64 * 1024
MOST_LINES = 100

#: Interim replies (1xx) that are skipped before a reply, at most.
MOST_INTERIM = 20

#: Methods whose requests are repeated if a server closes a kept connection as they arrive: sent twice, they do what
#: they do once (RFC 9110, 9.2.2). The others are sent on connections of their own, where that cannot happen.
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})

HEADERS = {
    "User-Agent": f"airflow-provider-hwstatus/{version('airflow-provider-hwstatus')}",
    "Accept": "application/json",
    # What is compressed all the same stays so: a few KB can become gigabytes, and older libraries unpack all at once.
    "Accept-Encoding": "identity",
}


class StaleConnectionError(Exception):
    """
    The server closed a connection that had been kept, and sent nothing: it may not have got the request.

    It is no ``OSError`` and no ``ClientError``, as the libraries have ideas of their own about those.
    """


def head_too_long() -> MalformedResponseError:
    """Return the error of a reply whose head is longer than it may be."""
    return MalformedResponseError(
        f"the reply has a header of more than {LONGEST_LINE} bytes, or more than {MOST_LINES} headers"
    )


def too_many_interim() -> MalformedResponseError:
    """Return the error of a reply that is announced again and again, and does not come."""
    return MalformedResponseError(f"more than {MOST_INTERIM} interim replies (HTTP 1xx), and no other")


@lru_cache(maxsize=8)
def ssl_context(verify: bool | str) -> ssl.SSLContext:
    """
    Return the TLS settings for a connection. Takes tens of milliseconds the first time: not in an event loop.

    The machine's certificates are trusted, those of ``SSL_CERT_FILE`` among them, and those that ``requests`` would
    take: of ``REQUESTS_CA_BUNDLE``, else certifi's. So both colours trust the same.

    :param verify: False for no check, or the path of a CA bundle that replaces all others.
    :raises ConfigurationError: There is no such bundle.
    """
    if verify is False:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
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


os.register_at_fork(after_in_child=ssl_context.cache_clear)  # another thread of the parent may have held their locks


def _certifi() -> str:
    import certifi

    return certifi.where()


class Proxies(dict[str, str | None]):
    """
    The URL of the proxy for each origin: the connection's, or else the one of this machine's variables.

    :param client: Its settings may name a proxy; its redactor hides the proxy's password.
    """

    def __init__(self, client: Client) -> None:
        super().__init__()
        self._client = client

    def __missing__(self, origin: str) -> str | None:
        """
        Look up the proxy for an origin: reading the machine's variables takes as long as a request.

        :raises ConfigurationError: A variable names a proxy that is no HTTP proxy.
        """
        proxy = self._client.settings.proxy or _machines_proxy(origin)
        self._client.redact.add_url(proxy)
        self[origin] = proxy
        return proxy


def _machines_proxy(url: str) -> str | None:
    parts = urlsplit(url)
    if proxy_bypass(parts.hostname or ""):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy and "://" not in proxy:
        return f"http://{proxy}"
    if proxy and not proxy.startswith(("http://", "https://")):
        kind = proxy.partition(":")[0]
        raise ConfigurationError(f"{parts.scheme}_proxy or all_proxy: only HTTP proxies can be used, not {kind}")
    return proxy
