"""A temporary Airflow installation directory: its settings, its commands and its processes."""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import airflow_provider_hwstatus

#: Address on which the web server listens.
HOST = "127.0.0.1"

AIRFLOW_3 = int(version("apache-airflow").split(".")[0]) >= 3

#: Prefixes of the user's environment variables that must not reach the temporary Airflow.
_EXCLUDED_VARIABLES = ("AIRFLOW_", "_AIRFLOW_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")

#: Example DAGs that Airflow 2 cannot load.
_AIRFLOW_3_EXAMPLES = ("example_watchers.py",)

# Airflow calls this for every task. The example DAGs have intervals for real jobs, which are too long for a demo.
_POLICY = """\
from datetime import timedelta

def task_policy(task):
    if hasattr(task, "poke_interval"):
        task.poke_interval = {seconds}
    if task.dag_id not in {without_retries!r}:
        task.retries = max(task.retries or 0, {retries})
        task.retry_delay = timedelta(seconds=1)
"""

# Replaces the command "airflow". The log servers would listen on every address, and the demo does not need them.
_AIRFLOW_COMMAND = """\
#!/bin/sh
case "$1" in scheduler | triggerer) set -- "$@" --skip-serve-logs ;; esac
exec '{python}' -m airflow "$@"
"""


class AirflowFailedError(Exception):
    """An Airflow command failed, or Airflow did not start."""


def find_example_dags() -> Path:
    """
    Return the directory of the example DAGs: inside the installed package, or beside it in a checkout.

    :raises FileNotFoundError: There is no such directory.
    """
    package = Path(airflow_provider_hwstatus.__file__).parent
    for folder in (package / "example_dags", package.parent / "example_dags"):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"there is no example_dags in {package} or {package.parent}")


def free_port() -> int:
    """Return a free port of 127.0.0.1."""
    with socket.create_server((HOST, 0)) as server:
        port: int = server.getsockname()[1]
        return port


def is_free(port: int) -> bool:
    """Return whether a server can listen on a port of 127.0.0.1."""
    try:
        socket.create_server((HOST, port)).close()
    except OSError:
        return False
    return True


def server_settings(port: int) -> dict[str, str]:
    """
    Return Airflow settings, as environment variables, for a small Airflow with a web server.

    :param port: Port of the web server.
    """
    url = f"http://{HOST}:{port}"
    return {
        "AIRFLOW__CORE__PARALLELISM": "4",  # each slot costs a process
        "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "2",  # seconds
        # Airflow 3
        "AIRFLOW__API__HOST": HOST,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        # Airflow 2
        "AIRFLOW__WEBSERVER__WEB_SERVER_HOST": HOST,
        "AIRFLOW__WEBSERVER__WEB_SERVER_PORT": str(port),
        "AIRFLOW__WEBSERVER__BASE_URL": url,
        "AIRFLOW__WEBSERVER__WORKERS": "1",
        "AIRFLOW__WEBSERVER__SECRET_KEY": secrets.token_hex(32),
    }


class AirflowHome:
    """
    A temporary ``AIRFLOW_HOME`` that contains the example DAGs.

    At the end of a ``with`` block, its processes are stopped and the directory is removed.

    :param poke_interval: Seconds between two polls. Replaces the interval of every sensor.
    :param retries: Retries of each task, at least.
    :param without_retries: Ids of the DAGs whose tasks are not changed in that.
    """

    def __init__(self, poke_interval: float, retries: int = 0, without_retries: Sequence[str] = ()) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="hwstatus-demo-")).resolve()  # Airflow requires an absolute path
        #: File with the output of Airflow's processes.
        self.log_path = self.path / "airflow.log"
        self._log: IO[bytes] = self.log_path.open("wb")
        self._processes: list[subprocess.Popen[str]] = []
        ignored = shutil.ignore_patterns("__pycache__", *(() if AIRFLOW_3 else _AIRFLOW_3_EXAMPLES))
        shutil.copytree(find_example_dags(), self.dags, ignore=ignored)
        (self.path / "tmp").mkdir()
        policy = _POLICY.format(seconds=poke_interval, retries=retries, without_retries=tuple(without_retries))
        self._write("config/airflow_local_settings.py", policy)
        self._write("bin/airflow", _AIRFLOW_COMMAND.format(python=sys.executable)).chmod(0o700)
        #: Key with which Airflow encrypts connections and the arguments of triggers.
        self.fernet_key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()

    def _write(self, name: str, text: str) -> Path:
        file = self.path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        return file

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # A second Ctrl-C must not interrupt the cleanup.
        handlers = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        for process in self._processes:
            stop(process)
        self._log.close()
        shutil.rmtree(self.path, ignore_errors=True)
        for number, handler in handlers.items():
            signal.signal(number, handler)

    @property
    def dags(self) -> Path:
        """Airflow's DAGs folder."""
        return self.path / "dags"

    def environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of Airflow's processes: common variables and *settings*."""
        inherited = {
            name: value for name, value in os.environ.items() if not name.upper().startswith(_EXCLUDED_VARIABLES)
        }
        return inherited | {
            "HOME": str(self.path),
            "TMPDIR": str(self.path / "tmp"),  # Airflow 2's web server leaves files there
            "PATH": os.pathsep.join((str(self.path / "bin"), os.environ.get("PATH", os.defpath))),
            "NO_PROXY": "127.0.0.1,localhost",
            "PYTHONUNBUFFERED": "1",
            "AIRFLOW_HOME": str(self.path),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__FERNET_KEY": self.fernet_key,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
            "AIRFLOW__METRICS__TIMER_UNIT_CONSISTENCY": "True",  # avoids a warning of Airflow 2
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            **settings,
        }

    def start(self, module: str, *args: str, settings: Mapping[str, str], piped: bool = False) -> subprocess.Popen[str]:
        """
        Start ``python -m module`` in its own process group. Its output goes to the log file.

        :param args: Arguments of the command.
        :param settings: Further environment variables.
        :param piped: Whether standard output is a pipe instead.
        """
        process = subprocess.Popen(  # noqa: S603  # this interpreter, with a module of this package or Airflow
            [sys.executable, "-m", module, *args],
            cwd=self.path,
            env=self.environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if piped else self._log,
            stderr=self._log,
            text=True,
            start_new_session=True,
        )
        self._processes.append(process)
        return process

    def run(self, *args: str, settings: Mapping[str, str]) -> None:
        """
        Run an Airflow command and wait until it ends.

        :param args: The command and its arguments, e.g. ``"db", "migrate"``.
        :param settings: Further environment variables.
        :raises AirflowFailedError: The command failed.
        """
        if self.start("airflow", *args, settings=settings).wait():
            raise AirflowFailedError(f"airflow {args[0]} {args[1]} failed")

    def keep_log(self) -> Path:
        """Copy the log file to a place outside this directory, and return its path."""
        descriptor, name = tempfile.mkstemp(prefix="hwstatus-demo-", suffix=".log")
        os.close(descriptor)
        return Path(shutil.copy(self.log_path, name))


def stop(process: subprocess.Popen[str]) -> None:
    """
    Stop a process and its process group.

    Airflow's parent processes stop their children if only the parent gets SIGINT, but may not wait for all of them.
    """
    with suppress(subprocess.TimeoutExpired):
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)
    with suppress(ProcessLookupError):  # the group is empty
        os.killpg(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            process.poll()  # a process that is not reaped stays in its group
            os.killpg(process.pid, 0)
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout:
        process.stdout.close()
