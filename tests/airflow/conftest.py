"""Run sensors in each mode as Airflow does, but in one process and with simulated time."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pkgutil import resolve_name
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.exceptions import AirflowRescheduleException
from airflow.providers.common.compat.sdk import TaskDeferred

if TYPE_CHECKING:
    from airflow_provider_hwstatus.testing import FakeHuaweiCloud

MODES = ("poke", "reschedule", "deferrable")

#: Modules that use the simulated time: this package, except the fake cloud, and the sensors of Airflow 2 and 3.
SIMULATED = ("airflow_provider_hwstatus.", "airflow.sensors.base", "airflow.sdk.bases.sensor")
FAKE = "airflow_provider_hwstatus.testing"


class Clock:
    """Replaces the module ``time``. Sleeping advances the clock at once instead of waiting."""

    def __init__(self) -> None:
        self.slept = 0.0

    def time(self) -> float:
        return time.time() + self.slept

    def monotonic(self) -> float:
        return time.monotonic() + self.slept

    def sleep(self, seconds: float) -> None:
        self.slept += seconds

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time(), UTC)


#: One clock for all tests, because a client with its clock may outlive its test.
CLOCK = Clock()


class Loop(asyncio.SelectorEventLoop):
    """An event loop that uses the clock. It advances the clock instead of waiting, unless a request or thread runs."""

    running = 0

    def __init__(self) -> None:
        super().__init__()
        selector: Any = self._selector  # type: ignore[attr-defined]  # an attribute of CPython
        select = selector.select

        def advance(timeout: float | None = None) -> Any:
            events = select(0)
            if events or self.running or timeout is None:
                return events or select(timeout)
            CLOCK.sleep(max(timeout, 0.0))
            return events

        selector.select = advance

    def time(self) -> float:
        return CLOCK.monotonic()

    @contextmanager
    def busy(self) -> Iterator[None]:
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1

    def run_in_executor(self, *args: Any) -> Any:
        stack = ExitStack()
        stack.enter_context(self.busy())
        future = super().run_in_executor(*args)
        future.add_done_callback(lambda _: stack.close())
        return future

    async def shutdown_default_executor(self, *args: Any) -> None:
        with self.busy():
            await super().shutdown_default_executor(*args)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, huaweicloud: FakeHuaweiCloud) -> Clock:
    """Replace the time in this test, including the fake cloud's, with a simulated clock. Return the clock."""
    # The package imports these modules on first use.
    from airflow_provider_hwstatus.transports import aiohttp_transport, requests_transport, runners  # noqa: F401
    from airflow_provider_hwstatus.triggers import job_status, start_from_trigger, submitted_job  # noqa: F401

    send, new_loop = aiohttp_transport.AsyncTransport.send, asyncio.events.new_event_loop

    async def counted(transport: Any, *args: Any) -> Any:
        loop = asyncio.get_running_loop()
        with loop.busy() if isinstance(loop, Loop) else nullcontext():
            return await send(transport, *args)

    def new_event_loop() -> asyncio.AbstractEventLoop:
        return Loop() if threading.current_thread() is threading.main_thread() else new_loop()

    monkeypatch.setattr(CLOCK, "slept", 0.0)
    monkeypatch.setattr(aiohttp_transport.AsyncTransport, "send", counted)
    monkeypatch.setattr(asyncio.events, "new_event_loop", new_event_loop)
    monkeypatch.setattr(runners.SyncHandlers.__init__, "__defaults__", (CLOCK.sleep, CLOCK.monotonic))
    monkeypatch.setattr(runners.AsyncHandlers.__init__, "__defaults__", (runners.sleep, CLOCK.monotonic))
    for name, module in list(sys.modules.items()):
        if name.startswith(SIMULATED) and not name.startswith(FAKE) and getattr(module, "time", None) is time:
            monkeypatch.setattr(module, "time", CLOCK)
    monkeypatch.setattr(huaweicloud, "clock", CLOCK.time)
    return CLOCK


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], clock: Clock) -> Callable[..., tuple[object, str, str]]:
    """Return a function that runs a command; it returns the exit code, standard output and standard error."""
    from airflow_provider_hwstatus.__main__ import main

    def run(*argv: str) -> tuple[object, str, str]:
        capsys.readouterr()  # drop what the fake logged: Airflow 2 prints it in Python's development mode
        with pytest.raises(SystemExit) as left:
            main(argv)
        return left.value.code, *capsys.readouterr()

    return run


@dataclass
class End:
    """The end of a task: its return value or its exception."""

    value: Any = None
    error: BaseException | None = None

    @property
    def verdict(self) -> str:
        """The name of the exception, or "success"."""
        return "success" if self.error is None else type(self.error).__name__


class TaskInstance(SimpleNamespace):
    """The part of a task instance that sensors use."""

    def xcom_push(self, key: str, value: Any) -> None:
        self.__dict__.setdefault("xcoms", {})[key] = value

    def get_first_reschedule_date(self, context: Any) -> datetime | None:
        return self.first_poke


def first_event(trigger: Any) -> dict[str, Any]:
    """Serialise and rebuild *trigger*, run it in a new event loop, and return its only event."""

    async def run() -> list[dict[str, Any]]:
        path, kwargs = trigger.serialize()
        rebuilt = resolve_name(path)(**json.loads(json.dumps(kwargs)))
        return [event.payload async for event in rebuilt.run()]

    (payload,) = asyncio.run(run())
    return json.loads(json.dumps(payload))


def _reschedule(make: Callable[[], Any], context: dict[str, Any]) -> Any:
    while True:
        started_at = CLOCK.now()
        try:
            return make().execute(context)
        except AirflowRescheduleException as reschedule:
            context["ti"].first_poke = context["ti"].first_poke or started_at
            CLOCK.sleep(max((reschedule.reschedule_date - datetime.now(UTC)).total_seconds(), 0))


def _deferred(make: Callable[[], Any], context: dict[str, Any]) -> Any:
    try:
        return make().execute(context)
    except TaskDeferred as deferred:
        event = first_event(deferred.trigger)
        kept = json.loads(json.dumps(deferred.kwargs or {}))
        return make().resume_execution(deferred.method_name, {**kept, "event": event}, context)


@pytest.fixture
def run_sensor(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Callable[..., End]:
    """Return a function that runs a sensor class to its end in a mode. Each step uses a new sensor object."""

    def run(cls: type, mode: str, **arguments: Any) -> End:
        context = {"ti": TaskInstance(first_poke=None, max_tries=0, dag_id="d", task_id="t", run_id="r", map_index=-1)}
        try:
            import airflow.sensors.base as airflow2

            if hasattr(airflow2, "_orig_start_date"):  # Airflow 2 reads it from its database
                monkeypatch.setattr(airflow2, "_orig_start_date", lambda **ids: context["ti"].first_poke)
        except ImportError:
            pass

        def make() -> Any:
            mode_arguments = {"deferrable": True} if mode == "deferrable" else {"mode": mode}
            return cls(task_id="t", **mode_arguments, **arguments)

        try:
            runs = {"poke": lambda: make().execute(context)}
            runs |= {"reschedule": lambda: _reschedule(make, context), "deferrable": lambda: _deferred(make, context)}
            return End(value=runs[mode]())
        except Exception as error:  # noqa: BLE001  # any exception ends the task
            return End(error=error)

    return run


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    """Each mode of a sensor."""
    return str(request.param)
