"""When a rescheduled wait began. Airflow 2.11 and 3 store it in different places."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseSensorOperator, Context


def first_poke_at(sensor: BaseSensorOperator, context: Context) -> datetime | None:
    """Return the time of the first poke of a rescheduled wait; None if this is the first."""
    ti = context["ti"]
    if hasattr(ti, "get_first_reschedule_date"):
        first: datetime | None = ti.get_first_reschedule_date(context)
    else:
        from airflow.sensors.base import _orig_start_date

        first_try = (ti.max_tries or 0) - (sensor.retries or 0) + 1
        first = _orig_start_date(
            dag_id=ti.dag_id, task_id=ti.task_id, run_id=ti.run_id, map_index=ti.map_index, try_number=first_try
        )
    return first
