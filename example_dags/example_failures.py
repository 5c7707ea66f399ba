"""
Submit and wait for jobs that fail, to see what a failure looks like.

The DAG run is supposed to fail.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import Param, dag

from airflow_provider_hwstatus.operators.cph import CphPhonesOperator
from airflow_provider_hwstatus.sensors.cph import CphJobSensor
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor, DliSessionSensor

#: A phone that CPH rejects.
UNKNOWN_PHONE = "00000000000000000000000000000000"


@dag(
    schedule=None,
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example", "hwstatus"],
    default_args={"poke_interval": timedelta(seconds=30), "timeout": timedelta(hours=1)},
    params={
        "dead_batch_id": Param("d2f6c8e1-94ab-4f07-b5c3-6a7e80d91f24", type="string"),
        "dead_session_id": Param("97b3e5d0-1c48-4a9f-8e26-f05d7c3b6a81", type="string"),
        "failed_job_id": Param("3d9e5a10272511ea962b0242ac110003", type="string"),
        "optional_batch_id": Param("46a8f0b7-3e5c-4d12-9f68-c7b1d2e09a35", type="string"),
        "unknown_batch_id": Param("00000000-0000-0000-0000-000000000000", type="string"),
    },
    doc_md=__doc__,
)
def example_failures() -> None:
    """Wait for jobs that fail."""
    DliBatchSensor(task_id="dead_batch", batch_id="{{ params.dead_batch_id }}", deferrable=True)
    DliSessionSensor(task_id="dead_session", session_id="{{ params.dead_session_id }}", mode="poke")
    CphJobSensor(task_id="failed_job", job_id="{{ params.failed_job_id }}", deferrable=True)

    # CPH rejects one of the phones in its answer. A rejected phone counts as a failed job.
    CphPhonesOperator(
        task_id="rejected_phone",
        action="stop",
        body={"phone_ids": ["1678567b8bab40f93711234cb80d0764", UNKNOWN_PHONE]},
        deferrable=True,
    )

    # [START howto_sensor_soft_fail]
    # This batch may fail. Then its task and downstream tasks are skipped, and the DAG run does not fail.
    DliBatchSensor(task_id="optional_batch", batch_id="{{ params.optional_batch_id }}", deferrable=True, soft_fail=True)
    # [END howto_sensor_soft_fail]

    # The state of this job is not known, so soft_fail does not hide the error.
    DliBatchSensor(task_id="unknown_batch", batch_id="{{ params.unknown_batch_id }}", deferrable=True, soft_fail=True)


example_failures()
