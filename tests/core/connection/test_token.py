"""Logging in with a token, as IAM's API reference has it."""

import json

import pytest

from airflow_provider_hwstatus.core.connection.login import login_for
from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.core.protocol.effects import Request, Response
from airflow_provider_hwstatus.core.protocol.redaction import Redactor
from airflow_provider_hwstatus.errors import (
    ConfigurationError,
    CredentialsRefusedError,
    HwStatusError,
    MalformedResponseError,
    TransportError,
)

POLL = Request("GET", "https://dli/v2.0/p1/batches/b1/state", {"X-Project-Id": "p1"})
IAM, DLI = "POST https://iam/v3/auth/tokens?nocatalog=true", "https://dli"
TIMES = {"issued_at": "2026-11-21T00:00:00.000000Z", "expires_at": "2026-11-22T00:00:00.000000Z"}
USER = {"auth": "password", "login": "ann", "password": "pw", "domain_name": "acme", "iam_endpoint": "https://iam"}


def token(number, **body):
    """Return IAM's reply to a login."""
    return 201, {"token": TIMES | body}, {"x-subject-token": f"t{number}"}


class User:
    """An IAM user's login, to a cloud that gives the replies named."""

    def __init__(self, stub_cloud, logins, polls=(200,), **fields):
        self.cloud = stub_cloud({IAM: list(logins), DLI: list(polls)})
        self.redact = Redactor()
        settings = Settings(**(USER | {"region": "cn-north-4"} | fields))
        self.login = login_for(settings, self.cloud.clock, self.redact)

    def poll(self):
        return self.cloud.run(self.login.exchange(POLL)).status

    @property
    def used(self):
        """Return the token of each request, None for a login."""
        return [request.headers.get("X-Auth-Token") for request in self.cloud.requests]


@pytest.fixture
def user(stub_cloud):
    """Return a function that makes an IAM user's login."""
    return lambda *args, **fields: User(stub_cloud, *args, **fields)


@pytest.mark.parametrize(
    ("fields", "project"),
    [
        ({}, {"name": "cn-north-4"}),
        ({"project_id": "p1"}, {"id": "p1"}),
        ({"project_id": "p1", "region": None}, {"id": "p1"}),
    ],
)
def test_login_is_for_one_project(user, fields, project):
    """By its id, if it is known, else by its name, which is the region's."""
    ann = user([token(1)], **fields)
    ann.poll()

    request = ann.cloud.requests[0]
    assert ("POST", "https://iam/v3/auth/tokens?nocatalog=true") == (request.method, request.url)
    assert {"Content-Type": "application/json;charset=utf8"} == request.headers
    assert {
        "auth": {
            "identity": {
                "methods": ["password"],
                "password": {"user": {"domain": {"name": "acme"}, "name": "ann", "password": "pw"}},
            },
            "scope": {"project": project},
        }
    } == json.loads(request.body)


def test_login_needs_to_know_the_project(stub_cloud):
    """A token is for one."""
    with pytest.raises(ConfigurationError, match="auth=password needs region or project_id"):
        login_for(Settings(**USER), stub_cloud().clock, Redactor())


def test_token_is_added_to_a_request(user):
    """Its own headers stay."""
    ann = user([token(1)])
    ann.poll()

    assert {"X-Project-Id": "p1", "X-Auth-Token": "t1"} == ann.cloud.requests[1].headers


def test_who_it_is(user):
    """The user and the account, and the project that the token is for; the token is secret."""
    ann = user([token(1, project={"id": "p7"})])
    assert "IAM user ann of account acme" == ann.login.identity
    assert ann.login.project_id is None
    ann.cloud.run(ann.login.ensure())

    assert "p7" == ann.login.project_id
    assert ["t1"] == ann.cloud.masked
    assert "*** ***" == ann.redact("t1 pw")
    ann.poll()
    assert [None, "t1"] == ann.used


@pytest.mark.parametrize("project", [{"id": "../p"}, {"id": None}, {}])
def test_project_that_can_be_none_is_refused(user, project):
    """It would become part of every path."""
    with pytest.raises(MalformedResponseError, match="project id"):
        user([token(1, project=project)]).poll()


@pytest.mark.parametrize(
    ("hours", "used"), [(24, 24 * 3600 - 300), (1, 3600 - 300), (0.5, 1800 * 0.9), (0, 60), (-1, 60)]
)
def test_token_is_replaced_before_its_end(user, hours, used):
    """Five minutes before, or after nine tenths of a short life; one of no length says that a clock is wrong."""
    minutes = int(hours * 60)
    ends = {"expires_at": f"2026-11-2{1 + minutes // 1440}T{minutes % 1440 // 60:02}:{minutes % 60:02}:00.000000Z"}
    ends = {"expires_at": "2026-11-20T23:00:00.000000Z"} if hours < 0 else ends
    ann = user([token(1, **ends), token(2)])
    ann.poll()

    ann.cloud.now += used - 1
    ann.poll()
    ann.cloud.now += 1
    ann.poll()
    assert [None, "t1", "t1", None, "t2"] == ann.used


def test_life_begins_before_the_login(stub_cloud):
    """The time that a slow login took is no part of the token's life here."""
    ann = User(stub_cloud, [token(1), token(2)])
    ann.cloud.takes = 20.0
    ann.cloud.run(ann.login.ensure())

    ann.cloud.now += 86_400 - 300 - 20
    ann.poll()
    assert [None, None, "t2"] == ann.used


@pytest.mark.parametrize(
    ("reply", "renewed"),
    [
        (401, True),
        ((400, {"error_code": "DLI.0015", "error_msg": "token"}), True),
        ((403, {"error_code": "IAM.0066", "error_msg": "expired"}), True),
        ((400, {"error_code": "IAM0067", "error_msg": "invalid"}), True),
        ((400, {"error_code": "DLI.0001", "error_msg": "parameter"}), False),
        ((400, {"error_code": 15, "error_msg": "parameter"}), False),
        ((400, b"<html>"), False),
        ((500, b""), False),
        ((403, [1]), False),
        ((200, {"error_code": "DLI.0015", "error_msg": "token"}), False),
    ],
)
def test_token_is_renewed_where_that_may_help(user, reply, renewed):
    """A 401, or a code that says so with another status; no other reply, whatever it holds."""
    ann = user([token(1), token(2)], [{}, reply, {}])
    ann.poll()

    status = ann.poll()
    assert (200 if renewed else reply if isinstance(reply, int) else reply[0]) == status
    assert [None, "t1", "t1", *([None, "t2"] if renewed else [])] == ann.used


def test_new_token_that_is_refused_is_the_answer(user):
    """A login for each refusal would go on for ever."""
    ann = user([token(1), token(2)], [401])

    assert [401, 401] == [ann.poll(), ann.poll()]
    assert [None, "t1", "t1", None, "t2"] == ann.used


def test_waits_whose_token_died_renew_it_once(user):
    """The second one finds the new token when its turn comes, and sends its request with that."""
    ann = user([token(1), token(2)], [{}, 401, 401, {}])
    ann.poll()
    waits = [ann.login.exchange(POLL) for _ in range(2)]
    assert ["t1", "t1"] == [next(wait).headers["X-Auth-Token"] for wait in waits]
    turns = [wait.send(Response(401, {}, b"")) for wait in waits]
    fetched = [ann.cloud.run(turn.flow()) for turn in turns]

    assert fetched[0] is fetched[1]
    assert ["t2", "t2"] == [wait.send(one).headers["X-Auth-Token"] for wait, one in zip(waits, fetched, strict=True)]


def test_refused_password_is_not_repeated(user):
    """The account would be locked; the message says what to check."""
    no = (401, {"error": {"code": 401, "message": "The username or password is wrong."}})
    ann = user([no])

    for _ in range(3):
        with pytest.raises(CredentialsRefusedError, match=r"login.*password.*domain_name"):
            ann.poll()
    assert [None] == ann.used


def test_iam_that_cannot_be_reached_is_no_refusal(user):
    """The message says which service it was."""
    ann = user([TransportError("reset"), token(1)])
    with pytest.raises(TransportError, match=r"^IAM cannot be reached to log in: reset"):
        ann.poll()

    assert 200 == ann.poll()


@pytest.mark.parametrize(
    "reply",
    [
        (201, {"token": TIMES}),
        (201, {"token": TIMES}, {"x-subject-token": ""}),
        (201, {"token": TIMES}, {"x-subject-token": "tökén"}),
        (201, {"token": None}, {"x-subject-token": "t"}),
        (201, {"token": [TIMES]}, {"x-subject-token": "t"}),
        *(
            (201, {"token": TIMES | {name: wrong}}, {"x-subject-token": "t"})
            for name in TIMES
            for wrong in (None, "soon", 7)
        ),
        (201, {"token": TIMES | {"issued_at": "2026-11-21T00:00:00"}}, {"x-subject-token": "t"}),
    ],
)
def test_login_that_gives_no_token_is_none(user, reply):
    """Without a token, its body or both of its ends nothing is sent to a service."""
    ann = user([reply])

    with pytest.raises(MalformedResponseError, match=r"^IAM's response to the login has no") as caught:
        ann.poll()
    assert [None] == ann.used
    assert caught.value.__cause__ is None


def test_given_token(stub_cloud):
    """It is sent as it is, secret, and nobody's in person."""
    cloud, redact = stub_cloud({DLI: 401}), Redactor()
    login = login_for(Settings(auth="token", password="T1"), cloud.clock, redact)
    response = cloud.run(login.exchange(POLL))

    assert 401 == response.status
    assert {"X-Project-Id": "p1", "X-Auth-Token": "T1"} == cloud.requests[0].headers
    assert ("the owner of the given token", None, "***") == (login.identity, login.project_id, redact("T1"))
    assert cloud.run(login.ensure()) is None


def test_no_error_of_a_login_is_another_ones(user):
    """Whoever shares a refusal puts its own subject into its message."""
    ann = user([(401, b"")])
    errors = []
    for _ in range(2):
        try:
            ann.poll()
        except HwStatusError as error:
            errors.append(error.about("DLI batch b1"))

    assert [1, 1] == [str(error).count("DLI batch b1") for error in errors]
