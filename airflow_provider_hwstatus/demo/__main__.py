"""
Run the example DAGs on a temporary Airflow, against a fake Huawei Cloud.

Shows what is submitted, the states that the waits poll and how each task ends. With --ui, starts a complete Airflow to
use in a browser.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import NoReturn

from airflow_provider_hwstatus.demo.airflow_home import AirflowHome, is_free
from airflow_provider_hwstatus.demo.output import LiveOutput, echo, failure_report, table
from airflow_provider_hwstatus.demo.scenario import DAGS, add_jobs_by_polls, expected_state
from airflow_provider_hwstatus.demo.web_ui import show_ui
from airflow_provider_hwstatus.testing.__main__ import parse_port
from airflow_provider_hwstatus.testing.cloud import FakeHuaweiCloud

#: Seconds between two polls of a job. It is short because every poll takes the job one step further.
POKE_INTERVAL = 0.2


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 if every task ended as expected, else 1."""
    arguments = _arguments(argv)
    signal.signal(signal.SIGTERM, _on_sigterm)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores SIGINT for background commands
    try:
        return show_ui(arguments.port) if arguments.ui else run_examples()
    except KeyboardInterrupt:
        echo("\nStopped.")
        return 128 + signal.SIGINT


def run_examples() -> int:
    """Run the example DAGs one after the other and print how they end."""
    echo("Running the example DAGs on a temporary Airflow against a fake Huawei Cloud. This takes about half a minute.")
    live = LiveOutput()
    with FakeHuaweiCloud() as cloud, AirflowHome(POKE_INTERVAL) as home:
        add_jobs_by_polls(cloud)
        live.watch(cloud)
        settings = {"AIRFLOW_CONN_HWSTATUS_DEFAULT": json.dumps(cloud.connection())}
        process = home.start("airflow_provider_hwstatus.demo.run_dags", *DAGS, settings=settings, piped=True)
        with live.running():
            results = list(_results(process, live))
        echo("\n" + table(results) + "\n")
        if process.wait() == 0 and _as_expected(results):
            echo("Every task ended as expected, also those that should fail. To use a browser: hwstatus-demo --ui")
            return 0
        echo(failure_report(home))
        return 1


def _results(process: subprocess.Popen[str], live: LiveOutput) -> Iterator[dict[str, str]]:
    assert process.stdout is not None
    for line in process.stdout:
        report: dict[str, str] = json.loads(line)
        if "task" in report:
            yield report
        else:
            live.step(report.get("step") or report["dag"])


def _as_expected(results: Sequence[dict[str, str]]) -> bool:
    dags = {result["dag"] for result in results}
    as_expected = all(result["state"] == expected_state(result["dag"], result["task"]) for result in results)
    return as_expected and dags == set(DAGS)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("hwstatus-demo", description=__doc__)
    parser.add_argument("--ui", action="store_true", help="start a complete Airflow, until Ctrl-C")
    parser.add_argument(
        "--port", type=parse_port, default=0, help="port of Airflow's web server on 127.0.0.1; by default a free one"
    )
    arguments = parser.parse_args(argv)
    if arguments.port and not is_free(arguments.port):
        parser.exit(1, f"error: port {arguments.port} cannot be used; choose another --port\n")
    return arguments


def _on_sigterm(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
