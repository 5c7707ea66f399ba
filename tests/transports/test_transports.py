"""Both colours, over real HTTP to the fake."""

import asyncio
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
from airflow_provider_hwstatus.core.polling.job_poller import JobPoller
from airflow_provider_hwstatus.core.protocol.effects import Request
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget
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
from airflow_provider_hwstatus.testing import FakeHuaweiCloud, Fault, Reply
from airflow_provider_hwstatus.transports.network import Proxies
from airflow_provider_hwstatus.transports.shared_connections import AsyncConnection, SyncConnection


async def amask(secret):
    """Mask nothing."""


@pytest.fixture
def cloud():
    with FakeHuaweiCloud() as cloud:
        yield cloud


def settings_of(connection, **extra):
    return settings_from(connection.get("login"), connection["password"], connection["extra"] | extra)


def ask_sync(settings, *jobs, tolerance=0.0):
    connection = SyncConnection(settings, str)
    try:
        return [connection.run(JobPoller(connection.client, *job).fetch_status(RetryBudget(tolerance))) for job in jobs]
    finally:
        connection.close()


def ask_async(settings, *jobs, tolerance=0.0):
    async def ask():
        connection = AsyncConnection(settings, amask)
        try:
            return [
                await connection.run(JobPoller(connection.client, *job).fetch_status(RetryBudget(tolerance)))
                for job in jobs
            ]
        finally:
            await connection.close()

    return asyncio.run(ask())


@pytest.fixture(params=[ask_sync, ask_async], ids=["sync", "async"])
def ask(request):
    """Ask in one colour."""
    return request.param


def test_colours_agree(cloud):
    """Sync and async send the same and find the same."""
    for index, reply in enumerate(["running", "Success", "dead", "paused", Reply(body={"state": None})]):
        cloud.job(DLI_BATCH, f"b{index}", reply)
    cloud.job(CPH_JOB, "j1", -1, error_code="CPS.0005", error_msg="why", execute_msg="a\nb")
    cloud.job(DLI_SESSION_READY, "s1", "idle")
    jobs = [*((DLI_BATCH, f"b{index}") for index in range(5)), (CPH_JOB, "j1"), (DLI_SESSION_READY, "s1")]

    def found(ask):
        statuses = [status.to_dict() | {"request_id": None} for status in ask(settings_of(cloud.connection()), *jobs)]
        sent = [(record.method, record.path, sorted(record.headers)) for record in cloud.requests]
        cloud.requests.clear()
        return statuses, [(m, p, [h for h in headers if h != "connection"]) for m, p, headers in sent]

    assert found(ask_sync) == found(ask_async)


@pytest.mark.parametrize("auth", ["aksk", "password", "token", "temporary"])
def test_every_login_is_accepted(ask, cloud, auth):
    """The gateway, which checks all it is sent, takes each way to log in."""
    cloud.job(DLI_BATCH, "b1", "success")
    connection = cloud.connection(key=cloud.temporary_key()) if auth == "temporary" else cloud.connection(auth)

    (status,) = ask(settings_of(connection), (DLI_BATCH, "b1"))
    assert "success" == status.outcome


@pytest.mark.parametrize("length", [9_000, 60_000])
@pytest.mark.parametrize("auth", ["password", "token"])
def test_long_token_is_as_good_as_any(ask, cloud, auth, length):
    """The token of a user with many roles comes from IAM in a header of many KB, and goes to DLI in one."""
    cloud.token_length = length
    cloud.job(DLI_BATCH, "b1", "success")

    (status,) = ask(settings_of(cloud.connection(auth)), (DLI_BATCH, "b1"))
    assert "success" == status.outcome
    assert length == len(cloud.requests[-1].headers["x-auth-token"])


@pytest.mark.parametrize("auth", ["aksk", "password"])
def test_project_is_found(ask, cloud, auth):
    """Without project_id the region's own project is asked about, and looked up once."""
    cloud.job(DLI_BATCH, "b1", "success")
    settings = settings_of(cloud.connection(auth, project_id=None))

    ask(settings, (DLI_BATCH, "b1"), (DLI_BATCH, "b1"))
    connection_cache = [record for record in cloud.requests if record.path == "/v3/projects"]
    assert (1 if auth == "aksk" else 0) == len(connection_cache)
    assert cloud.project_id in cloud.requests[-1].path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"password": "wrong"}, "APIGW.0301"),
        ({"login": "AKAKAKAKAKAKAKAKAKAK"}, "ak not exist"),
    ],
)
def test_wrong_key_is_refused_without_showing_it(ask, cloud, change, message):
    """The gateway echoes the key and the request; the error shows neither."""
    cloud.job(DLI_BATCH, "b1", "success")

    with pytest.raises(AuthenticationError, match=message) as caught:
        ask(settings_of(cloud.connection() | change), (DLI_BATCH, "b1"))
    for secret in (cloud.secret_key, *change.values()):
        assert secret not in str(caught.value)


@pytest.mark.parametrize(
    "fault", [Fault.RESET, Fault.HALF, Fault.HANG, Fault.DRIP, Reply(body="x", delay=30.0)], ids=str
)
def test_no_whole_reply_in_time_is_a_transport_error(ask, cloud, fault):
    """Reset, half, hanging, dripping and late replies end within request_timeout, which is for all of the request."""
    cloud.job(DLI_BATCH, "b1", fault)
    settings = settings_of(cloud.connection(), request_timeout=0.7)

    began = time.monotonic()
    with pytest.raises(TransportError):
        ask(settings, (DLI_BATCH, "b1"))
    assert time.monotonic() - began < 20.0


def test_nobody_listening_is_a_transport_error(ask, cloud):
    """A refused connection is waited out like any outage."""
    cloud.job(DLI_BATCH, "b1", "success")
    settings = settings_of(cloud.connection())
    cloud.stop()

    with pytest.raises(TransportError):
        ask(settings, (DLI_BATCH, "b1"))
    threading.Timer(0.5, cloud.start).start()
    (status,) = ask(settings, (DLI_BATCH, "b1"), tolerance=20.0)
    assert "success" == status.outcome


def test_plain_429_of_the_fake_is_waited_out(ask, cloud):
    """A user's test with a 429 among its steps waits for a second."""
    cloud.job(DLI_BATCH, "b1", 429, "success")

    (status,) = ask(settings_of(cloud.connection()), (DLI_BATCH, "b1"), tolerance=20.0)
    assert "success" == status.outcome


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_is_followed(ask, cloud, status):
    """A signed request goes nowhere but where it was meant to."""
    cloud.job(DLI_BATCH, "b1", Reply(status=status, headers={"Location": f"{cloud.url}/elsewhere"}))

    with pytest.raises(HwStatusError, match=str(status)):
        ask(settings_of(cloud.connection()), (DLI_BATCH, "b1"))
    assert 1 == len(cloud.requests)


@pytest.mark.parametrize("location", ["http://[", "\xff\xfe", "x" * 60_000])
def test_odd_location_is_not_even_read(ask, cloud, location):
    """A redirect that is not followed can have anything as its target."""
    headers = {"Location": location} if len(location) < 9000 else {}
    cloud.job(DLI_BATCH, "b1", Reply(status=302, headers=headers, body=b"x" * 5_000_000))

    with pytest.raises(HwStatusError):
        ask(settings_of(cloud.connection()), (DLI_BATCH, "b1"))


def test_no_cookie_is_kept(ask, cloud):
    """A load balancer's cookie is no part of what was signed."""
    cloud.job(DLI_BATCH, "b1", Reply(body={"state": "running"}, headers={"Set-Cookie": "a=b"}))

    ask(settings_of(cloud.connection()), (DLI_BATCH, "b1"), (DLI_BATCH, "b1"))
    assert "cookie" not in cloud.requests[-1].headers


@pytest.mark.parametrize("size", [4 * 1024 * 1024 - 100, 4 * 1024 * 1024 + 1])
def test_reply_is_read_up_to_a_bound(ask, cloud, size):
    """Four megabytes are read, and not more."""
    cloud.job(DLI_BATCH, "b1", Reply(body=json.dumps({"state": "success"}).ljust(size)))

    if size > 4 * 1024 * 1024:
        with pytest.raises(MalformedResponseError, match="longer than"):
            ask(settings_of(cloud.connection()), (DLI_BATCH, "b1"))
    else:
        assert "success" == ask(settings_of(cloud.connection()), (DLI_BATCH, "b1"))[0].outcome


@functools.cache
def bomb(encoding):
    """Return 256 MB of zeros, compressed once or, as "gzip, gzip", twice; what nothing looks into need not be true."""
    packer, megabyte = zlib.compressobj(wbits=15 if encoding == "deflate" else 31), bytes(1024 * 1024)
    body = b"".join([*(packer.compress(megabyte) for _ in range(256)), packer.flush()])
    return gzip.compress(body) if "," in encoding else body


@pytest.mark.parametrize("status", [200, 503])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "gzip, gzip", "br", "zstd"])
def test_compressed_reply_is_not_unpacked(ask, cloud, encoding, status):
    """A few KB that would become hundreds of MB are named, and take neither memory nor time."""
    cloud.job(DLI_BATCH, "b1", Reply(status, bomb(encoding), {"Content-Encoding": encoding}))
    settings = settings_of(cloud.connection())

    tracemalloc.start()
    began = time.thread_time()
    try:
        with pytest.raises(HwStatusError, match=f"HTTP {status}.* compressed with {encoding}, which") as caught:
            ask(settings, (DLI_BATCH, "b1"))
        took, (_, peak) = time.thread_time() - began, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (MalformedResponseError if status == 200 else ServerError) is caught.type
    assert peak < 16 * 1024 * 1024
    assert took < 3.0


def test_nothing_compressed_is_asked_for(ask, cloud):
    """Every request says that its reply is wanted as it is."""
    cloud.job(DLI_BATCH, "b1", "success")

    ask(settings_of(cloud.connection("password")), (DLI_BATCH, "b1"))
    assert ["identity", "identity"] == [record.headers["accept-encoding"] for record in cloud.requests]


def test_connection_is_kept(ask, cloud):
    """Many polls take one TCP connection."""
    cloud.job(DLI_BATCH, "b1", "running")

    ask(settings_of(cloud.connection()), *[(DLI_BATCH, "b1")] * 20)
    assert 1 == cloud.connections


def test_netrc_is_not_read(ask, cloud, monkeypatch, tmp_path):
    """A .netrc for the host adds no Authorization of its own."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login thief password thief\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    cloud.job(DLI_BATCH, "b1", "success")

    ask(settings_of(cloud.connection("token")), (DLI_BATCH, "b1"))
    assert "authorization" not in cloud.requests[0].headers


class _Proxy(http.server.BaseHTTPRequestHandler):
    """Notes what it is asked for and answers itself."""

    def do_GET(self):
        self.server.target.append((self.path, self.headers.get("Proxy-Authorization")))
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
        server.target = []
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


def test_proxy_of_the_connection_is_used(ask, cloud):
    """The connection's proxy gets the request, with the proxy's own login."""
    with proxy() as server:
        url = f"http://user:pass@127.0.0.1:{server.server_port}"
        settings = settings_of(cloud.connection(), dli_endpoint="http://dli.example.com", proxy=url)
        assert "running" == ask(settings, (DLI_BATCH, "b1"))[0].state
        path, login = server.target[0]
        assert path.startswith("http://dli.example.com/v2.0/")
        assert "Basic dXNlcjpwYXNz" == login


def test_proxy_of_the_machine_is_used(ask, cloud, monkeypatch):
    """The proxy variables count in both colours, and no_proxy does."""
    with proxy() as server:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        settings = settings_of(cloud.connection(), dli_endpoint="http://dli.example.com")
        ask(settings, (DLI_BATCH, "b1"))
        assert 1 == len(server.target)

        cloud.job(DLI_BATCH, "b1", "success")
        ask(settings_of(cloud.connection()), (DLI_BATCH, "b1"))
        assert 1 == len(server.target)


def test_proxy_without_a_scheme_is_taken_for_http(ask, cloud, monkeypatch):
    """Both colours read a proxy variable as curl does; one that is no HTTP proxy is an error at once."""
    with proxy() as server:
        monkeypatch.setenv("http_proxy", f"127.0.0.1:{server.server_port}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        settings = settings_of(cloud.connection(), dli_endpoint="http://dli.example.com")
        ask(settings, (DLI_BATCH, "b1"))
        assert 1 == len(server.target)

    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:9")
    with pytest.raises(ConfigurationError, match="only HTTP proxies are supported, not socks5"):
        ask(settings, (DLI_BATCH, "b1"))


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_proxy_counts_for_each_scheme(monkeypatch, scheme):
    """A host in no_proxy is connected directly, others go through the proxy."""
    monkeypatch.setenv(f"{scheme}_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "dli.example.com")
    client = Client(settings_from("AK", "SK", {"project_id": "p1"}), time.time)
    hosts = ("dli.example.com", "cph.example.com:8443")

    found = [Proxies(client).of(Request("GET", f"{scheme}://{host}/v1/p1/jobs?a=/")) for host in hosts]
    assert [None, "http://proxy:3128"] == found


def chain(error):
    """Return all that a traceback of *error* would show of its exceptions."""
    shown = ""
    while error is not None:
        shown += repr(error) + str(vars(error))
        error = error.__cause__ or error.__context__
    return shown


@pytest.mark.parametrize("how", ["connection", "environment"])
def test_refusing_proxy_shows_no_secret(ask, cloud, monkeypatch, how):
    """A proxy that refuses a tunnel leaves neither its own login nor ours in the error, its cause or its context."""
    with proxy() as server:
        url = f"http://puser:pr0xySecret@127.0.0.1:{server.server_port}"
        monkeypatch.setenv("no_proxy", "")
        if how == "environment":
            monkeypatch.setenv("https_proxy", url)
        extra = {"proxy": url} if how == "connection" else {}
        settings = settings_of(cloud.connection(), dli_endpoint="https://dli.example.com", **extra)
        with pytest.raises(HwStatusError) as caught:
            ask(settings, (DLI_BATCH, "b1"))
    shown = chain(caught.value)
    secrets = ("pr0xySecret", base64.b64encode(b"puser:pr0xySecret").decode(), cloud.access_key, cloud.secret_key)
    assert [] == [secret for secret in secrets if secret in shown]


def test_proxy_password_is_not_shown(ask, cloud):
    """An error that names the proxy leaves out its password."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://user:pr0xySecret@127.0.0.1:{closed.getsockname()[1]}"
        settings = settings_of(cloud.connection(), dli_endpoint="http://dli.example.com", proxy=url)
        with pytest.raises(TransportError) as caught:
            ask(settings, (DLI_BATCH, "b1"))
    assert "pr0xySecret" not in str(caught.value)
