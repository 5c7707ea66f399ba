"""Requests arrive as they were signed: the vendor's signer computes the same signature from them."""

import asyncio
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, quote

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.core.connection.signing import AccessKey, sign
from airflow_provider_hwstatus.core.protocol.effects import Request, encode
from airflow_provider_hwstatus.transports.aiohttp_transport import AsyncTransport
from airflow_provider_hwstatus.transports.requests_transport import SyncTransport

KEY = AccessKey("AKIDEXAMPLE000000001", "SKEXAMPLEsecret0000000000000000000000001")
CLIENT = Client(Settings(login="AK", password="SK", request_timeout=10.0), lambda: 0.0)


class _Recorder(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        raw = [(name, value.encode("iso-8859-1").decode()) for name, value in self.headers.items()]
        self.server.requests.append(
            (self.command, self.path, raw, self.rfile.read(int(self.headers["Content-Length"] or 0)))
        )
        self.send_response(204)
        self.end_headers()

    do_POST = do_GET  # noqa: N815  # a name of http.server

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), _Recorder) as server:
        server.requests, server.daemon_threads = [], True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module", params=["sync", "async"])
def send(request):
    """Send a request over a session that stays open, sync and async."""
    if request.param == "sync":
        with SyncTransport(CLIENT) as transport:
            yield transport.send
        return
    with asyncio.Runner() as loop:
        transport = loop.run(AsyncTransport(CLIENT).open())
        yield lambda message: loop.run(transport.send(message))
        loop.run(transport.close())


def vendors_authorization(server, method, target, headers, body):
    """Return the Authorization header of the vendor's SDK for a received request."""
    received = dict(headers)
    signed = received.pop("Authorization").split("SignedHeaders=")[1].split(",")[0].split(";")
    path, _, query = target.partition("?")
    request = SdkRequest(
        method=method,
        schema="http",
        host=f"127.0.0.1:{server.server_port}",
        resource_path=path,
        query_params=parse_qsl(query, keep_blank_values=True),
        header_params={name: value for name, value in received.items() if name.lower() in signed},
        body=body or "",
    )
    return Signer(BasicCredentials(KEY.access_key, KEY.secret_key)).sign(request).header_params["Authorization"]


# Without surrogates and without the segments "." and "..", which HTTP libraries resolve and ids cannot be.
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
segment = text.map(lambda s: s.replace("/", "")).filter(lambda s: s.strip(".") != "" and s != "")
header = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp", "Zs"]), min_size=1, max_size=12)


@settings(max_examples=60)
@given(
    segments=st.lists(segment, min_size=1, max_size=4),
    query=st.lists(st.tuples(text.filter(bool), text), max_size=4, unique_by=lambda pair: pair[0]),
    value=header,
    token=st.none() | st.text("abcXYZ019+/=-_", min_size=1, max_size=12),
    body=st.binary(max_size=40),
)
def test_agrees_with_the_vendor_sdk(server, send, segments, query, value, token, body):
    """Path, query, headers and body are sent as they were signed."""
    url = f"http://127.0.0.1:{server.server_port}/" + "/".join(encode(part) for part in segments)
    if query:
        url += "?" + "&".join(f"{quote(name, safe='~')}={quote(text_value, safe='~')}" for name, text_value in query)
    headers = {"Content-Type": "application/json", "X-Project-Id": value}
    method = "POST" if body else "GET"
    key = AccessKey(KEY.access_key, KEY.secret_key, token)

    request = sign(Request(method, url, headers, body), key, datetime(2026, 11, 21, 8, 15, 30, tzinfo=UTC))
    server.requests.clear()
    assert 204 == send(request).status
    (received,) = server.requests

    assert dict(received[2])["Authorization"] == vendors_authorization(server, *received)
