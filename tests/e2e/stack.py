"""Airflow's components and the fake cloud as processes that can be killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import allowances
import psutil

from airflow_provider_hwstatus.demo.airflow_home import AirflowHome, free_port, server_settings, stop

HERE = Path(__file__).parent

AIRFLOW = tuple(map(int, version("apache-airflow").split(".")[:2]))

#: Maximum seconds until the API server listens.
START_TIMEOUT = 600.0

#: Arguments of Airflow's components, by the first word of their name. Two of them exist only in Airflow 3.
COMPONENTS = {
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "triggerer": ("triggerer", "--skip-serve-logs"),
    "worker": ("celery", "worker", "--skip-serve-logs"),
} | ({"api-server": ("api-server",), "dag-processor": ("dag-processor",)} if AIRFLOW >= (3, 0) else {})


def settings(database: str, parallelism: int, scheduler_lost: int) -> dict[str, str]:
    """
    Return Airflow's settings. Intervals are short, so that Airflow detects a killed component within seconds.

    :param database: URL of the database.
    :param parallelism: Maximum number of tasks that run at the same time.
    :param scheduler_lost: Seconds without a heartbeat after which a scheduler counts as dead.
    """
    return server_settings(free_port()) | {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database.replace("postgresql:", "postgresql+psycopg2:"),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": str(parallelism),
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",  # on a busy machine, an API server is slow at its start
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
    """
    Airflow and the fake cloud.

    :param kills: Name and time of each kill.
    :param stops: Name and time of each regular stop.
    """

    home: AirflowHome
    settings: dict[str, str]
    cloud_port: int
    started_at: float = field(default_factory=time.time)
    processes: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    kills: list[tuple[str, float]] = field(default_factory=list)
    stops: list[tuple[str, float]] = field(default_factory=list)
    #: Times at which the API server was killed and listened again.
    api_outages: list[tuple[float, float]] = field(default_factory=list)
    #: Number of schedulers that were restarted because of a known fault.
    scheduler_restarts: int = 0
    #: Position in Airflow's output at which the last scheduler started.
    _scheduler_log: int = 0

    def log(self, event: str) -> None:
        """Print an event with its time."""
        print(f"{time.time() - self.started_at:6.1f} s  {event}", flush=True)

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
        kind, _, number = name.partition(" ")
        own_name = ("--celery-hostname", f"worker-{number}") if kind == "worker" else ()
        self.processes[name] = self.home.start("airflow", *COMPONENTS[kind], *own_name, settings=self.settings)
        if name == "api-server":
            self._until_listening()

    def _until_listening(self) -> None:
        """Wait until the API server listens. Airflow 3.4.0b2's scheduler may crash if a worker cannot reach it."""
        address, deadline = ("127.0.0.1", int(self.settings["AIRFLOW__API__PORT"])), time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(address, timeout=5):
                kills = [killed_at for name, killed_at in self.kills if name == "api-server"]
                self.api_outages += [(killed_at, time.time()) for killed_at in kills[-1:]]
                return
            time.sleep(0.2)
        raise TimeoutError(f"the API server is not listening after {START_TIMEOUT:g} s")

    def request(self, method: str, path: str, body: object) -> None:
        """
        Send a request to the API of Airflow 3.

        :param path: The path below ``/api/v2``.
        """
        base = f"http://127.0.0.1:{self.settings['AIRFLOW__API__PORT']}"
        with urllib.request.urlopen(f"{base}/auth/token", timeout=60) as response:  # noqa: S310  # this machine
            token = json.load(response)["access_token"]
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        request = urllib.request.Request(  # noqa: S310  # this machine
            f"{base}/api/v2/{path}", json.dumps(body).encode(), headers, method=method
        )
        urllib.request.urlopen(request, timeout=60).close()  # noqa: S310  # this machine

    def airflow(self, *args: str) -> None:
        """Run an Airflow command."""
        self.home.run(*args, settings=self.settings)

    def kill(self, name: str) -> None:
        """Kill a component and its child processes with SIGKILL."""
        self.log(f"kill -9 {name}")
        self.kills.append((name, time.time()))
        kill_tree(self.processes.pop(name).pid)

    def kill_worker(self, task_id: str, pid: int) -> None:
        """Kill the process that runs a task with SIGKILL."""
        self.log(f"kill -9 worker of {task_id}")
        self.kills.append((f"worker of {task_id}", time.time()))
        os.kill(pid, signal.SIGKILL)

    def stop(self, name: str) -> None:
        """Stop a component in the regular way."""
        self.log(f"stop {name}")
        self.stops.append((name, time.time()))
        stop(self.processes.pop(name))

    def terminate(self, name: str) -> subprocess.Popen[str]:
        """Send SIGTERM to a component, as Kubernetes does, and return its process. Its children get no signal."""
        self.log(f"SIGTERM to {name}")
        self.stops.append((name, time.time()))
        process = self.processes.pop(name)
        process.terminate()
        return process

    def check(self) -> None:
        """
        Restart the scheduler if its log shows a known fault. Such a scheduler exits or hangs.

        :raises ChildProcessError: A component exited.
        """
        with self.home.log_path.open(errors="replace") as log:
            log.seek(self._scheduler_log)
            if self.scheduler_restarts < allowances.MAX_SCHEDULER_RESTARTS and allowances.has_known_fault(
                AIRFLOW, log.read()
            ):
                self.log("the scheduler has a known fault of this Airflow release")
                self.scheduler_restarts += 1
                self.kill("scheduler")
                self.start("scheduler")
        if exited := [name for name, process in self.processes.items() if process.poll() is not None]:
            raise ChildProcessError(f"{', '.join(exited)} exited")

    def stop_all(self) -> None:
        """Kill everything, including processes that a killed component left behind."""
        for process in self.processes.values():
            kill_tree(process.pid)
        for process in psutil.process_iter():
            try:
                if process.environ().get("AIRFLOW_HOME") == str(self.home.path):
                    process.kill()
            except psutil.Error:  # it has ended, or belongs to another user
                continue


def kill_tree(pid: int) -> None:
    """Kill a process and its descendants with SIGKILL. Parents first, so that they cannot react."""
    try:
        root = psutil.Process(pid)
        tree = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in tree:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(tree, timeout=5)


def keep_files(home: AirflowHome) -> None:
    """Keep the files of a failed run."""
    print(f"Airflow's output is kept in {home.keep_log()}")
    if folder := os.environ.get("HWSTATUS_E2E_KEEP"):
        shutil.move(home.path, folder)
