"""The login methods: which requests they send, and when they send them again."""

import json

import pytest

from airflow_provider_hwstatus.core.connection.credentials import REFUSAL_MEMORY
from airflow_provider_hwstatus.core.connection.login import LOGINS, login_for
from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.core.protocol.effects import Exclusive, Request
from airflow_provider_hwstatus.core.protocol.redaction import Redactor
from airflow_provider_hwstatus.errors import (
    ConfigurationError,
    CredentialsRefusedError,
    MalformedResponseError,
    ServerError,
)

POLL = Request("GET", "https://dli.example.com/v2.0/p1/batches/b1/state")
OK = {"state": "running"}
REFUSED = (401, {"error_code": "APIGW.0301", "error_msg": "no"})

AKSK = Settings(login="AK", password="SK")
PASSWORD = Settings(auth="password", login="u", password="pw", domain_name="d", region="cn-north-4")


class User:
    """A login to a cloud whose reply to every request is *reply*, which may be a function of the request."""

    def __init__(self, stub_cloud, settings, reply):
        self.cloud = stub_cloud({"https://": reply})
        self.redact = Redactor()
        self.login = login_for(settings, self.cloud.clock, self.redact)

    def exchange(self):
        """Send the request of a poll; return the HTTP status."""
        return self.cloud.run(self.login.exchange(POLL)).status

    @property
    def logins(self):
        return sum(request.url.endswith("/v3/auth/tokens?nocatalog=true") for request in self.cloud.requests)


@pytest.fixture
def user(stub_cloud):
    """Return a function that makes a login."""
    return lambda settings, reply: User(stub_cloud, settings, reply)


class Iam:
    """Replies to logins with the tokens t1, t2, …, and to polls with 401 if their token is in *refused*."""

    def __init__(self, refused=(), **body):
        self.refused = set(refused)
        self.body = body
        self.count = 0

    def __call__(self, request):
        if request.method == "GET":
            return REFUSED if request.headers["X-Auth-Token"] in self.refused else OK
        self.count += 1
        token = {
            "issued_at": "2026-11-21T00:00:00.000000Z",
            "expires_at": "2026-11-22T00:00:00.000000Z",
            "project": {"id": "p9", "name": "cn-north-4"},
        } | self.body
        return 201, {"token": token}, {"x-subject-token": f"t{self.count}"}


def test_unknown_method_lists_the_known_ones(stub_cloud):
    """The error of an unknown auth lists the allowed values."""
    with pytest.raises(ConfigurationError, match=f"auth must be one of {', '.join(LOGINS)}; it is 'asks'"):
        login_for(Settings(auth="asks"), stub_cloud().clock, Redactor())


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        (Settings(password="SK"), "login"),
        (Settings(login="AK"), "password"),
        (Settings(auth="token"), "password"),
        (Settings(auth="password", login="u", domain_name="d", region="r-1"), "password"),
        (Settings(auth="password", password="p", domain_name="d", region="r-1"), "login"),
        (Settings(auth="password", login="u", password="p", region="r-1"), "domain_name"),
        (Settings(auth="password", login="u", password="p", domain_name="d"), "region"),
    ],
)
def test_missing_field_is_named(stub_cloud, settings, field):
    """Each login method raises an error that names the field that it lacks."""
    with pytest.raises(ConfigurationError, match=field):
        login_for(settings, stub_cloud().clock, Redactor())


def test_given_token_is_sent(user):
    """A given token is sent as it is."""
    ann = user(Settings(auth="token", password="T"), OK)

    assert 200 == ann.exchange()
    assert "T" == ann.cloud.requests[0].headers["X-Auth-Token"]


def test_password_buys_one_token(user):
    """One token is used for many requests, and it names the project."""
    ann = user(PASSWORD, Iam())

    for _ in range(5):
        assert 200 == ann.exchange()
    assert 1 == ann.logins
    assert ["t1"] == ann.cloud.masked
    assert "p9" == ann.login.project_id
    body = json.loads(ann.cloud.requests[0].body)
    assert {"project": {"name": "cn-north-4"}} == body["auth"]["scope"]


def test_token_is_renewed_shortly_before_its_end(user):
    """A token of a day is used until five minutes before its end."""
    ann = user(PASSWORD, Iam())
    ann.exchange()

    ann.cloud.now += 86_400 - 301
    ann.exchange()
    assert 1 == ann.logins
    ann.cloud.now += 2
    ann.exchange()
    assert 2 == ann.logins


def test_life_of_a_token_is_measured_by_iams_clock(user):
    """A local clock that is wrong by hours does not change for how long a token is used."""
    ann = user(PASSWORD, Iam())
    ann.cloud.now += 48 * 3600

    ann.exchange()
    ann.exchange()
    assert 1 == ann.logins


def test_refused_token_is_replaced_once(user):
    """A refused token is replaced, unless it is new."""
    iam = Iam()
    ann = user(PASSWORD, iam)
    ann.exchange()
    iam.refused = {"t1"}
    assert 200 == ann.exchange()
    assert 2 == ann.logins

    hopeless = user(PASSWORD, Iam(refused={f"t{n}" for n in range(1, 99)}))
    assert 401 == hopeless.exchange()
    assert 1 == hopeless.logins
    assert 401 == hopeless.exchange()
    assert 2 == hopeless.logins


def test_wrong_password_is_not_repeated(user):
    """A refused password is not sent again for five minutes, because IAM locks an account after wrong passwords."""
    ann = user(PASSWORD, REFUSED)

    for _ in range(5):
        with pytest.raises(CredentialsRefusedError):
            ann.exchange()
    assert 1 == ann.logins
    ann.cloud.now += REFUSAL_MEMORY + 1
    with pytest.raises(CredentialsRefusedError):
        ann.exchange()
    assert 2 == ann.logins


def test_iam_in_trouble_is_no_refusal(user):
    """A password can be sent again after IAM answered 503."""
    ann = user(PASSWORD, 503)

    with pytest.raises(ServerError):
        ann.exchange()
    ann.cloud.replies = {"https://": Iam()}
    assert 200 == ann.exchange()


@pytest.mark.parametrize(
    "reply",
    [
        (201, {"token": {}}),
        (201, {}, {"x-subject-token": "t"}),
        (201, b"<html>", {"x-subject-token": "t"}),
        (201, b'{"token": {"expires_at": "soon", "issued_at": "now"}}', {"x-subject-token": "t"}),
    ],
)
def test_incomplete_response_to_a_login_is_malformed(user, reply):
    """A response to a login that lacks the token, its body or its times raises an error."""
    with pytest.raises(MalformedResponseError):
        user(PASSWORD, reply).exchange()


def test_permanent_key_is_not_repeated(user):
    """A refused key is sent once for all waits of a connection, because five refusals lock it."""
    ann = user(AKSK, REFUSED)

    for _ in range(10):
        with pytest.raises(CredentialsRefusedError):
            ann.exchange()
    assert 1 == len(ann.cloud.requests)


def test_key_that_was_refused_is_tried_again_after_the_lock(user):
    """A refused key is sent again after five minutes."""
    ann = user(AKSK, REFUSED)
    with pytest.raises(CredentialsRefusedError):
        ann.exchange()

    ann.cloud.replies = {"https://": OK}
    ann.cloud.now += REFUSAL_MEMORY + 1
    assert 200 == ann.exchange()


def test_first_use_of_a_permanent_key_is_exclusive(user):
    """Only the first request of a permanent key is sent alone."""
    ann = user(AKSK, OK)

    assert isinstance(next(ann.login.exchange(POLL)), Exclusive)
    ann.exchange()
    assert isinstance(next(ann.login.exchange(POLL)), Request)


def test_trouble_at_the_gateway_proves_no_key(user):
    """After a 503 the next request of a key is sent alone, too."""
    ann = user(AKSK, 503)
    with pytest.raises(ServerError):
        ann.exchange()

    assert isinstance(next(ann.login.exchange(POLL)), Exclusive)


def test_refused_temporary_key_is_sent_again(user):
    """A temporary key can be sent again after a refusal, because the gateway does not lock it."""
    ann = user(Settings(login="AK", password="SK", security_token="ST"), REFUSED)

    assert [401, 401] == [ann.exchange(), ann.exchange()]
    assert "ST" == ann.cloud.requests[0].headers["X-Security-Token"]


def test_every_secret_is_known_to_the_redactor(user):
    """Every secret that a login has or fetches is redacted."""
    for settings in (AKSK, PASSWORD, Settings(login="AK", password="SK", security_token="ST-1")):
        ann = user(settings, Iam() if settings is PASSWORD else OK)
        ann.exchange()
        secrets = [settings.password, settings.security_token]
        secrets += ["t1"] if settings is PASSWORD else [settings.login]
        for secret in filter(None, secrets):
            assert "***" == ann.redact(secret)
