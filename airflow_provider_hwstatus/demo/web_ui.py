"""``hwstatus-demo --ui``: a complete Airflow with the example DAGs and a connection to the fake cloud."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from pathlib import Path
from urllib.error import URLError

from airflow_provider_hwstatus.demo.airflow_home import (
    AIRFLOW_3,
    HOST,
    AirflowFailedError,
    AirflowHome,
    free_port,
    server_settings,
)
from airflow_provider_hwstatus.demo.output import LiveOutput, echo, failure_report
from airflow_provider_hwstatus.demo.scenario import FAILING_DAGS, STEP_SECONDS, RepeatingJobs
from airflow_provider_hwstatus.testing.cloud import FakeHuaweiCloud

#: Seconds between two polls of a job.
POKE_INTERVAL = 3.0

#: Seconds that Airflow may take to start.
START_TIMEOUT = 300.0

#: Files with the generated password of "admin": JSON in Airflow 3, plain text in Airflow 2.
_PASSWORD_FILES = ("simple_auth_manager_passwords.json.generated", "standalone_admin_password.txt")

#: Paths of the health check in Airflow 3 and Airflow 2.
_HEALTH_PATHS = ("/api/v2/monitor/health", "/health")

#: Paths of a DAG's page and of the list of connections.
_DAG_PATH, _CONNECTIONS_PATH = ("/dags/{}", "/connections") if AIRFLOW_3 else ("/dags/{}/grid", "/connection/list/")


def show_ui(port: int) -> int:
    """
    Run Airflow until Ctrl-C. Return 1 if it fails.

    :param port: Port of the web server. 0 takes a free one.
    """
    port = port or free_port()
    live = LiveOutput()
    # A busy machine may lose a task, and Airflow's scheduler then fails its try. A retry keeps the example green.
    with FakeHuaweiCloud() as cloud, AirflowHome(POKE_INTERVAL, retries=1, without_retries=FAILING_DAGS) as home:
        RepeatingJobs(cloud)
        settings = server_settings(port) | {"AIRFLOW__CORE__TEST_CONNECTION": "Enabled"}
        try:
            with live.running():
                airflow = _start(cloud, home, live, settings, port)
            echo(_welcome(home, port))
            live.watch(cloud)
            airflow.wait()
        except AirflowFailedError as error:
            echo(str(error))
        echo(failure_report(home))
        return 1


def _start(
    cloud: FakeHuaweiCloud, home: AirflowHome, live: LiveOutput, settings: dict[str, str], port: int
) -> subprocess.Popen[str]:
    """
    Start Airflow, and return its process once it is healthy.

    :raises AirflowFailedError: Airflow failed.
    """
    live.step("creating Airflow's database")
    home.run("db", "migrate", settings=settings)
    live.step("adding the connection hwstatus_default")
    connection = json.dumps(demo_connection(cloud))
    home.run("connections", "add", "hwstatus_default", "--conn-json", connection, settings=settings)
    live.step("starting Airflow: scheduler, triggerer, web server")
    airflow = home.start("airflow", "standalone", settings=settings)
    _wait_until_healthy(airflow, port)
    return airflow


def demo_connection(cloud: FakeHuaweiCloud) -> dict[str, object]:
    """
    Return the connection to the fake cloud.

    Airflow 3.3.1 and 3.3.2 cannot test a connection without a port. It has no other effect. ``airflow connections add``
    drops the port 0 from JSON.
    """
    return cloud.connection() | {"port": cloud.port}


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
    url = f"http://{HOST}:{port}"
    watchers = (
        "* See a job start a DAG: example_batch_ended starts by itself when the batch of example_failures ends.\n"
        f"  {url}/dags/example_batch_ended\n"
        if AIRFLOW_3
        else ""
    )
    return (
        f"\nAirflow is healthy: {url}\n"
        f"Log in as admin with the password {_password(home.path)}\n\n"
        "Try next (the DAGs appear within half a minute):\n"
        f"* Submit a batch and wait: trigger example_dli_batch, and look at the log of the task ingest.\n"
        f"  {url}{_DAG_PATH.format('example_dli_batch')}\n"
        "* See what a failure looks like: trigger example_failures, and look at the log of the task dead_batch.\n"
        f"  {url}{_DAG_PATH.format('example_failures')}\n"
        "* Wait for three batches and a CPH request with two tasks: trigger example_many_jobs.\n"
        f"  {url}{_DAG_PATH.format('example_many_jobs')}\n"
        f"{watchers}"
        "* Test the connection hwstatus_default with the button in its row.\n"
        f"  {url}{_CONNECTIONS_PATH}\n\n"
        f"Each state lasts {STEP_SECONDS:g} seconds. Most DAGs submit new jobs in each run.\n"
        "Other jobs start again some time after their end.\n"
        "Tasks have no link to the Huawei Cloud console here, because the fake cloud has no console.\n"
        "Poll results appear below. Press Ctrl-C to stop.\n"
    )


def _password(home: Path) -> str:
    """Return the password that Airflow generated for "admin"."""
    text = next((home / name).read_text() for name in _PASSWORD_FILES if (home / name).exists())
    return str(json.loads(text)["admin"]) if text.startswith("{") else text.strip()
