"""The login methods of the waits and their secrets."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import replace

from airflow_provider_hwstatus.core.connection.signing import AccessKey
from airflow_provider_hwstatus.testing.account import Login
from airflow_provider_hwstatus.testing.cloud import FakeHuaweiCloud, Reply
from airflow_provider_hwstatus.testing.wire import Fault, Incoming

#: Login methods. Each has its own connection.
LOGINS = ("aksk", "temporary", "password", "token", "agency")

#: Lifetime in seconds of tokens and keys that a wait fetches. It is short, so that each is renewed several times.
LIFETIME = 60.0


def _fake_secret(name: str, length: int) -> str:
    return hashlib.shake_256(name.encode()).hexdigest(length // 2)


#: A token and a key in a connection. They are the same in every process, so that they outlive a restart of the cloud.
TOKEN = "MII" + _fake_secret("token", 1500)
TEMPORARY_KEY = AccessKey(
    f"HST{_fake_secret('access key', 16).upper()}0", _fake_secret("secret key", 40), _fake_secret("security token", 400)
)


def accept_logins(cloud: FakeHuaweiCloud) -> None:
    """Let *cloud* accept the fixed token and key without a time limit. Others get a short lifetime."""
    account = cloud.account
    account.tokens[TOKEN] = Login(math.inf, cloud.project_id)
    account.temporary_keys[TEMPORARY_KEY.access_key] = Login(
        math.inf, secret_key=TEMPORARY_KEY.secret_key, security_token=TEMPORARY_KEY.security_token
    )
    cloud.token_lifetime = LIFETIME


def connections(cloud: FakeHuaweiCloud) -> dict[str, dict[str, object]]:
    """Return Airflow's connections by name, one for each login method."""
    fields = {login: cloud.connection(login) for login in LOGINS if login != "temporary"}
    fields["token"]["password"] = TOKEN
    fields["temporary"] = cloud.connection(key=TEMPORARY_KEY)
    return {f"hwstatus_{login}": fields[login] for login in LOGINS}


def secrets(cloud: FakeHuaweiCloud) -> set[str]:
    """Return all valid secrets of *cloud*: those in the connections and those issued since."""
    account = cloud.account
    keys = [(name, key.secret_key, key.security_token or "") for name, key in account.temporary_keys.items()]
    own = {account.access_key, account.secret_key, account.password}
    return own.union(account.tokens, cloud.metadata.tokens, *keys)


def echo_request(request: Incoming, reply: Reply | Fault) -> Reply | Fault:
    """Add the request's headers and body, and so its credentials, to every error reply."""
    if not isinstance(reply, Reply) or reply.status < 400 or not isinstance(reply.body, Mapping):
        return reply
    echo = "|".join([*request.headers.values(), request.body.decode()])
    return replace(reply, body={**reply.body, "error_msg": f"refused: {echo}"})
