"""
Wait for two batches without a worker: the waits start in the triggerer and, on success, end there.

The first batch was submitted elsewhere, and its id is a parameter of the DAG run. A task submits the second one.

This needs Airflow 3.3 or newer. In older releases and in ``dag.test()``, the waits start on a worker and have the same
result.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import Param, dag, task

from airflow_provider_hwstatus.operators.dli import DliBatchOperator
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor


@dag(
    schedule=None,
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example", "hwstatus"],
    default_args={"poke_interval": timedelta(seconds=30), "timeout": timedelta(hours=6)},
    params={"first_batch_id": Param("c3a7e5f1-0d29-4b86-8e14-7f2b9d6a5c01", type="string")},
    doc_md=__doc__,
)
def example_no_worker() -> None:
    """Wait for two batches without a worker and use the results."""
    # [START howto_sensor_start_from_trigger]
    first = DliBatchSensor(
        task_id="first", batch_id="{{ params.first_batch_id }}", deferrable=True, start_from_trigger=True
    )

    # The submission needs a worker for a moment, the wait needs none.
    submit = DliBatchOperator(
        task_id="submit", batch={"file": "obs://acme/etl.jar", "queue": "etl"}, wait=False, retries=2
    )
    second = DliBatchSensor(
        task_id="second", batch_id=submit.output["batch_id"], deferrable=True, start_from_trigger=True
    )
    # [END howto_sensor_start_from_trigger]

    @task
    def summarise(statuses: list[dict[str, Any]]) -> list[str]:
        """Use the results. The XCom is the same as that of a wait on a worker."""
        return [f"batch {status['job_id']} succeeded: {status['state']}" for status in statuses]

    summarise([first.output, second.output])


example_no_worker()
