"""Sending requests with ``aiohttp``."""

from __future__ import annotations

import asyncio
import math
import re
import ssl
from functools import partial
from types import TracebackType
from typing import Any, Self

import aiohttp
import yarl
from aiohttp.client_proto import ResponseHandler

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.protocol.effects import Request, Response
from airflow_provider_hwstatus.transports import network

#: The parser's message for a status line or headers that are too long.
_TOO_LONG = re.compile("400, message:\\s*(Got more than|Too many headers)")

#: Seconds for which an idle connection is kept, longer than usual poll intervals.
KEEPALIVE = 300.0


class AsyncTransport(network.Transport):
    """
    Sends requests over one session, which keeps connections. It belongs to one event loop.

    :param client: Has the settings of the connection, and redacts its secrets.
    """

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> Self:
        """
        Open the session.

        :raises ConfigurationError: The CA bundle cannot be read.
        """
        # In a thread, because it would block the event loop for tens of milliseconds.
        loop, verify = asyncio.get_running_loop(), self._client.settings.verify
        self._tls = await loop.run_in_executor(None, network.ssl_context, verify)
        self._session = _new_session(self._tls)
        return self

    async def send(self, request: Request, until: float = math.inf) -> Response:
        """Send one request, as :meth:`SyncTransport.send` does."""
        if self._session is None:
            raise RuntimeError("open() comes first")
        deadline = self._deadline(request, until)
        try:
            if request.method in network.IDEMPOTENT:
                try:
                    return await self._exchange(self._session, request, deadline)
                except network.StaleConnectionError:
                    pass
            async with _new_session(self._tls) as fresh:
                return await self._exchange(fresh, request, deadline)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            unsent = isinstance(error, aiohttp.ClientConnectorError | aiohttp.ClientHttpProxyError)
            failure = self._failure(request, _description(error), unsent)
        raise failure

    async def _exchange(self, session: aiohttp.ClientSession, request: Request, deadline: float) -> Response:
        async with session.request(
            request.method,
            yarl.URL(request.url, encoded=True),
            headers=request.headers,
            data=request.body or None,
            proxy=self._proxies.of(request),
            timeout=aiohttp.ClientTimeout(total=network.seconds_left(deadline)),
            allow_redirects=False,
        ) as response:
            return Response(response.status, response.headers, await _body(response))

    async def close(self) -> None:
        """Close the session's connections."""
        if self._session is not None:
            await self._session.close()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()


def _new_session(tls: ssl.SSLContext) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(ssl=tls, limit=0, keepalive_timeout=KEEPALIVE)
    connector._factory = partial(_Protocol, asyncio.get_running_loop())  # type: ignore[assignment]  # noqa: SLF001  # aiohttp has no public way
    return aiohttp.ClientSession(
        connector=connector,
        headers=network.HEADERS,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,  # do not read .netrc; Proxies reads the proxy variables
        max_line_size=network.LONGEST_LINE,
        max_field_size=network.LONGEST_LINE,
    )


class _Protocol(ResponseHandler):
    """One connection. Recognises that it is stale, that the headers are too long, and interim responses."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._requests = 0

    def set_response_params(self, **params: Any) -> None:
        """Prepare for the next response."""
        self._requests += 1
        self._received = False
        self._interim = 0
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        self._received = True
        super().data_received(data)

    async def read(self) -> Any:
        """Return the next status line and headers, which may be those of an interim response."""
        try:
            head, body = await super().read()
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            if self._requests > 1 and not self._received:
                raise network.StaleConnectionError from None
            # aiohttp would handle the original exception by sending the request again, also on a new connection.
            raise aiohttp.ClientConnectionError(_description(error)) from None
        if len(head.raw_headers) >= network.MOST_LINES:
            raise network.head_too_long()
        self._interim += 100 <= head.code < 200
        if self._interim > network.MOST_INTERIM:
            raise network.too_many_interim()
        return head, body

    def set_exception(self, exc: Any, *cause: BaseException) -> None:
        """Let :meth:`read` raise *exc*, whose cause is *cause*."""
        too_long = cause and _TOO_LONG.match(str(cause[0]))
        super().set_exception(network.head_too_long() if too_long else exc, *cause)


def _description(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientResponseError):  # its repr contains the headers of the request
        return f"{type(error).__name__}({error.status}, {error.message!r})"
    return repr(error)


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    while chunk := await response.content.readany():
        body += chunk
        network.raise_if_too_long(body, response.status)
    return bytes(body)
