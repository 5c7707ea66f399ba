"""The command ``hwstatus-demo``, as a newcomer runs it: with a home that is empty."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from airflow_provider_hwstatus.testing import scenario

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DEMO = (sys.executable, "-m", "airflow_provider_hwstatus.demo.__main__")

#: Runs one DAG with a key that the cloud does not know.
SABOTAGED = """
import sys
from airflow_provider_hwstatus.testing import FakeHuaweiCloud, demo

right = FakeHuaweiCloud.connection
FakeHuaweiCloud.connection = lambda cloud: right(cloud) | {"password": "wrong-secret-key"}
demo.DAGS = ("example_cph_job",)
sys.exit(demo.main([]))
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return an environment with an empty home, an empty directory for temporary files, and nothing of Airflow's."""
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    own = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
    return own | {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "tmp"), "COLUMNS": "100"}


@pytest.fixture
def demo(environment: dict[str, str], request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """Start the demo with the arguments that the test is parametrised with."""
    with subprocess.Popen(
        [*DEMO, *request.param], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        yield process
        process.kill()


def left_behind(tmp_path: Path) -> list[str]:
    """Return what there is in the home and among the temporary files, and the processes that run from there."""
    files = [str(path) for name in ("home", "tmp") for path in (tmp_path / name).iterdir()]
    processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=False).stdout
    return files + [line for line in processes.splitlines() if str(tmp_path) in line]


@pytest.mark.long
@pytest.mark.timeout(600)
def test_demo_shows_states_and_messages(
    environment: dict[str, str], tmp_path: Path, complaints: Callable[[str], str]
) -> None:
    """All example DAGs end as they should, with states and messages as users read them, and nothing is left behind."""
    done = subprocess.run(DEMO, env=environment, capture_output=True, text=True, check=False)

    assert 0 == done.returncode, done.stdout + done.stderr
    assert "" == complaints(done.stderr)
    live, table = done.stdout.split("\ndag ")
    seen = [line.split("…  ")[1] for line in live.splitlines() if "0a324461…" in line]
    assert ["starting", "HTTP 503", "running", "success"] == seen
    text = " ".join(table.split())
    for told in (
        "example_dli_batch report reschedule success",
        "example_failures optional_batch deferrable skipped, as it should",
        "DLI batch d2f6c8e1-94ab-4f07-b5c3-6a7e80d91f24 failed: its state is 'dead'",
        "CPS.0005 The phone is not running.",
        "phone 7 of 24: device offline",
        "JobNotFoundError:",
    ):
        assert told in text
    assert "\x1b" not in done.stdout
    assert [] == left_behind(tmp_path)

    rows = [line.split(maxsplit=3) for line in table.splitlines() if line.startswith("example_")]
    states = {(dag, task): state.removesuffix(", as it should") for dag, task, _, state in rows}
    assert set(scenario.DAGS) == {dag for dag, _ in states}
    assert {task: scenario.expected_state(*task) for task in states} == states
    followed_by_a_message = re.findall(r"^(example_\w+) +(\w+) .*\n    \S", table, re.MULTILINE)
    assert [task for task, state in states.items() if state != "success"] == followed_by_a_message


@pytest.mark.long
@pytest.mark.timeout(600)
def test_demo_says_when_something_goes_wrong(environment: dict[str, str], tmp_path: Path) -> None:
    """Tasks that should end well and do not make it exit with 1, and keep Airflow's output."""
    done = subprocess.run(
        [sys.executable, "-c", SABOTAGED], env=environment, capture_output=True, text=True, check=False
    )

    assert 1 == done.returncode
    assert "failed, but should be success" in done.stdout
    (log,) = (tmp_path / "tmp").iterdir()
    assert done.stdout.rstrip().endswith(str(log))
    assert "example_cph_job" in log.read_text()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("demo", [()], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_demo_can_be_stopped(demo: subprocess.Popen[str], number: signal.Signals, tmp_path: Path) -> None:
    """Ctrl-C and SIGTERM end it in good order, and it leaves nothing."""
    assert demo.stdout is not None
    next(line for line in demo.stdout if "making a database" in line)
    demo.send_signal(number)

    rest, _ = demo.communicate()
    assert 128 + number == demo.returncode
    assert "Traceback" not in rest
    assert [] == left_behind(tmp_path)


@pytest.mark.long
@pytest.mark.slow  # scheduler, triggerer, DAG processor and web server: as much work as a fifth of all other tests
@pytest.mark.timeout(600)
@pytest.mark.parametrize("demo", [("--ui",)], indirect=True)
def test_ui_comes_up_and_goes_away(demo: subprocess.Popen[str], tmp_path: Path) -> None:
    """All of Airflow starts, says where it is and how to log in, and leaves nothing after Ctrl-C."""
    assert demo.stdout is not None
    shown = ""
    for line in demo.stdout:
        shown += line
        if "Ctrl-C" in line:
            break
    demo.send_signal(signal.SIGINT)
    began = time.monotonic()

    demo.communicate()
    assert "Airflow is healthy: http://127.0.0.1:" in shown
    assert "as admin with the password" in shown
    assert 128 + signal.SIGINT == demo.returncode
    assert time.monotonic() - began < 60
    assert [] == left_behind(tmp_path)
