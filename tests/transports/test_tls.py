"""TLS with a self-signed certificate."""

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.errors import ConfigurationError, TransportError
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH
from airflow_provider_hwstatus.transports import network

JOB = (DLI_BATCH, "b1")


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
    """Return the URL of a server with the test certificate."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Job) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"https://127.0.0.1:{server.server_port}"
        server.shutdown()


def settings(server, verify=True):
    return Settings(auth="token", password="T", project_id="p1", dli_endpoint=server, verify=verify)


def test_unknown_certificate_is_refused(poll, server):
    """By default, the server's certificate must be trusted."""
    with pytest.raises(TransportError, match=r"(?i)certificate"):
        poll(settings(server), JOB)


def test_certificate_of_the_bundle_is_trusted(poll, server, certificate):
    """A certificate in the CA bundle of "verify" is trusted."""
    assert "running" == poll(settings(server, str(certificate)), JOB)[0].state


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")  # a warning of urllib3
def test_verification_can_be_disabled(poll, server):
    """verify=false accepts any certificate."""
    assert "running" == poll(settings(server, False), JOB)[0].state


def test_bundle_in_the_environment_is_trusted(poll, server, certificate, monkeypatch):
    """Sync and async use REQUESTS_CA_BUNDLE."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    network.ssl_context.cache_clear()
    try:
        assert "running" == poll(settings(server), JOB)[0].state
    finally:
        network.ssl_context.cache_clear()


def test_missing_bundle_is_an_error(poll, server):
    """The error about a missing bundle contains the field and the path."""
    with pytest.raises(ConfigurationError, match=r"verify: no CA bundle can be read from /no/such/file"):
        poll(settings(server, "/no/such/file"), JOB)
