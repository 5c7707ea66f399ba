"""A deadline for all tries of a task together, where the real Airflow 3.3 keeps it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from airflow_provider_hwstatus.demo.airflow_home import AirflowHome
from airflow_provider_hwstatus.sensors.start_from_trigger import AIRFLOW_3_3
from airflow_provider_hwstatus.testing import Reply

if TYPE_CHECKING:
    from airflow_provider_hwstatus.testing import FakeHuaweiCloud

pytestmark = [
    pytest.mark.skipif(not AIRFLOW_3_3, reason="Airflow 3.3 is the first that keeps it"),
    pytest.mark.long,
    pytest.mark.slow,  # three tries of three tasks
]

DAG = """
import time
from datetime import datetime, timedelta

from airflow.sdk import DAG

from airflow_provider_hwstatus.sensors.dli import DliBatchSensor


def age(context):
    # As if all but eight seconds of the wait that the first try began had gone by when the second begins.
    store = context["task_state_store"]
    kept = store.get("hwstatus_wait")
    if context["ti"].try_number > 1 and kept["began"] > time.time() - 1800:
        store.set("hwstatus_wait", kept | {"began": time.time() + 8 - 3600}, retention=timedelta(days=1))


HOW = {"timeout": 3600, "retries": 2, "retry_delay": timedelta(seconds=1), "pre_execute": age, "outage_tolerance": 0}

with DAG("resumes", start_date=datetime(2026, 1, 1), schedule=None, default_args=HOW):
    for mode in ("poke", "reschedule"):
        DliBatchSensor(task_id=mode, batch_id=mode, mode=mode, resume_deadline=True)
    DliBatchSensor(task_id="deferrable", batch_id="deferrable", deferrable=True, resume_deadline=True)
"""
TASKS = ("poke", "reschedule", "deferrable")


def test_retry_continues_the_wait_of_the_first_try(huaweicloud: FakeHuaweiCloud) -> None:
    """A try that ends by an outage after a while is followed by one that has only the rest of the time."""
    for task in TASKS:
        huaweicloud.job("dli_batch", task, "running", Reply(status=500), "running")
    settings = {"AIRFLOW_CONN_HWSTATUS_DEFAULT": json.dumps(huaweicloud.connection())}
    with AirflowHome(poke_interval=2) as home:
        for example in home.dags.iterdir():
            example.unlink()
        (home.dags / "resumes.py").write_text(DAG)
        runner = home.start("airflow_provider_hwstatus.demo.run_dags", "resumes", settings=settings, piped=True)
        assert runner.stdout is not None
        lines = [json.loads(line) for line in runner.stdout]
        assert 0 == runner.wait(), home.log_path.read_text()[-5000:]
        with closing(sqlite3.connect(home.path / "airflow.db")) as database:
            kept = dict(database.execute("SELECT task_id, value FROM task_state_store WHERE key = 'hwstatus_wait'"))

    found = {line["task"]: line for line in lines if "task" in line}
    for task in TASKS:
        records = [record for record in huaweicloud.requests if f"/{task}/" in record.path]
        assert [200, 500, 200] == [record.status for record in records[:3]]
        assert "failed" == found[task]["state"]
        assert "timed out after 3600 s" in found[task]["message"]
        deadline = json.loads(kept[task])["began"] + 3600
        # A second try with a deadline of its own would go on for an hour.
        assert deadline - 0.1 <= records[-1].time < records[1].time + 3600
