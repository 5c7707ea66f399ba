"""When the first try of a task began to wait, from Airflow's task state store (3.3 and newer)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_hwstatus.sensors.start_from_trigger import AIRFLOW_3_3

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

#: The key in the task's state store.
KEY = "hwstatus_wait"


def resumes(wanted: bool, start_from_trigger: bool) -> bool:
    """
    Return *wanted*.

    :raises ValueError: Airflow is older than 3.3, or the wait begins without a worker.
    """
    if wanted and not AIRFLOW_3_3:
        raise ValueError("resume_deadline=True needs Airflow 3.3, which keeps what a try leaves to the next")
    if wanted and start_from_trigger:
        raise ValueError("resume_deadline=True needs a worker, so it does not go with start_from_trigger=True")
    return wanted


def wait_started_at(context: Context, began: float, limit: float) -> float:
    """
    Return when the first try began to wait; the first try stores it for the others.

    A cleared task begins a new wait: clearing raises ``max_tries``.

    :param began: When this try began.
    :param limit: Seconds for the whole wait.
    """
    store, tries = context["task_state_store"], context["ti"].max_tries  # type: ignore[attr-defined,unused-ignore]
    kept = store.get(KEY)
    if isinstance(kept, dict) and kept.get("max_tries") == tries and isinstance(kept.get("began"), int | float):
        return float(kept["began"])  # type: ignore[arg-type]  # it is a number
    store.set(
        KEY, {"began": began, "max_tries": tries}, retention=timedelta(seconds=min(limit, 1e9)) + timedelta(days=30)
    )
    return began
