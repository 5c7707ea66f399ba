"""Watchers of batches: each end is told once, whatever lags, lies, fails or is killed."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import time
from typing import Any

import pytest

HAS_WATCHERS = hasattr(__import__("airflow.triggers.base", fromlist=["x"]), "BaseEventTrigger")
pytestmark = pytest.mark.skipif(not HAS_WATCHERS, reason="Airflow 2 has no asset watchers")

if HAS_WATCHERS:
    from airflow_provider_hwstatus.triggers import watchers
    from airflow_provider_hwstatus.triggers.watchers import DliBatchWatcher

SHARED = importlib.util.find_spec("airflow.triggers.shared_stream") is not None


class Store:
    """An asset's state store."""

    def __init__(self, delay: float = 0.0) -> None:
        self.values: dict[str, Any] = {}
        self.delay = delay

    async def aget(self, key: str) -> Any:
        await asyncio.sleep(self.delay)
        return json.loads(json.dumps(self.values.get(key)))

    async def aset(self, key: str, value: Any) -> None:
        self.values[key] = json.loads(json.dumps(value))


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchers, "SHORTEST_INTERVAL", 0.1)
    monkeypatch.setattr(watchers, "SETTLING", 0.05)


def watch(cloud: Any, seconds: float, *between: Any, store: Store | None = None, **arguments: Any) -> list[Any]:
    """Run a watcher for so long, do what is to be done between, and return its events."""
    watcher = DliBatchWatcher(poke_interval=0.1, **arguments)
    watcher.asset_state_store = store
    events = []

    async def run() -> None:
        async for event in watcher.run():
            events.extend([json.loads(json.dumps(event.payload))])

    async def main() -> None:
        before = len(cloud.requests)
        task = asyncio.create_task(run())
        while len(cloud.requests) == before:  # noqa: ASYNC110  # the fake tells nobody
            await asyncio.sleep(0.05)
        for step in between:
            await asyncio.sleep(seconds)
            step()
        await asyncio.sleep(seconds)
        assert not task.done()
        task.cancel()

    asyncio.run(main())
    return events


def told(events: list[Any]) -> list[str]:
    """Return which jobs ended, in order."""
    return sorted(event["status"]["job_id"] for event in events)


def ends(cloud: Any, *job_ids: str, state: str = "success") -> Any:
    """Return what ends jobs."""
    return lambda: [cloud.job("dli_batch", job_id, state) for job_id in job_ids]


def test_tells_each_end_once_and_nothing_older(huaweicloud: Any) -> None:
    """What had ended before the first look is no news; what ends later is, once, with its last status."""
    huaweicloud.job("dli_batch", "old", "success")
    huaweicloud.job("dli_batch", "b1", "running", name="etl-1", queue="q", owner="ann")

    def end() -> None:
        huaweicloud.job("dli_batch", "b1", "dead", name="etl-1", queue="q", owner="ann")
        huaweicloud.job("dli_batch", "b2", "success")

    events = watch(huaweicloud, 0.6, end)
    assert ["b1", "b2"] == told(events)
    (event,) = [event for event in events if event["status"]["job_id"] == "b1"]
    assert ("failure", "etl-1", "q", "ann") == (
        event["status"]["outcome"],
        event["status"]["name"],
        event["status"]["queue"],
        event["owner"],
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"name": "etl-*"}, ["b1", "b2"]),
        ({"name": "etl-*", "queue": "q2"}, ["b2"]),
        ({"owner": "bob"}, ["b3"]),
        ({"ends": "failure"}, ["b3"]),
        ({"ends": "success", "name": "ETL-*"}, []),
    ],
)
def test_tells_what_it_was_asked_for(huaweicloud: Any, arguments: Any, expected: list[str]) -> None:
    """Name, queue and owner are patterns, and the end can be of one kind."""

    def end() -> None:
        huaweicloud.job("dli_batch", "b1", "success", name="etl-1", queue="q1", owner="ann")
        huaweicloud.job("dli_batch", "b2", "success", name="etl-2", queue="q2", owner="ann")
        huaweicloud.job("dli_batch", "b3", "dead", name="other", queue="q2", owner="bob")

    assert expected == told(watch(huaweicloud, 0.5, end, **arguments))


def test_watermark_bridges_a_restart(huaweicloud: Any) -> None:
    """An end that comes while no triggerer runs is told by the next, and none is told again."""
    store = Store()
    huaweicloud.job("dli_batch", "b1", "running")
    huaweicloud.job("dli_batch", "b2", "running")

    assert ["b1"] == told(watch(huaweicloud, 0.6, ends(huaweicloud, "b1"), store=store))
    ends(huaweicloud, "b2", "b3")()
    assert ["b2", "b3"] == told(watch(huaweicloud, 0.6, store=store))
    assert [] == told(watch(huaweicloud, 0.6, store=store))


def test_watermark_of_something_else_begins_anew(huaweicloud: Any) -> None:
    """What cannot be read as a watermark is no reason to fail."""
    store = Store()
    store.values[DliBatchWatcher(poke_interval=0.1)._key] = {"since": "?"}

    assert ["b1"] == told(watch(huaweicloud, 0.5, ends(huaweicloud, "b1"), store=store))


def test_list_is_not_believed(huaweicloud: Any) -> None:
    """A job that the list shows as over is over when its own endpoint says so."""

    def begin() -> None:
        huaweicloud.batch_list.lies = {"b1": "success"}
        huaweicloud.job("dli_batch", "b1", "running")

    def end() -> None:
        assert 2 <= sum("/b1/" in record.path for record in huaweicloud.requests)
        ends(huaweicloud, "b1", state="dead")()

    (event,) = watch(huaweicloud, 0.8, begin, end)
    assert ("b1", "dead") == (event["status"]["job_id"], event["status"]["state"])


def test_job_that_left_the_list_is_asked_about(huaweicloud: Any) -> None:
    """A job that goes on and is not shown any more is not lost."""
    huaweicloud.job("dli_batch", "b1", "running")

    def hide() -> None:
        huaweicloud.batch_list.hidden.add("b1")
        ends(huaweicloud, "b1")()

    assert ["b1"] == told(watch(huaweicloud, 0.6, hide))


def test_outage_is_waited_out(huaweicloud: Any) -> None:
    """Errors of the list and of a job end nothing, and lose nothing."""
    huaweicloud.job("dli_batch", "b1", "running")

    def away() -> None:
        huaweicloud.batch_list.answer = 500
        ends(huaweicloud, "b1")()

    def back() -> None:
        huaweicloud.batch_list.answer = None

    assert ["b1"] == told(watch(huaweicloud, 0.6, away, back))


@pytest.mark.skipif(not SHARED, reason="Airflow 3.3 has the first shared streams")
@pytest.mark.parametrize("held_up", [0.0, 2.0])
def test_watchers_share_the_reading(huaweicloud: Any, held_up: float) -> None:
    """However many watch a connection, the list is read once in an interval, and watermarks are stored after events."""
    from airflow.triggers.shared_stream import SharedStreamManager

    stores = [Store(delay=held_up) for _ in range(5)]
    events: list[Any] = []

    async def follow(manager: Any, number: int) -> None:
        watcher = DliBatchWatcher(owner=None, name=f"*{number}*", poke_interval=0.5)
        watcher.asset_state_store = stores[number]  # type: ignore[assignment]
        key = watcher.shared_stream_key()
        stream = manager.subscribe(trigger_id=number, trigger=watcher, key=key)
        async for event in watcher.filter_shared_stream(stream):
            seq = manager.bind_pending_event(trigger_id=number, key=key)
            events.append((event.payload, dict(stores[number].values)))
            asyncio.get_running_loop().call_later(0.2, manager.confirm_persisted, [seq])

    async def main() -> None:
        manager = SharedStreamManager()
        tasks = [asyncio.create_task(follow(manager, number)) for number in range(5)]
        while not huaweicloud.requests:  # noqa: ASYNC110  # the fake tells nobody
            await asyncio.sleep(0.05)
        began.append(time.time())
        await asyncio.sleep(0.3)
        for number in range(5):
            huaweicloud.job("dli_batch", f"b{number}", "success", name=f"n{number}")
        while len(events) < 5:  # noqa: ASYNC110  # likewise
            await asyncio.sleep(0.05)
        await asyncio.sleep(1.5)
        for task in tasks:
            task.cancel()
        await manager.stop_all()

    began: list[float] = []
    asyncio.run(main())
    lists = sum(record.path.endswith("/batches") for record in huaweicloud.requests)
    assert ["b0", "b1", "b2", "b3", "b4"] == told([payload for payload, _ in events])
    # Now and then one more, for a watcher that was held up and asks for older jobs than the others.
    assert lists <= (time.time() - began[0]) / 0.5 + 4
    for (payload, before), store in zip(events, stores, strict=True):
        job_id = payload["status"]["job_id"]
        (after,) = store.values.values()
        assert job_id in after["ended"]
        assert all(job_id not in mark["ended"] for mark in before.values())


def test_wrong_arguments_are_refused_in_the_dag_file() -> None:
    """What can be no end is an error where the DAG is parsed."""
    with pytest.raises(ValueError, match="ends must be"):
        DliBatchWatcher(ends="badly")
