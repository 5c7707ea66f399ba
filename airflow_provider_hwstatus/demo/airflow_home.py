"""A throw-away Airflow: its home, its settings, and the processes in it."""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import airflow_provider_hwstatus

#: Settings of whoever runs this that must not reach the throw-away Airflow.
_FOREIGN = ("AIRFLOW_", "_AIRFLOW_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")

AIRFLOW_3 = int(version("apache-airflow").split(".")[0]) >= 3

#: Example DAGs that Airflow 2 cannot load.
_ONLY_AIRFLOW_3 = ("example_watchers.py",)

# Airflow calls this with every task that it loads: the example DAGs have intervals for real jobs, too long for a demo.
_POLICY = """\
def task_policy(task):
    if hasattr(task, "poke_interval"):
        task.poke_interval = {seconds}
"""


# Stands for the command "airflow". The log servers would listen on every address, and nothing here needs them.
_AIRFLOW = """\
#!/bin/sh
case "$1" in scheduler | triggerer) set -- "$@" --skip-serve-logs ;; esac
exec '{python}' -m airflow "$@"
"""


def find_example_dags() -> Path:
    """
    Return the directory of the example DAGs: in the installed package, or beside it in a checkout.

    :raises FileNotFoundError: They are in neither place.
    """
    package = Path(airflow_provider_hwstatus.__file__).parent
    for folder in (package / "example_dags", package.parent / "example_dags"):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"example_dags is neither in {package} nor in {package.parent}")


class Home:
    """
    An ``AIRFLOW_HOME`` with the example DAGs in it. Leaving it ends its processes and removes it.

    :param poke_interval: Seconds; replaces that of every sensor.
    """

    def __init__(self, poke_interval: float) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="hwstatus-demo-")).resolve()  # Airflow refuses a relative path
        #: Where Airflow's own output goes.
        self.log_path = self.path / "airflow.log"
        self._log: IO[bytes] = self.log_path.open("wb")
        self._processes: list[subprocess.Popen[str]] = []
        left_out = shutil.ignore_patterns("__pycache__", *(() if AIRFLOW_3 else _ONLY_AIRFLOW_3))
        shutil.copytree(find_example_dags(), self.dags, ignore=left_out)
        (self.path / "tmp").mkdir()
        self._write("config/airflow_local_settings.py", _POLICY.format(seconds=poke_interval))
        self._write("bin/airflow", _AIRFLOW.format(python=sys.executable)).chmod(0o700)
        self._fernet_key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()

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
        # Whoever presses Ctrl-C twice wants it to end, too, and not to leave something behind.
        before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        for process in self._processes:
            stop(process)
        self._log.close()
        shutil.rmtree(self.path, ignore_errors=True)
        for number, handler in before.items():
            signal.signal(number, handler)

    @property
    def dags(self) -> Path:
        """Airflow's folder of DAGs."""
        return self.path / "dags"

    def environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of Airflow's processes: *settings* and what every one of them needs."""
        own = {name: value for name, value in os.environ.items() if not name.upper().startswith(_FOREIGN)}
        return own | {
            "HOME": str(self.path),
            "TMPDIR": str(self.path / "tmp"),  # Airflow 2's web server leaves files there
            "PATH": os.pathsep.join((str(self.path / "bin"), os.environ.get("PATH", os.defpath))),
            "NO_PROXY": "127.0.0.1,localhost",
            "PYTHONUNBUFFERED": "1",
            "AIRFLOW_HOME": str(self.path),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__FERNET_KEY": self._fernet_key,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
            "AIRFLOW__METRICS__TIMER_UNIT_CONSISTENCY": "True",  # Airflow 2 warns otherwise
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            **settings,
        }

    def start(self, module: str, *args: str, settings: Mapping[str, str], piped: bool = False) -> subprocess.Popen[str]:
        """
        Start ``python -m module`` in a process group of its own, with its output going to the log.

        :param piped: Whether its standard output is a pipe instead.
        """
        process = subprocess.Popen(  # noqa: S603  # this interpreter, with a module of ours or Airflow
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

    def keep_log(self) -> Path:
        """Copy the log to where it outlives this home, and return where that is."""
        descriptor, name = tempfile.mkstemp(prefix="hwstatus-demo-", suffix=".log")
        os.close(descriptor)
        return Path(shutil.copy(self.log_path, name))


def stop(process: subprocess.Popen[str]) -> None:
    """
    End a process and all of its group.

    Airflow's parents stop their children in good order when they alone get SIGINT, but may not wait for all of them.
    """
    with suppress(subprocess.TimeoutExpired):
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)
    with suppress(ProcessLookupError):  # nobody is left
        os.killpg(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            process.poll()  # or else it stays in its group
            os.killpg(process.pid, 0)
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout:
        process.stdout.close()
