"""
The API gateway in front of the services: it checks tokens and signatures. The check cannot be turned off.

Sources: API Request Signing Guide (SDK-HMAC-SHA256) and the error codes of API Gateway. The expected signature is
computed from the request as it arrived.
"""

from __future__ import annotations

import hmac
import re
from collections import Counter
from datetime import UTC, datetime

from airflow_provider_hwstatus.core.connection.signing import (
    ALGORITHM,
    DATE_FORMAT,
    AccessKey,
    canonical_headers,
    canonical_request,
    signature,
    string_to_sign,
)
from airflow_provider_hwstatus.core.protocol.effects import Request
from airflow_provider_hwstatus.testing.account import Account
from airflow_provider_hwstatus.testing.replies import RefusedError, gateway_error
from airflow_provider_hwstatus.testing.wire import Incoming

MAX_SKEW_SECONDS = 15 * 60
LOCK_SECONDS = 5 * 60
MAX_FAILURES = 5

_AUTHORIZATION = re.compile(rf"{ALGORITHM} Access=([^,\s]+), SignedHeaders=([^,\s]+), Signature=([0-9a-f]{{64}})")


def _unauthorized(request: Incoming, text: str, code: str = "APIGW.0301") -> RefusedError:
    if code == "APIGW.0301":
        text = f"Incorrect IAM authentication information: {text}"
    return RefusedError(gateway_error(request, 401, code, text))


class Gateway:
    """
    Accepts or refuses requests.

    :param account: The account whose credentials are accepted.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._failures: Counter[str] = Counter()
        self._locked_until: dict[str, float] = {}

    def check(self, request: Incoming, project_id: str | None) -> None:
        """
        Check the credentials of a request.

        :param project_id: The project in the path, if there is one.
        :raises RefusedError: The request is refused.
        """
        if "x-auth-token" in request.headers:
            allowed = self._check_token(request, project_id)
        elif "authorization" in request.headers:
            self._check_key(request)
            allowed = project_id is None or project_id in self._account.projects.values()
        else:
            raise _unauthorized(request, "x-auth-token not found")
        if not allowed:
            raise RefusedError(gateway_error(request, 403, "APIGW.0310", "The project is unavailable"))

    def _check_token(self, request: Incoming, project_id: str | None) -> bool:
        """Return whether the token is valid for *project_id*."""
        login = self._account.tokens.get(request.headers["x-auth-token"])
        if login is None:
            raise _unauthorized(request, "decrypt token fail")
        if login.expires_at <= request.time:
            raise _unauthorized(request, "The token must be updated", code="APIGW.0307")
        return project_id in (None, login.project_id)

    def _check_key(self, request: Incoming) -> None:
        match = _AUTHORIZATION.fullmatch(request.headers["authorization"])
        if match is None:
            raise _unauthorized(request, "the Authorization header is malformed")
        access_key, names, sent_signature = match.groups()
        if self._locked_until.get(access_key, 0.0) > request.time:
            raise _unauthorized(request, "AK access failed to reach the limit,forbidden")
        try:
            self._check_signature(request, access_key, names.split(";"), sent_signature)
        except RefusedError:
            self._count_failure(request, access_key)
            raise
        del self._failures[access_key]

    def _count_failure(self, request: Incoming, access_key: str) -> None:
        """
        Count a failure of an access key.

        :raises RefusedError: The access key is now locked.
        """
        self._failures[access_key] += 1
        if self._failures[access_key] > MAX_FAILURES:
            del self._failures[access_key]
            self._locked_until[access_key] = request.time + LOCK_SECONDS
            raise _unauthorized(request, "AK access failed to reach the limit,forbidden")

    def _check_signature(self, request: Incoming, access_key: str, names: list[str], sent_signature: str) -> None:
        date = request.headers.get("x-sdk-date", "")
        if "x-sdk-date" not in names or not _is_recent(date, request.time):
            raise _unauthorized(request, "calc ak sk signature fail:signature expired")
        key = self._key(request, access_key)
        canonical = _canonical(request, names)
        expected = signature(key.secret_key, string_to_sign(canonical, date))
        if not hmac.compare_digest(expected, sent_signature):
            echo = canonical.replace("\n", "|")
            raise _unauthorized(request, f"verify aksk signature fail, canonicalRequest:{echo}")

    def _key(self, request: Incoming, access_key: str) -> AccessKey:
        """Return the key with this id. A temporary key needs its security token in the request."""
        sent = request.headers.get("x-security-token")
        login = self._account.temporary_keys.get(access_key)
        if access_key == self._account.access_key and sent is None:
            return AccessKey(access_key, self._account.secret_key)
        if sent is not None and (login is None or sent != login.security_token):
            raise _unauthorized(request, "decrypt token fail")
        if login is None or sent is None:
            raise _unauthorized(request, f"Get secretKey failed,ak:{access_key},err:ak not exist")
        if login.expires_at <= request.time:
            raise _unauthorized(request, "the security token has expired")
        return AccessKey(access_key, login.secret_key, login.security_token)


def _is_recent(date: str, now: float) -> bool:
    try:
        then = datetime.strptime(date, DATE_FORMAT).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return False
    return abs(now - then) <= MAX_SKEW_SECONDS


def _canonical(request: Incoming, names: list[str]) -> str:
    """
    Return the canonical request: sorted lower-case headers, without those that the gateway drops.

    The host is always included, even if *names* lacks it.
    """
    kept = sorted({"host", *(name.lower() for name in names if "_" not in name)})
    signed = {name: request.headers.get(name, "") for name in kept}
    query = f"?{request.query}" if request.query else ""
    wire = Request(request.method, f"http://fake{request.path}{query}", request.headers, request.body)
    return canonical_request(wire, canonical_headers(signed))
