"""What the waits on one connection share."""

import asyncio
import dataclasses
import re
import threading
import time
from collections import Counter
from unittest.mock import AsyncMock

import pytest

from airflow_provider_hwstatus.core.connection.settings import settings_from
from airflow_provider_hwstatus.core.polling.job_poller import JobPoller
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget
from airflow_provider_hwstatus.errors import AuthenticationError, HwStatusError
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH
from airflow_provider_hwstatus.testing import Reply
from airflow_provider_hwstatus.transports.shared_connections import SyncConnection, shared_connection


@pytest.fixture
def cloud(cloud):
    """Add a batch to the fake cloud."""
    cloud.job(DLI_BATCH, "b1", "running")
    return cloud


def settings_of(connection):
    return settings_from(connection.get("login"), connection["password"], connection["extra"])


async def one_wait(settings, polls=1):
    async with shared_connection(settings, AsyncMock()) as connection:
        for _ in range(polls):
            await connection.run(JobPoller(connection.client, DLI_BATCH, "b1").fetch_status(RetryBudget(0.0)))
        return connection


def all_async(settings, count):
    async def run():
        return await asyncio.gather(*(one_wait(settings) for _ in range(count)), return_exceptions=True)

    return asyncio.run(run())


def all_sync(settings, count):
    results = []

    def run():
        connection = SyncConnection(settings, str)
        try:
            results.append(connection.run(JobPoller(connection.client, DLI_BATCH, "b1").fetch_status(RetryBudget(0.0))))
        except HwStatusError as error:
            results.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.fixture(params=[all_sync, all_async], ids=["sync", "async"])
def wait_all(request):
    """Run many waits at once, sync and async."""
    return request.param


def test_waits_share_a_login(cloud, wait_all):
    """Fifty concurrent waits fetch one token."""
    wait_all(settings_of(cloud.connection("password")), 50)

    assert 1 == cloud.logins
    assert 50 == cloud.polls("b1")


def test_waits_share_a_renewal(cloud, wait_all):
    """Fifty waits with an expired token fetch one new token."""
    settings = settings_of(cloud.connection("password"))
    wait_all(settings, 2)
    cloud.expire_tokens()

    wait_all(settings, 50)
    assert 2 == cloud.logins


def test_waits_share_a_project_lookup(cloud, wait_all):
    """Fifty waits look up the project once."""
    wait_all(settings_of(cloud.connection(project_id=None)), 50)

    assert 1 == sum(record.path == "/v3/projects" for record in cloud.requests)


def test_refused_key_is_sent_once(cloud, wait_all):
    """Fifty waits with a wrong key send it once, so that it is not locked."""
    results = wait_all(settings_of(cloud.connection() | {"password": "wrong"}), 50)

    assert 1 == len(cloud.requests)
    assert 50 == sum(isinstance(result, AuthenticationError) for result in results)


@pytest.mark.real_time
@pytest.mark.parametrize("reply", [Reply(status=504, delay=0.5), Reply(status=429, headers={"Retry-After": "2"})])
def test_waits_share_a_failed_first_request(cloud, wait_all, reply):
    """Until the key is known to be valid, one wait sends the first request for all, also if it fails."""
    cloud.break_with(reply, calls=2)

    started_at = time.time()
    wait_all(settings_of(cloud.connection()), 30)
    assert sum(record.time < started_at + 1.5 and record.status != 200 for record in cloud.requests) <= 3
    assert time.time() - started_at < 12.0


def test_shared_error_names_each_waits_job(cloud):
    """A shared error contains the job of each wait."""
    for index in range(5):
        cloud.job(DLI_BATCH, f"b{index}", "running")
    settings = settings_of(cloud.connection() | {"password": "wrong-for-all"})

    async def one(index):
        async with shared_connection(settings, AsyncMock()) as connection:
            await connection.run(JobPoller(connection.client, DLI_BATCH, f"b{index}").fetch_status(RetryBudget(0.0)))

    async def run():
        return await asyncio.gather(*map(one, range(5)), return_exceptions=True)

    messages = [str(error) for error in asyncio.run(run())]
    assert [[f"b{index}"] for index in range(5)] == [re.findall(r"DLI batch (b\d)", text) for text in messages]


def test_waits_share_a_session(cloud):
    """Waits in an event loop share TCP connections. The last one closes them."""
    settings = settings_of(cloud.connection())

    async def run():
        async with shared_connection(settings, AsyncMock()) as first:
            await one_wait(settings, polls=20)
            assert first is await one_wait(settings, polls=20)
            assert 1 == cloud.connections
        async with shared_connection(settings, AsyncMock()) as later:
            assert later is not first

    asyncio.run(run())


def test_cancelled_wait_releases_the_connection(cloud):
    """A cancelled wait no longer counts, so that the last one closes the connection."""
    cloud.job(DLI_BATCH, "b1", Reply(delay=30.0))
    settings = settings_of(cloud.connection())

    async def run():
        task = asyncio.create_task(one_wait(settings))
        await asyncio.sleep(0.2)
        async with shared_connection(settings, AsyncMock()) as connection:
            assert 2 == connection.waits
            task.cancel()
            await asyncio.wait([task])
            assert 1 == connection.waits

    asyncio.run(run())


def test_each_event_loop_has_its_own_connection(cloud):
    """dag.test() runs each trigger in a new event loop."""
    settings = settings_of(cloud.connection())

    assert [None, None] == [asyncio.run(one_wait(settings)) and None for _ in range(2)]


def test_number_of_concurrent_requests_is_limited(cloud):
    """Fifty concurrent polls with max_concurrent_requests=3 run three at a time."""
    running = Counter()

    async def run():
        async with shared_connection(
            settings_of(cloud.connection(max_concurrent_requests=3)), AsyncMock()
        ) as connection:
            handlers = await connection._open()
            send = handlers.send

            async def counted(request, until):
                running["now"] += 1
                running["maximum"] = max(running["maximum"], running["now"])
                try:
                    return await send(request, until)
                finally:
                    running["now"] -= 1

            connection._handlers = dataclasses.replace(handlers, send=counted)
            pollers = (JobPoller(connection.client, DLI_BATCH, "b1").fetch_status(RetryBudget(0.0)) for _ in range(50))
            return await asyncio.gather(*map(connection.run, pollers))

    assert ["running"] * 50 == [status.state for status in asyncio.run(run())]
    assert 3 == running["maximum"]
