"""Run a sensor to its end in any mode, as Airflow would, without its processes."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pkgutil import resolve_name
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.exceptions import AirflowRescheduleException
from airflow.providers.common.compat.sdk import TaskDeferred

MODES = ("poke", "reschedule", "deferrable")


@dataclass
class End:
    """How a task ended: its return value or what it raised."""

    value: Any = None
    error: BaseException | None = None

    @property
    def verdict(self) -> str:
        """The name of what was raised, or "success"."""
        return "success" if self.error is None else type(self.error).__name__


class TaskInstance(SimpleNamespace):
    """What a sensor asks a task instance for: when its first poke was."""

    def xcom_push(self, key: str, value: Any) -> None:
        self.__dict__.setdefault("xcoms", {})[key] = value

    def get_first_reschedule_date(self, context: Any) -> datetime | None:
        return self.first_poke


def first_event(trigger: Any) -> dict[str, Any]:
    """Rebuild *trigger* from its row, run it in a loop of its own and return its only event."""

    async def run() -> list[dict[str, Any]]:
        path, kwargs = trigger.serialize()
        rebuilt = resolve_name(path)(**json.loads(json.dumps(kwargs)))
        return [event.payload async for event in rebuilt.run()]

    (payload,) = asyncio.run(run())
    return json.loads(json.dumps(payload))


def _reschedule(make: Callable[[], Any], context: dict[str, Any]) -> Any:
    while True:
        try:
            return make().execute(context)
        except AirflowRescheduleException as again:
            context["ti"].first_poke = context["ti"].first_poke or datetime.now(UTC)
            time.sleep(max((again.reschedule_date - datetime.now(UTC)).total_seconds(), 0))


def _deferred(make: Callable[[], Any], context: dict[str, Any]) -> Any:
    try:
        return make().execute(context)
    except TaskDeferred as deferred:
        event = first_event(deferred.trigger)
        return make().resume_execution(deferred.method_name, {"event": event}, context)


@pytest.fixture
def run_sensor(monkeypatch: pytest.MonkeyPatch) -> Callable[..., End]:
    """Return a function that runs a sensor class to its end in a mode; each step has a sensor built anew."""

    def run(cls: type, mode: str, **arguments: Any) -> End:
        context = {"ti": TaskInstance(first_poke=None, max_tries=0, dag_id="d", task_id="t", run_id="r", map_index=-1)}
        try:
            import airflow.sensors.base as airflow2

            if hasattr(airflow2, "_orig_start_date"):  # Airflow 2 asks its database
                monkeypatch.setattr(airflow2, "_orig_start_date", lambda **ids: context["ti"].first_poke)
        except ImportError:
            pass

        def make() -> Any:
            how = {"deferrable": True} if mode == "deferrable" else {"mode": mode}
            return cls(task_id="t", **how, **arguments)

        try:
            runs = {"poke": lambda: make().execute(context)}
            runs |= {"reschedule": lambda: _reschedule(make, context), "deferrable": lambda: _deferred(make, context)}
            return End(value=runs[mode]())
        except Exception as error:  # noqa: BLE001  # whatever it is, it is how the task ended
            return End(error=error)

    return run


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    """One mode of waiting."""
    return str(request.param)
