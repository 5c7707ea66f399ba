"""A process sends a refused permanent key or password only once, because five refusals lock it."""

import asyncio
import threading
from unittest.mock import AsyncMock

import pytest

from airflow_provider_hwstatus.core.connection.settings import Settings, settings_from
from airflow_provider_hwstatus.core.polling.job_poller import JobPoller
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget
from airflow_provider_hwstatus.errors import ApiError, CredentialsRefusedError, HwStatusError, ServerError
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH
from airflow_provider_hwstatus.testing import Reply
from airflow_provider_hwstatus.transports.shared_connections import SyncConnection, shared_connection


def connections(cloud, auth, secret=None):
    """Yield settings with the same login and different projects or options."""
    fields = cloud.connection(auth)
    secret = secret or fields["password"]
    for number in range(10):
        yield settings_from(fields["login"], secret, fields["extra"] | {"project_id": f"{number:032}"})
    for number in range(6):
        yield settings_from(fields["login"], secret, fields["extra"] | {"request_timeout": 20 + number})


def poll_one_sync(settings):
    connection = SyncConnection(settings, str)
    try:
        return connection.run(JobPoller(connection.client, DLI_BATCH, "b1").fetch_status(RetryBudget(0.0)))
    finally:
        connection.close()


async def poll_one_async(settings):
    async with shared_connection(settings, AsyncMock()) as connection:
        return await connection.run(JobPoller(connection.client, DLI_BATCH, "b1").fetch_status(RetryBudget(0.0)))


async def poll_together(all_settings):
    return await asyncio.gather(*map(poll_one_async, all_settings), return_exceptions=True)


def in_threads(*calls):
    """Call each of *calls* in a thread at the same time. Return the results and errors."""
    results = []

    def run(call):
        try:
            found = call()
        except HwStatusError as error:
            found = error
        results.extend(found if isinstance(found, list) else [found])

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def each_in_a_thread(all_settings):
    return in_threads(*(lambda settings=settings: poll_one_sync(settings) for settings in all_settings))


def all_in_one_loop(all_settings):
    return asyncio.run(poll_together(all_settings))


def in_loops_and_threads(all_settings):
    loops = [lambda part=all_settings[n::3]: asyncio.run(poll_together(part)) for n in range(2)]
    return in_threads(*loops, *(lambda settings=settings: poll_one_sync(settings) for settings in all_settings[2::3]))


def one_after_the_other(all_settings):
    return [
        result for settings in all_settings for result in in_threads(lambda settings=settings: poll_one_sync(settings))
    ]


WAYS = [one_after_the_other, each_in_a_thread, all_in_one_loop, in_loops_and_threads]


@pytest.mark.parametrize("poll_all", WAYS)
@pytest.mark.parametrize("auth", ["aksk", "password"])
def test_refused_secret_is_sent_once(cloud, auth, poll_all):
    """Sixteen connections with the same wrong secret send one request, in threads and event loops."""
    results = poll_all(list(connections(cloud, auth, "wrong")))

    assert [CredentialsRefusedError] * 16 == [type(result) for result in results]
    assert [401] == [record.status for record in cloud.requests]


@pytest.mark.parametrize("poll_all", WAYS)
@pytest.mark.parametrize("auth", ["aksk", "password"])
def test_valid_secret_is_used_by_all_connections(cloud, auth, poll_all):
    """When a secret is known to be valid, all its connections use it."""
    cloud.job("dli_batch", "b1", "running")
    all_settings = [
        settings for settings in connections(cloud, auth) if settings.project_id in (None, cloud.project_id)
    ]

    assert ["running"] * 6 == [result.state for result in poll_all(all_settings)]


@pytest.mark.parametrize("poll_all", [each_in_a_thread, all_in_one_loop, in_loops_and_threads])
@pytest.mark.parametrize("auth", ["aksk", "password"])
def test_connections_share_a_failed_first_request(cloud, auth, poll_all):
    """Connections that wait for the first response share its failure."""
    cloud.break_with(Reply(status=503, delay=0.5), calls=100)

    results = poll_all(list(connections(cloud, auth)))
    assert [ServerError] * 16 == [type(result) for result in results]
    assert 3 >= len(cloud.requests)


@pytest.mark.parametrize("poll_all", WAYS)
def test_error_of_one_connection_does_not_affect_others(cloud, poll_all):
    """An unknown project does not fail other connections with the same user."""
    cloud.job("dli_batch", "b1", "running")
    all_settings = list(connections(cloud, "password"))

    results = poll_all(all_settings)
    assert 6 == sum(getattr(result, "state", "") == "running" for result in results)
    assert 10 == sum(type(result) is ApiError for result in results)


def test_refused_secret_does_not_affect_another_secret(cloud):
    """After a refused secret, another connection can use the correct one."""
    cloud.job("dli_batch", "b1", "running")
    wrong, right = (next(connections(cloud, "aksk", secret)) for secret in ("wrong", None))
    right = Settings(**{**vars(right), "project_id": cloud.project_id})

    assert CredentialsRefusedError is type(one_after_the_other([wrong])[0])
    assert "running" == poll_one_sync(right).state


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"region": "cn-north-4"}, {"region": "ap-southeast-1"}, True),
        ({"region": "cn-north-4"}, {"region": "eu-de"}, False),
        ({"region": "cn-north-4"}, {"iam_endpoint": "https://iam.myhuaweicloud.com"}, True),
        ({"dli_endpoint": "https://dli.example.com"}, {"dli_endpoint": "https://dli.example.org"}, False),
        ({"iam_endpoint": "http://127.0.0.1:8001"}, {"iam_endpoint": "http://127.0.0.1:8002"}, False),
    ],
)
def test_secrets_are_tracked_per_cloud(one, other, same):
    """Regions of a cloud share accounts. Other clouds and private endpoints do not."""
    assert same == (Settings(**one).cloud == Settings(**other).cloud)
