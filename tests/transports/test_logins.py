"""Each login method against the fake cloud, sync and async, with renewal while waits run."""

import asyncio
import threading
import time
from types import SimpleNamespace
from unittest.mock import AsyncMock

import pytest

from airflow_provider_hwstatus.core.connection.login import LOGINS
from airflow_provider_hwstatus.core.connection.settings import settings_from
from airflow_provider_hwstatus.core.polling.job_poller import JobPoller
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget
from airflow_provider_hwstatus.errors import (
    AuthenticationError,
    ConfigurationError,
    CredentialsRefusedError,
    TransportError,
)
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH
from airflow_provider_hwstatus.testing import FakeHuaweiCloud, Reply
from airflow_provider_hwstatus.transports import shared_connections
from airflow_provider_hwstatus.transports.shared_connections import SyncConnection, shared_connection


@pytest.fixture
def cloud(cloud):
    """Add a batch to the fake cloud."""
    cloud.job(DLI_BATCH, "b1", "running")
    return cloud


@pytest.fixture
def environment(monkeypatch, tmp_path):
    """Return a function that puts a key into the variables or the profile file of the vendor's SDK."""
    monkeypatch.setenv("HOME", str(tmp_path))

    def put(key, where="variables", section="basic"):
        for name in ("AK", "SK", "SECURITY_TOKEN"):
            monkeypatch.delenv(f"HUAWEICLOUD_SDK_{name}", raising=False)
        parts = {"ak": key.access_key, "sk": key.secret_key, "security_token": key.security_token}
        parts = {name: value for name, value in parts.items() if value}
        if where == "variables":
            for name, value in parts.items():
                monkeypatch.setenv(f"HUAWEICLOUD_SDK_{name.upper()}", value)
        else:
            file = tmp_path / ".huaweicloud" / "credentials"
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"[{section}]\n" + "".join(f"{name} = {value}\n" for name, value in parts.items()))

    return put


def settings_of(connection):
    return settings_from(connection.get("login"), connection.get("password"), connection["extra"])


def in_turn(*steps):
    """Return a function that calls the next of *steps* each time. ``int`` does nothing."""
    rounds = iter(steps)

    def call():
        next(rounds)()

    return call


def poll_all_sync(settings, waits, polls, between=lambda: None):
    barrier, results = threading.Barrier(waits, action=between), []

    def run():
        connection = SyncConnection(settings, str)
        try:
            for _ in range(polls):
                barrier.wait()
                results.append(
                    connection.run(JobPoller(connection.client, DLI_BATCH, "b1").fetch_status(RetryBudget(0.0)))
                )
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(waits)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def poll_all_async(settings, waits, polls, between=lambda: None):
    async def run():
        results = []
        async with shared_connection(settings, AsyncMock()) as connection:
            for _ in range(polls):
                between()
                flows = (
                    JobPoller(connection.client, DLI_BATCH, "b1").fetch_status(RetryBudget(0.0)) for _ in range(waits)
                )
                results += await asyncio.gather(*map(connection.run, flows))
        return results

    return asyncio.run(run())


@pytest.fixture(params=[poll_all_sync, poll_all_async], ids=["sync", "async"])
def poll_all(request):
    """Poll repeatedly with many waits at once, sync and async."""
    return request.param


@pytest.fixture
def connection_of(cloud, environment):
    """Return a function that returns a connection for a login method."""

    def connection(auth):
        if auth == "env":
            environment(cloud.temporary_key())
        return cloud.connection(auth)

    return connection


@pytest.mark.parametrize("auth", list(LOGINS))
def test_every_login_method_works_with_many_waits(cloud, connection_of, poll_all, auth):
    """Twenty concurrent waits fetch one token or key."""
    statuses = poll_all(settings_of(connection_of(auth)), 20, 2)

    assert ["running"] * 40 == [status.state for status in statuses]
    assert (1 if auth == "password" else 0, 1 if auth == "agency" else 0) == (cloud.logins, cloud.metadata.keys)


@pytest.mark.parametrize("auth", ["password", "agency"])
def test_refused_login_is_renewed_once(cloud, connection_of, poll_all, auth):
    """If tokens and keys expire early, all waits continue with one new login."""
    statuses = poll_all(settings_of(connection_of(auth)), 10, 3, in_turn(int, cloud.expire_tokens, int))
    assert 30 == len(statuses)
    assert 2 == cloud.logins + cloud.metadata.keys


@pytest.mark.parametrize("auth", ["password", "agency"])
def test_login_is_renewed_before_it_expires(monkeypatch, poll_all, auth):
    """No wait sees a login expire, with simulated time."""
    now = [time.time()]
    monkeypatch.setattr(shared_connections, "time", SimpleNamespace(time=lambda: now[0], monotonic=time.monotonic))

    def advance_15_minutes():
        now[0] += 900.0

    with FakeHuaweiCloud(clock=lambda: now[0]) as cloud:
        cloud.job(DLI_BATCH, "b1", "running")
        cloud.token_lifetime = 3600.0
        poll_all(settings_of(cloud.connection(auth)), 3, 7, advance_15_minutes)
    assert {200, 201} >= {record.status for record in cloud.requests}
    assert 2 <= cloud.logins + cloud.metadata.keys <= 3


def test_environment_is_read_again_when_its_key_is_refused(cloud, environment, poll_all):
    """If the key in the environment is refused, the environment is read again."""
    environment(cloud.temporary_key())

    def replace():
        cloud.expire_tokens()
        environment(cloud.temporary_key())

    assert 15 == len(poll_all(settings_of(cloud.connection("env")), 5, 3, in_turn(int, replace, int)))


@pytest.mark.parametrize("auth", ["aksk", "password"])
def test_open_telekom_cloud_works(cloud, poll_all, auth):
    """Its regions have other hosts and project names."""
    cloud.projects["eu-de"] = "e" * 32
    connection = cloud.connection(auth, region="eu-de", project_id=None)

    assert 1 == len(poll_all(settings_of(connection), 1, 1))
    assert "e" * 32 in cloud.requests[-1].path


@pytest.mark.parametrize("found", [{}, {"cn-north-4": "a" * 32, "cn-north-4_team": "b" * 32}])
def test_missing_or_ambiguous_project_is_an_error(cloud, found):
    """If none or several projects are found, the error lists them and says what to set."""
    projects = [{"name": "cn-north-4", "id": project_id} for project_id in found.values()]
    cloud.break_with(Reply(body={"projects": projects}), path_contains="/v3/projects")

    with pytest.raises(ConfigurationError, match="Set project_id") as caught:
        poll_all_async(settings_of(cloud.connection(project_id=None)), 1, 1)
    assert all(project_id in str(caught.value) for project_id in found.values())
    assert found or "none" in str(caught.value)


@pytest.mark.parametrize("where", ["variables", "file"])
def test_environment_is_that_of_the_vendors_sdk(cloud, environment, poll_all, where):
    """The key comes from the variables or the profile file."""
    environment(cloud.temporary_key(), where)

    assert 1 == len(poll_all(settings_of(cloud.connection("env")), 1, 1))


def test_profile_section_can_be_chosen(cloud, environment, poll_all):
    """The field "profile" selects a section of the profile file."""
    environment(cloud.temporary_key(), "file", "basic_airflow")

    assert 1 == len(poll_all(settings_of(cloud.connection("env", profile="basic_airflow")), 1, 1))
    with pytest.raises(ConfigurationError, match=r"section \[basic\] of .*credentials"):
        poll_all_async(settings_of(cloud.connection("env")), 1, 1)


def test_error_about_a_broken_profile_file_shows_no_content(cloud, environment, tmp_path):
    """The error contains nothing of the file, which may contain a key."""
    (tmp_path / ".huaweicloud").mkdir()
    (tmp_path / ".huaweicloud" / "credentials").write_text("sk SECRETSECRET\n")

    with pytest.raises(ConfigurationError, match="auth=env") as caught:
        poll_all_async(settings_of(cloud.connection("env")), 1, 1)
    assert "SECRETSECRET" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("handshake", [True, False])
def test_agency_with_and_without_handshake(cloud, poll_all, handshake):
    """New nodes require a metadata token. Old ones have none."""
    cloud.metadata.handshake = handshake

    assert 1 == len(poll_all(settings_of(cloud.connection("agency")), 1, 1))


def test_node_without_an_agency_is_an_error(cloud):
    """The error says that the node needs an agency."""
    cloud.metadata.agency = False

    with pytest.raises(ConfigurationError, match="next: assign an agency to this node"):
        poll_all_async(settings_of(cloud.connection("agency")), 1, 1)


def test_missing_metadata_service_is_a_transport_error(cloud):
    """Outside of an ECS or CCE node, the error comes within seconds and contains the reason."""
    settings = settings_of(cloud.connection("agency", metadata_endpoint="http://127.0.0.1:9"))

    with pytest.raises(TransportError, match="auth=agency works on an ECS or CCE node only"):
        poll_all_async(settings, 1, 1)


def test_unreachable_iam_is_no_refused_login(cloud):
    """A network error and a wrong password are different errors."""
    settings = settings_of(cloud.connection("password", iam_endpoint="http://127.0.0.1:9"))
    with pytest.raises(TransportError, match="IAM cannot be reached"):
        poll_all_async(settings, 1, 1)

    with pytest.raises(CredentialsRefusedError, match="password is wrong"):
        poll_all_async(settings_of(cloud.connection("password") | {"password": "no"}), 1, 1)


def test_refused_permanent_key_in_the_environment_is_sent_once(cloud, environment):
    """Repeating a wrong permanent key would lock it. A new key is tried."""
    from airflow_provider_hwstatus.core.connection.signing import AccessKey

    environment(AccessKey(cloud.access_key, "wrong"))
    settings = settings_of(cloud.connection("env"))
    for _ in range(3):
        with pytest.raises(CredentialsRefusedError):
            poll_all_async(settings, 1, 1)
    assert 1 == len(cloud.requests)

    environment(AccessKey(cloud.access_key, cloud.secret_key))
    assert 1 == len(poll_all_async(settings, 1, 1))


@pytest.mark.parametrize("auth", ["token", "aksk"])
def test_expired_login_without_renewal_fails(cloud, auth):
    """An expired token or temporary key in the connection is an error."""
    connection = cloud.connection("token") if auth == "token" else cloud.connection(key=cloud.temporary_key())
    cloud.expire_tokens()

    with pytest.raises(AuthenticationError):
        poll_all_async(settings_of(connection), 1, 1)


def test_metadata_requests_use_no_proxy(cloud, monkeypatch):
    """A proxy cannot reach the node's metadata service."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    settings = settings_of(cloud.connection("agency"))

    with pytest.raises(TransportError, match=f"GET {cloud.url}/v2.0"):
        poll_all_async(settings, 1, 1)
    assert 1 == cloud.metadata.keys


@pytest.mark.parametrize(
    "body",
    [{}, {"credential": None}, {"credential": {"access": "a", "secret": "s"}}, {"credential": {"expires_at": "x"}}],
)
def test_malformed_metadata_is_an_error(cloud, body):
    """A response without a complete key is an error."""
    from airflow_provider_hwstatus.errors import MalformedResponseError

    cloud.break_with(Reply(body=body), path_contains="securitykey")
    with pytest.raises(MalformedResponseError):
        poll_all_async(settings_of(cloud.connection("agency")), 1, 1)
