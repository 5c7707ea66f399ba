"""A forked process and its parent poll at the same time. Neither receives a reply to the other."""

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
from unittest.mock import AsyncMock

import pytest

from airflow_provider_hwstatus.core.connection.settings import Settings, settings_from
from airflow_provider_hwstatus.core.polling.job_poller import JobPoller
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH
from airflow_provider_hwstatus.testing import FakeHuaweiCloud, Reply
from airflow_provider_hwstatus.transports import shared_connections
from airflow_provider_hwstatus.transports.shared_connections import SyncConnection, shared_connection

POLLS = 40

#: State of each job. It identifies the job of a reply without an id.
STATES = {"parent": "running", "child": "success"}

pytestmark = pytest.mark.filterwarnings("ignore:This process.*is multi-threaded")  # Python 3.12 and newer


class _Job(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keep-alive connections
    wbufsize = -1  # sends head and body in one packet, which avoids a delay per reply

    def setup(self):
        super().setup()
        self.server.accepted += 1

    def do_GET(self):
        job_id = re.search("/batches/(.*)/state", self.path)[1]
        ids = {"id": job_id} if self.server.with_id else {}
        body = json.dumps(ids | {"state": STATES[job_id]}).encode()
        time.sleep(0.002)  # so that two requests overlap
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture(params=["http", "https"])
def server(request, certificate):
    """Run a server with keep-alive connections."""
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
    """Run *work* in a forked process. At the end of the block, check that it returned 0."""
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


def poll(connection, job_id):
    return connection.run(JobPoller(connection.client, DLI_BATCH, job_id).fetch_status(RetryBudget(0.0)))


def wrong_answers(connection, job_id):
    """Return the number of replies that belong to another job."""
    return sum(poll(connection, job_id).state != STATES[job_id] for _ in range(POLLS))


@pytest.mark.parametrize("with_id", [True, False])
def test_parent_and_child_use_separate_connections(server, with_id):
    """A hook that is used before the fork works in both processes. The parent keeps its connection."""
    server.with_id = with_id
    connection = SyncConnection(server.settings, str)
    poll(connection, "parent")

    with forked(lambda: wrong_answers(connection, "child")):
        assert 0 == wrong_answers(connection, "parent")
    poll(connection, "parent")
    connection.close()
    assert 2 == server.accepted


def test_child_does_not_close_the_parents_connection(server):
    """Closing the hook in the child does not close the parent's connection."""
    server.with_id = True
    connection = SyncConnection(server.settings, str)
    poll(connection, "parent")

    with forked(lambda: connection.close() or 0):
        pass
    assert 0 == wrong_answers(connection, "parent")
    connection.close()
    assert 1 == server.accepted


@pytest.mark.parametrize("with_id", [True, False])
def test_child_of_an_event_loop_uses_its_own_connection(server, with_id):
    """The child of a process with an event loop uses its own connection, also if it closes the parent's."""
    server.with_id = with_id

    async def wrong(job_id):
        async with shared_connection(server.settings, AsyncMock()) as connection:
            statuses = [
                await connection.run(JobPoller(connection.client, DLI_BATCH, job_id).fetch_status(RetryBudget(0.0)))
                for _ in range(POLLS)
            ]
        return sum(status.state != STATES[job_id] for status in statuses)

    async def main():
        async with shared_connection(server.settings, AsyncMock()) as connection:
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


def test_child_does_not_wait_for_the_parents_login():
    """A login in another thread of the parent does not block the child."""
    with FakeHuaweiCloud() as cloud:
        cloud.job(DLI_BATCH, "b1", "running")
        fields = cloud.connection("password")
        settings = settings_from(fields["login"], fields["password"], fields["extra"])
        cloud.break_with(Reply(status=503, delay=1.0), path_ends="/tokens")
        login_started = threading.Event()
        cloud.listeners.append(lambda record: login_started.set())
        connection = SyncConnection(settings, str)

        def log_in():
            with contextlib.suppress(Exception):
                poll(SyncConnection(settings, str), "b1")

        thread = threading.Thread(target=log_in)
        thread.start()
        assert login_started.wait(10)
        with forked(lambda: poll(connection, "b1").state != "running"):
            thread.join()
        assert 1 == cloud.logins


def test_child_does_not_wait_for_the_parents_lock():
    """A lock that another thread of the parent holds does not block the child."""
    settings = Settings(auth="token", password="T", project_id="p1", region="cn-north-4")
    locked, released = threading.Event(), threading.Event()

    def hold_lock():
        with shared_connections._creation_lock:
            locked.set()
            released.wait(0.2)

    thread = threading.Thread(target=hold_lock)
    thread.start()
    assert locked.wait(10)
    with forked(lambda: SyncConnection(settings, str).close() or 0):
        released.set()
    thread.join()
