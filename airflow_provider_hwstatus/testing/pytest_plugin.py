"""
The fixture ``huaweicloud``.

Loaded in every pytest session of whoever has this package, so it imports nothing heavy until it is used.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow_provider_hwstatus.testing.cloud import FakeHuaweiCloud


@pytest.fixture
def huaweicloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHuaweiCloud]:
    """A fake Huawei Cloud that the connection ``hwstatus_default`` points at."""
    from airflow_provider_hwstatus.testing.cloud import FakeHuaweiCloud

    # A proxy that this machine uses cannot reach the machine's own loopback.
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, ",".join(filter(None, (os.environ.get(name), "127.0.0.1"))))
    with FakeHuaweiCloud() as cloud:
        monkeypatch.setenv("AIRFLOW_CONN_HWSTATUS_DEFAULT", json.dumps(cloud.connection()))
        yield cloud
