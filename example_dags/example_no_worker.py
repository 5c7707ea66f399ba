"""
Two waits that need no worker: they begin in the triggerer and, if they end well, end there. For Airflow 3.3.

Before it, and with ``dag.test()``, they begin on a worker as any deferrable wait does, and end the same.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import Param, dag, task

from airflow_provider_hwstatus.sensors.dli import DliBatchSensor


@dag(
    schedule=None,
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example", "hwstatus"],
    default_args={"poke_interval": timedelta(seconds=30), "timeout": timedelta(hours=6)},
    params={
        "first_batch_id": Param("c3a7e5f1-0d29-4b86-8e14-7f2b9d6a5c01", type="string"),
        "second_batch_id": Param("c3a7e5f1-0d29-4b86-8e14-7f2b9d6a5c02", type="string"),
    },
    doc_md=__doc__,
)
def example_no_worker() -> None:
    """Wait for two batches without a worker, and use what the waits found."""
    # [START howto_sensor_start_from_trigger]
    first = DliBatchSensor(
        task_id="first", batch_id="{{ params.first_batch_id }}", deferrable=True, start_from_trigger=True
    )

    @task
    def submit(params: dict[str, Any] | None = None) -> str:
        """Submit a batch, and return its id."""
        return str((params or {})["second_batch_id"])

    second = DliBatchSensor(task_id="second", batch_id=submit(), deferrable=True, start_from_trigger=True)
    # [END howto_sensor_start_from_trigger]

    @task
    def go_on(statuses: list[dict[str, Any]]) -> list[str]:
        """Use what the waits found: their XCom is the same as if a worker had stored it."""
        return [f"batch {status['job_id']} ended well: {status['state']}" for status in statuses]

    go_on([first.output, second.output])


example_no_worker()
