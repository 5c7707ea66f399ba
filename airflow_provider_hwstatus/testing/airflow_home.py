"""
A temporary ``AIRFLOW_HOME`` with a database, for tests that run DAGs.

Airflow reads its settings when it is imported. So the directory must be set before that.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from functools import cache
from pathlib import Path

#: The environment variable with the directory in which the workers of pytest-xdist find the first worker's database.
_SHARED = "HWSTATUS_TESTS_SHARED"

#: The settings that lead Airflow to the directory and the database.
_PLACE = ("AIRFLOW_HOME", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN")

_place: dict[str, str] = {}


@cache
def use_temporary_home(dags: Path | None = None) -> Path:
    """
    Let Airflow use a new temporary directory, in this process and its child processes. Return the directory.

    Its settings, database and logs are there. It is removed when this process ends. Connections and variables in the
    environment stay.

    :param dags: The DAGs folder; by default ``dags`` in the temporary directory.
    :raises RuntimeError: Airflow is imported already, and has read its settings.
    """
    if "airflow" in sys.modules:
        raise RuntimeError("a pytest plugin imported airflow before its home directory could be set")
    home = Path(tempfile.mkdtemp(prefix="hwstatus-tests-")).resolve()  # Airflow 3 requires an absolute path
    atexit.register(_remove, home, os.getpid())
    (home / "dags").mkdir()
    os.environ.pop("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC", None)  # Airflow derives it
    os.environ |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_CONFIG": str(home / "airflow.cfg"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags or home / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": _url(home / "airflow.db"),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    _place.update({name: os.environ[name] for name in _PLACE})
    os.environ.setdefault(_SHARED, str(home))
    return home


def create_database() -> Path:
    """
    Create the database of the temporary directory, once for all workers of pytest-xdist. Return the directory.

    :raises RuntimeError: Airflow uses another directory or database, which may be the user's own.
    """
    for name, value in _place.items():
        if os.environ.get(name) != value:
            raise RuntimeError(f"{name} has been changed")
    home, shared = Path(os.environ["AIRFLOW_HOME"]), Path(os.environ[_SHARED])
    template_path = shared / "template.db"
    with (shared / "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not template_path.exists():
            _migrated(shared / "incomplete.db").rename(template_path)
    with closing(sqlite3.connect(template_path)) as template, closing(sqlite3.connect(home / "airflow.db")) as own:
        template.backup(own)  # not a copy of the file, which Airflow's engine may have opened
    return home


def _migrated(path: Path) -> Path:
    environment = os.environ | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": _url(path)}
    command = [sys.executable, "-m", "airflow", "db", "migrate"]
    done = subprocess.run(  # noqa: S603  # this interpreter, with Airflow's own command
        command, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    return path


def _url(database: Path) -> str:
    return f"sqlite:///{database}"


def _remove(directory: Path, owner: int) -> None:
    if os.getpid() == owner:  # forked processes also run exit handlers
        shutil.rmtree(directory, ignore_errors=True)
