"""A forked process and its parent poll at the same time, and neither gets a reply to the other."""

import asyncio
import contextlib
import json
import os
import re
import signal
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from airflow_provider_hwstatus.core.connection.settings import Settings, settings_from
from airflow_provider_hwstatus.core.polling.job_poller import JobPoller
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH
from airflow_provider_hwstatus.testing import FakeHuaweiCloud, Reply
from airflow_provider_hwstatus.transports import shared_connections
from airflow_provider_hwstatus.transports.shared_connections import SyncConnection, shared_connection

POLLS = 40

#: Each job's state, by which one knows whose answer it is where the reply has no id.
STATES = {"parent": "running", "child": "success"}

pytestmark = pytest.mark.filterwarnings("ignore:This process.*is multi-threaded")  # of Python 3.12 on


class _Job(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections
    wbufsize = -1  # head and body in one packet: else each reply waits for an acknowledgement

    def setup(self):
        super().setup()
        self.server.accepted += 1

    def do_GET(self):
        job_id = re.search("/batches/(.*)/state", self.path)[1]
        ids = {"id": job_id} if self.server.with_id else {}
        body = json.dumps(ids | {"state": STATES[job_id]}).encode()
        time.sleep(0.002)  # so that two are under way at once
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture(params=["http", "https"])
def server(request, certificate):
    """A server that keeps connections."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Job) as server:
        server.daemon_threads, server.accepted = True, 0
        if request.param == "https":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        server.settings = Settings(
            auth="token",
            password="T",
            project_id="p1",
            dli_endpoint=f"{request.param}://127.0.0.1:{server.server_port}",
            verify=str(certificate),
        )
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


@contextlib.contextmanager
def forked(work):
    """Let a forked process do *work*, and return what it returned, a small number, when this process has done its."""
    pid = os.fork()
    if not pid:
        signal.alarm(60)  # a deadlock must not outlive the test
        code = 99
        try:
            code = work()
        finally:
            os._exit(code)
    yield
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


async def amask(secret):
    """Mask nothing."""


def poll(connection, job_id):
    return connection.run(JobPoller(connection.client, DLI_BATCH, job_id).fetch_status(RetryBudget(0.0)))


def wrong_answers(connection, job_id):
    """Return how many answers were about another job, or failed for being about another."""
    return sum(poll(connection, job_id).state != STATES[job_id] for _ in range(POLLS))


@pytest.mark.parametrize("with_id", [True, False])
def test_parent_and_child_poll_over_connections_of_their_own(server, with_id):
    """A hook that was used before the fork works in both, and in the parent on the same connection."""
    server.with_id = with_id
    connection = SyncConnection(server.settings, str)
    poll(connection, "parent")

    with forked(lambda: wrong_answers(connection, "child")):
        assert 0 == wrong_answers(connection, "parent")
    poll(connection, "parent")
    connection.close()
    assert 2 == server.accepted


def test_child_that_closes_its_hook_leaves_the_parents_connection_open(server):
    """The child says no good-bye on a socket that it shares with its parent."""
    server.with_id = True
    connection = SyncConnection(server.settings, str)
    poll(connection, "parent")

    with forked(lambda: connection.close() or 0):
        pass
    assert 0 == wrong_answers(connection, "parent")
    connection.close()
    assert 1 == server.accepted


@pytest.mark.parametrize("with_id", [True, False])
def test_child_of_an_event_loop_polls_over_a_connection_of_its_own(server, with_id):
    """A loop's connection is not the child's, also if the child leaves what it was in the middle of."""
    server.with_id = with_id

    async def wrong(job_id):
        async with shared_connection(server.settings, amask) as connection:
            statuses = [
                await connection.run(JobPoller(connection.client, DLI_BATCH, job_id).fetch_status(RetryBudget(0.0)))
                for _ in range(POLLS)
            ]
        return sum(status.state != STATES[job_id] for status in statuses)

    async def main():
        async with shared_connection(server.settings, amask) as connection:
            await wrong("parent")

            def child():
                found = asyncio.run(wrong("child"))
                asyncio.run(connection.close())
                return found

            with forked(child):
                assert 0 == await wrong("parent")
            assert 0 == await wrong("parent")

    asyncio.run(main())
    assert 2 == server.accepted


def test_child_waits_for_no_login_of_its_parent():
    """What another thread of the parent was doing, and held a lock for, nobody does in the child."""
    with FakeHuaweiCloud() as cloud:
        cloud.job(DLI_BATCH, "b1", "running")
        fields = cloud.connection("password")
        settings = settings_from(fields["login"], fields["password"], fields["extra"])
        cloud.break_with(Reply(status=503, delay=1.0), path_ends="/tokens")
        begun = threading.Event()
        cloud.listeners.append(lambda record: begun.set())
        connection = SyncConnection(settings, str)

        def log_in():
            with contextlib.suppress(Exception):
                poll(SyncConnection(settings, str), "b1")

        thread = threading.Thread(target=log_in)
        thread.start()
        assert begun.wait(10)
        with forked(lambda: poll(connection, "b1").state != "running"):
            thread.join()
        assert 1 == cloud.logins


def test_child_waits_for_no_lock_of_its_parent():
    """Nor does the child wait for the lock under which another thread was making a connection."""
    settings = Settings(auth="token", password="T", project_id="p1", region="cn-north-4")
    held, enough = threading.Event(), threading.Event()

    def make():
        with shared_connections._creation_lock:
            held.set()
            enough.wait(0.2)

    thread = threading.Thread(target=make)
    thread.start()
    assert held.wait(10)
    with forked(lambda: SyncConnection(settings, str).close() or 0):
        enough.set()
    thread.join()
