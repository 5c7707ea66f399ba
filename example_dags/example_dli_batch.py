"""
Wait for three Spark batches on DLI, each in another mode, and use the results in a task.

Trigger the DAG with the ids of your batches. If a task of the DAG submits a batch, take the id from its XCom, e.g.
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
    # Waits in the triggerer and uses no worker slot. The best choice if a triggerer runs.
    ingest = DliBatchSensor(
        task_id="ingest",
        batch_id="{{ params.ingest_batch_id }}",
        poke_interval=timedelta(seconds=30),
        timeout=timedelta(hours=6),
        deferrable=True,
    )
    # [END howto_sensor_dli_batch_deferrable]

    # [START howto_sensor_dli_batch_poke]
    # Uses a worker slot for the whole wait. For batches that take a minute or two.
    clean = DliBatchSensor(
        task_id="clean",
        batch_id="{{ params.clean_batch_id }}",
        poke_interval=timedelta(seconds=10),
        timeout=timedelta(minutes=10),
        mode="poke",
    )
    # [END howto_sensor_dli_batch_poke]

    # [START howto_sensor_dli_batch_reschedule]
    # Uses a worker slot only during each poll. For long waits without a triggerer.
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
        """Use the results. The XCom of a wait is the last status of its job."""
        return [f"batch {status['job_id']} succeeded: {status['state']}" for status in statuses]

    summarise([ingest.output, clean.output, report.output])
    # [END howto_sensor_dli_batch_xcom]


example_dli_batch()
