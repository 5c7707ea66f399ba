"""
A fake Huawei Cloud for tests and demos: a local HTTP server that validates requests as strictly as the real services.

Start with ``cloud.py``. Every pytest session loads the pytest plugin of this package, so the import must be cheap: the
server and its HTTP library are imported at first use.
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
