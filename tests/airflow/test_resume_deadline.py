"""A deadline for all tries of a task together."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout, TaskDeferred

from airflow_provider_hwstatus.sensors.dli import DliBatchSensor
from airflow_provider_hwstatus.sensors.start_from_trigger import AIRFLOW_3_3

only_3_3 = pytest.mark.skipif(not AIRFLOW_3_3, reason="Airflow 3.3 is the first that keeps it")


class Store(dict[str, Any]):
    """A task's state store."""

    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:
        assert isinstance(retention, timedelta)
        self[key] = value


def context(store: Store, max_tries: int = 2) -> Any:
    """Return what Airflow gives to a try."""
    ti = SimpleNamespace(max_tries=max_tries, get_first_reschedule_date=lambda _: None, xcom_push=lambda **_: None)
    return {"ti": ti, "task_state_store": store}


def window(store: Store, **arguments: Any) -> tuple[float, float]:
    """Run a try until it defers; return the begin and the deadline of its wait."""
    sensor = DliBatchSensor(task_id="t", batch_id="b1", deferrable=True, timeout=100, **arguments)
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute(context(store))
    trigger: Any = deferred.value.trigger
    return trigger.options["began"], trigger.options["deadline"]


@only_3_3
def test_retry_continues_the_wait_of_the_first_try(huaweicloud: Any) -> None:
    """The second try has the deadline of the first; without the argument, each has its own."""
    huaweicloud.job("dli_batch", "b1", "running")
    store = Store()

    first = window(store, resume_deadline=True)
    assert first == window(store, resume_deadline=True)
    assert window(store) != window(store)


@only_3_3
@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_retry_after_the_deadline_looks_once_more(huaweicloud: Any, mode: str) -> None:
    """A try that begins too late still asks, in every mode, and says how long the wait was to be."""
    huaweicloud.job("dli_batch", "b1", "running")
    store = Store(hwstatus_wait={"began": 1.0, "max_tries": 2})
    sensor = DliBatchSensor(task_id="t", batch_id="b1", resume_deadline=True, timeout=100, mode=mode)

    with pytest.raises(AirflowSensorTimeout, match="timed out after 100 s"):
        sensor.execute(context(store))
    assert any("/b1/" in record.path for record in huaweicloud.requests)


@only_3_3
def test_cleared_task_begins_anew(huaweicloud: Any) -> None:
    """Clearing a task gives it more tries, and so a new wait."""
    huaweicloud.job("dli_batch", "b1", "running")
    store = Store(hwstatus_wait={"began": 1.0, "max_tries": 1})

    began, deadline = window(store, resume_deadline=True)
    assert began > 1.0
    assert 100 == pytest.approx(deadline - began)


@pytest.mark.skipif(AIRFLOW_3_3, reason="before Airflow 3.3")
def test_older_airflow_keeps_nothing() -> None:
    """A deadline that would begin anew with each try is an error where the DAG is parsed."""
    with pytest.raises(ValueError, match="needs Airflow 3"):
        DliBatchSensor(task_id="t", batch_id="b1", resume_deadline=True)


@only_3_3
def test_a_trigger_has_no_such_place() -> None:
    """Airflow gives triggers no state store of a task."""
    with pytest.raises(ValueError, match="does not go with start_from_trigger"):
        DliBatchSensor(task_id="t", batch_id="b1", resume_deadline=True, start_from_trigger=True, deferrable=True)
