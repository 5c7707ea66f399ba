"""A DAG with the operators and sensors of ``tasks.json``. Callbacks append a line to ``ends.jsonl``."""

import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_hwstatus.operators.dli import DliBatchOperator
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor

CLASSES = {"operator": DliBatchOperator, "sensor": DliBatchSensor}
HERE = Path(os.environ["AIRFLOW_HOME"])


def append_end(state):
    """Return a callback that appends the task's end to ``ends.jsonl``."""

    def callback(context):
        line = {"task_id": context["ti"].task_id, "state": state, "time": time.time()}
        with (HERE / "ends.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")

    return callback


with DAG(
    "waits_production",
    schedule="@once",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args={
        "retries": 5,
        "retry_delay": timedelta(seconds=1),
        "on_success_callback": append_end("success"),
        "on_failure_callback": append_end("failed"),
    },
) as dag:
    for task_id, name, arguments in json.loads((HERE / "tasks.json").read_text()):
        CLASSES[name](task_id=task_id, **arguments)
