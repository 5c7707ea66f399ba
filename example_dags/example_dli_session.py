"""
Wait until a DLI session is ready, use it, and wait until it has stopped.

Trigger the DAG with the id of your session. Huawei Cloud removed this API from its documentation in December 2020. Not
every region has it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import Param, dag, task

from airflow_provider_hwstatus.sensors.dli import DliSessionSensor


@dag(
    schedule=None,
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example", "hwstatus"],
    params={"session_id": Param("e47c2f90-6b1d-4c58-a3d2-90f7b6e4d215", type="string")},
    doc_md=__doc__,
)
def example_dli_session() -> None:
    """Wait until a session is ready, then until it has stopped."""
    # [START howto_sensor_dli_session_ready]
    ready = DliSessionSensor(
        task_id="ready",
        session_id="{{ params.session_id }}",
        poke_interval=timedelta(seconds=10),
        timeout=timedelta(minutes=15),
        deferrable=True,
    )
    # [END howto_sensor_dli_session_ready]

    @task
    def run_statements(status: dict[str, Any]) -> str:
        """Replace this with the work that needs the session."""
        return f"session {status['job_id']} is {status['state']}: run statements here"

    # [START howto_sensor_dli_session_stopped]
    stopped = DliSessionSensor(
        task_id="stopped",
        session_id="{{ params.session_id }}",
        wait_for="stopped",
        poke_interval=timedelta(seconds=30),
        timeout=timedelta(hours=1),
        mode="poke",
    )
    # [END howto_sensor_dli_session_stopped]

    run_statements(ready.output) >> stopped


example_dli_session()
