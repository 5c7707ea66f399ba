"""
The pytest fixtures ``huaweicloud`` and ``airflow_db``, and the option ``hwstatus_dags_folder``.

Where this package is installed, pytest loads this file in every session. So it imports the fake only on use.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow_provider_hwstatus.testing.cloud import FakeHuaweiCloud

_OPTION = "hwstatus_dags_folder"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addini(_OPTION, "Your DAGs folder. Airflow then uses a temporary home directory in all tests.", default="")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Set Airflow's home directory before pytest imports files that may import Airflow, which reads its settings."""
    if folder := early_config.getini(_OPTION):
        from airflow_provider_hwstatus.testing.airflow_home import use_temporary_home

        try:
            use_temporary_home((_directory(early_config) / folder).resolve())
        except RuntimeError as error:
            raise pytest.UsageError(f"{_OPTION}: {error}") from error


def _directory(config: pytest.Config) -> Path:
    """Return the directory of pytest's configuration file. Its ``rootdir`` may be another one."""
    return config.inipath.parent if config.inipath else config.rootpath


@pytest.fixture(scope="session")
def airflow_db(pytestconfig: pytest.Config) -> Path:
    """Create Airflow's database in a temporary ``AIRFLOW_HOME``. Return that directory."""
    if not pytestconfig.getini(_OPTION):
        pytest.fail(f"airflow_db needs the option {_OPTION} in pytest's configuration", pytrace=False)
    from airflow_provider_hwstatus.testing.airflow_home import create_database

    try:
        return create_database()
    except RuntimeError as error:
        where = "remove that from conftest.py or from the settings of another plugin"
        pytest.fail(f"{error} since {_OPTION} set it; {where}", pytrace=False)


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
