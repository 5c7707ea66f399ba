"""Every way to log in, against the fake, in both colours, with renewal while waits run."""

import asyncio
import threading
import time
from types import SimpleNamespace

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


async def amask(secret):
    """Mask nothing."""


@pytest.fixture
def cloud():
    with FakeHuaweiCloud() as cloud:
        cloud.job(DLI_BATCH, "b1", "running")
        yield cloud


@pytest.fixture
def environment(monkeypatch, tmp_path):
    """Put a key where the vendor's SDK finds it: its variables, or its profile file."""
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
    """Return a function that calls one of *steps* each time; ``int`` is one that does nothing."""
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
        async with shared_connection(settings, amask) as connection:
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
    """Poll with many waits at once, again and again, in one colour."""
    return request.param


@pytest.fixture
def connection_of(cloud, environment):
    """Return a connection for each way to log in."""

    def connection(auth):
        if auth == "env":
            environment(cloud.temporary_key())
        return cloud.connection(auth)

    return connection


@pytest.mark.parametrize("auth", list(LOGINS))
def test_every_way_works_with_many_waits(cloud, connection_of, poll_all, auth):
    """Twenty waits at once log in, and what is fetched is fetched once."""
    statuses = poll_all(settings_of(connection_of(auth)), 20, 2)

    assert ["running"] * 40 == [status.state for status in statuses]
    assert (1 if auth == "password" else 0, 1 if auth == "agency" else 0) == (cloud.logins, cloud.metadata.keys)


@pytest.mark.parametrize("auth", ["password", "agency"])
def test_refused_login_is_renewed_once_while_waits_run(cloud, connection_of, poll_all, auth):
    """When tokens and keys die early, all waits go on with one new login."""
    statuses = poll_all(settings_of(connection_of(auth)), 10, 3, in_turn(int, cloud.expire_tokens, int))
    assert 30 == len(statuses)
    assert 2 == cloud.logins + cloud.metadata.keys


@pytest.mark.parametrize("auth", ["password", "agency"])
def test_login_is_renewed_before_it_expires(monkeypatch, poll_all, auth):
    """Waits that outlast their login never see it refused, by a clock that only this test moves."""
    now = [time.time()]
    monkeypatch.setattr(shared_connections, "time", SimpleNamespace(time=lambda: now[0], monotonic=time.monotonic))

    def pass_a_quarter_of_an_hour():
        now[0] += 900.0

    with FakeHuaweiCloud(clock=lambda: now[0]) as cloud:
        cloud.job(DLI_BATCH, "b1", "running")
        cloud.token_lifetime = 3600.0
        poll_all(settings_of(cloud.connection(auth)), 3, 7, pass_a_quarter_of_an_hour)
    assert {200, 201} >= {record.status for record in cloud.requests}
    assert 2 <= cloud.logins + cloud.metadata.keys <= 3


def test_environment_is_read_again_when_its_key_is_refused(cloud, environment, poll_all):
    """A temporary key that something else replaces in the environment is taken up."""
    environment(cloud.temporary_key())

    def replace():
        cloud.expire_tokens()
        environment(cloud.temporary_key())

    assert 15 == len(poll_all(settings_of(cloud.connection("env")), 5, 3, in_turn(int, replace, int)))


@pytest.mark.parametrize("auth", ["aksk", "password"])
def test_open_telekom_cloud_works_like_the_others(cloud, poll_all, auth):
    """Its regions have other hosts, and projects of their own names, which are looked up alike."""
    cloud.projects["eu-de"] = "e" * 32
    connection = cloud.connection(auth, region="eu-de", project_id=None)

    assert 1 == len(poll_all(settings_of(connection), 1, 1))
    assert "e" * 32 in cloud.requests[-1].path


@pytest.mark.parametrize("found", [{}, {"cn-north-4": "a" * 32, "cn-north-4_team": "b" * 32}])
def test_project_that_is_not_one_is_listed(cloud, found):
    """None or several found: the error says what was found, and what to set."""
    projects = [{"name": "cn-north-4", "id": project_id} for project_id in found.values()]
    cloud.break_with(Reply(body={"projects": projects}), path_contains="/v3/projects")

    with pytest.raises(ConfigurationError, match="Set project_id") as caught:
        poll_all_async(settings_of(cloud.connection(project_id=None)), 1, 1)
    assert all(project_id in str(caught.value) for project_id in found.values())
    assert found or "none" in str(caught.value)


@pytest.mark.parametrize("where", ["variables", "file"])
def test_environment_is_where_the_vendors_sdk_looks(cloud, environment, poll_all, where):
    """The variables come first, then the profile file."""
    environment(cloud.temporary_key(), where)

    assert 1 == len(poll_all(settings_of(cloud.connection("env")), 1, 1))


def test_profile_section_can_be_chosen(cloud, environment, poll_all):
    """A file may have a section for each purpose."""
    environment(cloud.temporary_key(), "file", "basic_airflow")

    assert 1 == len(poll_all(settings_of(cloud.connection("env", profile="basic_airflow")), 1, 1))
    with pytest.raises(ConfigurationError, match=r"section \[basic\] of .*credentials"):
        poll_all_async(settings_of(cloud.connection("env")), 1, 1)


def test_broken_profile_file_shows_nothing_of_itself(cloud, environment, tmp_path):
    """The file may hold a key on the very line that is broken."""
    (tmp_path / ".huaweicloud").mkdir()
    (tmp_path / ".huaweicloud" / "credentials").write_text("sk SECRETSECRET\n")

    with pytest.raises(ConfigurationError, match="auth=env") as caught:
        poll_all_async(settings_of(cloud.connection("env")), 1, 1)
    assert "SECRETSECRET" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("handshake", [True, False])
def test_agency_with_and_without_handshake(cloud, poll_all, handshake):
    """Newer nodes insist on a token, older ones have none."""
    cloud.metadata.handshake = handshake

    assert 1 == len(poll_all(settings_of(cloud.connection("agency")), 1, 1))


def test_node_without_an_agency_says_so(cloud):
    """The metadata service's no is told as what to do."""
    cloud.metadata.agency = False

    with pytest.raises(ConfigurationError, match="next: assign an agency to this node"):
        poll_all_async(settings_of(cloud.connection("agency")), 1, 1)


def test_no_metadata_service_is_told_from_a_refusal(cloud):
    """Outside of an ECS or CCE node nothing answers, and within seconds the error says why."""
    settings = settings_of(cloud.connection("agency", metadata_endpoint="http://127.0.0.1:9"))

    with pytest.raises(TransportError, match="auth=agency works on an ECS or CCE node only"):
        poll_all_async(settings, 1, 1)


def test_unreachable_iam_is_told_from_a_refused_login(cloud):
    """Nobody changes a password because a network is down."""
    settings = settings_of(cloud.connection("password", iam_endpoint="http://127.0.0.1:9"))
    with pytest.raises(TransportError, match="IAM cannot be reached"):
        poll_all_async(settings, 1, 1)

    with pytest.raises(CredentialsRefusedError, match="password is wrong"):
        poll_all_async(settings_of(cloud.connection("password") | {"password": "no"}), 1, 1)


def test_refused_permanent_key_of_the_environment_is_not_repeated(cloud, environment):
    """A permanent key is locked by repeats, wherever it came from; a new one is tried."""
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
def test_what_cannot_be_renewed_fails(cloud, auth):
    """A given token or temporary key that has died is an error."""
    connection = cloud.connection("token") if auth == "token" else cloud.connection(key=cloud.temporary_key())
    cloud.expire_tokens()

    with pytest.raises(AuthenticationError):
        poll_all_async(settings_of(connection), 1, 1)


def test_metadata_is_asked_past_the_proxies(cloud, monkeypatch):
    """No proxy can reach the node's own address."""
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
def test_odd_metadata_is_malformed(cloud, body):
    """What is no key is not signed with."""
    from airflow_provider_hwstatus.errors import MalformedResponseError

    cloud.break_with(Reply(body=body), path_contains="securitykey")
    with pytest.raises(MalformedResponseError):
        poll_all_async(settings_of(cloud.connection("agency")), 1, 1)
