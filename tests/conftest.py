"""
Gives every run of the tests a home and an Airflow of its own, both thrown away at its end.

Airflow reads its settings once, when it is imported, so they are made here, before any test module is. The database
is made only for tests that ask for the fixture ``airflow_db``: that takes seconds. pytest-xdist's workers share it, and
compiled bytecode, by a directory of the process that starts them.
"""

from __future__ import annotations

import atexit
import fcntl
import importlib.util
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
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
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
        # Where no bytecode is kept, half of the time of a process with Airflow in it is spent compiling.
        os.environ["PYTHONPYCACHEPREFIX"] = str(home / "bytecode")
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
#: The home of the process that started this one, if it is a worker.
_SHARED = Path(os.environ.setdefault("HWSTATUS_TESTS_SHARED", str(_HOME)))

_BUSY = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}  # a busy machine is no failure
hypothesis.settings.register_profile("here", **_BUSY)
hypothesis.settings.register_profile("ci", **_BUSY, derandomize=True)
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

    real = dli.BATCH_ID, dli.JOB_ID_PARAMETER
    dli.BATCH_ID, dli.JOB_ID_PARAMETER = re.compile(".+"), re.compile(r"[A-Za-z0-9_-]*")
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that take long: no worker is to be left alone with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


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
    """Make Airflow's database, once for all workers; return AIRFLOW_HOME."""
    made = _SHARED / "made.db"
    with (_SHARED / "made.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            _make_database(_SHARED / "being_made.db").rename(made)
    with closing(sqlite3.connect(made)) as template, closing(sqlite3.connect(airflow_home / "airflow.db")) as own:
        template.backup(own)  # which Airflow's engine may have opened
    return airflow_home


def _make_database(path: Path) -> Path:
    migrate = [sys.executable, "-m", "airflow", "db", "migrate"]
    settings = os.environ | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{path}"}
    done = subprocess.run(migrate, env=settings, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout[-5000:] + done.stderr[-5000:]
    return path
