"""
Run two SQL statements on DLI, one after the other, and use the result.

DLI runs the first statement while it answers. The second one is a job that takes some time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_hwstatus.operators.dli import DliSqlJobOperator


@dag(
    schedule=None,
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["example", "hwstatus"],
    default_args={"poke_interval": timedelta(seconds=30), "timeout": timedelta(hours=1), "retries": 2},
    doc_md=__doc__,
)
def example_dli_sql() -> None:
    """Create a table, and fill it."""
    # [START howto_operator_dli_sql_job]
    create = DliSqlJobOperator(
        task_id="create",
        job={
            "sql": "CREATE TABLE IF NOT EXISTS report (day STRING, orders BIGINT)",
            "queue_name": "sql",
            "currentdb": "acme",
        },
        deferrable=True,
    )
    fill = DliSqlJobOperator(
        task_id="fill",
        job={
            "sql": "INSERT INTO report SELECT day, count(*) FROM orders WHERE day = '{{ params.day }}' GROUP BY day",
            "queue_name": "sql",
            "currentdb": "acme",
        },
        params={"day": "2026-11-29"},
        deferrable=True,
    )
    # [END howto_operator_dli_sql_job]

    @task
    def summarise(status: dict[str, Any]) -> str:
        """Use the result. The XCom is the last status of the job."""
        return f"SQL job {status['job_id']} succeeded: {status['state']}"

    create >> fill
    summarise(fill.output)


example_dli_sql()
