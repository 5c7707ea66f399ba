"""Poll with both transports; an event loop with simulated time; a certificate for test servers."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.core.polling.job_poller import JobPoller
from airflow_provider_hwstatus.core.polling.job_status import JobStatus
from airflow_provider_hwstatus.core.protocol.effects import Request, Response
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget
from airflow_provider_hwstatus.kinds.job_kind import JobKind
from airflow_provider_hwstatus.testing import FakeHuaweiCloud
from airflow_provider_hwstatus.testing.script import new_request_id
from airflow_provider_hwstatus.testing.wire import Incoming, Reply
from airflow_provider_hwstatus.transports.shared_connections import AsyncConnection, SyncConnection

#: Polls jobs, each a kind and an id, over one connection.
Poll = Callable[..., list[JobStatus]]


@pytest.fixture
def cloud() -> Iterator[FakeHuaweiCloud]:
    """Return a running fake cloud."""
    with FakeHuaweiCloud() as cloud:
        yield cloud


def _send_in_process(cloud: FakeHuaweiCloud, request: Request) -> Response:
    url = urlsplit(request.url)
    headers = {name.lower(): value for name, value in request.headers.items()}
    incoming = Incoming(cloud.clock(), request.method, url.path, url.query, headers, request.body, new_request_id())
    reply = cloud._dispatcher.answer(incoming)
    assert isinstance(reply, Reply)
    headers = {"x-request-id": incoming.request_id} | {name.lower(): text for name, text in reply.headers.items()}
    return Response(reply.status, headers, reply.content)


@pytest.fixture(scope="session")
def send_in_process() -> Callable[[FakeHuaweiCloud, Request], Response]:
    """Return a function that sends a request to a fake cloud without HTTP, for tests of what core makes of replies."""
    return _send_in_process


def _poll_sync(settings: Settings, *jobs: tuple[JobKind, str], tolerance: float = 0.0) -> list[JobStatus]:
    connection = SyncConnection(settings, str)
    try:
        return [connection.run(JobPoller(connection.client, *job).fetch_status(RetryBudget(tolerance))) for job in jobs]
    finally:
        connection.close()


def _poll_async(settings: Settings, *jobs: tuple[JobKind, str], tolerance: float = 0.0) -> list[JobStatus]:
    async def poll() -> list[JobStatus]:
        connection = AsyncConnection(settings, AsyncMock())
        try:
            return [
                await connection.run(JobPoller(connection.client, *job).fetch_status(RetryBudget(tolerance)))
                for job in jobs
            ]
        finally:
            await connection.close()

    return asyncio.run(poll())


@pytest.fixture
def poll_sync() -> Poll:
    """Return a function that polls with the sync transport."""
    return _poll_sync


@pytest.fixture
def poll_async() -> Poll:
    """Return a function that polls with the async transport."""
    return _poll_async


@pytest.fixture(params=[_poll_sync, _poll_async], ids=["sync", "async"])
def poll(request: pytest.FixtureRequest) -> Any:
    """Return a function that polls with each transport."""
    return request.param


class Loop(asyncio.SelectorEventLoop):
    """An event loop that advances its time instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.set_debug(False)  # debug mode is slow with a thousand waits
        self.now = 1_000_000.0
        selector: Any = self._selector  # type: ignore[attr-defined]  # an attribute of CPython
        select = selector.select

        def advance(timeout: float | None = None) -> Any:
            self.now += max(timeout or 0.0, 0.0)
            return select(0)

        selector.select = advance

    def time(self) -> float:
        return self.now


@pytest.fixture(scope="session")
def quick_loop_class() -> type[Loop]:
    """Return the class of event loops in which an hour passes in seconds."""
    return Loop


@pytest.fixture
def quick_loop() -> Iterator[Loop]:
    """Return an event loop that advances its time instead of waiting."""
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of a file with a certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hwstatus test")])
    now = datetime.datetime.now(datetime.UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    pkcs8 = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(
        cert.public_bytes(serialization.Encoding.PEM) + key.private_bytes(serialization.Encoding.PEM, *pkcs8)
    )
    return path
