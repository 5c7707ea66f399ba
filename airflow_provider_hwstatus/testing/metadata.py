"""
The metadata service of an ECS or CCE node with an agency.

Sources: ECS user guide, "Obtaining Metadata". For the token handshake, the vendor's SDK.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from airflow_provider_hwstatus.testing.account import Account
from airflow_provider_hwstatus.testing.wire import Answer, Incoming, Reply


class Metadata:
    """
    The service's endpoints.

    :param account: The account of the node's agency.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        #: Tokens issued by the handshake.
        self.tokens: set[str] = set()
        #: Whether the node offers the token handshake and requires it.
        self.handshake = True
        #: Whether the node has an agency.
        self.agency = True
        #: Number of keys issued.
        self.keys = 0

    def create_token(self, request: Incoming) -> Answer:
        """``PUT /meta-data/latest/api/token``."""
        if not self.handshake:
            return Answer(Reply(404, "Not Found"))
        if not request.headers.get("x-metadata-token-ttl-seconds", "").isdigit():
            return Answer(Reply(400, "X-Metadata-Token-Ttl-Seconds is missing"))
        token = secrets.token_urlsafe(32)
        self.tokens.add(token)
        return Answer(Reply(200, token, {"Content-Type": "text/plain"}))

    def show_security_key(self, request: Incoming) -> Answer:
        """``GET /openstack/latest/securitykey``."""
        if self.handshake and request.headers.get("x-metadata-token") not in self.tokens:
            return Answer(Reply(401, "Unauthorized"))
        if not self.agency:
            return Answer(Reply(401, "Please configure Cloud Service Agency first"))
        key = self._account.issue_temporary_key(request.time)
        self.keys += 1
        expires_at = datetime.fromtimestamp(self._account.temporary_keys[key.access_key].expires_at, UTC)
        credential = {
            "access": key.access_key,
            "secret": key.secret_key,
            "securitytoken": key.security_token,
            "expires_at": expires_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        return Answer(Reply(body={"credential": credential}))
