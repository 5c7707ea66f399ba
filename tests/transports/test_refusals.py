"""A permanent key or a password that is refused is sent once by a process, whatever uses it: five refusals lock it."""

import asyncio
import threading

import pytest

from airflow_provider_hwstatus.core.connection.settings import Settings, settings_from
from airflow_provider_hwstatus.core.polling.job_poller import JobPoller
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget
from airflow_provider_hwstatus.errors import ApiError, CredentialsRefusedError, HwStatusError, ServerError
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH
from airflow_provider_hwstatus.testing import FakeHuaweiCloud, Reply
from airflow_provider_hwstatus.transports.shared_connections import SyncConnection, shared_connection


@pytest.fixture
def cloud():
    with FakeHuaweiCloud() as cloud:
        yield cloud


async def amask(secret):
    """Mask nothing."""


def connections(cloud, auth, secret=None):
    """Settings that have nothing in common but the login: other projects, and other ways to use the same project."""
    fields = cloud.connection(auth)
    secret = secret or fields["password"]
    for number in range(10):
        yield settings_from(fields["login"], secret, fields["extra"] | {"project_id": f"{number:032}"})
    for number in range(6):
        yield settings_from(fields["login"], secret, fields["extra"] | {"request_timeout": 20 + number})


def poll_sync(settings):
    connection = SyncConnection(settings, str)
    try:
        return connection.run(JobPoller(connection.client, DLI_BATCH, "b1").fetch_status(RetryBudget(0.0)))
    finally:
        connection.close()


async def poll_async(settings):
    async with shared_connection(settings, amask) as connection:
        return await connection.run(JobPoller(connection.client, DLI_BATCH, "b1").fetch_status(RetryBudget(0.0)))


async def poll_together(every):
    return await asyncio.gather(*map(poll_async, every), return_exceptions=True)


def in_threads(*calls):
    """Call all of *calls* at the same time, each in a thread; return what they returned or raised."""
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


def each_in_a_thread(every):
    return in_threads(*(lambda settings=settings: poll_sync(settings) for settings in every))


def all_in_one_loop(every):
    return asyncio.run(poll_together(every))


def in_loops_and_threads(every):
    loops = [lambda part=every[n::3]: asyncio.run(poll_together(part)) for n in range(2)]
    return in_threads(*loops, *(lambda settings=settings: poll_sync(settings) for settings in every[2::3]))


def one_after_the_other(every):
    return [result for settings in every for result in in_threads(lambda settings=settings: poll_sync(settings))]


WAYS = [one_after_the_other, each_in_a_thread, all_in_one_loop, in_loops_and_threads]


@pytest.mark.parametrize("poll_all", WAYS)
@pytest.mark.parametrize("auth", ["aksk", "password"])
def test_refused_secret_is_sent_once(cloud, auth, poll_all):
    """Sixteen connections with the same wrong secret are refused by one request, in threads and event loops alike."""
    results = poll_all(list(connections(cloud, auth, "wrong")))

    assert [CredentialsRefusedError] * 16 == [type(result) for result in results]
    assert [401] == [record.status for record in cloud.requests]


@pytest.mark.parametrize("poll_all", WAYS)
@pytest.mark.parametrize("auth", ["aksk", "password"])
def test_first_request_of_a_good_secret_holds_nobody_back_for_long(cloud, auth, poll_all):
    """Once a secret is known to be good, all of its connections use it."""
    cloud.job("dli_batch", "b1", "running")
    every = [settings for settings in connections(cloud, auth) if settings.project_id in (None, cloud.project_id)]

    assert ["running"] * 6 == [result.state for result in poll_all(every)]


@pytest.mark.parametrize("poll_all", [each_in_a_thread, all_in_one_loop, in_loops_and_threads])
@pytest.mark.parametrize("auth", ["aksk", "password"])
def test_gateway_in_trouble_is_not_asked_by_each_connection_in_turn(cloud, auth, poll_all):
    """Connections that queue for the first answer share its failure, and do not each sit out a time-out."""
    cloud.break_with(Reply(status=503, delay=0.5), calls=100)

    results = poll_all(list(connections(cloud, auth)))
    assert [ServerError] * 16 == [type(result) for result in results]
    assert 3 >= len(cloud.requests)


@pytest.mark.parametrize("poll_all", WAYS)
def test_mistake_of_one_connection_is_none_of_another(cloud, poll_all):
    """A project that IAM does not know is no reason to refuse those that queue for the same user's first login."""
    cloud.job("dli_batch", "b1", "running")
    every = list(connections(cloud, "password"))

    results = poll_all(every)
    assert 6 == sum(getattr(result, "state", "") == "running" for result in results)
    assert 10 == sum(type(result) is ApiError for result in results)


def test_another_secret_is_another_one(cloud):
    """That one secret was refused keeps no connection from trying the right one."""
    cloud.job("dli_batch", "b1", "running")
    wrong, right = (next(connections(cloud, "aksk", secret)) for secret in ("wrong", None))
    right = Settings(**{**vars(right), "project_id": cloud.project_id})

    assert CredentialsRefusedError is type(one_after_the_other([wrong])[0])
    assert "running" == poll_sync(right).state


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
def test_a_secret_is_judged_by_its_cloud(one, other, same):
    """The regions of a cloud share its accounts; other clouds and private endpoints do not."""
    assert same == (Settings(**one).cloud == Settings(**other).cloud)
