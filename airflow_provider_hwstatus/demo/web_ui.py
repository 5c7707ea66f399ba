"""``hwstatus-demo --ui``: all of Airflow on this machine, with the example DAGs and a connection to the fake cloud."""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from urllib.error import URLError

from airflow_provider_hwstatus.demo.home import Home
from airflow_provider_hwstatus.demo.scenario import STEP_SECONDS, Repeating
from airflow_provider_hwstatus.demo.show import Live, failure, say
from airflow_provider_hwstatus.testing.cloud import FakeHuaweiCloud

HOST = "127.0.0.1"

#: Seconds between two questions about a job.
POKE_INTERVAL = 3.0

#: Seconds for Airflow to come up.
START_TIMEOUT = 180.0

#: Where Airflow leaves the password it made for "admin": 3.x in JSON, 2.x as it is.
_PASSWORD_FILES = ("simple_auth_manager_passwords.json.generated", "standalone_admin_password.txt")

#: Where Airflow says how it is: 3.x, 2.x.
_HEALTH_PATHS = ("/api/v2/monitor/health", "/health")


class AirflowFailedError(Exception):
    """A command of Airflow's failed, or Airflow did not come up."""


def show_ui(port: int) -> int:
    """
    Run all of Airflow until Ctrl-C. Return 1 if it fails.

    :param port: Of its UI; 0 takes a free one.
    """
    port = port or _free_port()
    live = Live()
    with FakeHuaweiCloud() as cloud, Home(POKE_INTERVAL) as home:
        Repeating(cloud)
        settings = _settings(port)
        try:
            live.step("making Airflow's database")
            _run(home, "db", "migrate", settings=settings)
            live.step("adding the connection hwstatus_default")
            connection = json.dumps(cloud.connection())
            _run(home, "connections", "add", "hwstatus_default", "--conn-json", connection, settings=settings)
            live.step("starting Airflow: scheduler, triggerer, web server")
            airflow = home.start("airflow", "standalone", settings=settings)
            _wait_until_healthy(airflow, port)
            say(_welcome(home, port))
            cloud.listeners.append(live.on_poll)
            airflow.wait()
        except AirflowFailedError as error:
            say(str(error))
        say(failure(home))
        return 1


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _settings(port: int) -> dict[str, str]:
    url = f"http://{HOST}:{port}"
    return {
        "AIRFLOW__CORE__PARALLELISM": "4",  # each costs a process
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


def _run(home: Home, *args: str, settings: Mapping[str, str]) -> None:
    """:raises AirflowFailedError: The command failed."""
    if home.start("airflow", *args, settings=settings).wait():
        raise AirflowFailedError(f"airflow {args[0]} {args[1]} failed")


def _wait_until_healthy(airflow: subprocess.Popen[str], port: int) -> None:
    """:raises AirflowFailedError: It ended, or is not healthy in time."""
    deadline = time.monotonic() + START_TIMEOUT
    while not any(_healthy(f"http://{HOST}:{port}{path}") for path in _HEALTH_PATHS):
        if airflow.poll() is not None:
            raise AirflowFailedError("airflow standalone ended")
        if time.monotonic() > deadline:
            raise AirflowFailedError(f"Airflow is not healthy after {START_TIMEOUT:g} s")
        time.sleep(0.5)


def _healthy(url: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # this machine needs no proxy
    try:
        with direct.open(url, timeout=5) as reply:
            parts = json.load(reply)
    except (URLError, OSError, ValueError):  # not up yet, or a path that this release does not have
        return False
    # Airflow 2 says null of the parts that it runs without.
    return all(parts[name]["status"] in {"healthy", None} for name in parts) and all(
        parts[name]["status"] == "healthy" for name in ("scheduler", "triggerer")
    )


def _welcome(home: Home, port: int) -> str:
    return (
        f"\nAirflow is healthy: http://{HOST}:{port}\n"
        f"Log in as admin with the password {_password(home.path)}\n\n"
        "The example DAGs appear within half a minute; trigger any of them, example_failures to see how waits fail.\n"
        f"The jobs change their states every {STEP_SECONDS:g} seconds, and start again some time after their end.\n"
        "The connection is under Admin, Connections. What the waits see shows up here. Ctrl-C ends everything.\n"
    )


def _password(home: Path) -> str:
    """Return the password that Airflow made for "admin"."""
    text = next((home / name).read_text() for name in _PASSWORD_FILES if (home / name).exists())
    return str(json.loads(text)["admin"]) if text.startswith("{") else text.strip()
