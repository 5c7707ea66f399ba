"""A trigger's row comes from a database, and maybe from another release: whatever it holds, one event comes of it."""

from __future__ import annotations

import asyncio
import json
import time
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_hwstatus.demo.airflow_home import AIRFLOW_3
from airflow_provider_hwstatus.errors import ConfigurationError
from airflow_provider_hwstatus.sensors.cph import CphJobSensor, CphRequestSensor
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor
from airflow_provider_hwstatus.triggers.cph_request import CphRequestTrigger
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

ROWS: dict[type, dict[str, Any]] = {
    JobStatusTrigger: {"kind": "dli_batch", "job_id": "b1"},
    CphRequestTrigger: {"kind": "cph_job", "request_id": ["r1"], "expected_jobs": 1, "rejected": []},
    StartedTrigger: {
        "wait": {"kind": "dli_batch", "poke_interval": 0.1, "wait_for_all": True, "fail_fast": True},
        "limit": 0.2,
        "window": 60.0,
        "id_argument": "batch_id",
        "batch_id": "b1",
        "returns": False,
    },
}

STARTED_REQUESTS = ROWS[StartedTrigger] | {
    "wait": ROWS[StartedTrigger]["wait"] | {"kind": "cph_job"},
    "id_argument": "request_id",
    "batch_id": None,
    "request_id": "r1",
    "expected_jobs": 1,
}


def arguments(cls: type) -> list[str]:
    """Return the arguments of a trigger, as its row has them."""
    return sorted(cls(**ROWS[cls]).serialize()[1])


@pytest.fixture
def ended(huaweicloud: Any) -> Any:
    """A cloud in which everything is over."""
    huaweicloud.job("dli_batch", "b1", "success")
    huaweicloud.job("cph_job", "c1", 2, request_id="r1")
    return huaweicloud


def one_event(trigger: Any) -> dict[str, Any]:
    """Return the payload of the only event that a trigger yields, as the database has it; empty for the task's end."""
    trigger._task_instance = SimpleNamespace(task=SimpleNamespace(iter_mapped_dependants=lambda: iter(())))

    async def run() -> list[Any]:
        async with asyncio.timeout(20):
            return [event async for event in trigger.run()]

    (event,) = asyncio.run(run())
    payload = {} if type(event).__name__ == "TaskSuccessEvent" else event.payload
    return json.loads(json.dumps(payload, allow_nan=False))


@pytest.mark.parametrize(
    ("cls", "argument"),
    [(cls, name) for cls in ROWS for name in arguments(cls)],
    ids=lambda it: getattr(it, "__name__", it),
)
def test_odd_argument_is_one_event(ended: Any, cls: type, argument: str) -> None:
    """What cannot be waited for is an error event; nothing is raised, and nothing is waited for without an end."""
    rows = [ROWS[cls]] + [STARTED_REQUESTS] * (cls is StartedTrigger)
    for row in rows:
        for odd in ODD:
            soon = {} if cls is StartedTrigger else {"deadline": time.time() + 0.2}
            event = one_event(cls(**(row | soon | {argument: odd})))
            assert len(event.keys() & {"error", "status", "summary"}) == (1 if event else 0), (odd, event)
            if "error" in event:
                assert str(event["error"]["message"])


@pytest.mark.parametrize("argument", ["kind", "success_states", "failure_states", "deadline", "began", "poke_interval"])
def test_odd_argument_of_a_wait_that_begins_in_the_triggerer_is_one_event(ended: Any, argument: str) -> None:
    """The row of such a wait has them in an object of its own."""
    for odd in ODD:
        row = ROWS[StartedTrigger]
        event = one_event(StartedTrigger(**(row | {"wait": row["wait"] | {argument: odd}})))
        assert len(event.keys() & {"error", "status", "summary"}) == (1 if event else 0), (odd, event)


@pytest.mark.parametrize("argument", ["kind", "job_id", "region", "project_id", "success_states", "on_unknown_state"])
def test_error_of_text_that_no_database_takes_can_be_stored(ended: Any, argument: str) -> None:
    """JSON can hold half a character, and a message that quotes it cannot be written down."""
    for odd in ("\ud800", ["\ud800"]):
        event = one_event(JobStatusTrigger(**(ROWS[JobStatusTrigger] | {"deadline": 1.0, argument: odd})))
        assert event["error"]["message"].encode()


@pytest.mark.parametrize("ids", [None, "None", [None], ["b1", None], [], "", {}, [{}], [[]]], ids=repr)
@pytest.mark.parametrize("cls", [JobStatusTrigger, CphRequestTrigger])
@pytest.mark.parametrize("silent_fail", [False, True])
def test_ids_that_are_none_are_an_error_at_once(ended: Any, cls: type, ids: Any, silent_fail: bool) -> None:
    """Also with silent_fail, without a deadline, and where the list of ids is empty: nothing would ever end that."""
    name = "job_id" if cls is JobStatusTrigger else "request_id"
    event = one_event(cls(**(ROWS[cls] | {name: ids, "silent_fail": silent_fail})))

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
    ],
    ids=repr,
)
def test_wrong_row_is_an_error_of_the_configuration(ended: Any, wrong: dict[str, Any]) -> None:
    """It names the argument, and silent_fail does not ask on."""
    event = one_event(JobStatusTrigger(**(ROWS[JobStatusTrigger] | {"silent_fail": True} | wrong)))

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
    event = one_event(CphRequestTrigger(**(ROWS[CphRequestTrigger] | {"rejected": rejected, "wait_for_all": False})))

    if rejected:
        assert "ConfigurationError" == event["error"]["type"]
    else:
        assert 1 == event["summary"]["counts"]["succeeded"]


values = (
    st.sampled_from(ODD) | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.text(max_size=3), max_size=2)
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_row_is_one_event(ended: Any, data: Any) -> None:
    """Several odd arguments at once."""
    cls = data.draw(st.sampled_from(list(ROWS)))
    row = ROWS[cls] | data.draw(st.dictionaries(st.sampled_from(arguments(cls)), values, max_size=4))
    # Without an end, some of these would rightly wait for ever.
    if cls is StartedTrigger:
        row["limit"] = data.draw(st.sampled_from([0.2, 0.0, -1.0, -1e308, "x", float("nan"), None]))
    else:
        row["deadline"] = data.draw(st.sampled_from([time.time() + 0.2, 0.0, -1.0, 1e308, "x", float("nan"), []]))
    event = one_event(cls(**row))
    assert len(event.keys() & {"error", "status", "summary"}) == (1 if event else 0)


def test_secret_that_cannot_be_masked_is_one_event(ended: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's masking may fail, as when its supervisor does not answer; the secret is not in the event."""

    async def mask(secret: str) -> None:
        raise RuntimeError(f"cannot mask {secret}")

    monkeypatch.setattr("airflow_provider_hwstatus.hooks.hwstatus._amask_secret", mask)
    login = ended.connection(auth="password")
    monkeypatch.setenv("AIRFLOW_CONN_HWSTATUS_DEFAULT", json.dumps(login))
    event = one_event(JobStatusTrigger(**ROWS[JobStatusTrigger]))

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
    row = ROWS[JobStatusTrigger] | {"began": time.time(), "deadline": time.time() + 8.64e13, "max_wait": 8.64e13}

    assert "success" == one_event(JobStatusTrigger(**row))["status"]["outcome"]


@pytest.mark.parametrize("cls", [DliBatchSensor, CphJobSensor, CphRequestSensor])
def test_error_events_are_raised_on_the_worker(cls: type) -> None:
    """Also those without anything beside the error."""
    name = {DliBatchSensor: "batch_id", CphJobSensor: "job_id", CphRequestSensor: "request_id"}[cls]
    sensor = cls(task_id="t", **{name: ["b1"]}, deferrable=True)
    with pytest.raises(AirflowSensorTimeout, match="late"):
        sensor.execute_complete({}, {"error": {"type": "DeadlineError", "message": "late"}})
