"""
Submit two Spark batches on DLI, wait for them and for a batch that somebody else submitted, and use the results.

The batch of somebody else is a parameter of the DAG run. Its id is the ``id`` in DLI's response to the submission.
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
    params={"partner_batch_id": Param("0a324461-d9d9-45da-a52a-3b3c7a3d809e", type="string")},
    doc_md=__doc__,
)
def example_dli_batch() -> None:
    """Submit two batches, and wait for three."""
    # [START howto_operator_dli_batch_deferrable]
    # Waits in the triggerer and uses no worker slot. The best choice if a triggerer runs.
    ingest = DliBatchOperator(
        task_id="ingest",
        batch={
            "file": "obs://acme/etl.jar",
            "className": "com.acme.Ingest",
            "queue": "etl",
            "args": ["{{ dag_run.run_id }}"],
        },
        poke_interval=timedelta(seconds=30),
        timeout=timedelta(hours=6),
        deferrable=True,
        retries=2,
    )
    # [END howto_operator_dli_batch_deferrable]

    # [START howto_operator_dli_batch_worker]
    # Uses a worker slot for the whole wait. For batches that take a minute or two.
    clean = DliBatchOperator(
        task_id="clean",
        batch={"file": "obs://acme/etl.jar", "className": "com.acme.Clean", "queue": "etl"},
        poke_interval=timedelta(seconds=10),
        timeout=timedelta(minutes=10),
        retries=2,
    )
    # [END howto_operator_dli_batch_worker]

    # [START howto_sensor_dli_batch_reschedule]
    # Waits for a batch that somebody else submitted. Uses a worker slot only during each poll.
    partner = DliBatchSensor(
        task_id="partner",
        batch_id="{{ params.partner_batch_id }}",
        poke_interval=timedelta(minutes=5),
        timeout=timedelta(hours=6),
        mode="reschedule",
    )
    # [END howto_sensor_dli_batch_reschedule]

    # [START howto_operator_dli_batch_xcom]
    @task
    def summarise(statuses: list[dict[str, Any]]) -> list[str]:
        """Use the results. The XCom of a wait is the last status of its job."""
        return [f"batch {status['job_id']} succeeded: {status['state']}" for status in statuses]

    ingest >> clean
    summarise([ingest.output, clean.output, partner.output])
    # [END howto_operator_dli_batch_xcom]


example_dli_batch()
