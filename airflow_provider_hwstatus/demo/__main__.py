"""
``hwstatus-demo``: waits for jobs of a fake Huawei Cloud in a real Airflow, both thrown away afterwards.

It runs the example DAGs and shows what their waits see and how they end. With ``--ui`` it starts all of Airflow, to
be looked at in a browser.
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

from airflow_provider_hwstatus.demo.home import Home
from airflow_provider_hwstatus.demo.scenario import DAGS, expected_state, play_by_calls
from airflow_provider_hwstatus.demo.show import Live, failure, say, table
from airflow_provider_hwstatus.demo.standalone import show_ui
from airflow_provider_hwstatus.testing.cloud import FakeHuaweiCloud

#: Seconds between two questions about a job: short, as every question takes the job one step further.
POKE_INTERVAL = 0.2


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 if every task ended as it should, and otherwise 1."""
    arguments = _arguments(argv)
    signal.signal(signal.SIGTERM, _terminated)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's "&" makes it ignored
    try:
        return show_ui(arguments.port) if arguments.ui else run_examples()
    except KeyboardInterrupt:
        say("\nStopped.")
        return 128 + signal.SIGINT


def run_examples() -> int:
    """Run the example DAGs one after the other, and show how they fare."""
    say("A fake Huawei Cloud, a real Airflow and the example DAGs of this package; about half a minute.")
    live = Live()
    with FakeHuaweiCloud() as cloud, Home(POKE_INTERVAL) as home:
        play_by_calls(cloud)
        cloud.listeners.append(live.on_poll)
        settings = {"AIRFLOW_CONN_HWSTATUS_DEFAULT": json.dumps(cloud.connection())}
        process = home.start("airflow_provider_hwstatus.demo.run_dags", *DAGS, settings=settings, piped=True)
        results = list(_results(process, live))
        say("\n" + table(results) + "\n")
        if process.wait() == 0 and _as_expected(results):
            say("Every task ended as it should, those that failed, too. Now the same in a browser: hwstatus-demo --ui")
            return 0
        say(failure(home))
        return 1


def _results(process: subprocess.Popen[str], live: Live) -> Iterator[dict[str, str]]:
    assert process.stdout is not None
    for line in process.stdout:
        report: dict[str, str] = json.loads(line)
        if "task" in report:
            yield report
        else:
            live.step(report.get("doing") or report["dag"])


def _as_expected(results: Sequence[dict[str, str]]) -> bool:
    ran = {result["dag"] for result in results}
    as_expected = all(result["state"] == expected_state(result["dag"], result["task"]) for result in results)
    return as_expected and ran == set(DAGS)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("hwstatus-demo", description=__doc__)
    parser.add_argument("--ui", action="store_true", help="start all of Airflow, until Ctrl-C")
    parser.add_argument(
        "--port", type=int, default=0, help="where Airflow's UI listens on 127.0.0.1; by default a free port"
    )
    return parser.parse_args(argv)


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
