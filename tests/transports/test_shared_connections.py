"""What waits on one connection share."""

import asyncio
import re
import threading
import time
from collections import Counter

import pytest

from airflow_provider_hwstatus.core.connection.settings import settings_from
from airflow_provider_hwstatus.core.polling.job_poller import JobPoller
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget
from airflow_provider_hwstatus.errors import AuthenticationError, HwStatusError
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH
from airflow_provider_hwstatus.testing import FakeHuaweiCloud, Reply
from airflow_provider_hwstatus.transports import shared_connections
from airflow_provider_hwstatus.transports.shared_connections import SyncConnection, shared_connection


async def amask(secret):
    """Mask nothing."""


@pytest.fixture
def cloud():
    with FakeHuaweiCloud() as cloud:
        cloud.job(DLI_BATCH, "b1", "running")
        yield cloud


def settings_of(connection):
    return settings_from(connection.get("login"), connection["password"], connection["extra"])


async def one_wait(settings, polls=1):
    async with shared_connection(settings, amask) as connection:
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
    """Let many waits ask at once in one colour."""
    return request.param


def test_one_login_for_all(cloud, wait_all):
    """Fifty waits that begin at once buy one token."""
    wait_all(settings_of(cloud.connection("password")), 50)

    assert 1 == cloud.logins
    assert 50 == cloud.polls("b1")


def test_one_renewal_for_all(cloud, wait_all):
    """Fifty waits whose token died buy one new token."""
    settings = settings_of(cloud.connection("password"))
    wait_all(settings, 2)
    cloud.expire_tokens()

    wait_all(settings, 50)
    assert 2 == cloud.logins


def test_one_project_lookup_for_all(cloud, wait_all):
    """Fifty waits look the project up once."""
    wait_all(settings_of(cloud.connection(project_id=None)), 50)

    assert 1 == sum(record.path == "/v3/projects" for record in cloud.requests)


def test_refused_key_is_tried_once_by_all(cloud, wait_all):
    """Fifty waits with a wrong key do not lock it."""
    results = wait_all(settings_of(cloud.connection() | {"password": "wrong"}), 50)

    assert 1 == len(cloud.requests)
    assert 50 == sum(isinstance(result, AuthenticationError) for result in results)


@pytest.mark.parametrize("reply", [Reply(status=504, delay=0.5), Reply(status=429, headers={"Retry-After": "2"})])
def test_gateway_in_trouble_is_not_asked_by_each_in_turn(cloud, wait_all, reply):
    """Until a key is known to be good one wait asks for all, also when what it hears is bad."""
    cloud.break_with(reply, calls=2)

    began = time.time()
    wait_all(settings_of(cloud.connection()), 30)
    assert sum(record.time < began + 1.5 and record.status != 200 for record in cloud.requests) <= 3
    assert time.time() - began < 12.0


def test_shared_error_is_about_each_waits_own_job(cloud):
    """What one wait found for all is told to each as its own."""
    for index in range(5):
        cloud.job(DLI_BATCH, f"b{index}", "running")
    settings = settings_of(cloud.connection() | {"password": "wrong-for-all"})

    async def one(index):
        async with shared_connection(settings, amask) as connection:
            await connection.run(JobPoller(connection.client, DLI_BATCH, f"b{index}").fetch_status(RetryBudget(0.0)))

    async def run():
        return await asyncio.gather(*map(one, range(5)), return_exceptions=True)

    messages = [str(error) for error in asyncio.run(run())]
    assert [[f"b{index}"] for index in range(5)] == [re.findall(r"DLI batch (b\d)", text) for text in messages]


def test_one_session_in_a_loop(cloud):
    """Waits in one event loop share TCP connections, and the last one out closes them."""
    settings = settings_of(cloud.connection())

    async def run():
        async with shared_connection(settings, amask) as first:
            await one_wait(settings, polls=20)
            assert first is await one_wait(settings, polls=20)
            assert 1 == cloud.connections
        async with shared_connection(settings, amask) as later:
            assert later is not first

    asyncio.run(run())


def test_wait_that_is_cancelled_leaves(cloud):
    """A cancelled wait gives its place up, so that the last one closes."""
    cloud.job(DLI_BATCH, "b1", Reply(delay=30.0))
    settings = settings_of(cloud.connection())

    async def run():
        task = asyncio.create_task(one_wait(settings))
        await asyncio.sleep(0.2)
        async with shared_connection(settings, amask) as connection:
            assert 2 == connection.waits
            task.cancel()
            await asyncio.wait([task])
            assert 1 == connection.waits

    asyncio.run(run())


def test_a_loop_that_ends_without_a_goodbye_is_forgotten(cloud):
    """dag.test() gives each trigger a loop of its own; a new loop starts afresh."""
    settings = settings_of(cloud.connection())

    assert [None, None] == [asyncio.run(one_wait(settings)) and None for _ in range(2)]


def test_no_more_polls_are_under_way_than_the_connection_allows(cloud):
    """Fifty waits that ask at the same time over three slots all get their answer, three at a time."""
    under_way = Counter()

    async def run():
        async with shared_connection(settings_of(cloud.connection(max_concurrent_requests=3)), amask) as connection:
            transport = await connection._open()
            send = transport.send

            async def counted(request, until):
                under_way["now"] += 1
                under_way["most"] = max(under_way["most"], under_way["now"])
                try:
                    return await send(request, until)
                finally:
                    under_way["now"] -= 1

            transport.send = counted
            pollers = (JobPoller(connection.client, DLI_BATCH, "b1").fetch_status(RetryBudget(0.0)) for _ in range(50))
            return await asyncio.gather(*map(connection.run, pollers))

    assert ["running"] * 50 == [status.state for status in asyncio.run(run())]
    assert 3 == under_way["most"]


def test_long_pauses_end_together(quick_loop):
    """Waits whose pauses end within a twentieth of a second of each other wake up in one turn of the event loop."""
    ends = []

    async def sleep(number):
        await shared_connections._sleep(1.0 + number / 1000)
        ends.append(quick_loop.time() - began)

    async def run():
        await asyncio.gather(*map(sleep, range(100)))

    began = quick_loop.time()
    quick_loop.run_until_complete(run())
    assert 1.0 <= min(ends)
    assert max(ends) < 1.15
    assert len({round(end, 3) for end in ends}) <= 4


def test_short_pauses_are_taken_as_they_are(quick_loop):
    """A tenth of a second between two polls stays a tenth."""
    began = quick_loop.time()
    quick_loop.run_until_complete(shared_connections._sleep(0.1))
    assert pytest.approx(0.1) == quick_loop.time() - began
