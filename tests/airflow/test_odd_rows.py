"""A trigger's row comes from a database, and maybe from another release: whatever it holds, one event comes of it."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import json
import time
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_hwstatus.core.polling.wait_options import WaitOptions
from airflow_provider_hwstatus.demo.airflow_home import AIRFLOW_3
from airflow_provider_hwstatus.errors import ConfigurationError
from airflow_provider_hwstatus.sensors.cph import CphJobSensor, CphRequestSensor
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor
from airflow_provider_hwstatus.triggers.job_status import JobStatusTrigger
from airflow_provider_hwstatus.triggers.start_from_trigger import StartedTrigger

ODD: list[Any] = [
    None,
    True,
    False,
    -1,
    0,
    10**400,
    1e308,
    -1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    [],
    [None],
    [[1]],
    [{}],
    ["b1", {"id": "b1"}],
    [float("nan")],
    {},
    {"a": [1]},
    {"output_as_json": "{"},
    {"output_as_json": 1},
    b"b1",
    object(),
]

#: What a row has at its top, in its target and in its options.
Row = dict[str, Any]
JOB: Row = {"target": {"kind": "dli_batch", "job_id": "b1"}, "options": {}}
REQUEST: Row = {
    "target": {"kind": "cph_job", "request_id": ["r1"], "expected_jobs": 1, "rejected": []},
    "options": {},
}
STARTED: Row = {
    "target": {"kind": "dli_batch", "wait_for_all": True, "fail_fast": True},
    "options": {"poke_interval": 0.1},
    "limit": 0.2,
    "window": 60.0,
    "id_argument": "batch_id",
    "batch_id": "b1",
    "returns": False,
}
STARTED_REQUEST: Row = STARTED | {
    "target": {"kind": "cph_job", "wait_for_all": True, "fail_fast": True},
    "id_argument": "request_id",
    "batch_id": None,
    "request_id": "r1",
    "expected_jobs": 1,
}
ROWS: dict[str, tuple[type, Row]] = {
    "job": (JobStatusTrigger, JOB),
    "request": (JobStatusTrigger, REQUEST),
    "started": (StartedTrigger, STARTED),
    "started request": (StartedTrigger, STARTED_REQUEST),
}

IN_TARGET = ("kind", "job_id", "request_id", "expected_jobs", "rejected", "success_states", "failure_states")
IN_TARGET += ("wait_for_all", "fail_fast")
IN_OPTIONS = tuple(field.name for field in dataclasses.fields(WaitOptions))


def arguments(name: str) -> list[str]:
    """Return the arguments of a row, and what its objects can hold."""
    cls, row = ROWS[name]
    return sorted({*cls(**row).serialize()[1], *IN_TARGET, *IN_OPTIONS})


def changed(row: Row, changes: Row) -> Row:
    """Return *row* with other values, at its top or within its objects, wherever they are."""
    made = {name: dict(value) if isinstance(value, dict) else value for name, value in row.items()}
    for name, value in changes.items():
        inner = "target" if name in IN_TARGET else "options" if name in IN_OPTIONS else None
        own = name in row and inner is not None  # a field that Airflow renders
        if inner is None or own:
            made[name] = copy.copy(value)
        if inner is not None and isinstance(made[inner], dict):
            made[inner][name] = value
    return made


@pytest.fixture
def ended(huaweicloud: Any) -> Any:
    """A cloud in which everything is over."""
    huaweicloud.job("dli_batch", "b1", "success")
    huaweicloud.job("cph_job", "c1", 2, request_id="r1")
    return huaweicloud


def events_of(triggers: Iterable[Any]) -> list[dict[str, Any]]:
    """
    Run *triggers* one after the other, in one event loop. Return the payload of the only event of each, as the database
    has it.
    """

    async def run() -> list[dict[str, Any]]:
        return [await event_of(trigger) for trigger in triggers]

    return asyncio.run(run())


async def event_of(trigger: Any) -> dict[str, Any]:
    """Return the payload of the only event that a trigger yields, as the database has it; empty for the task's end."""
    trigger._task_instance = SimpleNamespace(task=SimpleNamespace(iter_mapped_dependants=lambda: iter(())))
    async with asyncio.timeout(20):
        (event,) = [event async for event in trigger.run()]
    payload = {} if type(event).__name__ == "TaskSuccessEvent" else event.payload
    return json.loads(json.dumps(payload, allow_nan=False))


def one_event(trigger: Any) -> dict[str, Any]:
    """Run a trigger in an event loop of its own. Return the payload of its only event, as the database has it."""
    (event,) = events_of([trigger])
    return event


@pytest.mark.parametrize(("name", "argument"), [(name, argument) for name in ROWS for argument in arguments(name)])
def test_odd_argument_is_one_event(ended: Any, name: str, argument: str) -> None:
    """What cannot be waited for is an error event; nothing is raised, and nothing is waited for without an end."""
    cls, row = ROWS[name]

    def trigger_with(odd: Any) -> Any:
        soon = {} if cls is StartedTrigger else {"deadline": time.time() + 0.2}
        return cls(**changed(row, soon | {argument: odd}))

    events = events_of(map(trigger_with, ODD))
    for odd, event in zip(ODD, events, strict=True):
        assert len(event.keys() & {"error", "status", "summary"}) == (1 if event else 0), (odd, event)
        if "error" in event:
            assert str(event["error"]["message"])


@pytest.mark.parametrize("argument", ["kind", "job_id", "region", "project_id", "success_states", "on_unknown_state"])
def test_error_of_text_that_no_database_takes_can_be_stored(ended: Any, argument: str) -> None:
    """JSON can hold half a character, and a message that quotes it cannot be written down."""
    for odd in ("\ud800", ["\ud800"]):
        event = one_event(JobStatusTrigger(**changed(JOB, {"deadline": 1.0, argument: odd})))
        assert event["error"]["message"].encode()


@pytest.mark.parametrize("ids", [None, "None", [None], ["b1", None], [], "", {}, [{}], [[]]], ids=repr)
@pytest.mark.parametrize(("name", "row"), [("job_id", JOB), ("request_id", REQUEST)])
@pytest.mark.parametrize("silent_fail", [False, True])
def test_ids_that_are_none_are_an_error_at_once(ended: Any, name: str, row: Row, ids: Any, silent_fail: bool) -> None:
    """Also with silent_fail, without a deadline, and where the list of ids is empty: nothing would ever end that."""
    event = one_event(JobStatusTrigger(**changed(row, {name: ids, "silent_fail": silent_fail})))

    assert "ConfigurationError" == event["error"]["type"]
    assert [] == ended.requests


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "gone"},
        {"kind": ["dli_batch"]},
        {"wait_for_all": None},
        {"fail_fast": "False"},
        {"deadline": 1e308},
        {"deadline": 10**400},
        {"deadline": -1.0},
        {"began": float("nan")},
        {"poke_interval": -5},
        {"success_states": [["a"]]},
        {"success_states": 7},
        {"target": None},
        {"target": ["b1"]},
        {"options": "x"},
        {"options": [1]},
    ],
    ids=repr,
)
def test_wrong_row_is_an_error_of_the_configuration(ended: Any, wrong: dict[str, Any]) -> None:
    """It names the argument, and silent_fail does not ask on."""
    event = one_event(JobStatusTrigger(**changed(JOB, {"silent_fail": True} | wrong)))

    assert "ConfigurationError" == event["error"]["type"]
    assert next(iter(wrong)) in event["error"]["message"]
    assert [] == ended.requests


@pytest.mark.parametrize(
    "rejected",
    [{}, "x", [{}], [None], [{"kind": "cph_job", "job_id": "p", "state": "2", "outcome": "success"}]],
    ids=repr,
)
def test_what_was_rejected_cannot_have_succeeded(ended: Any, rejected: Any) -> None:
    """A row that says so is wrong: success is what the list shows, and no more."""
    event = one_event(JobStatusTrigger(**changed(REQUEST, {"rejected": rejected, "wait_for_all": False})))

    if rejected:
        assert "ConfigurationError" == event["error"]["type"]
    else:
        assert 1 == event["summary"]["counts"]["succeeded"]


values = (
    st.sampled_from(ODD) | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.text(max_size=3), max_size=2)
)


@settings(max_examples=60)
@given(data=st.data())
def test_any_row_is_one_event(ended: Any, data: Any) -> None:
    """Several odd arguments at once."""
    name = data.draw(st.sampled_from(list(ROWS)))
    cls, row = ROWS[name]
    changes = data.draw(st.dictionaries(st.sampled_from(arguments(name)), values, max_size=4))
    changes.pop("limit" if cls is StartedTrigger else "deadline", None)  # it is the last one below
    # Without an end, some of these would rightly wait for ever.
    if cls is StartedTrigger:
        changes["limit"] = data.draw(st.sampled_from([0.2, 0.0, -1.0, -1e308, "x", float("nan"), None]))
    else:
        changes["deadline"] = data.draw(st.sampled_from([time.time() + 0.2, 0.0, -1.0, 1e308, "x", float("nan"), []]))
    event = one_event(cls(**changed(row, changes)))
    assert len(event.keys() & {"error", "status", "summary"}) == (1 if event else 0)


def test_secret_that_cannot_be_masked_is_one_event(ended: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's masking may fail, as when its supervisor does not answer; the secret is not in the event."""

    async def mask(secret: str) -> None:
        raise RuntimeError(f"cannot mask {secret}")

    monkeypatch.setattr("airflow_provider_hwstatus.hooks.hwstatus._amask_secret", mask)
    login = ended.connection(auth="password")
    monkeypatch.setenv("AIRFLOW_CONN_HWSTATUS_DEFAULT", json.dumps(login))
    event = one_event(JobStatusTrigger(**JOB))

    assert "HwStatusError" == event["error"]["type"]
    assert "DLI batch b1: an unexpected RuntimeError in mask" in event["error"]["message"]
    assert "cannot mask" not in event["error"]["message"]


@pytest.mark.skipif(not AIRFLOW_3, reason="Airflow 2 has no watchers")
def test_watcher_with_odd_ids_is_refused_where_it_is_made() -> None:
    """In the DAG file, by the name of the argument."""
    from airflow_provider_hwstatus.triggers.watchers import CphRequestWatcher

    for ids in (None, "", [None], ["r1", "None"], [["r1"]], [{}], 1.5):
        with pytest.raises(ConfigurationError, match=r"request_id (is missing|must be)"):
            CphRequestWatcher(request_id=ids)  # type: ignore[arg-type]


def test_longest_waits_are_still_taken(ended: Any) -> None:
    """What a sensor's own arguments can make of a deadline is no odd row."""
    row = changed(JOB, {"began": time.time(), "deadline": time.time() + 8.64e13, "max_wait": 8.64e13})

    assert "success" == one_event(JobStatusTrigger(**row))["status"]["outcome"]


@pytest.mark.parametrize("cls", [DliBatchSensor, CphJobSensor, CphRequestSensor])
def test_error_events_are_raised_on_the_worker(cls: type) -> None:
    """Also those without anything beside the error."""
    name = {DliBatchSensor: "batch_id", CphJobSensor: "job_id", CphRequestSensor: "request_id"}[cls]
    sensor = cls(task_id="t", **{name: ["b1"]}, deferrable=True)
    with pytest.raises(AirflowSensorTimeout, match="late"):
        sensor.execute_complete({}, {"error": {"type": "DeadlineError", "message": "late"}})
