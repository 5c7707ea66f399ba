"""TLS, with a certificate of our own making."""

import asyncio
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.core.polling.job_poller import JobPoller
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget
from airflow_provider_hwstatus.errors import ConfigurationError, TransportError
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH
from airflow_provider_hwstatus.transports import network
from airflow_provider_hwstatus.transports.shared_connections import AsyncConnection, SyncConnection


async def amask(secret):
    """Mask nothing."""


class _Job(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"state": "running"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server(certificate):
    """Return the URL of a server with that certificate."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Job) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"https://127.0.0.1:{server.server_port}"
        server.shutdown()


def ask_sync(settings):
    connection = SyncConnection(settings, str)
    try:
        return connection.run(JobPoller(connection.client, DLI_BATCH, "b1").fetch_status(RetryBudget(0.0)))
    finally:
        connection.close()


def ask_async(settings):
    async def ask():
        connection = AsyncConnection(settings, amask)
        try:
            return await connection.run(JobPoller(connection.client, DLI_BATCH, "b1").fetch_status(RetryBudget(0.0)))
        finally:
            await connection.close()

    return asyncio.run(ask())


@pytest.fixture(params=[ask_sync, ask_async], ids=["sync", "async"])
def ask(request):
    """Ask in one colour."""
    return request.param


def settings(server, verify=True):
    return Settings(auth="token", password="T", project_id="p1", dli_endpoint=server, verify=verify)


def test_unknown_certificate_is_refused(ask, server):
    """By default a server must prove who it is."""
    with pytest.raises(TransportError, match=r"(?i)certificate"):
        ask(settings(server))


def test_certificate_of_the_bundle_is_trusted(ask, server, certificate):
    """A CA bundle of one's own is enough."""
    assert "running" == ask(settings(server, str(certificate))).state


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")  # urllib3's, and rightly so
def test_check_can_be_turned_off(ask, server):
    """verify=false takes any certificate."""
    assert "running" == ask(settings(server, False)).state


def test_bundle_of_the_machine_is_trusted(ask, server, certificate, monkeypatch):
    """REQUESTS_CA_BUNDLE counts in both colours."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    network.ssl_context.cache_clear()
    try:
        assert "running" == ask(settings(server)).state
    finally:
        network.ssl_context.cache_clear()


def test_missing_bundle_is_named(ask, server):
    """A path that is none is an error of the connection's field."""
    with pytest.raises(ConfigurationError, match=r"verify: no CA bundle can be read from /no/such/file"):
        ask(settings(server, "/no/such/file"))
