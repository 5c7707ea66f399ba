"""
Install an app on Cloud Phones (CPH), run a command on them, and use the result.

One request creates a job for each phone. The operator waits until all of them are over.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import Param, dag, task

from airflow_provider_hwstatus.operators.cph import CphPhonesOperator

PHONES = ["1678567b8bab40f93711234cb80d0764", "2b1f6c3a9d7e4f508c2a6b4e9d0f1a35"]


@dag(
    schedule=None,
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example", "hwstatus"],
    params={"app": Param("obs://acme/shop.apk", type="string")},
    default_args={"poke_interval": timedelta(seconds=15), "timeout": timedelta(minutes=30)},
    doc_md=__doc__,
)
def example_cph_job() -> None:
    """Send two requests, one after the other."""
    # [START howto_operator_cph_phones]
    install = CphPhonesOperator(
        task_id="install",
        action="install",
        body={"phone_ids": PHONES, "content": "-t -r {{ params.app }}"},
        deferrable=True,
    )
    # [END howto_operator_cph_phones]
    run = CphPhonesOperator(
        task_id="run",
        action="run_command",
        body={"phone_ids": PHONES, "content": "pm list packages"},
    )

    @task
    def summarise(statuses: list[dict[str, Any]]) -> list[str]:
        """Use the results. The XCom is a list with the last status of each job."""
        return [f"phone {status['phone_id']}: {status['outcome']}" for status in statuses]

    install >> run
    summarise(run.output)


example_cph_job()
