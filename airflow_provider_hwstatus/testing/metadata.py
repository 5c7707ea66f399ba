"""
The metadata service of an ECS or CCE node with an agency.

Source: ECS user guide, "Obtaining Metadata"; the handshake as the vendor's SDK does it.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from airflow_provider_hwstatus.testing.account import Account
from airflow_provider_hwstatus.testing.wire import Answer, Incoming, Reply


class Metadata:
    """
    The views.

    :param account: Whose agency the node has.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._tokens: set[str] = set()
        #: Whether the node offers the token handshake, and then insists on it.
        self.handshake = True
        #: Whether the node has an agency.
        self.agency = True
        #: How many keys were given out.
        self.keys = 0

    def create_token(self, request: Incoming) -> Answer:
        """``PUT /meta-data/latest/api/token``."""
        if not self.handshake:
            return Answer(Reply(404, "Not Found"))
        if not request.headers.get("x-metadata-token-ttl-seconds", "").isdigit():
            return Answer(Reply(400, "X-Metadata-Token-Ttl-Seconds is missing"))
        token = secrets.token_urlsafe(32)
        self._tokens.add(token)
        return Answer(Reply(200, token, {"Content-Type": "text/plain"}))

    def show_security_key(self, request: Incoming) -> Answer:
        """``GET /openstack/latest/securitykey``."""
        if self.handshake and request.headers.get("x-metadata-token") not in self._tokens:
            return Answer(Reply(401, "Unauthorized"))
        if not self.agency:
            return Answer(Reply(401, "Please configure Cloud Service Agency first"))
        key = self._account.issue_temporary_key(request.time)
        self.keys += 1
        ends = datetime.fromtimestamp(self._account.temporary_keys[key.access_key].expires_at, UTC)
        credential = {
            "access": key.access_key,
            "secret": key.secret_key,
            "securitytoken": key.security_token,
            "expires_at": ends.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        return Answer(Reply(body={"credential": credential}))
