"""Requests over ``aiohttp``."""

from __future__ import annotations

import asyncio
import math
import re
import ssl
import time
from functools import partial
from types import TracebackType
from typing import Any, Self

import aiohttp
import yarl
from aiohttp.client_proto import ResponseHandler

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.protocol.advice import by_class, with_next
from airflow_provider_hwstatus.core.protocol.effects import Request, Response
from airflow_provider_hwstatus.errors import DeadlineError, MalformedResponseError, TransportError
from airflow_provider_hwstatus.transports.network import (
    HEADERS,
    IDEMPOTENT,
    LONGEST_BODY,
    LONGEST_LINE,
    MOST_INTERIM,
    MOST_LINES,
    Proxies,
    StaleConnectionError,
    head_too_long,
    ssl_context,
    too_many_interim,
)

#: What the parser says of a head that is longer than it may be.
_TOO_LONG = re.compile("400, message:\\s*(Got more than|Too many headers)")

#: Seconds for a request that has no time left: aiohttp takes 0 for no limit.
_SHORTEST = 0.001

#: Where the host begins in a URL, or before.
_HOST = len("http://")

#: Seconds for which an idle connection is kept: longer than any usual interval between polls.
KEEPALIVE = 300.0


class AioTransport:
    """
    Sends requests over one session, whose connections are kept. It belongs to one event loop.

    :param client: Whose settings say how, and which knows what must not be shown.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._proxies = Proxies(client)
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> Self:
        """Open the session. The TLS settings are built in a thread: it takes longer than a loop should stand still."""
        self._tls = await asyncio.get_running_loop().run_in_executor(None, ssl_context, self._client.settings.verify)
        self._session = _new_session(self._tls)
        return self

    async def send(self, request: Request, until: float = math.inf) -> Response:
        """
        Send one request, and once more if the server closes a reused connection as the request arrives.

        :param until: When the response has arrived at the latest, in monotonic seconds.
        :raises DeadlineError: *until* has passed.
        :raises TransportError: There was no complete response within ``request_timeout``.
        :raises MalformedResponseError: The response is longer than a status can be.
        """
        if self._session is None:
            raise RuntimeError("open() comes first")
        now = time.monotonic()
        if until <= now:
            raise DeadlineError("the deadline passed before a request could be sent")
        deadline = min(now + (request.timeout or self._client.settings.request_timeout), until)
        try:
            if request.method in IDEMPOTENT:
                try:
                    return await self._exchange(self._session, request, deadline)
                except StaleConnectionError:
                    pass
            async with _new_session(self._tls) as fresh:
                return await self._exchange(fresh, request, deadline)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            failure = self._client.redact(f"{request}: {_shown(error)}")
        raise TransportError(
            with_next(failure, by_class(TransportError, failure))
        )  # not where it is caught: its context may hold secrets

    async def _exchange(self, session: aiohttp.ClientSession, request: Request, deadline: float) -> Response:
        left = max(deadline - time.monotonic(), _SHORTEST)
        async with session.request(
            request.method,
            yarl.URL(request.url, encoded=True),
            headers=request.headers,
            data=request.body or None,
            # In no local variable: its URL may have a password.
            proxy=None if request.direct else self._proxies[request.url[: request.url.find("/", _HOST)]],
            timeout=aiohttp.ClientTimeout(total=left),
            allow_redirects=False,
        ) as reply:
            return Response(reply.status, reply.headers, await _body(reply))

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
    connector._factory = partial(_Protocol, asyncio.get_running_loop())  # type: ignore[assignment]  # noqa: SLF001  # the only way
    return aiohttp.ClientSession(
        connector=connector,
        headers=HEADERS,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,  # .netrc is never read; the proxy variables are read by Proxies
        max_line_size=LONGEST_LINE,
        max_field_size=LONGEST_LINE,
    )


class _Protocol(ResponseHandler):
    """A connection that knows whether it had another reply before, and whether the present one has begun."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._requests = 0

    def set_response_params(self, **params: Any) -> None:
        """Get ready for a reply."""
        self._requests += 1
        self._received = False
        self._interim = 0
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        self._received = True
        super().data_received(data)

    async def read(self) -> Any:
        """Return the next head, which is an interim one if its status says so."""
        try:
            head, body = await super().read()
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            if self._requests > 1 and not self._received:
                raise StaleConnectionError from None
            # Not as it is: aiohttp would send the request again, on a new connection, too.
            raise aiohttp.ClientConnectionError(_shown(error)) from None
        if len(head.raw_headers) >= MOST_LINES:
            raise head_too_long()
        self._interim += 100 <= head.code < 200
        if self._interim > MOST_INTERIM:
            raise too_many_interim()
        return head, body

    def set_exception(self, exc: Any, *cause: BaseException) -> None:
        """Let the reader of the next head raise *exc*, which comes of *cause*."""
        too_long = cause and _TOO_LONG.match(str(cause[0]))
        super().set_exception(head_too_long() if too_long else exc, *cause)


def _shown(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientResponseError):  # its repr has the headers of the request
        return f"{type(error).__name__}({error.status}, {error.message!r})"
    return repr(error)


async def _body(reply: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    while chunk := await reply.content.readany():
        body += chunk
        if len(body) > LONGEST_BODY:
            raise MalformedResponseError(f"the reply is longer than {LONGEST_BODY} bytes", http_status=reply.status)
    return bytes(body)
