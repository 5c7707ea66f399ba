"""A DAG that runs when batches of ``waits.json`` end. It appends a line to ``work.jsonl`` for each end."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_hwstatus.operators.new_ends import STARTS_RUN_PER_EVENT, NewEndsOperator
from airflow_provider_hwstatus.triggers.watchers import DliBatchWatcher

watcher = AssetWatcher(name="ends", trigger=DliBatchWatcher(hwstatus_conn_id="hwstatus_aksk", poke_interval=2))
ends = Asset("ends", watchers=[watcher])


@task
def work(end, run_id=None):
    """Record that an end is processed."""
    line = json.dumps([end["status"]["job_id"], end["status"]["state"], run_id]) + "\n"
    with (Path(os.environ["AIRFLOW_HOME"]) / "work.jsonl").open("a") as file:
        file.write(line)


with DAG(
    "ends",
    schedule=[ends],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    max_active_runs=16 if STARTS_RUN_PER_EVENT else 1,
) as dag:
    new_ends = NewEndsOperator(task_id="new_ends", inlets=[ends], retries=3, retry_delay=timedelta(seconds=1))
    work.expand(end=new_ends.output)
