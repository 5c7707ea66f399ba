"""A missing id is an error that names the argument, in every sensor and mode, whatever the flags say."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_hwstatus.errors import ConfigurationError
from airflow_provider_hwstatus.sensors.cph import CphJobSensor, CphRequestSensor
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor, DliSessionSensor
from airflow_provider_hwstatus.sensors.start_from_trigger import AIRFLOW_3_3
from airflow_provider_hwstatus.triggers.start_from_trigger import StartedTrigger

SENSORS: dict[str, type] = {
    "batch_id": DliBatchSensor,
    "session_id": DliSessionSensor,
    "job_id": CphJobSensor,
    "request_id": CphRequestSensor,
}

#: What an XCom that is not there becomes on its way into an argument.
MISSING: list[Any] = [
    None,
    "",
    "None",
    [None],
    [""],
    ["None"],
    ["b1", None],
    ("b1", "None"),
    [["b1", None]],
    "[None]",
    '["b1", null]',
    "['b1', '']",
]

FLAGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "lenient": {"on_empty": "succeed", "silent_fail": True, "soft_fail": True, "not_found_grace": 60},
    "first": {"on_empty": "succeed", "wait_for_all": False, "fail_fast": False},
}

FAST = {"poke_interval": 0.1, "timeout": 0.5}


class Lazy:
    """A sequence that is read item by item, as Airflow gives a mapped task's output."""

    def __init__(self, *items: Any) -> None:
        self.items = items

    def __iter__(self) -> Any:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


def check(error: BaseException | None, argument: str) -> None:
    """Check that an error says which argument is missing, and blames no empty list."""
    assert isinstance(error, ConfigurationError), repr(error)
    assert f"{argument} is missing" in str(error)
    assert "on_empty" not in str(error)
    assert "empty list" not in str(error)


@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
@pytest.mark.parametrize("argument", SENSORS)
def test_missing_id_is_an_error_in_every_mode(huaweicloud, run_sensor, mode, argument, flags):
    """It is never an empty list, nothing is sent, and no flag makes it a success."""
    for value in (*MISSING, Lazy(None), Lazy("b1", Lazy(None))):
        check(run_sensor(SENSORS[argument], mode, **{argument: value}, **FAST, **flags).error, argument)
    assert [] == huaweicloud.requests


def test_never_fail_skips_a_missing_id(huaweicloud, run_sensor, mode):
    """As it does every other error, and the reason is in the message."""
    end = run_sensor(DliBatchSensor, mode, batch_id=None, on_empty="succeed", never_fail=True, **FAST)

    assert "AirflowSkipException" == end.verdict
    assert "batch_id is missing" in str(end.error)


@pytest.mark.parametrize("argument", SENSORS)
def test_what_is_no_id_is_refused_before_the_first_poll(huaweicloud, run_sensor, mode, argument):
    """Also with silent_fail, which is for errors of polls."""
    for value in ([{"id": "b1"}], {"id": "b1"}, [["b1"]], [[]], [b"b1"], 1.5, [True], "a b", ["../b1"], [-1]):
        end = run_sensor(SENSORS[argument], mode, **{argument: value}, silent_fail=True, on_empty="succeed", **FAST)
        assert isinstance(end.error, ConfigurationError), repr(end.error)
        assert f"{argument} must be" in str(end.error)
    assert [] == huaweicloud.requests


def test_integer_is_its_digits(huaweicloud, run_sensor, mode):
    """Airflow's native rendering makes a number of an id that has only digits."""
    huaweicloud.job("cph_job", "17", 2)

    assert "17" == run_sensor(CphJobSensor, mode, job_id=17, **FAST).value["job_id"]
    assert ["17"] == [one["job_id"] for one in run_sensor(CphJobSensor, mode, job_id=[17], **FAST).value]


@pytest.mark.skipif(not AIRFLOW_3_3, reason="Airflow 3.3 is the first that can")
@pytest.mark.parametrize("as_output", [False, True], ids=["value", "output"])
@pytest.mark.parametrize("argument", SENSORS)
def test_missing_id_ends_no_wait_that_began_in_the_triggerer(huaweicloud, argument, as_output):
    """Neither in the triggerer, nor on the worker that it hands over to."""
    for value in MISSING:
        refused_when_started(argument, value, as_output)
    assert [] == huaweicloud.requests


def refused_when_started(argument: str, value: Any, as_output: bool) -> None:
    """Check how a wait ends that begins in the triggerer with a missing id."""
    how = {"deferrable": True, "start_from_trigger": True, "on_empty": "succeed", "silent_fail": True, **FAST}
    sensor = SENSORS[argument](task_id="t", **{argument: value}, **how)
    row = json.loads(json.dumps(sensor.start_trigger_args.trigger_kwargs))
    if as_output:
        row[argument] = {"output_as_json": json.dumps(value)}
    trigger: Any = StartedTrigger(**row)
    trigger._task_instance = SimpleNamespace(task=SimpleNamespace(iter_mapped_dependants=lambda: iter(())))

    async def run() -> list[Any]:
        return [event async for event in trigger.run()]

    (event,) = asyncio.run(run())
    assert "TriggerEvent" == type(event).__name__
    assert "ConfigurationError" == event.payload["error"]["type"]
    assert f"{argument} is missing" in event.payload["error"]["message"]
    with pytest.raises(ConfigurationError) as caught:
        sensor.execute_complete({}, event.payload)
    check(caught.value, argument)
