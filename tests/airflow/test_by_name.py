"""A wait for a batch by name, which another system submits: in every mode, and for any list of the cloud."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from airflow.providers.common.compat.sdk import DAG, TaskDeferred

from airflow_provider_hwstatus.errors import TriggerError
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor
from airflow_provider_hwstatus.sensors.start_from_trigger import AIRFLOW_3_3
from airflow_provider_hwstatus.triggers.start_from_trigger import StartedTrigger

FAST = {"poke_interval": 0.1, "timeout": 60.0}
AN_HOUR_AGO = datetime.now(UTC) - timedelta(hours=1)
BY_NAME: dict[str, Any] = {"name": "nightly-*", "submitted_after": AN_HOUR_AGO} | FAST
ON_3_3: dict[str, Any] = {"deferrable": True, "start_from_trigger": True}

only_3_3 = pytest.mark.skipif(not AIRFLOW_3_3, reason="Airflow 3.3 is the first that starts waits in the triggerer")


def submit(cloud: Any, *steps: Any, name: str = "nightly-1", ago: float = 60.0, **how: Any) -> str:
    """Submit a batch some seconds ago; return its id."""
    job_id, now = str(uuid4()), cloud.clock()
    cloud.job("dli_batch", job_id, *steps, name=name, create_time=int((now - ago) * 1000), **how)
    return job_id


def test_batch_is_found_at_once(huaweicloud: Any, run_sensor: Any, mode: str) -> None:
    """The result is the usual status, with the name."""
    submit(huaweicloud, "success", name="hourly-1")
    wanted = submit(huaweicloud, "running", "running", "success")

    end = run_sensor(DliBatchSensor, mode, **BY_NAME)

    assert "success" == end.verdict, end.error
    assert (wanted, "success", "nightly-1") == (end.value["job_id"], end.value["state"], end.value["name"])


def test_batch_that_has_failed_fails_the_task(huaweicloud: Any, run_sensor: Any, mode: str) -> None:
    """The message is the same as for a wait by id."""
    wanted = submit(huaweicloud, "running", "running", "dead")

    end = run_sensor(DliBatchSensor, mode, **BY_NAME)

    assert "AirflowFailException" == end.verdict
    assert f"DLI batch {wanted} failed: its state is 'dead'" in str(end.error)


def test_batch_appears_later(huaweicloud: Any, run_sensor: Any, mode: str) -> None:
    """The list shows it after a few polls."""
    wanted = submit(huaweicloud, "success", listed_after=30)

    end = run_sensor(DliBatchSensor, mode, **BY_NAME | {"poke_interval": 10})

    assert wanted == end.value["job_id"], end.error
    assert "nightly-1" == end.value["name"]
    assert huaweicloud.batch_list.calls >= 2


def test_no_batch_within_the_grace(huaweicloud: Any, run_sensor: Any, mode: str) -> None:
    """The error has the name and the time, and says what to do. It counts from the begin of the wait."""
    submit(huaweicloud, "success", name="my-nightly-1")

    end = run_sensor(DliBatchSensor, mode, not_found_grace=35, **BY_NAME | {"poke_interval": 10})

    assert "JobNotFoundError" == end.verdict
    assert "DLI batch 'nightly-*': no batch with such a name was submitted at or after" in str(end.error)
    assert "\n  next: check the name" in str(end.error)
    assert huaweicloud.batch_list.calls >= 3


def test_default_grace_is_ten_minutes(huaweicloud: Any, run_sensor: Any, clock: Any, mode: str) -> None:
    """By id there is none."""
    began = clock.time()
    end = run_sensor(DliBatchSensor, mode, **BY_NAME | {"poke_interval": 60, "timeout": 3600})

    assert "JobNotFoundError" == end.verdict
    assert 600 <= clock.time() - began < 700
    assert 0 == DliBatchSensor(task_id="t", batch_id="b1").not_found_grace
    assert 5 == DliBatchSensor(task_id="t", name="n", not_found_grace=5).not_found_grace


@pytest.mark.parametrize("on_many", ["error", "newest", "all"])
def test_two_batches(huaweicloud: Any, run_sensor: Any, mode: str, on_many: str) -> None:
    """They are an error; or the newest counts; or all count, in the order of their submission."""
    newer = submit(huaweicloud, "running", "running", "success", name="nightly-2", ago=10)
    older = submit(huaweicloud, "running", "success", name="nightly-1", ago=20)

    end = run_sensor(DliBatchSensor, mode, on_many=on_many, **BY_NAME)

    if on_many == "error":
        assert "ConfigurationError" == end.verdict
        assert "2 batches have such a name" in str(end.error)
    elif on_many == "newest":
        assert (newer, "nightly-2") == (end.value["job_id"], end.value["name"])
    else:
        assert [(older, "nightly-1"), (newer, "nightly-2")] == [(one["job_id"], one["name"]) for one in end.value]


def test_all_with_the_rules_of_a_list(huaweicloud: Any, run_sensor: Any, mode: str) -> None:
    """wait_for_all and fail_fast apply; a batch that was not waited for has its name, too."""
    submit(huaweicloud, "running", "success", name="nightly-1", ago=20)
    submit(huaweicloud, "running", name="nightly-2", ago=10)

    end = run_sensor(DliBatchSensor, mode, on_many="all", wait_for_all=False, **BY_NAME)

    assert ["nightly-1", "nightly-2"] == [one["name"] for one in end.value], end.error


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("name", ["nightly-*", "nightly-1"])
def test_list_that_ignores_everything(huaweicloud: Any, run_sensor: Any, mode: str, name: str, backwards: bool) -> None:
    """Filters and order are not trusted; pages are read; older batches and substrings do not count."""
    huaweicloud.batch_list.ignores = {"start", "order", "job_name"}
    huaweicloud.batch_list.backwards = backwards
    huaweicloud.batch_list.max_rows = 7
    huaweicloud.foreign_jobs("dli_batch", 30, "running", age=7200, name="nightly-1")
    submit(huaweicloud, "running", name="nightly-1", ago=7000)
    submit(huaweicloud, "running", name="my-nightly-1")
    wanted = submit(huaweicloud, "running", "success", name="nightly-1")
    huaweicloud.foreign_jobs("dli_batch", 30, "running", age=10, name="NIGHTLY-1")

    end = run_sensor(DliBatchSensor, mode, **BY_NAME | {"name": name})

    assert wanted == end.value["job_id"], end.error


def test_shuffled_list(huaweicloud: Any, run_sensor: Any, mode: str) -> None:
    """The order of the rows does not decide which batch is the newest."""
    huaweicloud.batch_list.shuffled = True
    for ago in (50, 20, 40):
        submit(huaweicloud, "success", ago=ago)
    newest = submit(huaweicloud, "success", ago=10)
    submit(huaweicloud, "success", ago=30)

    assert newest == run_sensor(DliBatchSensor, mode, on_many="newest", **BY_NAME).value["job_id"]


@pytest.mark.parametrize("name", [None, "", "None", 7, ["nightly-1"]])
def test_missing_name_is_an_error(huaweicloud: Any, run_sensor: Any, mode: str, name: Any) -> None:
    """A template or an XCom may have rendered to nothing. No flag makes that a success."""

    class Rendered(DliBatchSensor):
        def __init__(self, **arguments: Any) -> None:
            super().__init__(**arguments)
            self.name = name

    end = run_sensor(Rendered, mode, on_empty="succeed", **BY_NAME)

    assert "ConfigurationError" == end.verdict
    assert "name " in str(end.error)


def test_time_that_a_template_made_is_checked(huaweicloud: Any, run_sensor: Any, mode: str) -> None:
    """Such as the logical date of a run that has none."""
    end = run_sensor(DliBatchSensor, mode, **BY_NAME | {"submitted_after": "{{ logical_date }}"})

    assert "ConfigurationError" == end.verdict
    assert "submitted_after must be" in str(end.error)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "exactly one of batch_id and name; neither"),
        ({"name": None}, "exactly one of batch_id and name; neither"),
        ({"batch_id": "b1", "name": "n"}, "exactly one of batch_id and name; both"),
        ({"name": 7}, "name must be"),
        ({"name": "n", "on_many": "first"}, "on_many must be"),
        ({"name": "n", "submitted_after": "soon"}, "submitted_after must be"),
        ({"name": "n", "submitted_after": 7}, "submitted_after must be"),
        ({"batch_id": "b1", "submitted_after": "2026-11-21"}, "need name"),
        ({"batch_id": "b1", "on_many": "all"}, "need name"),
    ],
)
def test_wrong_arguments_are_refused_in_the_dag_file(arguments: Any, message: str) -> None:
    """As far as they are known there."""
    with pytest.raises(ValueError, match=message):
        DliBatchSensor(task_id="t", **arguments)


def context(**run: Any) -> Any:
    return {"ti": None, "dag_run": SimpleNamespace(**run)}


def test_batches_of_this_dag_run_count_by_default(huaweicloud: Any) -> None:
    """They are those since its start, which is the same for every try of the task."""
    submit(huaweicloud, "success", ago=120)
    wanted = submit(huaweicloud, "success", ago=60)

    for _ in range(2):
        started = context(start_date=datetime.now(UTC) - timedelta(seconds=90))
        assert wanted == DliBatchSensor(task_id="t", name="nightly-*").execute(started)["job_id"]
    queued = context(start_date=None, run_after=datetime.now(UTC) - timedelta(seconds=90))
    assert wanted == DliBatchSensor(task_id="t", name="nightly-*").execute(queued)["job_id"]
    unknown = DliBatchSensor(task_id="t", name="nightly-*", timeout=1, mode="poke", not_found_grace=0)
    with pytest.raises(Exception, match="no batch with such a name"):
        unknown.execute(context())


def deferred(sensor: Any) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as caught:
        sensor.execute(context())
    return caught.value


def test_batch_that_is_submitted_later_does_not_change_the_target(huaweicloud: Any) -> None:
    """What the worker has found is in the trigger's row and in what the resumed worker gets."""
    for on_many in ("error", "newest", "all"):
        name = f"{on_many}-*"
        sensor = partial(DliBatchSensor, task_id="t", deferrable=True, on_many=on_many, **BY_NAME | {"name": name})
        first = submit(huaweicloud, "running", "success", name=f"{on_many}-1", ago=20)
        deferral = deferred(sensor())
        later = submit(huaweicloud, "dead", name=f"{on_many}-2", ago=5)

        row = deferral.trigger.serialize()[1]["target"]
        assert ([first] if on_many == "all" else first) == row["job_id"]
        event = event_of(deferral.trigger)
        value = sensor().resume_execution("execute_complete", {**(deferral.kwargs or {}), "event": event}, context())
        (found,) = value if on_many == "all" else [value]
        assert (first, f"{on_many}-1") == (found["job_id"], found["name"])
        # Airflow 3's dag.test() loses what a deferral keeps; then, the names in the event count.
        assert value == sensor().execute_complete(context(), event)
        event = json.loads(json.dumps(event).replace(first, later))
        with pytest.raises(TriggerError):
            sensor().resume_execution("execute_complete", {**(deferral.kwargs or {}), "event": event}, context())


def event_of(trigger: Any) -> Any:
    """Run a trigger without its pause after a deferral; return the payload of its only event."""
    trigger.options = {**(trigger.options or {}), "deferred_at": None}

    async def run() -> list[Any]:
        return [event async for event in trigger.run()]

    (event,) = asyncio.run(run())
    return event.payload


def test_trigger_by_name_that_found_something_else_is_refused(huaweicloud: Any) -> None:
    """The worker compares the names, and how many there are."""
    sensor = partial(DliBatchSensor, task_id="t", deferrable=True, **BY_NAME)
    deferral = deferred(sensor())
    row = deferral.trigger.serialize()[1]["target"]
    assert ("nightly-*", AN_HOUR_AGO.timestamp(), "error") == (row["name"], row["submitted_after"], row["on_many"])
    assert not deferral.kwargs
    submit(huaweicloud, "success")
    event = event_of(deferral.trigger)

    assert "nightly-1" == sensor().execute_complete(context(), event)["name"]
    status = event["status"]
    for wrong in (
        {"status": status | {"name": "hourly-1"}},
        {"status": status | {"name": None}},
        {"summary": {"statuses": [status]}},
        {"status": status | {"state": "running"}},
    ):
        with pytest.raises(TriggerError):
            sensor().execute_complete(context(), wrong)
    with pytest.raises(TriggerError):
        sensor(on_many="all").execute_complete(context(), {"summary": {"statuses": [status, status]}})


def test_crashed_trigger_by_name(huaweicloud: Any) -> None:
    """The message has the name."""
    with pytest.raises(TriggerError, match=r"DLI batch 'nightly-\*'"):
        DliBatchSensor(task_id="t", **BY_NAME).resume_execution("__fail__", {"error": "x"}, context())


def test_button_leads_to_the_batch_that_was_found(huaweicloud: Any, monkeypatch: Any) -> None:
    """Before that it has no target."""
    monkeypatch.setattr(
        "airflow_provider_hwstatus.hooks.hwstatus.HwStatusHook.console_url", lambda *of: f"https://c/{of[2]}"
    )
    pushed: dict[str, str] = {}
    sensor = DliBatchSensor(task_id="t", **BY_NAME)
    assert "" == sensor.console_page
    wanted = submit(huaweicloud, "success")
    ti = SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}))

    sensor.execute({"ti": ti})

    assert {"hwstatus_console_link": f"https://c/{wanted}"} == pushed


def started(sensor: Any) -> Any:
    """Return the trigger that Airflow makes from a sensor's row."""
    trigger = StartedTrigger(**json.loads(json.dumps(sensor.start_trigger_args.trigger_kwargs)))
    trigger.timeout_after = datetime.now(UTC) + timedelta(seconds=60)
    return trigger


@only_3_3
@pytest.mark.parametrize("on_many", ["newest", "all"])
def test_wait_that_starts_in_the_triggerer(huaweicloud: Any, on_many: str) -> None:
    """It looks for the batches itself, and the worker can check what it found."""
    submit(huaweicloud, "success", name="nightly-1", ago=20)
    newest = submit(huaweicloud, "success", name="nightly-2", ago=10)
    sensor = DliBatchSensor(task_id="t", on_many=on_many, **BY_NAME, **ON_3_3, post_execute=print)

    payload = event_of_started(started(sensor))
    value = sensor.execute_complete(context(), payload)

    if on_many == "all":
        assert ["nightly-1", "nightly-2"] == [one["name"] for one in value]
    else:
        assert (newest, "nightly-2") == (value["job_id"], value["name"])


def event_of_started(trigger: Any) -> Any:
    async def run() -> list[Any]:
        return [event async for event in trigger.run()]

    (event,) = asyncio.run(run())
    return event.payload


@only_3_3
def test_row_of_a_wait_that_starts_in_the_triggerer() -> None:
    """The start of the DAG run is a template that the triggerer renders, so the row is the same in each parse."""
    with DAG("d", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None) as dag:
        sensor = DliBatchSensor(task_id="t", name="nightly-{{ ds }}", **ON_3_3)
    rows = [sensor.start_trigger_args.trigger_kwargs for _ in range(2)]

    assert rows[0] == rows[1]
    assert ("nightly-{{ ds }}", "error") == (rows[0]["name"], rows[0]["target"]["on_many"])
    template = rows[0]["submitted_after"]
    run = SimpleNamespace(start_date=AN_HOUR_AGO, run_after=None)
    assert str(AN_HOUR_AGO) == dag.get_template_env().from_string(template).render(dag_run=run)
    given = DliBatchSensor(task_id="t2", **BY_NAME, **ON_3_3).start_trigger_args.trigger_kwargs
    assert AN_HOUR_AGO.isoformat() == given["submitted_after"]


@only_3_3
def test_wait_in_the_triggerer_for_no_batch(huaweicloud: Any) -> None:
    """It ends with the same error on a worker."""
    sensor = DliBatchSensor(task_id="t", **BY_NAME, **ON_3_3, not_found_grace=0)

    event = event_of_started(started(sensor))

    with pytest.raises(Exception, match="no batch with such a name"):
        sensor.execute_complete(context(), event)


DAG_FILE = """
from datetime import datetime
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor

HOW = {"poke_interval": 0.1, "timeout": 60}
with DAG("by_name", start_date=datetime(2026, 1, 1), schedule=None, default_args=HOW):
    DliBatchSensor(task_id="poke", name="{{ dag.dag_id }}-poke")
    DliBatchSensor(task_id="reschedule", name="by_name-resch*", mode="reschedule")
    DliBatchSensor(task_id="deferrable", name="by_name-defer*", deferrable=True)
    DliBatchSensor(task_id="all", name="by_name-defer*", on_many="all", deferrable=True)
    DliBatchSensor(task_id="older", name="by_name-old*", submitted_after="2026-01-01", deferrable=True)
"""

RUN = """
import json
try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:
    from airflow.models.dagbag import DagBag
tis = DagBag().dags["by_name"].test().get_task_instances()
print("ENDS" + json.dumps({ti.task_id: [str(ti.state), ti.xcom_pull(task_ids=ti.task_id)] for ti in tis}))
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_waits_by_name_on_airflow(huaweicloud: Any, airflow_db: Any, monkeypatch: Any) -> None:
    """By default, the start of the DAG run counts; and a deferral keeps what was found."""
    monkeypatch.setenv("AIRFLOW_CONN_HWSTATUS_DEFAULT", json.dumps(huaweicloud.connection()))
    path = airflow_db / "dags" / "by_name_dag.py"
    path.write_text(DAG_FILE)
    later = {"ago": -1800.0}  # than the start of the DAG run, which is yet to come
    wanted = {
        "poke": submit(huaweicloud, "running", "success", name="by_name-poke", **later),
        "reschedule": submit(huaweicloud, "running", "success", name="by_name-reschedule", **later),
        "deferrable": submit(huaweicloud, *["running"] * 4, "success", name="by_name-deferrable", **later),
        "older": submit(huaweicloud, "running", "success", name="by_name-old", ago=3600),
    }
    for task in ("poke", "reschedule", "deferrable"):
        submit(huaweicloud, "dead", name=f"by_name-{task}", ago=3600)

    try:
        done = subprocess.run([sys.executable, "-c", RUN], capture_output=True, text=True, check=False)
    finally:
        path.unlink()
    assert 0 == done.returncode, done.stdout[-3000:] + done.stderr[-5000:]
    ends = json.loads(done.stdout.split("ENDS")[1].splitlines()[0])
    (ends["all"][1],) = ends["all"][1]
    assert set(wanted) | {"all"} == set(ends)
    for task, (state, value) in ends.items():
        job_id = wanted["deferrable" if task == "all" else task]
        assert ("success", job_id) == (state.rpartition(".")[2].lower(), value["job_id"]), task
        assert value["name"].startswith("by_name-")
