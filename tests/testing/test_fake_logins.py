"""Tokens, projects, and whom the gateway lets in with them."""

from __future__ import annotations

import pytest

DLI = "{dli}/batches/b1/state"


def asked_with(client, token, path=DLI):
    reply = client.send(path, {"X-Auth-Token": token})
    return reply.status_code, reply.json().get("error_code"), reply.json().get("error_msg")


def test_password_buys_a_token(cloud, client):
    """A token comes in a header, and the body tells until when and for which project it is good."""
    reply = client.log_in({"project": {"name": cloud.region}})
    token = reply.json()["token"]

    assert 201 == reply.status_code
    assert 1000 < len(reply.headers["X-Subject-Token"]) < 4096
    assert ("2026-11-18T11:06:40.000000Z", "2026-11-19T11:06:40.000000Z") == (
        token["issued_at"],
        token["expires_at"],
    )
    assert (cloud.region, cloud.project_id) == (token["project"]["name"], token["project"]["id"])
    assert [] == token["catalog"]
    assert 1 == cloud.logins


@pytest.mark.parametrize("by", ["id", "name"])
def test_token_lets_its_project_in(cloud, client, by):
    """A project can be named by its id or by its name."""
    cloud.job("dli_batch", "b1", "running")
    scope = {"project": {by: {"id": cloud.project_id, "name": cloud.region}[by]}}

    assert 200 == asked_with(client, client.log_in(scope).headers["X-Subject-Token"])[0]


def test_token_of_another_project_is_refused(cloud, client):
    """A token opens no other project, though the account has it."""
    cloud.projects["eu-de"] = "0123456789abcdef0123456789abcdef"
    token = client.log_in({"project": {"name": "eu-de"}}).headers["X-Subject-Token"]

    assert (403, "APIGW.0310") == asked_with(client, token)[:2]


@pytest.mark.parametrize("scope", [None, {"domain": {"name": "hwstatus-fake"}}])
def test_token_without_project_opens_iam_only(client, scope):
    """Without a project in the scope a token is useless for DLI and CPH."""
    reply = client.log_in(scope)
    token = reply.headers["X-Subject-Token"]

    assert "project" not in reply.json()["token"]
    assert (403, "APIGW.0310") == asked_with(client, token)[:2]
    assert 200 == asked_with(client, token, "/v3/projects")[0]


@pytest.mark.parametrize("wrong", ["name", "password", "domain"])
def test_wrong_password_is_refused(cloud, client, wrong):
    """A wrong user, password or account is not told apart."""
    reply = client.log_in(**{wrong: "wrong"})
    message = "The username or password is wrong."

    assert {"error": {"code": 401, "message": message, "title": "Unauthorized"}} == reply.json()
    assert (401, 0) == (reply.status_code, cloud.logins)


def test_five_wrong_passwords_lock_the_user(cloud, client, clock):
    """IAM's default policy: five failures within a quarter of an hour lock the user for another, good passwords too."""
    wrong = [client.log_in(password="wrong").json()["error"]["message"] for _ in range(5)]
    locked = client.log_in()
    clock.now += 899
    still = client.log_in()
    clock.now += 2

    assert ["The username or password is wrong."] * 5 == wrong
    assert {"error": {"code": 401, "message": "The account is locked.", "title": "Unauthorized"}} == locked.json()
    assert (401, 401, 201) == (locked.status_code, still.status_code, client.log_in().status_code)


def test_wrong_passwords_now_and_then_lock_nobody(client, clock):
    """A good password, or a quarter of an hour, is a new beginning; and nobody can lock a user who is not there."""
    for _ in range(3):
        for _ in range(4):
            client.log_in(password="wrong")
        assert 201 == client.log_in().status_code
    for _ in range(6):
        clock.now += 240
        client.log_in(password="wrong")
    for _ in range(6):
        client.log_in(name="nobody")
    assert 201 == client.log_in().status_code


@pytest.mark.parametrize(
    "scope",
    [
        {"project": {"name": "nowhere"}},
        {"project": {"id": "0", "name": "cn-north-4"}},
        {"project": {}},
        {"x": 1},
        [1],
    ],
)
def test_wrong_scope_is_refused(client, scope):
    """A project must exist and be named in one way."""
    assert 400 == client.log_in(scope).status_code


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"auth": {}}', b'{"auth": {"identity": {"methods": ["token"]}}}'])
def test_malformed_login_is_refused(cloud, client, body):
    """A body that is not as documented is told so, in Keystone's words."""
    headers = {"Content-Type": "application/json"}
    reply = client.session.post(f"{cloud.url}/v3/auth/tokens", data=body, headers=headers, timeout=30)

    assert (400, "Bad Request") == (reply.status_code, reply.json()["error"]["title"])


def test_login_needs_its_content_type(cloud, client):
    """A form is not JSON."""
    reply = client.session.post(f"{cloud.url}/v3/auth/tokens", data={"auth": "{}"}, timeout=30)

    assert 400 == reply.status_code


def test_token_expires(cloud, client, clock):
    """After its lifetime a token must be updated."""
    cloud.token_lifetime = 60
    token = cloud.connection("token")["password"]
    clock.now += 60

    assert (401, "APIGW.0307", "The token must be updated") == asked_with(client, token)


def test_tokens_can_be_expired_early(cloud, client):
    """Tokens die early when the test says so; later ones are good."""
    old = cloud.connection("token")["password"]
    cloud.expire_tokens()
    new = cloud.connection("token")["password"]
    cloud.job("dli_batch", "b1", "running")

    assert ("APIGW.0307", None) == (asked_with(client, old)[1], asked_with(client, new)[1])


def test_unknown_token_is_refused(client):
    """A token of nobody cannot be decrypted."""
    status, code, message = asked_with(client, "MIIwrong")

    assert (401, "APIGW.0301") == (status, code)
    assert message.endswith("decrypt token fail")


@pytest.mark.parametrize("path", [DLI, "{cph}/jobs/j1", "/v3/projects"])
def test_nobody_is_refused(client, path):
    """Every service wants a login."""
    reply = client.send(path)

    assert (401, "APIGW.0301") == (reply.status_code, reply.json()["error_code"])


def test_project_of_someone_else_is_refused(client):
    """A signature opens the account's own projects only."""
    reply = client.get("/v2.0/0123456789abcdef0123456789abcdef/batches/b1/state")

    assert (403, "APIGW.0310") == (reply.status_code, reply.json()["error_code"])


def test_projects_are_found_by_name(cloud, client):
    """The list of projects can be asked for one name, and a test can change what is there."""
    cloud.projects["eu-de"] = "0123456789abcdef0123456789abcdef"

    def names(query):
        return [(project["name"], project["id"]) for project in client.get(f"/v3/projects{query}").json()["projects"]]

    assert [("eu-de", "0123456789abcdef0123456789abcdef")] == names("?name=eu-de")
    assert [] == names("?name=nowhere")
    assert 2 == len(names(""))


@pytest.mark.parametrize(("query", "count"), [("?enabled=true", 1), ("?enabled=false", 0), ("", 1)])
def test_projects_can_be_asked_for_by_whether_they_are_enabled(client, query, count):
    """All of the account's are."""
    assert count == len(client.get(f"/v3/projects{query}").json()["projects"])


def test_enabled_is_true_or_false(client):
    """What is no boolean is refused."""
    assert 400 == client.get("/v3/projects?enabled=maybe").status_code


@pytest.mark.parametrize("auth", ["key", "token"])
def test_account_is_listed(cloud, client, auth):
    """GET /v3/auth/domains says which account a key or token belongs to."""
    token = cloud.connection("token")["password"]
    reply = (
        client.get("/v3/auth/domains") if auth == "key" else client.send("/v3/auth/domains", {"X-Auth-Token": token})
    )
    (domain,) = reply.json()["domains"]

    assert (cloud.domain_name, True, 32) == (domain["name"], domain["enabled"], len(domain["id"]))
    assert {"links", "domains"} == set(reply.json())


def test_connection_signs_by_default(cloud):
    """The default connection has the account's key and every endpoint."""
    connection = cloud.connection()
    extra = {"auth": "aksk", "region": "cn-north-4", "project_id": cloud.project_id}
    extra |= {"dli_endpoint": cloud.url, "cph_endpoint": cloud.url, "iam_endpoint": cloud.url}

    assert ("hwstatus", cloud.access_key, cloud.secret_key) == tuple(
        connection[k] for k in ("conn_type", "login", "password")
    )
    assert extra == connection["extra"]


def test_connection_by_password_has_no_project(cloud):
    """The project comes from the token."""
    connection = cloud.connection("password")

    assert (cloud.user, cloud.password) == (connection["login"], connection["password"])
    assert cloud.domain_name == connection["extra"]["domain_name"]
    assert "project_id" not in connection["extra"]


def test_connection_by_token_has_no_login(cloud):
    """A token says by itself whose it is."""
    assert "login" not in cloud.connection("token")


def test_connection_by_temporary_key_has_its_token(cloud):
    """The security token goes into the extra."""
    key = cloud.temporary_key()
    connection = cloud.connection(key=key)

    assert (key.access_key, key.security_token) == (
        connection["login"],
        connection["extra"]["security_token"],
    )


def test_extra_can_be_changed(cloud):
    """Extras are added, replaced and taken away."""
    extra = cloud.connection(region="eu-de", verify=False, project_id=None)["extra"]

    assert ("eu-de", False, False) == (extra["region"], extra["verify"], "project_id" in extra)


def test_unknown_auth_is_refused(cloud):
    """There is no such way to log in."""
    with pytest.raises(ValueError, match="auth must be one of aksk, password, token"):
        cloud.connection("magic")
