"""
Wait for a Spark job on MRS. ``JobSensor`` waits for all kinds of jobs that have no sensor of their own.

Trigger the DAG with the ``job_execution_id`` from the response to the submission. Replace the id of the cluster.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import Param, dag

from airflow_provider_hwstatus.sensors.job import JobSensor


@dag(
    schedule=None,
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example", "hwstatus"],
    params={"job_execution_id": Param("4c7e9d1b-52f0-4a68-b3d7-91e06f8a2c45", type="string")},
    doc_md=__doc__,
)
def example_mrs_job() -> None:
    """Wait for a job."""
    # [START howto_sensor_job]
    JobSensor(
        task_id="aggregate",
        kind="mrs_job",
        job_id="{{ params.job_execution_id }}",
        parameters={"cluster_id": "6b1c2f0a-8d34-4e97-a5b2-7c0f9e1d3a86"},
        poke_interval=timedelta(seconds=30),
        timeout=timedelta(hours=6),
        deferrable=True,
    )
    # [END howto_sensor_job]


example_mrs_job()
