"""What Airflow is told when a wait is to begin in the triggerer, and what the trigger makes of it."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, AirflowSkipException, BaseOperator

from airflow_provider_hwstatus.errors import ConfigurationError
from airflow_provider_hwstatus.sensors.cph import CphRequestSensor
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor
from airflow_provider_hwstatus.sensors.start_from_trigger import AIRFLOW_3_3
from airflow_provider_hwstatus.triggers.start_from_trigger import StartedTrigger

only_3_3 = pytest.mark.skipif(not AIRFLOW_3_3, reason="Airflow 3.3 is the first that can")
HOW: dict[str, Any] = {"deferrable": True, "start_from_trigger": True, "poke_interval": 0.1}


@pytest.fixture
def dag() -> DAG:
    """A DAG to put tasks in."""
    return DAG("d", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None)


def started(sensor: DliBatchSensor, ends_in: float | None = None) -> Any:
    """Return the trigger that Airflow makes from a sensor's row, and how it says when the wait has to end."""
    kwargs = json.loads(json.dumps(sensor.start_trigger_args.trigger_kwargs))
    trigger = StartedTrigger(**kwargs)
    if ends_in is not None:
        trigger.timeout_after = datetime.now(UTC) + timedelta(seconds=ends_in)
    return trigger


def event_of(trigger: Any) -> Any:
    """Return the only event of a trigger."""

    async def run() -> list[Any]:
        return [event async for event in trigger.run()]

    (event,) = asyncio.run(run())
    return event


def test_it_needs_a_triggerer() -> None:
    """A wait cannot begin where it is not to be, on any Airflow."""
    with pytest.raises(ValueError, match="needs deferrable=True"):
        DliBatchSensor(task_id="t", batch_id="b1", start_from_trigger=True, deferrable=False)


@pytest.mark.skipif(AIRFLOW_3_3, reason="before Airflow 3.3")
def test_older_airflow_begins_on_a_worker() -> None:
    """There is nothing from which Airflow 2.11 would make a trigger that it cannot render."""
    sensor = DliBatchSensor(task_id="t", batch_id="b1", **HOW)

    assert (False, None) == (sensor.start_from_trigger, sensor.start_trigger_args)


def test_wait_on_a_worker_ends_the_same(huaweicloud: Any, run_sensor: Any) -> None:
    """Where Airflow starts a worker all the same, as for mapped tasks, the sensor defers as ever."""
    huaweicloud.job("dli_batch", "b1", "running", "running", "success")

    end = run_sensor(DliBatchSensor, "deferrable", batch_id="b1", start_from_trigger=True, poke_interval=0.1)
    assert ("b1", "success") == (end.value["job_id"], end.value["outcome"])


@only_3_3
def test_row_is_the_same_in_each_parse() -> None:
    """A row that changed with the time of day would make a new version of the DAG each time that it is parsed."""
    rows = [DliBatchSensor(task_id="t", batch_id="b1", **HOW).start_trigger_args for _ in range(2)]

    assert rows[0] == rows[1]
    assert {"began", "deadline"}.isdisjoint(rows[0].trigger_kwargs["options"])


@only_3_3
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"timeout": 100}, (100.0, 400.0)),
        ({"timeout": 100, "execution_timeout": timedelta(seconds=60)}, (60.0, 60.0)),
        ({"timeout": 100, "execution_timeout": timedelta(seconds=200)}, (100.0, 200.0)),
        ({"timeout": 10**12}, (timedelta(days=3650).total_seconds(),) * 2),
    ],
)
def test_deadline_is_told_from_airflows_own(arguments: Any, expected: tuple[float, float]) -> None:
    """Airflow keeps when it ends the wait itself: so much later than our deadline, or at it."""
    sensor = DliBatchSensor(task_id="t", batch_id="b1", **HOW, **arguments)
    row = sensor.start_trigger_args

    assert expected == (row.trigger_kwargs["limit"], row.trigger_kwargs["window"])
    assert timedelta(seconds=expected[1]) == row.timeout


@only_3_3
def test_a_restarted_trigger_has_no_new_deadline(huaweicloud: Any) -> None:
    """A wait of 100 s that Airflow ends in 299 s has been over for a second."""
    huaweicloud.job("dli_batch", "b1", "running")
    sensor = DliBatchSensor(task_id="t", batch_id="b1", **HOW, timeout=100)

    error = event_of(started(sensor, ends_in=299)).payload["error"]
    assert "timed out after 100 s" in error["message"]


@only_3_3
@pytest.mark.parametrize("value", [object(), {1, 2}])
def test_ids_that_are_no_json_are_refused_in_the_dag_file(value: Any) -> None:
    """What no row can hold is an error where the DAG is parsed."""
    with pytest.raises(ValueError, match="start_from_trigger=True: batch_id must be"):
        DliBatchSensor(task_id="t", batch_id=value, **HOW)


@only_3_3
def test_outputs_that_the_triggerer_cannot_collect_are_refused_in_the_dag_file(dag: DAG) -> None:
    """A mapped task's output, and one that is made into something else, need a worker."""
    with dag:
        submit = DliBatchSensor(task_id="submit", batch_id="b1")
        mapped = DliBatchSensor.partial(task_id="mapped").expand(batch_id=["b1"])
        with pytest.raises(ValueError, match="without map"):
            DliBatchSensor(task_id="t1", batch_id=submit.output.map(str), **HOW)
        with pytest.raises(ValueError, match="which is mapped"):
            DliBatchSensor(task_id="t2", batch_id=mapped.output, **HOW)


@only_3_3
def test_output_is_still_a_dependency(dag: DAG) -> None:
    """The task whose output is waited for is upstream, though the row has a template in its place."""
    with dag:
        submit = DliBatchSensor(task_id="submit", batch_id="b1")
        sensor = DliBatchSensor(task_id="t", batch_id=["b0", submit.output], **HOW)

    assert {"submit"} == sensor.upstream_task_ids
    (given, output) = sensor.start_trigger_args.trigger_kwargs["batch_id"]
    assert "b0" == given
    assert 'ti.xcom_pull(task_ids="submit", key="return_value") | tojson' in output["output_as_json"]


@only_3_3
@pytest.mark.parametrize("more", ["outlets", "on_success_callback", "post_execute", "execute_complete"])
def test_worker_comes_in_where_there_is_more_to_do(huaweicloud: Any, more: str) -> None:
    """Asset events and the sensor author's own steps are not left out for the sake of a slot."""
    from airflow.sdk import Asset

    class Own(DliBatchSensor):
        pass

    arguments: Any = {"outlets": [Asset("a")], "on_success_callback": print}
    given = {more: arguments[more]} if more in arguments else {}
    if not given:
        setattr(Own, more, lambda self, context, *_, **__: None)
    huaweicloud.job("dli_batch", "b1", "success")

    event = event_of(started(Own(task_id="t", batch_id="b1", **given, **HOW)))
    assert "success" == event.payload["status"]["state"]


@only_3_3
@pytest.mark.parametrize(
    ("soft_fail", "error"), [(False, AirflowFailException), (True, AirflowSkipException)], ids=["fails", "skips"]
)
def test_bad_end_is_a_workers(huaweicloud: Any, soft_fail: bool, error: type[Exception]) -> None:
    """A failure has the same message and flags as in every other mode, for a worker says it."""
    huaweicloud.job("dli_batch", "b1", "dead")
    sensor = DliBatchSensor(task_id="t", batch_id="b1", soft_fail=soft_fail, **HOW)
    event = event_of(started(sensor)).payload

    with pytest.raises(error, match=r"DLI batch b1.*dead"):
        sensor.resume_execution("execute_complete", {"event": event}, {})


@only_3_3
def test_nothing_to_wait_for(huaweicloud: Any) -> None:
    """An empty list that a template made is what ``on_empty`` says."""
    for on_empty in ("fail", "succeed"):
        sensor = DliBatchSensor(task_id="t", batch_id=[], on_empty=on_empty, **HOW)
        event = event_of(started(sensor)).payload
        if on_empty == "succeed":
            assert [] == sensor.execute_complete({}, event)
        else:
            with pytest.raises(ConfigurationError, match="empty list"):
                sensor.execute_complete({}, event)


@only_3_3
def test_what_templates_made_is_checked(huaweicloud: Any) -> None:
    """A list as text, and an expectation that is none, are errors of the task."""
    for sensor in (
        DliBatchSensor(task_id="t", batch_id="['b1']", **HOW),
        CphRequestSensor(task_id="t", request_id="r1", expected_jobs="many", **HOW),
    ):
        assert "ConfigurationError" == event_of(started(sensor)).payload["error"]["type"]


@only_3_3
@pytest.mark.parametrize("wait_for_all", [True, False])
@pytest.mark.parametrize(
    ("statuses", "missing"), [(["b1"], 0), (["b1", "b1"], 0), (["b1", "b3"], 0), (["b1"], -1), (["b1", "b2", "b3"], 0)]
)
def test_event_that_does_not_cover_all_jobs_ends_no_task(
    huaweicloud: Any, monkeypatch: pytest.MonkeyPatch, statuses: list[str], missing: int, wait_for_all: bool
) -> None:
    """It is left to a worker, which takes it for an error."""
    ended = {"kind": "dli_batch", "state": "success", "outcome": "success"}
    event = {"summary": {"statuses": [ended | {"job_id": one} for one in statuses], "missing": missing}, "waited": 1.0}

    async def report(self: Any) -> Any:
        return event

    monkeypatch.setattr("airflow_provider_hwstatus.triggers.job_status.JobStatusTrigger._event", report)
    how = HOW | {"do_xcom_push": False, "wait_for_all": wait_for_all}
    trigger = started(DliBatchSensor(task_id="t", batch_id=["b1", "b2"], **how))
    trigger._task_instance = SimpleNamespace(task=SimpleNamespace(iter_mapped_dependants=lambda: iter(())))

    assert ("TriggerEvent", event) == (type(told := event_of(trigger)).__name__, told.payload)


def test_row_of_another_release_is_tolerated() -> None:
    """Keywords that this release does not know do not keep it from running."""
    trigger = StartedTrigger(target={}, options={}, limit=1.0, window=2.0, from_the_future=1)

    assert "from_the_future" not in trigger.serialize()[1]


@only_3_3
def test_dag_with_such_waits_is_serialized_and_read_again(dag: DAG) -> None:
    """What the scheduler reads has the same row, and nothing of a mapped sensor's."""
    from airflow.serialization.serialized_objects import DagSerialization

    with dag:
        DliBatchSensor(task_id="t", batch_id="{{ params.b }}", **HOW)
        DliBatchSensor.partial(task_id="mapped", **HOW).expand(batch_id=["b1"])
        BaseOperator(task_id="other")
    read = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))

    tasks = {name: read.get_task(name) for name in ("t", "mapped", "other")}
    assert [True, True, False] == [task.start_from_trigger for task in tasks.values()]
    assert [False, True, True] == [task.start_trigger_args is None for task in tasks.values()]


@only_3_3
def test_wait_that_ends_in_the_triggerer_is_timed_there(huaweicloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The metric of waits that no worker sees is told where they end."""
    told: list[tuple[str, float]] = []
    monkeypatch.setattr(
        "airflow_provider_hwstatus.triggers.start_from_trigger.succeeded_in_triggerer", lambda *it: told.append(it)
    )
    huaweicloud.job("dli_batch", "b1", "running", "success")
    trigger = started(DliBatchSensor(task_id="t", batch_id="b1", do_xcom_push=False, **HOW))
    # Airflow takes what it needs from it; here all that matters is that no mapped task needs the result.
    trigger._task_instance = SimpleNamespace(task=SimpleNamespace(iter_mapped_dependants=lambda: iter(())))

    assert "TaskSuccessEvent" == type(event_of(trigger)).__name__
    ((kind, seconds),) = told
    assert "dli_batch" == kind
    assert 0.05 < seconds < 20
