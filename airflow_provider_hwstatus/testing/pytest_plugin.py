"""
The pytest fixture ``huaweicloud``.

Where this package is installed, pytest loads this file in every session. So it imports the fake only on use.
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
    """Run a fake Huawei Cloud. The connection ``hwstatus_default`` points to it."""
    from airflow_provider_hwstatus.testing.cloud import FakeHuaweiCloud

    # A proxy cannot reach 127.0.0.1 of this machine.
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, ",".join(filter(None, (os.environ.get(name), "127.0.0.1"))))
    with FakeHuaweiCloud() as cloud:
        monkeypatch.setenv("AIRFLOW_CONN_HWSTATUS_DEFAULT", json.dumps(cloud.connection()))
        yield cloud
