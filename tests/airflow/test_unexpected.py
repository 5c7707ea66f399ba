"""An exception that nobody expects in a poll is an error of this package: flags and the deadline hold for it, too."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferred,
)

from airflow_provider_hwstatus.core.polling.job_status import read_status
from airflow_provider_hwstatus.core.polling.wait import error_boundary
from airflow_provider_hwstatus.errors import ConfigurationError, HwStatusError, TransportError
from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor
from airflow_provider_hwstatus.triggers.job_status import JobStatusTrigger

PACKAGE = "airflow_provider_hwstatus"
INTERVAL, TIMEOUT = 20.0, 100.0  # of the simulated clock

#: Where an exception may come from, sync and async.
PLACES = {
    "reading": (f"{PACKAGE}.core.polling.job_poller.read_status",) * 2,
    "sending": (
        f"{PACKAGE}.transports.requests_transport.SyncTransport.send",
        f"{PACKAGE}.transports.aiohttp_transport.AsyncTransport.send",
    ),
    "look-up": (f"{PACKAGE}.hooks.hwstatus.HwStatusHook.get_connection", f"{PACKAGE}.hooks.hwstatus._look_up"),
    "counting": (f"{PACKAGE}.hooks.hwstatus.counter_of_worker", f"{PACKAGE}.hooks.hwstatus.counter_of_triggerer"),
}


class Broken:
    """Raises what holds a secret, and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, *_: Any, **__: Any) -> Any:
        self.calls += 1
        raise LookupError("s3cr3t")


@pytest.fixture(params=PLACES)
def broken(request: pytest.FixtureRequest, huaweicloud: Any, monkeypatch: pytest.MonkeyPatch, clock: Any) -> Broken:
    """One of the places, broken both sync and async; the job itself is fine."""
    huaweicloud.job("dli_batch", "b1", "running")
    broken = Broken()
    for place in dict.fromkeys(PLACES[request.param]):
        monkeypatch.setattr(place, broken)
    # The link to the console is looked up, too, and nothing depends on it.
    monkeypatch.setattr(f"{PACKAGE}.hooks.hwstatus.HwStatusHook.console_url", lambda *_: None)
    return broken


def event_of(clock: Any, **arguments: Any) -> dict[str, Any]:
    options = {"poke_interval": INTERVAL, "deadline": clock.time() + TIMEOUT} | arguments
    trigger = JobStatusTrigger({"kind": "dli_batch", "job_id": "b1"}, options)

    async def run() -> list[Any]:
        async with asyncio.timeout(10 * TIMEOUT):
            return [event.payload async for event in trigger.run()]

    (event,) = asyncio.run(run())
    return event


@pytest.mark.parametrize("how", ["poke", "reschedule", "deferrable"])
def test_it_ends_the_wait_as_an_error(run_sensor: Any, broken: Broken, how: str) -> None:
    """It says what it is and where; what it says itself is in its cause alone. The flags do what they do to errors."""
    common = {"batch_id": "b1", "poke_interval": INTERVAL, "timeout": TIMEOUT}
    for flags in ({}, {"soft_fail": True}):
        end = run_sensor(DliBatchSensor, how, **common, **flags)
        assert HwStatusError is type(end.error)
        assert "DLI batch b1: an unexpected LookupError in __call__, test_unexpected.py line " in str(end.error)
        assert "s3cr3t" not in str(end.error)
        assert isinstance(end.error.__cause__, LookupError)
    assert "AirflowSkipException" == run_sensor(DliBatchSensor, how, **common, never_fail=True).verdict
    assert 3 == broken.calls


@pytest.mark.parametrize("how", ["poke", "reschedule"])
def test_silent_fail_asks_on_at_the_interval_until_the_deadline(run_sensor: Any, broken: Broken, how: str) -> None:
    """Neither for ever nor faster."""
    how_long = {"poke_interval": INTERVAL, "timeout": TIMEOUT}
    end = run_sensor(DliBatchSensor, how, batch_id="b1", silent_fail=True, **how_long)

    assert "AirflowSensorTimeout" == end.verdict
    assert "unexpected LookupError" in str(end.error)
    assert 2 <= broken.calls <= TIMEOUT / INTERVAL / 0.9 + 2


@pytest.mark.parametrize("how", ["poke", "reschedule"])
def test_deadline_holds_for_a_subclass_whose_poke_raises(huaweicloud: Any, run_sensor: Any, how: str) -> None:
    """Airflow's own time-out is off, and with silent_fail Airflow goes on after any exception."""
    calls: list[int] = []

    class Own(DliBatchSensor):
        def poke(self, context: Any) -> Any:
            calls.append(1)
            raise LookupError

    end = run_sensor(Own, how, batch_id="b1", poke_interval=INTERVAL, timeout=TIMEOUT, silent_fail=True)
    assert "AirflowSensorTimeout" == end.verdict
    assert "DLI batch b1: timed out after 100 s" == str(end.error).splitlines()[0]
    assert 2 <= len(calls) <= TIMEOUT / INTERVAL / 0.9 + 2
    assert "LookupError" == run_sensor(Own, how, batch_id="b1", timeout=TIMEOUT).verdict


def test_trigger_reports_it(broken: Broken, clock: Any) -> None:
    """In one event, without its text."""
    event = event_of(clock)

    assert "HwStatusError" == event["error"]["type"]
    assert "DLI batch b1: an unexpected LookupError in __call__" in event["error"]["message"]
    assert "s3cr3t" not in str(event)
    assert 1 == broken.calls


def test_trigger_asks_on_with_silent_fail(broken: Broken, clock: Any) -> None:
    """As a worker does: at the interval, until the deadline."""
    event = event_of(clock, silent_fail=True)

    assert "DeadlineError" == event["error"]["type"]
    assert "unexpected LookupError" in event["error"]["message"]
    assert 2 <= broken.calls <= TIMEOUT / INTERVAL / 0.9 + 2


def test_wait_goes_on_where_it_passes(huaweicloud: Any, run_sensor: Any, mode: str, monkeypatch: Any) -> None:
    """With silent_fail, the wait ends with the job after all."""
    huaweicloud.job("dli_batch", "b1", "running", "running", "success")
    calls: list[Any] = []

    def sometimes(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2:
            raise LookupError
        return read_status(*arguments)

    monkeypatch.setattr(f"{PACKAGE}.core.polling.job_poller.read_status", sometimes)
    end = run_sensor(DliBatchSensor, mode, batch_id="b1", poke_interval=INTERVAL, timeout=TIMEOUT, silent_fail=True)
    assert ("success", 3) == (end.verdict, len(calls))


@pytest.mark.parametrize(
    "verdict",
    [
        AirflowFailException("x"),
        AirflowSkipException("x"),
        AirflowSensorTimeout("x"),
        AirflowTaskTimeout("x"),
        TaskDeferred(trigger=JobStatusTrigger({"kind": "dli_batch", "job_id": "b1"}), method_name="execute_complete"),
        KeyboardInterrupt(),
        SystemExit(1),
        TransportError("x"),
        ConfigurationError("x"),
    ],
    ids=lambda it: type(it).__name__,
)
@pytest.mark.parametrize("silent_fail", [False, True])
def test_verdicts_pass(monkeypatch: pytest.MonkeyPatch, verdict: BaseException, silent_fail: bool) -> None:
    """What ends a task in Airflow, and what ends a process, is not turned into anything else."""
    sensor = DliBatchSensor(task_id="t", batch_id="b1", silent_fail=silent_fail)

    def get_conn(self: Any) -> Any:
        raise verdict

    monkeypatch.setattr(HwStatusHook, "get_conn", get_conn)
    if silent_fail and isinstance(verdict, HwStatusError):
        assert not sensor.poke({})
    else:
        with pytest.raises(type(verdict)) as caught:
            sensor.poke({})
        assert verdict is caught.value


@pytest.mark.parametrize("error", [StopIteration(1), GeneratorExit(), RecursionError(), asyncio.CancelledError()])
def test_boundary_takes_exceptions_alone(error: BaseException) -> None:
    """Those that are no exceptions, such as that of a cancelled task, pass."""
    with pytest.raises(HwStatusError if isinstance(error, Exception) else type(error)), error_boundary("it"):
        raise error


def test_link_to_the_console_ends_no_wait(huaweicloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever keeps it from being known."""
    huaweicloud.job("dli_batch", "b1", "success")
    monkeypatch.setattr(HwStatusHook, "console_url", Broken())
    context = {"ti": SimpleNamespace(get_first_reschedule_date=lambda context: None)}

    assert "b1" == DliBatchSensor(task_id="t", batch_id="b1").execute(context)["job_id"]
