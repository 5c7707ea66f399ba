"""Waits that begin in the triggerer, in a real one, where there is no worker at all: what ends, ended without."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_hwstatus.sensors.base import BACKSTOP
from airflow_provider_hwstatus.sensors.start_from_trigger import AIRFLOW_3_3

pytestmark = [
    pytest.mark.skipif(not AIRFLOW_3_3, reason="Airflow 3.3 is the first that can"),
    pytest.mark.long,
    pytest.mark.timeout(600),
]

DAG = """
from datetime import datetime, timedelta

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset

from airflow_provider_hwstatus.sensors.cph import CphRequestSensor
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor

HOW = {"deferrable": True, "start_from_trigger": True, "poke_interval": 0.5, "timeout": 600}

with DAG("begins", start_date=datetime(2026, 1, 1), schedule=None, params={"batch": "b1"}, default_args=HOW):
    submit, submit_many = EmptyOperator(task_id="submit"), EmptyOperator(task_id="submit_many")
    submit_request = EmptyOperator(task_id="submit_request")
    DliBatchSensor(task_id="text", batch_id="b1", do_xcom_push=False)
    DliBatchSensor(task_id="template", batch_id="{{ params.batch }}")
    DliBatchSensor(task_id="output", batch_id=submit.output)
    submit >> DliBatchSensor(task_id="pulled", batch_id="{{ ti.xcom_pull('submit') }}")
    DliBatchSensor(task_id="output_of_many", batch_id=submit_many.output)
    DliBatchSensor(task_id="some", batch_id=["b1", submit.output, "{{ params.batch }}"])
    CphRequestSensor(
        task_id="request", request_id=submit_request.output["request_id"], expected_jobs=submit_request.output
    )
    DliBatchSensor(task_id="dead", batch_id="b9")
    DliBatchSensor(task_id="undefined", batch_id="{{ parms.batch }}")
    DliBatchSensor(task_id="nothing", batch_id=submit_request.output["nothing"])
    DliBatchSensor(task_id="missing", batch_id=submit_request.output["no_such_key"], on_empty="succeed")
    DliBatchSensor(task_id="outlet", batch_id="b1", outlets=[Asset("a")])
    DliBatchSensor.partial(task_id="mapped").expand(batch_id=["b1"])
    DliBatchSensor(task_id="late", batch_id="b8", timeout=3600)
    DliBatchSensor(task_id="later", batch_id="b8", execution_timeout=timedelta(seconds=3601))
"""

WATCHED = """
from datetime import datetime

from airflow.sdk import DAG, Asset, AssetWatcher

from airflow_provider_hwstatus.triggers.watchers import DliBatchWatcher

etl = AssetWatcher(name="etl", trigger=DliBatchWatcher(name="etl-*", poke_interval=1))
bad = AssetWatcher(name="bad", trigger=DliBatchWatcher(ends="failure", poke_interval=1))
assets = [Asset("etl", watchers=[etl]), Asset("bad", watchers=[bad])]
with DAG("watched", start_date=datetime(2026, 1, 1), schedule=assets):
    pass
"""

OUTPUTS = {
    "submit": {"return_value": "b2"},
    "submit_many": {"return_value": ["b3", "b2", "b3"]},
    "submit_request": {
        "request_id": "r1",
        "nothing": [],
        "return_value": {"request_id": "r1", "jobs": [{"job_id": "c1"}, {"job_id": "c2"}]},
    },
}


@contextmanager
def triggerer() -> Iterator[subprocess.Popen[bytes]]:
    """Run a triggerer, and kill it as when a machine loses its power."""
    command = [sys.executable, "-m", "airflow", "triggerer", "--skip-serve-logs"]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def airflow(airflow_db: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[dict[str, Any]]]:
    """Return what runs ``begin.py``; a dead triggerer is noticed within seconds."""
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION", "False")  # no watcher works for a paused one
    monkeypatch.setenv("AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC", "1")
    monkeypatch.setenv("AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD", "4")

    def run(*arguments: str) -> list[dict[str, Any]]:
        command = [sys.executable, str(Path(__file__).with_name("begin.py")), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert 0 == done.returncode, done.stdout[-3000:] + done.stderr[-5000:]
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"task"')]

    return run


@pytest.fixture
def database(airflow_db: Path) -> Iterator[sqlite3.Connection]:
    """Give Airflow's database: a process of Airflow's to look into it takes seconds."""
    with closing(sqlite3.connect(airflow_db / "airflow.db", timeout=60, isolation_level=None)) as connection:
        yield connection


def age(database: sqlite3.Connection, task: str, left: float) -> float:
    """Move Airflow's limit of a deferred task to *left* seconds from now, as if time had gone by; return when it is."""
    end = time.time() + left
    moved = (datetime.fromtimestamp(end, UTC).strftime("%Y-%m-%d %H:%M:%S.%f"), task)
    changed = database.execute("UPDATE task_instance SET trigger_timeout = ? WHERE task_id = ?", moved)
    assert 1 == changed.rowcount
    return end


def until(done: Callable[[], bool], seconds: float) -> None:
    """Wait for *done*, or fail."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.3)


def test_waits_begin_and_end_in_the_triggerer(huaweicloud, airflow, airflow_db, database):
    """A success needs no worker, whatever the id is made from; all else resumes on one; a deadline survives a kill."""
    for job_id in ("b1", "b2", "b3"):
        huaweicloud.job("dli_batch", job_id, "running", "success")
    for job_id in ("c1", "c2"):
        huaweicloud.job("cph_job", job_id, 2, request_id="r1")
    huaweicloud.job("dli_batch", "b9", "running", "dead")
    huaweicloud.job("dli_batch", "b8", "running")
    (airflow_db / "dags" / "begins.py").write_text(DAG)
    airflow("begin", "begins", json.dumps(OUTPUTS))

    def target(count: int) -> bool:
        return sum("/b8/" in record.path for record in huaweicloud.requests) >= count

    def deferred() -> set[str]:
        return {task for (task,) in database.execute("SELECT task_id FROM task_instance WHERE state = 'deferred'")}

    with triggerer():
        until(lambda: target(2), 180)
    assert {"late", "later"} <= deferred()
    deadline = age(database, "late", 8 + BACKSTOP) - BACKSTOP
    age(database, "later", 9)
    with triggerer():
        until(lambda: not deferred(), 180)
    tasks = {line["task"]: line for line in airflow("show", "begins")}

    value = {name: [one["job_id"] for one in tasks[name]["value"]] for name in ("output_of_many", "some", "request")}
    well = {"text", "template", "output", "pulled", "output_of_many", "some", "request"}
    event = {name: line["kwargs"]["event"] for name, line in tasks.items() if "event" in (line["kwargs"] or {})}
    assert {"success"} == {tasks[name]["state"] for name in well}
    assert {1} == {tasks[name]["try_number"] for name in well}
    assert tasks["text"]["value"] is None
    assert ("b1", "success") == (tasks["template"]["value"]["job_id"], tasks["template"]["value"]["outcome"])
    assert {"b2"} == {tasks[name]["value"]["job_id"] for name in ("output", "pulled")}
    assert {"output_of_many": ["b3", "b2", "b3"], "some": ["b1", "b2", "b1"], "request": ["c1", "c2"]} == value

    assert {"scheduled"} == {tasks[name]["state"] for name in set(tasks) - well if not name.startswith("submit")}
    assert ("dead", "success") == (event["dead"]["status"]["state"], event["outlet"]["status"]["outcome"])
    assert {"statuses": []} == event["nothing"]["summary"]
    assert "batch_id is missing" in event["missing"]["error"]["message"]
    assert "'parms' is undefined" in "".join(tasks["undefined"]["kwargs"]["traceback"])
    assert (None, None) == (tasks["mapped"]["method"], tasks["mapped"]["value"])
    assert "timed out after 3600 s" in event["late"]["error"]["message"]
    assert deadline <= max(record.time for record in huaweicloud.requests if "/b8/" in record.path)


@pytest.mark.slow  # tests/e2e/ends.py does the same with more ends
def test_ends_are_told_once_across_a_kill(huaweicloud, airflow, airflow_db, database):
    """Airflow stores one event for each end, also for what ends while no triggerer runs, and reads one list for all."""
    for name in ("etl-1", "etl-2", "other"):
        huaweicloud.job("dli_batch", name, "running", name=name)

    def reads() -> int:
        return sum(record.path.endswith("/batches") for record in huaweicloud.requests)

    def count() -> int:
        return database.execute("SELECT count(*) FROM asset_event").fetchone()[0]

    def seen(kind: str) -> dict[str, list[str]]:
        """Return the batches that each watcher has stored as ``going`` or ``ended``."""
        marks = database.execute(
            "SELECT name, value FROM asset_state_store JOIN asset ON id = asset_id WHERE key LIKE 'hwstatus%'"
        )
        return {asset: sorted(json.loads(value)[kind]) for asset, value in marks}

    def told() -> list[tuple[str, str, str]]:
        payloads = [(line["asset"], line["extra"]["payload"]) for line in airflow("events")]
        return sorted((asset, event["status"]["job_id"], event["status"]["state"]) for asset, event in payloads)

    (airflow_db / "dags" / "begins.py").unlink(missing_ok=True)
    (airflow_db / "dags" / "watched.py").write_text(WATCHED)
    airflow("load")
    with triggerer():
        # Each watcher must have seen the batches in progress. Requests do not show that: all may be for one watcher.
        # The other one would see the ends in its first poll, and not report them.
        until(lambda: {"bad": ["etl-1", "etl-2", "other"], "etl": ["etl-1", "etl-2"]} == seen("running"), 180)
        first, began = reads(), time.time()
        huaweicloud.job("dli_batch", "etl-1", "success", name="etl-1")
        huaweicloud.job("dli_batch", "other", "success", name="other")
        # Marks are stored after events. Killed between the two, the watchers would report an end again.
        until(lambda: {"bad": ["etl-1", "other"], "etl": ["etl-1"]} == seen("ended"), 120)
        assert 1 == count()
        until(lambda: reads() - first >= 10, 120)
        assert reads() - first <= time.time() - began + 3
    huaweicloud.job("dli_batch", "etl-2", "dead", name="etl-2")
    with triggerer():
        until(lambda: count() >= 3, 180)
        later = reads() + 3
        until(lambda: reads() >= later, 60)

    assert [("bad", "etl-2", "dead"), ("etl", "etl-1", "success"), ("etl", "etl-2", "dead")] == told()
