"""The login with a token or a password, as in IAM's API reference."""

import json

import pytest

from airflow_provider_hwstatus.core.connection.login import login_for
from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.core.protocol.effects import Request
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
    """Return IAM's response to a login."""
    return 201, {"token": TIMES | body}, {"x-subject-token": f"t{number}"}


class User:
    """The login of an IAM user, and the given replies to logins and polls."""

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
    """Return a function that makes the login of an IAM user."""
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
    """A login names its project by id, or else by the name of the region."""
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
    """Without a region and a project id, auth=password raises an error."""
    with pytest.raises(ConfigurationError, match="auth=password needs region or project_id"):
        login_for(Settings(**USER), stub_cloud().clock, Redactor())


def test_token_is_added_to_a_request(user):
    """The token is added to the headers of a request."""
    ann = user([token(1)])
    ann.poll()

    assert {"X-Project-Id": "p1", "X-Auth-Token": "t1"} == ann.cloud.requests[1].headers


def test_login_has_a_name_and_a_project(user):
    """The login is named by user and account, its project is that of the token, and the token is secret."""
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
def test_invalid_project_id_is_refused(user, project):
    """A project id that is not letters and digits is refused, because it becomes part of every path."""
    with pytest.raises(MalformedResponseError, match="project id"):
        user([token(1, project=project)]).poll()


@pytest.mark.parametrize(
    ("hours", "used"), [(24, 24 * 3600 - 300), (1, 3600 - 300), (0.5, 1800 * 0.9), (0, 60), (-1, 60)]
)
def test_token_is_replaced_before_its_end(user, hours, used):
    """A token is replaced five minutes before its end, or after nine tenths of a short life."""
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


def test_life_of_a_token_begins_before_the_login(stub_cloud):
    """The seconds that a login takes are part of the life of its token."""
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
def test_refused_token_is_renewed(user, reply, renewed):
    """A 401, and an error code for a refused token, renew the token; no other response does."""
    ann = user([token(1), token(2)], [{}, reply, {}])
    ann.poll()

    status = ann.poll()
    assert (200 if renewed else reply if isinstance(reply, int) else reply[0]) == status
    assert [None, "t1", "t1", *([None, "t2"] if renewed else [])] == ann.used


def test_new_token_that_is_refused_is_not_renewed(user):
    """A new token that is refused is not replaced, so there is one login for each poll at most."""
    ann = user([token(1), token(2)], [401])

    assert [401, 401] == [ann.poll(), ann.poll()]
    assert [None, "t1", "t1", None, "t2"] == ann.used


def test_waits_whose_token_was_refused_renew_it_once(user):
    """A wait whose token was refused uses the token that another wait has fetched meanwhile."""
    ann = user([token(1), token(2)], [{}])
    ann.poll()

    def refuse_after_another_wait(request):
        ann.cloud.replies[DLI] = [401, {}]
        assert 200 == ann.poll()
        return 401

    ann.cloud.replies[DLI] = refuse_after_another_wait
    assert 200 == ann.poll()
    assert [None, "t1", "t1", "t1", None, "t2", "t2"] == ann.used


def test_refused_password_is_not_repeated(user):
    """A refused password is sent once, and the message names the fields to check."""
    no = (401, {"error": {"code": 401, "message": "The username or password is wrong."}})
    ann = user([no])

    for _ in range(3):
        with pytest.raises(CredentialsRefusedError, match=r"login.*password.*domain_name"):
            ann.poll()
    assert [None] == ann.used


def test_iam_that_cannot_be_reached_is_no_refusal(user):
    """An error of the network names IAM, and the next poll logs in again."""
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
def test_incomplete_response_to_a_login_is_malformed(user, reply):
    """A response without a token, its body or both of its times raises an error, and no request is sent."""
    ann = user([reply])

    with pytest.raises(MalformedResponseError, match=r"^IAM's response to the login has no") as caught:
        ann.poll()
    assert [None] == ann.used
    assert caught.value.__cause__ is None


def test_given_token(stub_cloud):
    """A given token is sent as it is, is secret, and has no project."""
    cloud, redact = stub_cloud({DLI: 401}), Redactor()
    login = login_for(Settings(auth="token", password="T1"), cloud.clock, redact)
    response = cloud.run(login.exchange(POLL))

    assert 401 == response.status
    assert {"X-Project-Id": "p1", "X-Auth-Token": "T1"} == cloud.requests[0].headers
    assert ("the owner of the given token", None, "***") == (login.identity, login.project_id, redact("T1"))
    assert cloud.run(login.ensure()) is None


def test_each_wait_has_its_own_error(user):
    """Waits that share a refusal each add their own subject to their own error."""
    ann = user([(401, b"")])
    errors = []
    for _ in range(2):
        try:
            ann.poll()
        except HwStatusError as error:
            errors.append(error.about("DLI batch b1"))

    assert [1, 1] == [str(error).count("DLI batch b1") for error in errors]
