"""A flow whose login is refused runs again with the credentials that are configured now."""

import asyncio
from contextlib import asynccontextmanager
from unittest.mock import AsyncMock

import pytest

from airflow_provider_hwstatus.core.connection.settings import settings_from
from airflow_provider_hwstatus.core.polling.job_poller import JobPoller
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget
from airflow_provider_hwstatus.errors import AuthenticationError, JobNotFoundError
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH
from airflow_provider_hwstatus.transports.shared_connections import (
    AsyncConnection,
    SyncConnection,
    arun_with_current_login,
    run_with_current_login,
)


def _poll(client):
    return JobPoller(client, DLI_BATCH, "b1").fetch_status(RetryBudget(0.0))


def _sync(settings, has_changed):
    connections = []

    def connect():
        connections.append(SyncConnection(settings(), str))
        return connections[-1]

    try:
        return run_with_current_login(_poll, connect, has_changed)
    finally:
        for connection in connections:
            connection.close()


def _async(settings, has_changed):
    @asynccontextmanager
    async def connect():
        connection = AsyncConnection(settings(), AsyncMock())
        try:
            yield connection
        finally:
            await connection.close()

    async def changed(used):
        return has_changed(used)

    return asyncio.run(arun_with_current_login(lambda connection: _poll(connection.client), connect, changed))


@pytest.fixture(params=[_sync, _async], ids=["sync", "async"])
def poll_with(request, cloud):
    """
    Return a function that polls with the secret keys of a list, one after the other.

    It returns the status or the error, and the secret keys that were used.
    """

    def poll(*secrets):
        left, used = list(secrets), []

        def settings():
            used.append(left.pop(0) if len(left) > 1 else left[0])
            fields = cloud.connection()
            return settings_from(fields["login"], used[-1], fields["extra"])

        try:
            return request.param(settings, lambda old: old.password != left[0]), used
        except (AuthenticationError, JobNotFoundError) as error:
            return error, used

    return poll


def test_new_key_replaces_a_refused_one(cloud, poll_with):
    """The poll is repeated with the key that is configured now."""
    cloud.job("dli_batch", "b1", "running")
    status, used = poll_with("old", cloud.secret_key)

    assert "running" == status.state
    assert ["old", cloud.secret_key] == used


def test_same_key_is_not_sent_again(cloud, poll_with):
    """A key that was not replaced would lock the user."""
    error, used = poll_with("wrong")

    assert isinstance(error, AuthenticationError)
    assert ["wrong"] == used


def test_new_key_that_is_refused_ends_the_poll(cloud, poll_with):
    """A secrets backend can create new keys for ever."""
    error, used = poll_with("first", "second", "third")

    assert isinstance(error, AuthenticationError)
    assert ["first", "second"] == used


def test_other_errors_are_no_reason_for_another_key(cloud, poll_with):
    """A key that works stays in use."""
    error, used = poll_with(cloud.secret_key, "new")

    assert isinstance(error, JobNotFoundError)
    assert [cloud.secret_key] == used
