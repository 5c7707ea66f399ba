"""Airflow's components as processes, which can be killed as when a machine loses its power."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import allowances
import psutil

from airflow_provider_hwstatus.demo import standalone
from airflow_provider_hwstatus.demo.home import Home, stop

HERE = Path(__file__).parent

AIRFLOW = tuple(map(int, version("apache-airflow").split(".")[:2]))

#: Seconds for the API server to listen.
START_TIMEOUT = 600.0

#: What runs, by the name it has here: Airflow 3 has two components that 2 does not need.
COMPONENTS = {
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "triggerer 1": ("triggerer", "--skip-serve-logs"),
} | ({"api-server": ("api-server",), "dag-processor": ("dag-processor",)} if AIRFLOW >= (3, 0) else {})


def settings(database: str, parallelism: int, scheduler_lost: int) -> dict[str, str]:
    """
    Return Airflow's settings: short intervals, so that a death is noticed within seconds.

    :param database: Address of the database.
    :param parallelism: How many tasks run at the same time.
    :param scheduler_lost: Seconds after which a scheduler that says nothing is taken for dead.
    """
    return standalone._settings(standalone._free_port()) | {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database.replace("postgresql:", "postgresql+psycopg2:"),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": str(parallelism),
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",  # an API server that has just begun is slow on a busy machine
        "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "64",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "2",
        "AIRFLOW__SCHEDULER__MIN_FILE_PROCESS_INTERVAL": "600",  # no file changes
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": str(scheduler_lost),
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "15",
    }


@dataclass
class Stack:
    """Airflow and the fake cloud, started piece by piece."""

    home: Home
    settings: dict[str, str]
    cloud_port: int
    began: float = field(default_factory=time.time)
    processes: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    kills: list[tuple[str, float]] = field(default_factory=list)
    left: list[tuple[str, float]] = field(default_factory=list)
    #: When the API server was killed, and when it was there again.
    api_away: list[tuple[float, float]] = field(default_factory=list)
    #: How many schedulers had to be started again.
    deaths: int = 0
    #: Where in Airflow's output that of the last one begins.
    _scheduler_log: int = 0

    def log(self, event: str) -> None:
        """Show an event as it happens."""
        print(f"{time.time() - self.began:6.1f} s  {event}", flush=True)

    def start(self, name: str) -> None:
        """Start a component."""
        self.log(f"start {name}")
        if name == "cloud":
            self.processes[name] = subprocess.Popen(
                [sys.executable, HERE / "cloud.py", str(self.cloud_port), self.home.path],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                text=True,
            )
            return
        if name == "scheduler":
            self._scheduler_log = self.home.log_path.stat().st_size
        command = COMPONENTS.get(name, ("triggerer", "--skip-serve-logs"))
        self.processes[name] = self.home.start("airflow", *command, settings=self.settings)
        if name == "api-server":
            self._until_listening()

    def _until_listening(self) -> None:
        """Wait until the API server does: Airflow 3.4.0b2's scheduler may not survive a worker that finds none."""
        address, deadline = ("127.0.0.1", int(self.settings["AIRFLOW__API__PORT"])), time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(address, timeout=5):
                kills = [gone for name, gone in self.kills if name == "api-server"]
                self.api_away += [(gone, time.time()) for gone in kills[-1:]]
                return
            time.sleep(0.2)
        raise TimeoutError(f"the API server does not listen after {START_TIMEOUT:g} s")

    def airflow(self, *args: str) -> None:
        """Run a command of Airflow's."""
        standalone._run(self.home, *args, settings=self.settings)

    def kill(self, name: str) -> None:
        """Kill -9 a component and everything below it."""
        self.log(f"kill -9 {name}")
        self.kills.append((name, time.time()))
        kill_tree(self.processes.pop(name).pid)

    def kill_worker(self, task_id: str, pid: int) -> None:
        """Kill -9 the process that runs a task."""
        self.log(f"kill -9 worker of {task_id}")
        self.kills.append((f"worker of {task_id}", time.time()))
        os.kill(pid, signal.SIGKILL)

    def leave(self, name: str) -> None:
        """Let a component end in good order."""
        self.log(f"{name} leaves")
        self.left.append((name, time.time()))
        stop(self.processes.pop(name))

    def check(self) -> None:
        """
        Start a scheduler again that has a known fault of its Airflow: it may end, or hang.

        :raises ChildProcessError: A component has ended by itself.
        """
        with self.home.log_path.open(errors="replace") as log:
            log.seek(self._scheduler_log)
            if self.deaths < allowances.MOST_DEATHS and allowances.has_known_fault(AIRFLOW, log.read()):
                self.log("the scheduler has a fault that is known of this Airflow")
                self.deaths += 1
                self.kill("scheduler")
                self.start("scheduler")
        if died := [name for name, process in self.processes.items() if process.poll() is not None]:
            raise ChildProcessError(f"{', '.join(died)} ended by itself")

    def stop(self) -> None:
        """End everything, and also what a killed component may have left."""
        for process in self.processes.values():
            kill_tree(process.pid)
        for process in psutil.process_iter():
            try:
                if process.environ().get("AIRFLOW_HOME") == str(self.home.path):
                    process.kill()
            except psutil.Error:  # it has ended, or is not ours
                continue


def kill_tree(pid: int) -> None:
    """Kill -9 a process and those below it, parents first so that none can tell."""
    try:
        top = psutil.Process(pid)
        tree = [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in tree:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(tree, timeout=5)
