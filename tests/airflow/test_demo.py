"""The command ``hwstatus-demo``, run in an empty home directory."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_hwstatus.demo import output, scenario
from airflow_provider_hwstatus.demo.__main__ import main
from airflow_provider_hwstatus.demo.airflow_home import AirflowHome
from airflow_provider_hwstatus.demo.web_ui import demo_connection
from airflow_provider_hwstatus.testing import FakeHuaweiCloud

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DEMO = (sys.executable, "-m", "airflow_provider_hwstatus.demo")

#: Runs one DAG with an unknown access key.
WITH_WRONG_KEY = """
import sys
from airflow_provider_hwstatus.demo import __main__ as demo
from airflow_provider_hwstatus.testing import FakeHuaweiCloud

right = FakeHuaweiCloud.connection
FakeHuaweiCloud.connection = lambda cloud: right(cloud) | {"password": "wrong-secret-key"}
demo.DAGS = ("example_cph_job",)
sys.exit(demo.main([]))
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return an environment with an empty home, an empty temporary directory, and no Airflow settings."""
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    own = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
    return own | {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "tmp"), "COLUMNS": "100"}


@pytest.fixture
def demo(environment: dict[str, str], request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """Start the demo with the test's arguments."""
    with subprocess.Popen(
        [*DEMO, *request.param], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        yield process
        process.kill()


def left_behind(tmp_path: Path) -> list[str]:
    """Return the files in the home and temporary directories, and the processes that use them."""
    files = [str(path) for name in ("home", "tmp") for path in (tmp_path / name).iterdir()]
    processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=False).stdout
    return files + [line for line in processes.splitlines() if str(tmp_path) in line]


@pytest.mark.long
@pytest.mark.timeout(600)
def test_demo_shows_states_and_messages(
    environment: dict[str, str], tmp_path: Path, without_slow_warnings: Callable[[str], str]
) -> None:
    """All example DAGs end as expected, the output shows states and messages, and nothing is left behind."""
    done = subprocess.run(DEMO, env=environment, capture_output=True, text=True, check=False)

    assert 0 == done.returncode, done.stdout + done.stderr
    assert "" == without_slow_warnings(done.stderr)
    live, table = done.stdout.split("\ndag ")
    states_shown = [line.split("…  ")[1] for line in live.splitlines() if "0a324461…" in line]
    assert ["starting", "HTTP 503", "running", "success"] == states_shown
    assert 6 <= len(re.findall(r"DLI batch    \w{8}…  submitted", live))
    assert "CPH request" in live
    text = " ".join(table.split())
    for expected in (
        "example_dli_batch ingest DliBatchOperator deferrable success",
        "example_dli_batch partner DliBatchSensor reschedule success",
        "example_many_jobs submit DliBatchOperator - success",
        "example_failures optional_batch DliBatchSensor deferrable skipped, as it should",
        "DLI batch d2f6c8e1-94ab-4f07-b5c3-6a7e80d91f24 failed: its state is 'dead'",
        "CPS.0005 The phone is not running.",
        "phone 7 of 24: device offline",
        "JobNotFoundError:",
        "state is 'rejected'",
    ):
        assert expected in text
    assert "\x1b" not in done.stdout
    assert [] == left_behind(tmp_path)

    rows = [line.split(maxsplit=4) for line in table.splitlines() if line.startswith("example_")]
    states = {(dag, task): state.removesuffix(", as it should") for dag, task, _, _, state in rows}
    assert set(scenario.DAGS) == {dag for dag, _ in states}
    assert {task: scenario.expected_state(*task) for task in states} == states
    with_message = re.findall(r"^(example_\w+) +(\w+) .*\n    \S", table, re.MULTILINE)
    assert [task for task, state in states.items() if state != "success"] == with_message


@pytest.mark.long
@pytest.mark.slow  # a second demo
@pytest.mark.timeout(600)
def test_demo_reports_a_failure(environment: dict[str, str], tmp_path: Path) -> None:
    """If a task fails unexpectedly, the demo exits with 1 and keeps Airflow's output."""
    done = subprocess.run(
        [sys.executable, "-c", WITH_WRONG_KEY], env=environment, capture_output=True, text=True, check=False
    )

    assert 1 == done.returncode
    assert "failed, but should be success" in done.stdout
    (log,) = (tmp_path / "tmp").iterdir()
    assert done.stdout.rstrip().endswith(str(log))
    assert "example_cph_job" in log.read_text()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("demo", [()], indirect=True)
@pytest.mark.parametrize(
    ("step", "number"), [("creating a database", signal.SIGINT), ("starting Airflow", signal.SIGTERM)]
)
def test_demo_can_be_stopped(demo: subprocess.Popen[str], step: str, number: signal.Signals, tmp_path: Path) -> None:
    """Ctrl-C and SIGTERM stop the demo cleanly and leave nothing behind."""
    assert demo.stdout is not None
    next(line for line in demo.stdout if step in line)
    demo.send_signal(number)

    rest, _ = demo.communicate()
    assert 128 + number == demo.returncode
    assert "Traceback" not in rest
    assert [] == left_behind(tmp_path)


@pytest.mark.long
@pytest.mark.slow  # starts scheduler, triggerer, DAG processor and web server
@pytest.mark.timeout(600)
@pytest.mark.parametrize("demo", [("--ui",)], indirect=True)
def test_ui_starts_and_stops(demo: subprocess.Popen[str], tmp_path: Path) -> None:
    """Airflow starts, the output shows its URL and login, and Ctrl-C leaves nothing behind."""
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
    for path in ("example_dli_batch", "example_failures", "example_many_jobs", "connection"):
        assert re.search(rf"http://127.0.0.1:\d+/.*{path}", shown)
    assert 128 + signal.SIGINT == demo.returncode
    assert time.monotonic() - began < 60
    assert [] == left_behind(tmp_path)


def test_busy_port_is_one_line(huaweicloud: FakeHuaweiCloud, capsys: pytest.CaptureFixture[str]) -> None:
    """Airflow would take a minute to find that out."""
    with pytest.raises(SystemExit) as left:
        main(["--ui", "--port", str(huaweicloud.port)])

    assert 1 == left.value.code
    assert ("", f"error: port {huaweicloud.port} cannot be used; choose another --port\n") == capsys.readouterr()


def test_long_step_is_not_silent(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """In a pipe, a line says every few seconds what the demo waits for."""
    monkeypatch.setattr(output, "_LONGEST_SILENCE", 0.0)
    live, shown = output.LiveOutput(), ""
    with live.running():
        live.step("creating a database")
        while "… creating a database\n" not in shown:
            time.sleep(0.05)
            shown += capsys.readouterr().out

    assert shown.endswith("\n")


def test_tasks_retry_once_unless_they_should_fail() -> None:
    """A task that a busy machine loses does not turn the demo red, and a failure is shown without delay."""
    with AirflowHome(3.0, retries=1, without_retries=scenario.FAILING_DAGS) as home:
        policy: dict[str, Any] = {}
        exec((home.path / "config" / "airflow_local_settings.py").read_text(), policy)  # noqa: S102  # our own file

    tasks = [SimpleNamespace(dag_id=dag_id, retries=0) for dag_id in ("example_dli_batch", "example_failures")]
    tasks.append(SimpleNamespace(dag_id="example_dli_sql", retries=2, poke_interval=30.0))
    for task in tasks:
        policy["task_policy"](task)
    assert [1, 0, 2] == [task.retries for task in tasks]
    assert 3.0 == tasks[-1].poke_interval


def test_connection_can_be_tested_and_has_no_short_values() -> None:
    """Airflow 3.3 needs a port to test a connection, and warns about each short value that it does not mask."""
    with FakeHuaweiCloud() as cloud:
        connection = demo_connection(cloud)

    assert connection["port"]
    assert [] == [text for text in connection["extra"].values() if isinstance(text, str) and len(text) < 5]
