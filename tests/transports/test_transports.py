"""The sync and the async transport, over HTTP to the fake cloud."""

import base64
import contextlib
import functools
import gzip
import http.server
import json
import socket
import threading
import time
import tracemalloc
import zlib

import pytest

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.connection.settings import settings_from
from airflow_provider_hwstatus.core.protocol.effects import Request
from airflow_provider_hwstatus.errors import (
    AuthenticationError,
    ConfigurationError,
    HwStatusError,
    MalformedResponseError,
    ServerError,
    TransportError,
)
from airflow_provider_hwstatus.kinds.cph import CPH_JOB
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH, DLI_SESSION_READY
from airflow_provider_hwstatus.testing import Fault, Reply
from airflow_provider_hwstatus.transports.network import Proxies


def settings_of(connection, **extra):
    return settings_from(connection.get("login"), connection["password"], connection["extra"] | extra)


def test_sync_and_async_agree(cloud, poll_sync, poll_async):
    """Sync and async send the same requests and return the same statuses."""
    for index, reply in enumerate(["running", "Success", "dead", "paused", Reply(body={"state": None})]):
        cloud.job(DLI_BATCH, f"b{index}", reply)
    cloud.job(CPH_JOB, "j1", -1, error_code="CPS.0005", error_msg="why", execute_msg="a\nb")
    cloud.job(DLI_SESSION_READY, "s1", "idle")
    jobs = [*((DLI_BATCH, f"b{index}") for index in range(5)), (CPH_JOB, "j1"), (DLI_SESSION_READY, "s1")]

    def found(poll):
        statuses = [status.to_dict() | {"request_id": None} for status in poll(settings_of(cloud.connection()), *jobs)]
        sent = [(record.method, record.path, sorted(record.headers)) for record in cloud.requests]
        cloud.requests.clear()
        return statuses, [(m, p, [h for h in headers if h != "connection"]) for m, p, headers in sent]

    assert found(poll_sync) == found(poll_async)


@pytest.mark.parametrize("auth", ["aksk", "password", "token", "temporary"])
def test_every_login_is_accepted(poll, cloud, auth):
    """The fake gateway accepts each login method."""
    cloud.job(DLI_BATCH, "b1", "success")
    connection = cloud.connection(key=cloud.temporary_key()) if auth == "temporary" else cloud.connection(auth)

    (status,) = poll(settings_of(connection), (DLI_BATCH, "b1"))
    assert "success" == status.outcome


@pytest.mark.parametrize("length", [9_000, 60_000])
@pytest.mark.parametrize("auth", ["password", "token"])
def test_long_token_is_accepted(poll, cloud, auth, length):
    """The token of a user with many roles has many KB, in IAM's response header and in the request header."""
    cloud.token_length = length
    cloud.job(DLI_BATCH, "b1", "success")

    (status,) = poll(settings_of(cloud.connection(auth)), (DLI_BATCH, "b1"))
    assert "success" == status.outcome
    assert length == len(cloud.requests[-1].headers["x-auth-token"])


@pytest.mark.parametrize("auth", ["aksk", "password"])
def test_project_is_found(poll, cloud, auth):
    """Without project_id, the project of the region is looked up once."""
    cloud.job(DLI_BATCH, "b1", "success")
    settings = settings_of(cloud.connection(auth, project_id=None))

    poll(settings, (DLI_BATCH, "b1"), (DLI_BATCH, "b1"))
    lookups = [record for record in cloud.requests if record.path == "/v3/projects"]
    assert (1 if auth == "aksk" else 0) == len(lookups)
    assert cloud.project_id in cloud.requests[-1].path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"password": "wrong"}, "APIGW.0301"),
        ({"login": "AKAKAKAKAKAKAKAKAKAK"}, "ak not exist"),
    ],
)
def test_wrong_key_is_refused_without_showing_it(poll, cloud, change, message):
    """The gateway's error contains the key and the request. Our error contains neither."""
    cloud.job(DLI_BATCH, "b1", "success")

    with pytest.raises(AuthenticationError, match=message) as caught:
        poll(settings_of(cloud.connection() | change), (DLI_BATCH, "b1"))
    for secret in (cloud.secret_key, *change.values()):
        assert secret not in str(caught.value)


@pytest.mark.parametrize(
    "fault", [Fault.RESET, Fault.HALF, Fault.HANG, Fault.DRIP, Reply(body="x", delay=30.0)], ids=str
)
def test_incomplete_reply_is_a_transport_error(poll, cloud, fault):
    """Incomplete and late replies are an error within request_timeout, which limits the whole request."""
    cloud.job(DLI_BATCH, "b1", fault)
    settings = settings_of(cloud.connection(), request_timeout=0.7)

    started_at = time.monotonic()
    with pytest.raises(TransportError):
        poll(settings, (DLI_BATCH, "b1"))
    assert time.monotonic() - started_at < 20.0


def test_refused_connection_is_a_transport_error(poll, cloud):
    """A refused connection is retried like any outage."""
    cloud.job(DLI_BATCH, "b1", "success")
    settings = settings_of(cloud.connection())
    cloud.stop()

    with pytest.raises(TransportError):
        poll(settings, (DLI_BATCH, "b1"))
    threading.Timer(0.5, cloud.start).start()
    (status,) = poll(settings, (DLI_BATCH, "b1"), tolerance=20.0)
    assert "success" == status.outcome


def test_plain_429_is_retried(poll, cloud):
    """A 429 of the fake is retried after one second."""
    cloud.job(DLI_BATCH, "b1", 429, "success")

    (status,) = poll(settings_of(cloud.connection()), (DLI_BATCH, "b1"), tolerance=20.0)
    assert "success" == status.outcome


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_is_followed(poll, cloud, status):
    """A redirect is an error, so a signed request goes to no other host."""
    cloud.job(DLI_BATCH, "b1", Reply(status=status, headers={"Location": f"{cloud.url}/elsewhere"}))

    with pytest.raises(HwStatusError, match=str(status)):
        poll(settings_of(cloud.connection()), (DLI_BATCH, "b1"))
    assert 1 == len(cloud.requests)


@pytest.mark.parametrize("location", ["http://[", "\xff\xfe", "x" * 60_000])
def test_invalid_redirect_is_an_error(poll, cloud, location):
    """A redirect with any target and any body is an error."""
    headers = {"Location": location} if len(location) < 9000 else {}
    cloud.job(DLI_BATCH, "b1", Reply(status=302, headers=headers, body=b"x" * 5_000_000))

    with pytest.raises(HwStatusError):
        poll(settings_of(cloud.connection()), (DLI_BATCH, "b1"))


def test_no_cookie_is_kept(poll, cloud):
    """Cookies are not sent back, because they are not signed."""
    cloud.job(DLI_BATCH, "b1", Reply(body={"state": "running"}, headers={"Set-Cookie": "a=b"}))

    poll(settings_of(cloud.connection()), (DLI_BATCH, "b1"), (DLI_BATCH, "b1"))
    assert "cookie" not in cloud.requests[-1].headers


@pytest.mark.parametrize("size", [4 * 1024 * 1024 - 100, 4 * 1024 * 1024 + 1])
def test_reply_size_is_limited(poll, cloud, size):
    """A reply of 4 MB is read. A longer one is an error."""
    cloud.job(DLI_BATCH, "b1", Reply(body=json.dumps({"state": "success"}).ljust(size)))

    if size > 4 * 1024 * 1024:
        with pytest.raises(MalformedResponseError, match="longer than"):
            poll(settings_of(cloud.connection()), (DLI_BATCH, "b1"))
    else:
        assert "success" == poll(settings_of(cloud.connection()), (DLI_BATCH, "b1"))[0].outcome


@functools.cache
def gzipped_zeros():
    """Return 256 MB of zeros in gzip's format."""
    packer, megabyte = zlib.compressobj(wbits=31), bytes(1024 * 1024)
    return b"".join([*(packer.compress(megabyte) for _ in range(256)), packer.flush()])


def compressed_zeros(encoding):
    """Return 256 MB of zeros, compressed. An encoding without a decoder gets gzip data."""
    if encoding == "deflate":  # the same data in zlib's format, which ends with another checksum
        body = gzipped_zeros()[10:-8]
        return b"\x78\x9c" + body + zlib.adler32(bytes(256 * 1024 * 1024)).to_bytes(4)
    return gzip.compress(gzipped_zeros()) if "," in encoding else gzipped_zeros()


@pytest.mark.parametrize("status", [200, 503])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "gzip, gzip", "br", "zstd"])
def test_compressed_reply_is_not_decompressed(poll, cloud, encoding, status):
    """A compressed reply is an error and takes little memory and time."""
    cloud.job(DLI_BATCH, "b1", Reply(status, compressed_zeros(encoding), {"Content-Encoding": encoding}))
    settings = settings_of(cloud.connection())

    tracemalloc.start()
    started_at = time.thread_time()
    try:
        with pytest.raises(HwStatusError, match=f"HTTP {status}.* compressed with {encoding}, which") as caught:
            poll(settings, (DLI_BATCH, "b1"))
        took, (_, peak) = time.thread_time() - started_at, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (MalformedResponseError if status == 200 else ServerError) is caught.type
    assert peak < 16 * 1024 * 1024
    assert took < 3.0


def test_requests_accept_no_compression(poll, cloud):
    """Every request has "Accept-Encoding: identity"."""
    cloud.job(DLI_BATCH, "b1", "success")

    poll(settings_of(cloud.connection("password")), (DLI_BATCH, "b1"))
    assert ["identity", "identity"] == [record.headers["accept-encoding"] for record in cloud.requests]


def test_connection_is_reused(poll, cloud):
    """Many polls use one TCP connection."""
    cloud.job(DLI_BATCH, "b1", "running")

    poll(settings_of(cloud.connection()), *[(DLI_BATCH, "b1")] * 20)
    assert 1 == cloud.connections


def test_netrc_is_not_read(poll, cloud, monkeypatch, tmp_path):
    """A .netrc file does not add an Authorization header."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login thief password thief\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    cloud.job(DLI_BATCH, "b1", "success")

    poll(settings_of(cloud.connection("token")), (DLI_BATCH, "b1"))
    assert "authorization" not in cloud.requests[0].headers


class _Proxy(http.server.BaseHTTPRequestHandler):
    """Records requests and answers them itself."""

    def do_GET(self):
        self.server.requests.append((self.path, self.headers.get("Proxy-Authorization")))
        body = b'{"state": "running"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def proxy():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Proxy) as server:
        server.requests = []
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


def test_proxy_of_the_connection_is_used(poll, cloud):
    """Requests go to the connection's proxy, with the proxy's login."""
    with proxy() as server:
        url = f"http://user:pass@127.0.0.1:{server.server_port}"
        settings = settings_of(cloud.connection(), dli_endpoint="http://dli.example.com", proxy=url)
        assert "running" == poll(settings, (DLI_BATCH, "b1"))[0].state
        path, login = server.requests[0]
        assert path.startswith("http://dli.example.com/v2.0/")
        assert "Basic dXNlcjpwYXNz" == login


def test_proxy_variables_are_used(poll, cloud, monkeypatch):
    """Sync and async use the proxy variables and no_proxy."""
    with proxy() as server:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        settings = settings_of(cloud.connection(), dli_endpoint="http://dli.example.com")
        poll(settings, (DLI_BATCH, "b1"))
        assert 1 == len(server.requests)

        cloud.job(DLI_BATCH, "b1", "success")
        poll(settings_of(cloud.connection()), (DLI_BATCH, "b1"))
        assert 1 == len(server.requests)


def test_proxy_without_a_scheme_is_http(poll, cloud, monkeypatch):
    """A proxy variable without a scheme means HTTP, as in curl. Another type of proxy is an error."""
    with proxy() as server:
        monkeypatch.setenv("http_proxy", f"127.0.0.1:{server.server_port}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        settings = settings_of(cloud.connection(), dli_endpoint="http://dli.example.com")
        poll(settings, (DLI_BATCH, "b1"))
        assert 1 == len(server.requests)

    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:9")
    with pytest.raises(ConfigurationError, match="only HTTP proxies are supported, not socks5"):
        poll(settings, (DLI_BATCH, "b1"))


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_proxy_counts_for_each_scheme(monkeypatch, scheme):
    """A host in no_proxy is connected directly, others go through the proxy."""
    monkeypatch.setenv(f"{scheme}_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "dli.example.com")
    client = Client(settings_from("AK", "SK", {"project_id": "p1"}), time.time)
    hosts = ("dli.example.com", "cph.example.com:8443")

    found = [Proxies(client).of(Request("GET", f"{scheme}://{host}/v1/p1/jobs?a=/")) for host in hosts]
    assert [None, "http://proxy:3128"] == found


def chain_text(error):
    """Return the text of an exception and of its causes and contexts, as in a traceback."""
    shown = ""
    while error is not None:
        shown += repr(error) + str(vars(error))
        error = error.__cause__ or error.__context__
    return shown


@pytest.mark.parametrize("source", ["connection", "environment"])
def test_proxy_error_shows_no_secret(poll, cloud, monkeypatch, source):
    """If a proxy refuses a tunnel, the error and its causes contain no credentials."""
    with proxy() as server:
        url = f"http://puser:pr0xySecret@127.0.0.1:{server.server_port}"
        monkeypatch.setenv("no_proxy", "")
        if source == "environment":
            monkeypatch.setenv("https_proxy", url)
        extra = {"proxy": url} if source == "connection" else {}
        settings = settings_of(cloud.connection(), dli_endpoint="https://dli.example.com", **extra)
        with pytest.raises(HwStatusError) as caught:
            poll(settings, (DLI_BATCH, "b1"))
    shown = chain_text(caught.value)
    secrets = ("pr0xySecret", base64.b64encode(b"puser:pr0xySecret").decode(), cloud.access_key, cloud.secret_key)
    assert [] == [secret for secret in secrets if secret in shown]


def test_proxy_password_is_not_shown(poll, cloud):
    """An error with the proxy's URL does not contain its password."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://user:pr0xySecret@127.0.0.1:{closed.getsockname()[1]}"
        settings = settings_of(cloud.connection(), dli_endpoint="http://dli.example.com", proxy=url)
        with pytest.raises(TransportError) as caught:
            poll(settings, (DLI_BATCH, "b1"))
    assert "pr0xySecret" not in str(caught.value)
