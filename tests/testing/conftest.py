"""A fake cloud with a manual clock, and a client for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
import requests

from airflow_provider_hwstatus.core.connection.signing import AccessKey, sign
from airflow_provider_hwstatus.core.protocol.effects import Request
from airflow_provider_hwstatus.testing import FakeHuaweiCloud


@dataclass
class ManualClock:
    """A clock that only a test advances. Returns seconds since 1970."""

    now: float = 1_795_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Client:
    """A client of *cloud*. ``get`` signs requests, by default with the account's key."""

    cloud: FakeHuaweiCloud
    clock: ManualClock
    session: requests.Session = field(default_factory=requests.Session)

    def path(self, path: str) -> str:
        return path.format(dli=f"/v2.0/{self.cloud.project_id}", cph=f"/v1/{self.cloud.project_id}/cloud-phone")

    def send(self, path: str, headers: dict[str, str] | None = None, timeout: float = 30) -> requests.Response:
        return self.session.get(self.cloud.url + self.path(path), headers=headers, timeout=timeout)

    def get(self, path: str, key: AccessKey | None = None, skew: float = 0, timeout: float = 30) -> requests.Response:
        key = key or AccessKey(self.cloud.access_key, self.cloud.secret_key)
        now = datetime.fromtimestamp(self.clock.now + skew, UTC)
        request = sign(Request("GET", self.cloud.url + self.path(path)), key, now)
        return self.send(path, dict(request.headers), timeout)

    def log_in(self, scope: object = None, **changes: str) -> requests.Response:
        user = {"name": self.cloud.user, "password": self.cloud.password} | changes
        domain = {"name": user.pop("domain", self.cloud.domain_name)}
        identity = {"methods": ["password"], "password": {"user": user | {"domain": domain}}}
        auth = {"identity": identity} | ({"scope": scope} if scope else {})
        return self.session.post(self.cloud.url + "/v3/auth/tokens?nocatalog=true", json={"auth": auth}, timeout=30)


@pytest.fixture
def clock() -> ManualClock:
    """Return the fake's clock."""
    return ManualClock()


@pytest.fixture
def cloud(clock: ManualClock) -> Iterator[FakeHuaweiCloud]:
    """Return a running fake cloud."""
    with FakeHuaweiCloud(clock=clock) as cloud:
        yield cloud


@pytest.fixture
def client(cloud: FakeHuaweiCloud, clock: ManualClock) -> Iterator[Client]:
    """Return a client of the fake cloud."""
    client = Client(cloud, clock)
    client.session.trust_env = False
    with client.session:
        yield client
