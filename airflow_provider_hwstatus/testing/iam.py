"""
The IAM API: tokens, projects and the account.

Sources: IAM API reference, https://support.huaweicloud.com/intl/en-us/api-iam/iam_30_0001.html. For the lock, the FAQ
"Why Is My Account Locked?" and the defaults in the user guide's "Login Authentication Policy".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from airflow_provider_hwstatus.testing.account import Account, Login
from airflow_provider_hwstatus.testing.replies import RefusedError, iam_error
from airflow_provider_hwstatus.testing.wire import Answer, Incoming, Reply

MAX_FAILURES = 5
FAILURE_SECONDS = 15 * 60
LOCK_SECONDS = 15 * 60


def _bad_request(text: str) -> RefusedError:
    return RefusedError(iam_error(400, text))


def _wrong_login() -> RefusedError:
    return RefusedError(iam_error(401, "The username or password is wrong."))


class Iam:
    """
    The API's endpoints.

    :param account: The account whose user can log in.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self.logins = 0
        self._failures: list[float] = []
        self._locked_until = 0.0

    def create_token(self, request: Incoming) -> Answer:
        """``POST /v3/auth/tokens`` by password."""
        auth = _object(_json(request), "auth", {"auth"}, set())
        auth = _object(auth["auth"], "auth", {"identity"}, {"scope"})
        self._check_user(auth["identity"], request.time)
        project = self._project(auth["scope"]) if "scope" in auth else None
        token, login = self._account.issue_token(project[1] if project else None, request.time)
        self.logins += 1
        body = {"token": self._describe(login, project, request)}
        return Answer(Reply(201, body, {"X-Subject-Token": token}))

    def _check_user(self, identity: object, now: float) -> None:
        identity = _object(identity, "identity", {"methods", "password"}, set())
        if identity["methods"] != ["password"]:
            raise _bad_request("methods must be ['password']")
        password = _object(identity["password"], "password", {"user"}, set())
        user = _object(password["user"], "user", {"domain", "name", "password"}, set())
        domain = _object(user["domain"], "domain", {"name"}, set())
        if (domain["name"], user["name"]) != (self._account.domain_name, self._account.user):
            raise _wrong_login()
        self._check_password(user["password"], now)

    def _check_password(self, password: object, now: float) -> None:
        if now < self._locked_until:
            raise RefusedError(iam_error(401, "The account is locked."))
        if password == self._account.password:
            self._failures.clear()
            return
        self._failures = [*(time for time in self._failures if time > now - FAILURE_SECONDS), now]
        if len(self._failures) >= MAX_FAILURES:
            self._failures.clear()
            self._locked_until = now + LOCK_SECONDS
        raise _wrong_login()

    def _project(self, scope: object) -> tuple[str, str] | None:
        """Return the name and id of the project in *scope*, or None for the whole account."""
        scope = _object(scope, "scope", set(), {"project", "domain"})
        if "project" not in scope:
            return None
        scope_project = _object(scope["project"], "project", set(), {"id", "name"})
        if len(scope_project) != 1:
            raise _bad_request("project needs an id or a name")
        for name, project_id in self._account.projects.items():
            if scope_project in ({"id": project_id}, {"name": name}):
                return name, project_id
        raise _bad_request(f"Could not find project: {next(iter(scope_project.values()))}.")

    def _describe(self, login: Login, project: tuple[str, str] | None, request: Incoming) -> dict[str, object]:
        domain = {"id": self._account.domain_id, "name": self._account.domain_name}
        services = [{"type": name, "name": name, "endpoints": list[str]()} for name in ("dli", "cph")]
        token: dict[str, object] = {
            "expires_at": _time(login.expires_at),
            "issued_at": _time(request.time),
            "methods": ["password"],
            "catalog": [] if request.parameters.get("nocatalog") else services,
            "roles": [{"id": "0", "name": "te_admin"}],
            "user": {"id": self._account.user_id, "name": self._account.user, "domain": domain},
        }
        if project is None:
            return token | {"domain": domain}
        return token | {"project": {"id": project[1], "name": project[0], "domain": domain}}

    def list_projects(self, request: Incoming) -> Answer:
        """``GET /v3/projects``. Lists all projects, or the one with a name. All projects are enabled."""
        name_filter, enabled = request.parameters.get("name"), request.parameters.get("enabled", "true")
        if enabled not in ("true", "false"):
            raise _bad_request("enabled must be true or false")
        projects = [
            {"id": project_id, "name": name, "domain_id": self._account.domain_id, "enabled": True}
            | {"parent_id": self._account.domain_id, "is_domain": False, "description": ""}
            for name, project_id in list(self._account.projects.items())
            if name_filter in (None, name) and enabled == "true"
        ]
        links = {"self": request.path, "next": None, "previous": None}
        return Answer(Reply(body={"projects": projects, "links": links}))

    def list_domains(self, request: Incoming) -> Answer:
        """``GET /v3/auth/domains``. Lists the account."""
        domain = {"id": self._account.domain_id, "name": self._account.domain_name, "enabled": True}
        links = {"self": f"/v3/domains/{self._account.domain_id}"}
        body = {"domains": [domain | {"description": "", "links": links}], "links": {"self": request.path}}
        return Answer(Reply(body=body))


def _json(request: Incoming) -> object:
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise _bad_request("Content-Type must be application/json;charset=utf8")
    try:
        return json.loads(request.body)
    except ValueError as exc:
        raise _bad_request("The request body is not JSON.") from exc


def _object(value: object, name: str, required: set[str], optional: set[str]) -> Mapping[str, object]:
    """
    Return *value* as an object.

    :raises RefusedError: It is not an object, or it has missing or unknown fields.
    """
    if not isinstance(value, Mapping):
        raise _bad_request(f"{name} is not an object")
    if wrong := (required - set(value)) | (set(value) - required - optional):
        raise _bad_request(f"{name} lacks or must not have: {', '.join(sorted(wrong))}")
    return value


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
