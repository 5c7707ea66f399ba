"""
Two DAGs that a job's end starts, so that no task waits for it. For Airflow 3; Airflow 2 cannot load this file.

Whoever submits a batch whose name begins with ``nightly_``: when it ends, ``example_batch_ended`` runs.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Asset, AssetWatcher, dag, task

from airflow_provider_hwstatus.operators.new_ends import NewEndsOperator
from airflow_provider_hwstatus.triggers.watchers import CphRequestWatcher, DliBatchWatcher

# [START howto_watcher_dli_batch]
nightly = Asset(
    "nightly_batches",
    watchers=[AssetWatcher(name="nightly_batches", trigger=DliBatchWatcher(name="nightly_*", poke_interval=30))],
)
# [END howto_watcher_dli_batch]

# [START howto_watcher_cph_request]
REQUEST = "5d0f7b3a9c124e6ab8f1c27e46d09b35"
restarts = Asset(
    "phone_restarts",
    watchers=[
        AssetWatcher(name="phone_restarts", trigger=CphRequestWatcher(REQUEST, expected_jobs={REQUEST: 2})),
    ],
)
# [END howto_watcher_cph_request]


@dag(
    schedule=[nightly],
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    max_active_runs=1,
    tags=["example", "hwstatus"],
    doc_md=__doc__,
)
def example_batch_ended() -> None:
    """Run when a batch has ended, well or badly."""

    # [START howto_watcher_events]
    ends = NewEndsOperator(task_id="new_ends", inlets=[nightly])

    @task
    def say(end: dict[str, Any]) -> str:
        """Use what has ended."""
        status = end["status"]
        return f"{status['name']} ({status['job_id']}): {status['outcome']}"

    say.expand(end=ends.output)
    # [END howto_watcher_events]


@dag(
    schedule=[restarts],
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    max_active_runs=1,
    tags=["example", "hwstatus"],
    doc_md=__doc__,
)
def example_request_ended() -> None:
    """Run when all phones of a request are done."""

    ends = NewEndsOperator(task_id="new_ends", inlets=[restarts])

    @task
    def count(end: dict[str, Any]) -> str:
        """Return how many phones did what."""
        return f"{end['request_id']}: {end['counts']}"

    count.expand(end=ends.output)


example_batch_ended()
example_request_ended()
