"""A trigger leaves Airflow's scheduler the time to notice that the worker that deferred has exited."""

from __future__ import annotations

import asyncio
import json
import selectors
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pkgutil import resolve_name
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout, TaskDeferred

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.core.protocol.effects import Response
from airflow_provider_hwstatus.errors import ConfigurationError
from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook
from airflow_provider_hwstatus.sensors.cph import CphJobSensor, CphRequestSensor
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor
from airflow_provider_hwstatus.sensors.start_from_trigger import AIRFLOW_3_3
from airflow_provider_hwstatus.transports.priority_semaphore import PrioritySemaphore
from airflow_provider_hwstatus.transports.runners import AsyncHandlers, run_async
from airflow_provider_hwstatus.transports.single_flight import SingleFlights
from airflow_provider_hwstatus.triggers.job_status import JobStatusTrigger

START = 1_700_000_000.0
SETTINGS = Settings(auth="token", password="T", project_id="p1", dli_endpoint="https://dli.example.com", coalesce=False)


class Leaping(selectors.SelectSelector):
    """Lets no time pass: what would have been waited for is over at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        self.now += timeout or 0.0
        return super().select(0)


class World:
    """A cloud where each job is over, by a clock that only waiting moves."""

    def __init__(self) -> None:
        self.selector = Leaping()
        self.polls: list[float] = []
        self.events: list[tuple[float, dict[str, Any]]] = []
        self.joined = 0
        self.status = 200
        self.client = Client(SETTINGS, self.time)

    def time(self) -> float:
        return START + self.selector.now

    @asynccontextmanager
    async def connection(self, hook: HwStatusHook) -> Any:
        if hook.hwstatus_conn_id == "no_such":
            raise ConfigurationError("connection 'no_such': it is not defined")
        self.joined += 1
        yield SimpleNamespace(client=self.client, joined=self.joined, run=self.run_flow)

    async def run_flow(self, flow: Any) -> Any:
        flights, slots = (
            SingleFlights(lambda name: asyncio.Lock()),
            {"dli": PrioritySemaphore(10), "cph": PrioritySemaphore(10)},
        )
        handlers = AsyncHandlers(self.send, flights, slots, self.mask, lambda name: None, clock=self.time)
        return await run_async(flow, handlers)

    async def send(self, request: Any, until: float) -> Response:
        self.polls.append(self.selector.now)
        return Response(self.status, {}, json.dumps({"state": "success"}).encode())

    async def mask(self, secret: str) -> None:
        return None

    async def wait(self, trigger: Any) -> None:
        async for event in trigger.run():
            self.events.append((self.selector.now, event.payload))

    def run(self, *triggers: Any) -> None:
        """Run triggers, all at the same time."""

        async def all_of_them() -> None:
            await asyncio.gather(*map(self.wait, triggers))

        loop = asyncio.SelectorEventLoop(self.selector)
        loop.time = lambda: self.selector.now  # type: ignore[method-assign]
        try:
            loop.run_until_complete(all_of_them())
        finally:
            loop.close()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = World()
    monkeypatch.setattr(time, "time", world.time)
    monkeypatch.setattr(HwStatusHook, "get_async_conn", lambda hook: world.connection(hook))  # noqa: PLW0108  # binds
    yield world
    world.selector.close()


def trigger(**arguments: Any) -> JobStatusTrigger:
    target: dict[str, Any] = {"kind": "dli_batch", "job_id": "b1"}
    target |= {name: arguments.pop(name) for name in ("kind", "job_id", "success_states") if name in arguments}
    where = {name: arguments.pop(name) for name in ("hwstatus_conn_id",) if name in arguments}
    return JobStatusTrigger(target, {"poke_interval": 60.0, "began": START} | arguments, **where)


@pytest.mark.parametrize(
    ("arguments", "first"),
    [
        ({"deferred_at": START}, 15.0),
        ({"deferred_at": START - 10}, 5.0),
        ({"deferred_at": START - 3600}, 0.0),  # it has moved to another triggerer
        ({"deferred_at": START + 3600}, 15.0),  # the worker's clock is ahead
        ({"deferred_at": START, "poke_interval": 5.0}, 5.0),
        ({"deferred_at": START, "deadline": START + 600}, 15.0),
        ({"deferred_at": START, "deadline": START + 8}, 8.0),  # it is never late
        ({"deferred_at": START, "deadline": START - 8}, 0.0),
        ({"deferred_at": START, "exponential_backoff": True, "max_wait": 2.0}, 15.0),
        ({}, 0.0),
    ],
)
def test_first_poll_is_not_too_soon(world: World, arguments: Any, first: float) -> None:
    """It comes 15 seconds after the deferral at the earliest, or an interval that is shorter."""
    world.run(trigger(**arguments))

    assert [pytest.approx(first)] == world.polls
    ((_, event),) = world.events
    assert "success" == event["status"]["outcome"]


@pytest.mark.parametrize(
    ("arguments", "status", "error"),
    [
        ({"kind": "gone"}, 200, "ConfigurationError"),
        ({"hwstatus_conn_id": "no_such", "began": None}, 200, "ConfigurationError"),
        ({"job_id": "a/b"}, 200, "ConfigurationError"),
        ({"success_states": ["dead"]}, 200, "ConfigurationError"),
        ({}, 401, "AuthenticationError"),
        ({}, 404, "JobNotFoundError"),
        ({"outage_tolerance": 0.0}, 503, "ServerError"),
    ],
)
def test_error_is_not_too_soon(world: World, arguments: Any, status: int, error: str) -> None:
    """An event is an event, whatever it tells."""
    world.status = status
    world.run(trigger(deferred_at=START, **arguments))

    ((at, event),) = world.events
    assert (error, True) == (event["error"]["type"], at >= 15.0)


def test_time_out_is_not_late(world: World) -> None:
    """The deadline that passes first ends the wait: a trigger that somebody else made may have such a one."""
    world.status = 503
    world.run(trigger(deferred_at=START, deadline=START + 4, outage_tolerance=0.0))

    ((at, event),) = world.events
    assert ("DeadlineError", pytest.approx(4.0)) == (event["error"]["type"], at)


@pytest.mark.parametrize(
    ("poke_interval", "ago", "first", "last"),
    [(60.0, 0.0, 15.0, 60.0), (60.0, 900.0, 0.0, 60.0), (20.0, 0.0, 15.0, 20.0)],
)
def test_first_polls_spread_over_the_rest(
    world: World, poke_interval: float, ago: float, first: float, last: float
) -> None:
    """Waits that were deferred together ask one after the other, from the first moment to the end of the interval."""
    world.run(*(trigger(poke_interval=poke_interval, deferred_at=START - ago) for _ in range(40)))

    polls, share = sorted(world.polls), (last - first) / 40
    assert (40, pytest.approx(first)) == (len(polls), polls[0])
    assert last - 3 * share < polls[-1] < last
    assert max(later - earlier for earlier, later in pairwise(polls)) < 3 * share


@pytest.mark.parametrize(
    ("cls", "job"),
    [
        (DliBatchSensor, {"batch_id": "b1"}),
        (DliBatchSensor, {"batch_id": ["b1", "b2"]}),
        (CphJobSensor, {"job_id": "c1"}),
        (CphRequestSensor, {"request_id": "r1"}),
    ],
)
def test_row_says_when_it_was_deferred(huaweicloud: Any, cls: Any, job: Any) -> None:
    """So that a trigger that moves to another triggerer long after does not pause again."""
    for kind, job_id, state in (("dli_batch", "b1", "running"), ("dli_batch", "b2", "running"), ("cph_job", "c1", 1)):
        huaweicloud.job(kind, job_id, state, **({"request_id": "r1"} if kind == "cph_job" else {}))
    before = time.time()
    with pytest.raises(TaskDeferred) as deferral:
        cls(task_id="t", deferrable=True, **job).execute({"ti": None})

    path, row = deferral.value.trigger.serialize()
    rebuilt = resolve_name(path)(**json.loads(json.dumps(row)))
    assert before <= rebuilt.options["deferred_at"] <= time.time()


@pytest.mark.skipif(not AIRFLOW_3_3, reason="Airflow 3.3 is the first that can")
def test_wait_without_a_worker_polls_at_once(world: World) -> None:
    """Nobody exits who could be taken for another, so the trigger need not pause."""
    started = DliBatchSensor(task_id="t", batch_id="b1", deferrable=True, start_from_trigger=True).start_trigger_args
    row = started.trigger_kwargs | {"ends": False}
    world.run(resolve_name(started.trigger_cls)(**json.loads(json.dumps(row))))

    assert [0.0] == world.polls, world.events


@pytest.mark.parametrize("poke_interval", [60.0, 5.0])
def test_rest_that_no_trigger_could_poll_in_is_not_deferred(huaweicloud: Any, poke_interval: float) -> None:
    """Its event would come too soon, or late: the worker waits for the deadline, and asks once more."""
    huaweicloud.job("dli_batch", "b1", "running")
    sensor = DliBatchSensor(task_id="t", batch_id="b1", deferrable=True, timeout=0.5, poke_interval=poke_interval)
    with pytest.raises(AirflowSensorTimeout, match=r"timed out after 0\.5 s"):
        sensor.execute({"ti": None})

    assert 2 == len(huaweicloud.requests)


def test_job_that_ends_in_such_a_rest_succeeds(huaweicloud: Any) -> None:
    """The answer at the deadline counts, as in every mode."""
    huaweicloud.job("dli_batch", "b1", "running", "success")
    sensor = DliBatchSensor(task_id="t", batch_id="b1", deferrable=True, timeout=0.5, poke_interval=60)

    assert "success" == sensor.execute({"ti": None})["state"]
