"""``hwstatus-demo --ui``: a complete Airflow with the example DAGs and a connection to the fake cloud."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from pathlib import Path
from urllib.error import URLError

from airflow_provider_hwstatus.demo.airflow_home import (
    HOST,
    AirflowFailedError,
    AirflowHome,
    free_port,
    server_settings,
)
from airflow_provider_hwstatus.demo.output import LiveOutput, echo, failure_report
from airflow_provider_hwstatus.demo.scenario import STEP_SECONDS, RepeatingJobs
from airflow_provider_hwstatus.testing.cloud import FakeHuaweiCloud

#: Seconds between two polls of a job.
POKE_INTERVAL = 3.0

#: Seconds that Airflow may take to start.
START_TIMEOUT = 180.0

#: Files with the generated password of "admin": JSON in Airflow 3, plain text in Airflow 2.
_PASSWORD_FILES = ("simple_auth_manager_passwords.json.generated", "standalone_admin_password.txt")

#: Paths of the health check in Airflow 3 and Airflow 2.
_HEALTH_PATHS = ("/api/v2/monitor/health", "/health")


def show_ui(port: int) -> int:
    """
    Run Airflow until Ctrl-C. Return 1 if it fails.

    :param port: Port of the web server. 0 takes a free one.
    """
    port = port or free_port()
    live = LiveOutput()
    with FakeHuaweiCloud() as cloud, AirflowHome(POKE_INTERVAL) as home:
        RepeatingJobs(cloud)
        settings = server_settings(port)
        try:
            live.step("creating Airflow's database")
            home.run("db", "migrate", settings=settings)
            live.step("adding the connection hwstatus_default")
            connection = json.dumps(cloud.connection())
            home.run("connections", "add", "hwstatus_default", "--conn-json", connection, settings=settings)
            live.step("starting Airflow: scheduler, triggerer, web server")
            airflow = home.start("airflow", "standalone", settings=settings)
            _wait_until_healthy(airflow, port)
            echo(_welcome(home, port))
            live.watch(cloud)
            airflow.wait()
        except AirflowFailedError as error:
            echo(str(error))
        echo(failure_report(home))
        return 1


def _wait_until_healthy(airflow: subprocess.Popen[str], port: int) -> None:
    """:raises AirflowFailedError: Airflow ended, or was not healthy within the time limit."""
    deadline = time.monotonic() + START_TIMEOUT
    while not any(_is_healthy(f"http://{HOST}:{port}{path}") for path in _HEALTH_PATHS):
        if airflow.poll() is not None:
            raise AirflowFailedError("airflow standalone ended")
        if time.monotonic() > deadline:
            raise AirflowFailedError(f"Airflow is not healthy after {START_TIMEOUT:g} s")
        time.sleep(0.5)


def _is_healthy(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy cannot reach 127.0.0.1
    try:
        with opener.open(url, timeout=5) as reply:
            components = json.load(reply)
    except (URLError, OSError, ValueError):  # not started yet, or this release does not have the path
        return False
    # Airflow 2 reports null for components that it runs without.
    return all(components[name]["status"] in {"healthy", None} for name in components) and all(
        components[name]["status"] == "healthy" for name in ("scheduler", "triggerer")
    )


def _welcome(home: AirflowHome, port: int) -> str:
    return (
        f"\nAirflow is healthy: http://{HOST}:{port}\n"
        f"Log in as admin with the password {_password(home.path)}\n\n"
        "The example DAGs appear within half a minute. Trigger any of them. example_failures shows how waits fail.\n"
        f"The state of each job changes every {STEP_SECONDS:g} seconds. Most DAGs submit new jobs in each run.\n"
        "Some time after its end, a job that no DAG submits starts again.\n"
        "The connection is under Admin, Connections. Poll results appear below. Press Ctrl-C to stop.\n"
    )


def _password(home: Path) -> str:
    """Return the password that Airflow generated for "admin"."""
    text = next((home / name).read_text() for name in _PASSWORD_FILES if (home / name).exists())
    return str(json.loads(text)["admin"]) if text.startswith("{") else text.strip()
