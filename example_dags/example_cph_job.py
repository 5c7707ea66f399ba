"""
Wait for two jobs on Cloud Phones (CPH), e.g. the installation of an APK and a script on many phones.

Trigger the DAG with the ``job_id`` values in the responses to your commands.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import Param, dag

from airflow_provider_hwstatus.sensors.cph import CphJobSensor


@dag(
    schedule=None,
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example", "hwstatus"],
    params={
        "install_job_id": Param("1564be3c272511ea962b0242ac110003", type="string"),
        "run_job_id": Param("8f0c7d52272511ea962b0242ac110003", type="string"),
    },
    doc_md=__doc__,
)
def example_cph_job() -> None:
    """Wait for two jobs, one after the other."""
    # [START howto_sensor_cph_job]
    install = CphJobSensor(
        task_id="install",
        job_id="{{ params.install_job_id }}",
        poke_interval=timedelta(seconds=15),
        timeout=timedelta(minutes=30),
        deferrable=True,
    )
    # [END howto_sensor_cph_job]
    run = CphJobSensor(
        task_id="run",
        job_id="{{ params.run_job_id }}",
        poke_interval=timedelta(seconds=15),
        timeout=timedelta(minutes=30),
        mode="poke",
    )
    install >> run


example_cph_job()
