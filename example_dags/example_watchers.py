"""
Start DAGs when jobs end, without a task that waits. Needs Airflow 3: Airflow 2 cannot load this file.

``example_batch_ended`` runs when a batch whose name begins with ``nightly_`` ends, no matter who submitted it.
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
    """Run when a batch has ended, with success or failure."""

    # [START howto_watcher_events]
    ends = NewEndsOperator(task_id="new_ends", inlets=[nightly])

    @task
    def describe(end: dict[str, Any]) -> str:
        """Use the ended batch."""
        status = end["status"]
        return f"{status['name']} ({status['job_id']}): {status['outcome']}"

    describe.expand(end=ends.output)
    # [END howto_watcher_events]


@dag(
    schedule=[restarts],
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    max_active_runs=1,
    tags=["example", "hwstatus"],
    doc_md=__doc__,
)
def example_request_ended() -> None:
    """Run when all jobs of a CPH request have ended."""

    ends = NewEndsOperator(task_id="new_ends", inlets=[restarts])

    @task
    def count(end: dict[str, Any]) -> str:
        """Return the number of jobs by outcome."""
        return f"{end['request_id']}: {end['counts']}"

    count.expand(end=ends.output)


example_batch_ended()
example_request_ended()
