"""
A fake Huawei Cloud for tests and demos: a real HTTP server on this machine that is as strict as the real one.

Start with ``cloud.py``. Importing this package is cheap, because its pytest plugin is loaded in every pytest
session: the server and its HTTP library are imported when they are first used.
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
