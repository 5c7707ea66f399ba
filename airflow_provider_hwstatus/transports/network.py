"""What both colours take from this machine: its certificates and proxy variables; and the bounds of a reply."""

from __future__ import annotations

import os
import ssl
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from airflow_provider_hwstatus.core.client import Client
from airflow_provider_hwstatus.core.errors import ConfigurationError
from airflow_provider_hwstatus.core.messages import Request

#: Bytes of a reply that are read at most. A status takes a hundred.
LONGEST_BODY = 4 * 1024 * 1024

#: Bytes that are read at a time.
CHUNK = 64 * 1024

HEADERS = {
    "User-Agent": f"airflow-provider-hwstatus/{version('airflow-provider-hwstatus')}",
    "Accept": "application/json",
    # What is compressed all the same stays so: a few KB can become gigabytes, and older libraries unpack all at once.
    "Accept-Encoding": "identity",
}


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


def _certifi() -> str:
    import certifi

    return certifi.where()


class Proxies:
    """
    The proxies that a client's requests go through.

    :param client: Whose settings may name one, and which must not show its password.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._found: dict[str, str | None] = {}  # the machine's variables take as long to read as a reply

    def __call__(self, request: Request) -> str | None:
        """
        Return the URL of the proxy for a request: the connection's, else the one of this machine's variables.

        :raises ConfigurationError: That one is no HTTP proxy.
        """
        if request.direct or self._client.settings.proxy:
            return None if request.direct else self._client.settings.proxy
        origin = request.url[: request.url.find("/", len("https://"))]
        if origin not in self._found:
            self._found[origin] = _machines_proxy(origin)
            self._client.redact.add_url(self._found[origin])
        return self._found[origin]


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
