"""Requests over ``aiohttp``."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

import aiohttp
import yarl

from airflow_provider_hwstatus.core.advice import by_class, with_next
from airflow_provider_hwstatus.core.client import Client
from airflow_provider_hwstatus.core.errors import MalformedResponseError, TransportError
from airflow_provider_hwstatus.core.messages import Request, Response
from airflow_provider_hwstatus.transports.network import HEADERS, LONGEST_BODY, Proxies, ssl_context

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
        self._timeout = aiohttp.ClientTimeout(total=client.settings.request_timeout)
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> Self:
        """Open the session. The TLS settings are built in a thread: it takes longer than a loop should stand still."""
        context = await asyncio.get_running_loop().run_in_executor(None, ssl_context, self._client.settings.verify)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=0, keepalive_timeout=KEEPALIVE),
            headers=HEADERS,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,  # .netrc is never read; the proxy variables are read below
        )
        return self

    async def send(self, request: Request) -> Response:
        """
        Send one request.

        :raises TransportError: There was no reply, or not all of it, within ``request_timeout``.
        :raises MalformedResponseError: The reply is longer than a status can be.
        """
        if self._session is None:
            raise RuntimeError("open() comes first")
        proxy = self._proxies(request)
        try:
            async with self._session.request(
                request.method,
                yarl.URL(request.url, encoded=True),
                headers=request.headers,
                data=request.body or None,
                proxy=proxy,
                timeout=self._timeout if request.timeout is None else aiohttp.ClientTimeout(total=request.timeout),
                allow_redirects=False,
            ) as reply:
                return Response(reply.status, reply.headers, await _body(reply))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            failure = self._client.redact(f"{request}: {_shown(error)}")
        raise TransportError(
            with_next(failure, by_class(TransportError, failure))
        )  # not where it is caught: its context may hold secrets

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
