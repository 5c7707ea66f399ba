"""Ways to log in, driven by hand."""

import json
from datetime import UTC, datetime

import pytest

from airflow_provider_hwstatus.core.connection.credentials import REFUSAL_MEMORY
from airflow_provider_hwstatus.core.connection.login import login_for
from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.core.protocol.effects import Exclusive, Mask, Request, Response
from airflow_provider_hwstatus.core.protocol.redaction import Redactor
from airflow_provider_hwstatus.errors import (
    ConfigurationError,
    CredentialsRefusedError,
    MalformedResponseError,
    ServerError,
)

NOW = datetime(2026, 11, 21, tzinfo=UTC).timestamp()
POLL = Request("GET", "https://dli.example.com/v2.0/p1/batches/b1/state")
OK = Response(200, {}, b'{"state": "running"}')
REFUSED = Response(401, {}, b'{"error_code": "APIGW.0301", "error_msg": "no"}')

AKSK = Settings(login="AK", password="SK")
PASSWORD = Settings(auth="password", login="u", password="pw", domain_name="d", region="cn-north-4")


class Cloud:
    """Runs flows alone, answers by a function, and has a clock."""

    def __init__(self, settings, answer):
        self.now = NOW
        self.sent = []
        self.masked = []
        self.answer = answer
        self.redact = Redactor()
        self.login = login_for(settings, lambda: self.now, self.redact)

    def run(self, flow):
        value = None
        try:
            while True:
                effect = flow.send(value)
                if isinstance(effect, Mask):
                    self.masked.append(effect.secret)
                elif isinstance(effect, Exclusive):
                    value = self.run(effect.flow())
                else:
                    self.sent.append(effect)
                    value = self.answer(effect)
        except StopIteration as done:
            return done.value

    def exchange(self):
        return self.run(self.login.exchange(POLL))

    @property
    def logins(self):
        return sum(request.url.endswith("/v3/auth/tokens?nocatalog=true") for request in self.sent)


class Iam:
    """Answers logins with t1, t2, …, and polls as the token deserves."""

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
        return Response(201, {"x-subject-token": f"t{self.count}"}, json.dumps({"token": token}).encode())


def test_unknown_way_lists_the_known_ones():
    """Whoever misspells auth reads what is allowed."""
    with pytest.raises(
        ConfigurationError, match=r"auth must be one of aksk, password, token, agency, env; it is 'asks'"
    ):
        login_for(Settings(auth="asks"), lambda: NOW, Redactor())


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
def test_missing_field_is_named(settings, field):
    """Each way to log in says which field it lacks."""
    with pytest.raises(ConfigurationError, match=field):
        login_for(settings, lambda: NOW, Redactor())


def test_given_token_is_sent():
    """A given token goes out as it is."""
    cloud = Cloud(Settings(auth="token", password="T"), lambda request: OK)

    assert OK == cloud.exchange()
    assert "T" == cloud.sent[0].headers["X-Auth-Token"]


def test_password_buys_one_token():
    """A token serves many requests, and tells the project."""
    cloud = Cloud(PASSWORD, Iam())

    for _ in range(5):
        assert OK == cloud.exchange()
    assert 1 == cloud.logins
    assert ["t1"] == cloud.masked
    assert "p9" == cloud.login.project_id
    body = json.loads(cloud.sent[0].body)
    assert {"project": {"name": "cn-north-4"}} == body["auth"]["scope"]


def test_token_is_renewed_shortly_before_its_end():
    """A token of a day is used until five minutes before its end."""
    cloud = Cloud(PASSWORD, Iam())
    cloud.exchange()

    cloud.now += 86_400 - 301
    cloud.exchange()
    assert 1 == cloud.logins
    cloud.now += 2
    cloud.exchange()
    assert 2 == cloud.logins


def test_life_is_taken_from_iams_own_clock():
    """A clock here that is hours off neither keeps a dead token nor renews a live one."""
    cloud = Cloud(PASSWORD, Iam())
    cloud.now += 48 * 3600

    cloud.exchange()
    cloud.exchange()
    assert 1 == cloud.logins


def test_refused_token_is_replaced_once():
    """A token that died early is replaced; a fresh one that is refused, too, is not."""
    iam = Iam()
    cloud = Cloud(PASSWORD, iam)
    cloud.exchange()
    iam.refused = {"t1"}
    assert OK == cloud.exchange()
    assert 2 == cloud.logins

    hopeless = Cloud(PASSWORD, Iam(refused={f"t{n}" for n in range(1, 99)}))
    assert REFUSED == hopeless.exchange()
    assert 1 == hopeless.logins
    assert REFUSED == hopeless.exchange()
    assert 2 == hopeless.logins


def test_wrong_password_is_not_repeated():
    """IAM locks an account after wrong passwords, so nobody tries a refused one again for five minutes."""
    cloud = Cloud(PASSWORD, lambda request: REFUSED)

    for _ in range(5):
        with pytest.raises(CredentialsRefusedError):
            cloud.exchange()
    assert 1 == cloud.logins
    cloud.now += REFUSAL_MEMORY + 1
    with pytest.raises(CredentialsRefusedError):
        cloud.exchange()
    assert 2 == cloud.logins


def test_iam_in_trouble_is_no_refusal():
    """A 503 from IAM is waited out like any other."""
    cloud = Cloud(PASSWORD, lambda request: Response(503, {}, b""))

    with pytest.raises(ServerError):
        cloud.exchange()
    cloud.answer = Iam()
    assert OK == cloud.exchange()


@pytest.mark.parametrize(
    "reply",
    [
        Response(201, {}, b'{"token": {}}'),
        Response(201, {"x-subject-token": "t"}, b"{}"),
        Response(201, {"x-subject-token": "t"}, b"<html>"),
        Response(201, {"x-subject-token": "t"}, b'{"token": {"expires_at": "soon", "issued_at": "now"}}'),
    ],
)
def test_login_reply_without_its_parts_is_malformed(reply):
    """A login that IAM did not really answer is none."""
    with pytest.raises(MalformedResponseError):
        Cloud(PASSWORD, lambda request: reply).exchange()


def test_permanent_key_is_not_repeated():
    """Five refusals lock a key, so one is enough for all waits of a connection."""
    cloud = Cloud(AKSK, lambda request: REFUSED)

    for _ in range(10):
        with pytest.raises(CredentialsRefusedError):
            cloud.exchange()
    assert 1 == len(cloud.sent)


def test_key_that_was_refused_is_tried_again_after_the_lock():
    """A key that was unlocked works again without a restart."""
    cloud = Cloud(AKSK, lambda request: REFUSED)
    with pytest.raises(CredentialsRefusedError):
        cloud.exchange()

    cloud.answer = lambda request: OK
    cloud.now += REFUSAL_MEMORY + 1
    assert OK == cloud.exchange()


def test_first_use_of_a_permanent_key_is_exclusive():
    """Until one answer has shown that a key is good, others wait for it; after that nobody does."""
    login = login_for(AKSK, lambda: NOW, Redactor())

    assert isinstance(next(login.exchange(POLL)), Exclusive)
    flow = login.exchange(POLL)
    first = next(flow).flow()
    next(first)
    with pytest.raises(StopIteration):
        first.send(OK)
    assert isinstance(next(login.exchange(POLL)), Request)


def test_trouble_at_the_gateway_proves_no_key():
    """A 503 says nothing about the key."""
    cloud = Cloud(AKSK, lambda request: Response(503, {}, b""))
    with pytest.raises(ServerError):
        cloud.exchange()

    assert isinstance(next(cloud.login.exchange(POLL)), Exclusive)


def test_refused_temporary_key_may_be_asked_about_again():
    """A temporary key is not locked; its refusal is the caller's to judge."""
    cloud = Cloud(Settings(login="AK", password="SK", security_token="ST"), lambda request: REFUSED)

    assert [REFUSED, REFUSED] == [cloud.exchange(), cloud.exchange()]
    assert "ST" == cloud.sent[0].headers["X-Security-Token"]


def test_every_secret_is_known_to_the_redactor():
    """What a login holds or fetches is hidden from then on."""
    for settings in (AKSK, PASSWORD, Settings(login="AK", password="SK", security_token="ST-1")):
        cloud = Cloud(settings, Iam() if settings is PASSWORD else lambda request: OK)
        cloud.exchange()
        secrets = [settings.password, settings.security_token]
        secrets += ["t1"] if settings is PASSWORD else [settings.login]
        for secret in filter(None, secrets):
            assert "***" == cloud.redact(secret)
