"""
A DAG with one sensor for each wait in its share of ``waits.json``. Callbacks append a line to ``ends.jsonl``.

Each numbered copy of this file has its own share, because every task parses its whole DAG file.
"""

import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_hwstatus.sensors.cph import CphJobSensor
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor, DliSessionSensor

SENSORS = {sensor.__name__: sensor for sensor in (CphJobSensor, DliBatchSensor, DliSessionSensor)}
HERE = Path(os.environ["AIRFLOW_HOME"])
NAME = Path(__file__).stem
SHARE = 20
FIRST = int(NAME.rpartition("_")[2]) * SHARE


def append_end(state):
    """Return a callback that appends the task's end to ``ends.jsonl``."""

    def callback(context):
        ti = context["ti"]
        if state == "success" and ti.state == "skipped":  # Airflow 2.11 also calls this after a skip
            return
        line = {"task_id": ti.task_id, "state": state, "try_number": ti.try_number, "time": time.time()}
        with (HERE / "ends.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")

    return callback


with DAG(
    NAME,
    schedule="@once",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args={
        "retries": 10,  # no verdict leads to a retry, so each retry is an error or the effect of a kill
        "retry_delay": timedelta(seconds=1),
        "on_success_callback": append_end("success"),
        "on_failure_callback": append_end("failed"),
        "on_skipped_callback": append_end("skipped"),
        "on_retry_callback": append_end("retry"),
    },
) as dag:
    for wait in json.loads((HERE / "waits.json").read_text())[FIRST : FIRST + SHARE]:
        name, arguments = wait["sensor"]
        SENSORS[name](**arguments)
