"""
A fake Huawei Cloud for tests and demos: an HTTP server on 127.0.0.1 that checks requests as strictly as the real one.

Start reading in ``cloud.py``. pytest imports this package in every session, because of its plugin. The server and its
HTTP library are therefore imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_hwstatus.testing.cloud import FakeHuaweiCloud
    from airflow_provider_hwstatus.testing.wire import Fault, Record, Reply

__all__ = ["FakeHuaweiCloud", "Fault", "Record", "Reply"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from airflow_provider_hwstatus.testing import cloud

    return getattr(cloud, name)
