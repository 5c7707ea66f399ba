"""
Submit many jobs and wait for each group of jobs with one sensor.

Replace the two tasks that submit jobs with your own. Here they only return ids from the DAG run's parameters.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import Param, dag, task

from airflow_provider_hwstatus.sensors.cph import CphRequestSensor
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor

BATCHES = [
    "1b0c6a54-0f5e-4c0b-9a57-52f1c3d0e801",
    "1b0c6a54-0f5e-4c0b-9a57-52f1c3d0e802",
    "1b0c6a54-0f5e-4c0b-9a57-52f1c3d0e803",
]
PHONES = ["7c1e9a02272511ea962b0242ac110001", "7c1e9a02272511ea962b0242ac110002"]


@dag(
    schedule=None,
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example", "hwstatus"],
    default_args={"poke_interval": timedelta(seconds=30), "timeout": timedelta(hours=6)},
    params={
        "batch_ids": Param(BATCHES, type="array"),
        "restart_request_id": Param("a9f1c6d2e8b34d7f8e60b1d5c2a47e93", type="string"),
        "restart_job_ids": Param(PHONES, type="array"),
    },
    doc_md=__doc__,
)
def example_many_jobs() -> None:
    """Wait for three batches, and for all phones that one request restarts."""

    # [START howto_sensor_list_of_batches]
    @task
    def submit(params: dict[str, Any] | None = None) -> list[str]:
        """Submit batches and return their ids."""
        return list((params or {})["batch_ids"])

    batches = DliBatchSensor(task_id="batches", batch_id=submit(), deferrable=True, fail_fast=False)
    # [END howto_sensor_list_of_batches]

    # [START howto_sensor_cph_request]
    @task(multiple_outputs=True)
    def restart(params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Restart phones and return the response of CPH."""
        given = params or {}
        jobs = [{"job_id": job_id} for job_id in given["restart_job_ids"]]
        return {"request_id": given["restart_request_id"], "jobs": jobs}

    answer = restart()
    phones = CphRequestSensor(task_id="phones", request_id=answer["request_id"], expected_jobs=answer, deferrable=True)
    # [END howto_sensor_cph_request]

    @task
    def summarise(batches: list[dict[str, Any]], phones: list[dict[str, Any]]) -> str:
        """Use the results. The XCom of each wait is a list of statuses."""
        return f"{len(batches)} batches and {len(phones)} phones are done"

    summarise(batches.output, phones.output)


example_many_jobs()
