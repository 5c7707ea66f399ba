"""Tokens, projects and the gateway's check of tokens."""

from __future__ import annotations

import pytest

DLI = "{dli}/batches/b1/state"


def get_with_token(client, token, path=DLI):
    reply = client.send(path, {"X-Auth-Token": token})
    return reply.status_code, reply.json().get("error_code"), reply.json().get("error_msg")


def test_password_login_returns_a_token(cloud, client):
    """The token is in a header. The body contains its expiry time and project."""
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
def test_token_is_valid_for_its_project(cloud, client, by):
    """The scope of a token can name the project by id or by name."""
    cloud.job("dli_batch", "b1", "running")
    scope = {"project": {by: {"id": cloud.project_id, "name": cloud.region}[by]}}

    assert 200 == get_with_token(client, client.log_in(scope).headers["X-Subject-Token"])[0]


def test_token_of_another_project_is_refused(cloud, client):
    """A token is not valid for another project of the account."""
    cloud.projects["eu-de"] = "0123456789abcdef0123456789abcdef"
    token = client.log_in({"project": {"name": "eu-de"}}).headers["X-Subject-Token"]

    assert (403, "APIGW.0310") == get_with_token(client, token)[:2]


@pytest.mark.parametrize("scope", [None, {"domain": {"name": "hwstatus-fake"}}])
def test_token_without_project_is_valid_for_iam_only(client, scope):
    """DLI and CPH refuse a token without a project in its scope."""
    reply = client.log_in(scope)
    token = reply.headers["X-Subject-Token"]

    assert "project" not in reply.json()["token"]
    assert (403, "APIGW.0310") == get_with_token(client, token)[:2]
    assert 200 == get_with_token(client, token, "/v3/projects")[0]


@pytest.mark.parametrize("wrong", ["name", "password", "domain"])
def test_wrong_password_is_refused(cloud, client, wrong):
    """A wrong user, password or account gets the same error."""
    reply = client.log_in(**{wrong: "wrong"})
    message = "The username or password is wrong."

    assert {"error": {"code": 401, "message": message, "title": "Unauthorized"}} == reply.json()
    assert (401, 0) == (reply.status_code, cloud.logins)


def test_five_wrong_passwords_lock_the_user(cloud, client, clock):
    """After five failures within 15 minutes, IAM locks the user for 15 minutes, as by default."""
    wrong = [client.log_in(password="wrong").json()["error"]["message"] for _ in range(5)]
    locked = client.log_in()
    clock.now += 899
    still = client.log_in()
    clock.now += 2

    assert ["The username or password is wrong."] * 5 == wrong
    assert {"error": {"code": 401, "message": "The account is locked.", "title": "Unauthorized"}} == locked.json()
    assert (401, 401, 201) == (locked.status_code, still.status_code, client.log_in().status_code)


def test_spread_out_failures_do_not_lock_the_user(client, clock):
    """A correct password or 15 minutes reset the count. Failures of unknown users do not count."""
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
    """The project in the scope must exist and have either an id or a name."""
    assert 400 == client.log_in(scope).status_code


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"auth": {}}', b'{"auth": {"identity": {"methods": ["token"]}}}'])
def test_malformed_login_is_refused(cloud, client, body):
    """A malformed body gets an error in Keystone's format."""
    headers = {"Content-Type": "application/json"}
    reply = client.session.post(f"{cloud.url}/v3/auth/tokens", data=body, headers=headers, timeout=30)

    assert (400, "Bad Request") == (reply.status_code, reply.json()["error"]["title"])


def test_login_needs_a_json_content_type(cloud, client):
    """A login with form data is refused."""
    reply = client.session.post(f"{cloud.url}/v3/auth/tokens", data={"auth": "{}"}, timeout=30)

    assert 400 == reply.status_code


def test_token_expires(cloud, client, clock):
    """A token is refused after its lifetime."""
    cloud.token_lifetime = 60
    token = cloud.connection("token")["password"]
    clock.now += 60

    assert (401, "APIGW.0307", "The token must be updated") == get_with_token(client, token)


def test_tokens_can_be_expired(cloud, client):
    """expire_tokens expires existing tokens. New tokens are valid."""
    old = cloud.connection("token")["password"]
    cloud.expire_tokens()
    new = cloud.connection("token")["password"]
    cloud.job("dli_batch", "b1", "running")

    assert ("APIGW.0307", None) == (get_with_token(client, old)[1], get_with_token(client, new)[1])


def test_unknown_token_is_refused(client):
    """An unknown token gets the error of a failed decryption."""
    status, code, message = get_with_token(client, "MIIwrong")

    assert (401, "APIGW.0301") == (status, code)
    assert message.endswith("decrypt token fail")


@pytest.mark.parametrize("path", [DLI, "{cph}/jobs/j1", "/v3/projects"])
def test_request_without_credentials_is_refused(client, path):
    """Every service requires credentials."""
    reply = client.send(path)

    assert (401, "APIGW.0301") == (reply.status_code, reply.json()["error_code"])


def test_project_of_another_account_is_refused(client):
    """A signature is valid only for projects of the account."""
    reply = client.get("/v2.0/0123456789abcdef0123456789abcdef/batches/b1/state")

    assert (403, "APIGW.0310") == (reply.status_code, reply.json()["error_code"])


def test_projects_are_found_by_name(cloud, client):
    """The list of projects can be filtered by name. A test can change the projects."""
    cloud.projects["eu-de"] = "0123456789abcdef0123456789abcdef"

    def names(query):
        return [(project["name"], project["id"]) for project in client.get(f"/v3/projects{query}").json()["projects"]]

    assert [("eu-de", "0123456789abcdef0123456789abcdef")] == names("?name=eu-de")
    assert [] == names("?name=nowhere")
    assert 2 == len(names(""))


@pytest.mark.parametrize(("query", "count"), [("?enabled=true", 1), ("?enabled=false", 0), ("", 1)])
def test_projects_can_be_filtered_by_enabled(client, query, count):
    """All projects of the account are enabled."""
    assert count == len(client.get(f"/v3/projects{query}").json()["projects"])


def test_enabled_must_be_true_or_false(client):
    """Another value of the parameter "enabled" is refused."""
    assert 400 == client.get("/v3/projects?enabled=maybe").status_code


@pytest.mark.parametrize("auth", ["key", "token"])
def test_account_is_listed(cloud, client, auth):
    """GET /v3/auth/domains returns the account of a key or token."""
    token = cloud.connection("token")["password"]
    reply = (
        client.get("/v3/auth/domains") if auth == "key" else client.send("/v3/auth/domains", {"X-Auth-Token": token})
    )
    (domain,) = reply.json()["domains"]

    assert (cloud.domain_name, True, 32) == (domain["name"], domain["enabled"], len(domain["id"]))
    assert {"links", "domains"} == set(reply.json())


def test_default_connection_uses_the_access_key(cloud):
    """The default connection has the account's key and all endpoints."""
    connection = cloud.connection()
    extra = {"region": "cn-north-4", "project_id": cloud.project_id}
    extra |= {"dli_endpoint": cloud.url, "cph_endpoint": cloud.url, "iam_endpoint": cloud.url}
    extra |= {"endpoints": {"*": cloud.url}}

    assert ("hwstatus", cloud.access_key, cloud.secret_key) == tuple(
        connection[k] for k in ("conn_type", "login", "password")
    )
    assert extra == connection["extra"]


def test_password_connection_has_no_project(cloud):
    """With a password, the project comes from the token."""
    connection = cloud.connection("password")

    assert (cloud.user, cloud.password) == (connection["login"], connection["password"])
    assert cloud.domain_name == connection["extra"]["domain_name"]
    assert "project_id" not in connection["extra"]


def test_token_connection_has_no_login(cloud):
    """A token needs no login."""
    assert "login" not in cloud.connection("token")


def test_temporary_key_connection_has_a_security_token(cloud):
    """The security token is in the extra."""
    key = cloud.temporary_key()
    connection = cloud.connection(key=key)

    assert (key.access_key, key.security_token) == (
        connection["login"],
        connection["extra"]["security_token"],
    )


def test_extra_can_be_changed(cloud):
    """Fields of the extra can be added, replaced and removed."""
    extra = cloud.connection(region="eu-de", verify=False, project_id=None)["extra"]

    assert ("eu-de", False, False) == (extra["region"], extra["verify"], "project_id" in extra)


def test_unknown_auth_is_refused(cloud):
    """An unknown auth is a ValueError."""
    with pytest.raises(ValueError, match="auth must be one of aksk, password, token"):
        cloud.connection("magic")
