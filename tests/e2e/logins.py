"""How the waits log in, and what nobody must see of it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from airflow_provider_hwstatus.core.connection.signing import AccessKey
from airflow_provider_hwstatus.testing.account import Login
from airflow_provider_hwstatus.testing.cloud import FakeHuaweiCloud, Reply
from airflow_provider_hwstatus.testing.wire import Answer, Incoming

#: Each has a connection of its own.
LOGINS = ("aksk", "temporary", "password", "token", "agency")

#: Seconds for which a token or key is good that a wait fetches: each is renewed several times.
LIFETIME = 60.0


def _made_up(name: str, length: int) -> str:
    return hashlib.shake_256(name.encode()).hexdigest(length // 2)


#: What somebody fetched before, and put into a connection. The same in every process, so that it outlives the cloud's.
TOKEN = "MII" + _made_up("token", 1500)
TEMPORARY_KEY = AccessKey(
    f"HST{_made_up('access key', 16).upper()}0", _made_up("secret key", 40), _made_up("security token", 400)
)


def admit(cloud: FakeHuaweiCloud) -> None:
    """Let the given token and key in, for ever, and issue others for a short time."""
    account = cloud._account
    account.tokens[TOKEN] = Login(math.inf, cloud.project_id)
    account.temporary_keys[TEMPORARY_KEY.access_key] = Login(
        math.inf, secret_key=TEMPORARY_KEY.secret_key, security_token=TEMPORARY_KEY.security_token
    )
    cloud.token_lifetime = LIFETIME


def connections(cloud: FakeHuaweiCloud) -> dict[str, dict[str, object]]:
    """Return Airflow's connections by name, one for each login."""
    fields = {login: cloud.connection(login) for login in LOGINS if login != "temporary"}
    fields["token"]["password"] = TOKEN
    fields["temporary"] = cloud.connection(key=TEMPORARY_KEY)
    return {f"hwstatus_{login}": fields[login] for login in LOGINS}


def secrets(cloud: FakeHuaweiCloud) -> set[str]:
    """Return all that opens *cloud*: what the connections have, and what has been issued since."""
    account = cloud._account
    keys = [(name, key.secret_key, key.security_token or "") for name, key in account.temporary_keys.items()]
    own = {account.access_key, account.secret_key, account.password}
    return own.union(account.tokens, cloud.metadata._tokens, *keys)


def echoing(ask: Callable[..., Answer]) -> Callable[..., Answer]:
    """Return *ask* with an echo: a refusal has all in it that came with the request."""

    def ask_loudly(request: Incoming, *args: object) -> Answer:
        answer = ask(request, *args)
        reply = answer.reply
        if not isinstance(reply, Reply) or reply.status < 400 or not isinstance(reply.body, Mapping):
            return answer
        heard = "|".join([*request.headers.values(), request.body.decode()])
        return replace(answer, reply=replace(reply, body={**reply.body, "error_msg": f"refused: {heard}"}))

    return ask_loudly
