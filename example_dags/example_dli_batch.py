"""
Three Spark batches on DLI, each waited for in another mode, and a task that uses what the waits found.

Trigger it with the ids of your own batches. In a DAG that submits them, an id comes from the task that did, such as
``batch_id="{{ ti.xcom_pull(task_ids='submit') }}"``.
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
    params={
        "ingest_batch_id": Param("0a324461-d9d9-45da-a52a-3b3c7a3d809e", type="string"),
        "clean_batch_id": Param("5c1d8f02-7e64-4b8f-9d0e-8a4f6f1b2c3d", type="string"),
        "report_batch_id": Param("b7e9a1c4-2f35-4d6a-8c70-1e5d9b3a4f68", type="string"),
    },
    doc_md=__doc__,
)
def example_dli_batch() -> None:
    """Wait for three batches."""
    # [START howto_sensor_dli_batch_deferrable]
    # Waits in the triggerer and holds no worker: the best choice wherever a triggerer runs.
    ingest = DliBatchSensor(
        task_id="ingest",
        batch_id="{{ params.ingest_batch_id }}",
        poke_interval=timedelta(seconds=30),
        timeout=timedelta(hours=6),
        deferrable=True,
    )
    # [END howto_sensor_dli_batch_deferrable]

    # [START howto_sensor_dli_batch_poke]
    # Holds a worker for as long as the wait lasts: for batches that take a minute or two.
    clean = DliBatchSensor(
        task_id="clean",
        batch_id="{{ params.clean_batch_id }}",
        poke_interval=timedelta(seconds=10),
        timeout=timedelta(minutes=10),
        mode="poke",
    )
    # [END howto_sensor_dli_batch_poke]

    # [START howto_sensor_dli_batch_reschedule]
    # Takes a worker anew for each question: for long waits where no triggerer runs.
    report = DliBatchSensor(
        task_id="report",
        batch_id="{{ params.report_batch_id }}",
        poke_interval=timedelta(minutes=5),
        timeout=timedelta(hours=6),
        mode="reschedule",
    )
    # [END howto_sensor_dli_batch_reschedule]

    # [START howto_sensor_dli_batch_xcom]
    @task
    def summarise(statuses: list[dict[str, Any]]) -> list[str]:
        """Use what the waits found: the XCom of a wait is its job's last status."""
        return [f"batch {status['job_id']} ended well: {status['state']}" for status in statuses]

    summarise([ingest.output, clean.output, report.output])
    # [END howto_sensor_dli_batch_xcom]


example_dli_batch()
