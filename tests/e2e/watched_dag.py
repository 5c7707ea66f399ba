"""A DAG that runs when a job of ``waits.json`` ends: a DLI batch, or a CPH request with one job."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

from airflow.sdk import DAG, Asset, AssetWatcher

from airflow_provider_hwstatus.triggers.watchers import CphRequestWatcher, DliBatchWatcher

WAITS = json.loads((Path(os.environ["AIRFLOW_HOME"]) / "waits.json").read_text())
HOW = {"hwstatus_conn_id": "hwstatus_aksk", "poke_interval": 5}

requests = {wait["request_id"]: 1 for wait in WAITS if wait["request_id"]}
triggers = {
    "batches": DliBatchWatcher(**HOW),
    "dead_batches": DliBatchWatcher(ends="failure", **HOW),
    "requests": CphRequestWatcher(list(requests), expected_jobs=requests, **HOW),
}
assets = [Asset(name, watchers=[AssetWatcher(name=name, trigger=trigger)]) for name, trigger in triggers.items()]

with DAG("watched", schedule=assets[0] | assets[1] | assets[2], start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
    pass
