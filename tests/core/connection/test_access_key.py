"""The login with an access key: when a key is sent, and when another one is read."""

import pytest

from airflow_provider_hwstatus.core.connection.login import login_for
from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.core.protocol.effects import Exclusive, Request
from airflow_provider_hwstatus.core.protocol.redaction import Redactor
from airflow_provider_hwstatus.errors import AuthenticationError, CredentialsRefusedError, ServerError

POLL = Request("GET", "https://dli/v2.0/p1/batches/b1/state")
OK = {"state": "running"}
REFUSED = (401, {"error_code": "APIGW.0301", "error_msg": "no"})
PERMANENT, TEMPORARY = {"ak": "AKIDONE", "sk": "SK1"}, {"ak": "AKIDTMP", "sk": "SK2", "security_token": "ST2"}


class Key:
    """A login with an access key, and the given replies of the gateway."""

    def __init__(self, stub_cloud, *replies, **fields):
        self.cloud = stub_cloud({"https://dli": list(replies)})
        self.redact = Redactor()
        self.login = login_for(Settings(**fields), self.cloud.clock, self.redact)

    def poll(self):
        return self.cloud.run(self.login.exchange(POLL)).status

    @property
    def used(self):
        """The access key of each request."""
        signed = [request.headers["Authorization"].partition("Access=")[2] for request in self.cloud.requests]
        return [text.partition(",")[0] for text in signed]


@pytest.fixture
def given(stub_cloud):
    """Return a function that makes a login with the key of the connection."""
    return lambda *replies, **more: Key(stub_cloud, *replies, **({"login": "AKIDONE", "password": "SK1"} | more))


@pytest.fixture
def environment(stub_cloud, monkeypatch, tmp_path):
    """Return a function that puts a key into the environment and makes a login with it."""
    monkeypatch.setenv("HOME", str(tmp_path))

    def put(parts):
        for name in ("AK", "SK", "SECURITY_TOKEN", "PROJECT_ID"):
            monkeypatch.delenv(f"HUAWEICLOUD_SDK_{name}", raising=False)
        for name, value in parts.items():
            monkeypatch.setenv(f"HUAWEICLOUD_SDK_{name.upper()}", value)

    def log_in(*replies, **parts):
        put(parts)
        return Key(stub_cloud, *replies, auth="env")

    log_in.put = put
    return log_in


@pytest.mark.parametrize(
    ("status", "proven"),
    [(200, True), (299, True), (400, True), (403, True), (404, True), (300, False), (429, False), (500, False)],
)
def test_key_is_proven_by_a_response_that_read_it(given, status, proven):
    """Requests are sent one at a time until a response shows that the gateway has checked the key."""
    key = given(status)
    if proven:
        assert status == key.poll()
    else:
        with pytest.raises(Exception, match=f"HTTP {status}"):
            key.poll()

    assert proven is not isinstance(next(key.login.exchange(POLL)), Exclusive)


def test_waits_that_queued_for_a_proof_send_at_once(given):
    """After the first response, the waits that queued for it send their requests without queueing again."""
    key = given(OK)
    turns = [next(key.login.exchange(POLL)) for _ in range(2)]
    first, second = (key.cloud.run(turn.flow()) for turn in turns)

    assert (200, None) == (first.status, second)
    assert 1 == len({turn.name for turn in turns})
    waiting = key.login.exchange(POLL)
    assert isinstance(waiting.send(None), Request)


def test_refusal_is_remembered_for_five_minutes(given):
    """A refused key is not sent for five minutes, and the error has code and request id of the refusal."""
    key = given((401, REFUSED[1], {"x-request-id": "q1"}))
    with pytest.raises(CredentialsRefusedError):
        key.poll()

    key.cloud.now += 299.0
    with pytest.raises(
        CredentialsRefusedError, match=r"^not sent again, because it was refused less than 5 minutes ago: HTTP"
    ) as caught:
        key.poll()
    assert (401, "APIGW.0301", "q1") == (caught.value.http_status, caught.value.code, caught.value.request_id)
    assert 1 == len(key.cloud.requests)
    key.cloud.now += 1.0
    key.cloud.replies = {"https://dli": OK}
    assert 200 == key.poll()


def test_key_that_is_revoked_is_not_repeated(given):
    """A key that worked and is refused later is not sent again."""
    key = given(OK, REFUSED)
    key.poll()

    for _ in range(3):
        with pytest.raises(CredentialsRefusedError):
            key.poll()
    assert 2 == len(key.cloud.requests)


def test_after_a_refusal_requests_are_sent_one_at_a_time(given):
    """Five minutes after a refusal the key has to be proven again."""
    key = given(OK, REFUSED, OK)
    key.poll()
    with pytest.raises(CredentialsRefusedError):
        key.poll()
    key.cloud.now += 301.0

    assert isinstance(next(key.login.exchange(POLL)), Exclusive)


def test_login_shows_four_letters_of_the_key(given):
    """The login shows four letters of the access key; the keys and the token are secret."""
    key = given(OK, login="AKIDSECRET", security_token="ST1")

    assert "access key AKID…" == key.login.identity
    assert "*** *** ***" == key.redact("AKIDSECRET SK1 ST1")
    assert key.login.project_id is None
    assert key.cloud.run(key.login.ensure()) is None


def test_key_of_the_environment_is_masked_once(environment):
    """Each key that is read from the environment is masked once, because Airflow does not know it."""
    key = environment(OK, **TEMPORARY)
    key.poll()
    key.poll()

    assert ["AKIDTMP", "SK2", "ST2"] == key.cloud.masked
    assert ["AKIDTMP", "AKIDTMP"] == key.used


def test_environment_may_name_the_project(environment):
    """The project of the SDK's environment variable is used."""
    assert "p7" == environment(OK, project_id="p7", **PERMANENT).login.project_id
    assert environment(OK, **PERMANENT).login.project_id is None


def test_replaced_temporary_key_is_read(environment):
    """After a refusal, a temporary key that was replaced in the environment is read, sent and masked."""
    key = environment(OK, REFUSED, OK, **TEMPORARY)
    key.poll()
    environment.put(TEMPORARY | {"ak": "AKIDNEW"})

    assert [200, 200] == [key.poll(), key.poll()]
    assert ["AKIDTMP", "AKIDTMP", "AKIDNEW", "AKIDNEW"] == key.used
    assert "AKIDNEW" in key.cloud.masked
    assert "AKIDNEW" not in key.redact("AKIDNEW")


def test_temporary_key_that_was_not_replaced_is_sent_again(environment):
    """The 401 of a temporary key is returned, and the key is sent again, because the gateway does not lock it."""
    key = environment(REFUSED, **TEMPORARY)

    assert [401, 401] == [key.poll(), key.poll()]
    assert 2 == len(key.cloud.requests)


def test_replaced_permanent_key_is_read(environment):
    """After a refusal, a permanent key that was replaced in the environment is read and sent."""
    key = environment(OK, REFUSED, OK, **PERMANENT)
    key.poll()
    environment.put(PERMANENT | {"sk": "SK9"})

    assert 200 == key.poll()
    assert 3 == len(key.cloud.requests)


def test_permanent_key_that_was_not_replaced_is_sent_once(environment):
    """A refused key of the environment is sent once, until it is replaced."""
    key = environment(REFUSED, **PERMANENT)

    for _ in range(3):
        with pytest.raises(CredentialsRefusedError):
            key.poll()
    assert 1 == len(key.cloud.requests)
    environment.put(PERMANENT | {"sk": "SK9"})
    key.cloud.replies = {"https://dli": OK}
    assert 200 == key.poll()


def test_new_key_that_is_refused_too_is_not_repeated(environment):
    """Each key of the environment is sent once after its refusal."""
    key = environment(REFUSED, **PERMANENT)
    with pytest.raises(CredentialsRefusedError):
        key.poll()
    environment.put(PERMANENT | {"sk": "SK9"})

    for _ in range(3):
        with pytest.raises(AuthenticationError):
            key.poll()
    assert 2 == len(key.cloud.requests)


def test_other_errors_do_not_read_the_environment(environment):
    """A 503 or a 403 is returned, and the environment is not read again."""
    key = environment(OK, 503, 403, **TEMPORARY)
    key.poll()
    environment.put(TEMPORARY | {"ak": "AKIDNEW"})

    assert [503, 403] == [key.poll(), key.poll()]
    assert {"AKIDTMP"} == set(key.used)


def test_trouble_at_the_gateway_is_no_refusal(environment):
    """A key is sent again after a 503."""
    key = environment(503, OK, **PERMANENT)
    with pytest.raises(ServerError):
        key.poll()

    assert 200 == key.poll()
