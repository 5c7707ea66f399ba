"""
Submit many jobs, and wait for each group of jobs with one sensor.

Each batch has its own task that submits it. One task waits for all of them, so there is one wait in the triggerer.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_hwstatus.operators.cph import CphPhonesOperator
from airflow_provider_hwstatus.operators.dli import DliBatchOperator
from airflow_provider_hwstatus.sensors.cph import CphRequestSensor
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor

COUNTRIES = ["de", "fr", "it"]
PHONES = ["1678567b8bab40f93711234cb80d0764", "2b1f6c3a9d7e4f508c2a6b4e9d0f1a35"]


@dag(
    schedule=None,
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example", "hwstatus"],
    default_args={"poke_interval": timedelta(seconds=30), "timeout": timedelta(hours=6)},
    doc_md=__doc__,
)
def example_many_jobs() -> None:
    """Wait for three batches, and for all phones that one request restarts."""
    # [START howto_operator_many_batches]
    submit = DliBatchOperator.partial(task_id="submit", wait=False, retries=2).expand(
        batch=[{"file": "obs://acme/etl.jar", "queue": "etl", "args": [country]} for country in COUNTRIES]
    )
    batches = DliBatchSensor(task_id="batches", batch_id=submit.output["batch_id"], deferrable=True, fail_fast=False)
    # [END howto_operator_many_batches]

    # [START howto_sensor_cph_request]
    restart = CphPhonesOperator(
        task_id="restart", action="restart", body={"phones": [{"phone_id": phone} for phone in PHONES]}, wait=False
    )
    phones = CphRequestSensor(
        task_id="phones", request_id=restart.output["request_id"], expected_jobs=restart.output, deferrable=True
    )
    # [END howto_sensor_cph_request]

    @task
    def summarise(batches: list[dict[str, Any]], phones: list[dict[str, Any]]) -> str:
        """Use the results. The XCom of each wait is a list of statuses."""
        return f"{len(batches)} batches and {len(phones)} phones are done"

    summarise(batches.output, phones.output)


example_many_jobs()
