"""
Gives every run of the tests a home and an Airflow of its own, both thrown away at its end.

Airflow reads its settings once, when it is imported, so they are made here, before any test module is. The database
is made only for tests that ask for the fixture ``airflow_db``: that takes seconds.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import hypothesis
import pytest

PACKAGE = "airflow_provider_hwstatus"

#: What a developer's machine may have set and a test must not see.
FOREIGN = ("AIRFLOW_", "HUAWEICLOUD_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")

#: Where Airflow has what replaces secrets in logs: Airflow 2, and the two copies of Airflow 3.
MASKERS = (
    "airflow.utils.log.secrets_masker",
    "airflow._shared.secrets_masker.secrets_masker",
    "airflow.sdk._shared.secrets_masker.secrets_masker",
)


def _remove(directory: Path, owner: int) -> None:
    if os.getpid() == owner:  # forked processes leave through here, too
        shutil.rmtree(directory, ignore_errors=True)


def _settle(home: Path) -> None:
    for name in [name for name in os.environ if name.upper().startswith(FOREIGN)]:
        del os.environ[name]
    (home / "dags").mkdir()
    os.environ |= {
        "HOME": str(home),  # huaweicloudsdkcore makes a directory in it when it is imported
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
        "AIRFLOW__METRICS__TIMER_UNIT_CONSISTENCY": "True",  # Airflow 2 warns otherwise
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


if "airflow" in sys.modules:
    raise pytest.UsageError("a pytest plugin imported airflow before conftest.py could give it a home of its own")
_HOME = Path(tempfile.mkdtemp(prefix="hwstatus-tests-")).resolve()  # Airflow 3 refuses a relative path
atexit.register(_remove, _HOME, os.getpid())
_settle(_HOME)

hypothesis.settings.register_profile("here", deadline=None)  # a busy machine is no failure
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "here")


@pytest.fixture(autouse=True)
def _same_luck(request: pytest.FixtureRequest) -> None:
    """Let chance play the same in every run of a test: what fails, fails again."""
    random.seed(request.node.nodeid)


@pytest.fixture(scope="session", autouse=True)
def batch_ids() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """
    Let the tests' batches have names such as "b1", although the fake, like DLI, takes UUIDs only.

    Returns what it takes, for the tests of that.
    """
    from airflow_provider_hwstatus.testing import dli

    real = dli.BATCH_ID, dli.ONE_ID
    dli.BATCH_ID, dli.ONE_ID = re.compile(".+"), re.compile(r"[A-Za-z0-9_-]*")
    return real


@pytest.fixture(autouse=True)
def _secrets_forgotten() -> Iterator[None]:
    """Let Airflow forget the secrets of a test: it compiles all it knows anew for each one, slower with every test."""
    yield
    for module in [sys.modules[name] for name in MASKERS if name in sys.modules]:
        masker = module._secrets_masker()
        masker.patterns, masker.replacer = set(), None


@pytest.fixture(scope="session")
def complaints() -> Callable[[str], str]:
    """Return what of a program's stderr is more than asyncio's remark, in development mode, that a machine is slow."""
    slow = re.compile(r"^Executing <.* took [0-9.]+ seconds\n", re.MULTILINE)
    return lambda errors: slow.sub("", errors)


def pytest_report_header() -> list[str]:
    """Say which copy of the package is tested, and on what."""
    spec = importlib.util.find_spec(PACKAGE)
    return [
        f"{PACKAGE}: {spec.origin if spec else 'not installed'}",
        f"apache-airflow: {version('apache-airflow')}",
    ]


@pytest.fixture(scope="session")
def airflow_home() -> Path:
    """Return the throw-away directory that is AIRFLOW_HOME, here and in every child process."""
    return _HOME


@pytest.fixture(scope="session")
def airflow_db(airflow_home: Path) -> Path:
    """Make Airflow's database, once; return AIRFLOW_HOME."""
    migrate = [sys.executable, "-m", "airflow", "db", "migrate"]
    done = subprocess.run(migrate, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout[-5000:] + done.stderr[-5000:]
    return airflow_home
