"""Watchers report each end once, despite lagging lists, wrong responses, outages and restarts."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import math
from datetime import timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_hwstatus.errors import HwStatusError, ThrottledError
from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook
from airflow_provider_hwstatus.testing import FakeHuaweiCloud
from airflow_provider_hwstatus.testing.wire import Reply

HAS_WATCHERS = hasattr(__import__("airflow.triggers.base", fromlist=["x"]), "BaseEventTrigger")
pytestmark = pytest.mark.skipif(not HAS_WATCHERS, reason="Airflow 2 has no asset watchers")

if HAS_WATCHERS:
    from airflow_provider_hwstatus.core.protocol import backoff
    from airflow_provider_hwstatus.core.watching import batch_watermark, request_watermark
    from airflow_provider_hwstatus.hooks import connection_cache
    from airflow_provider_hwstatus.triggers import base_watcher, shared_poll, watchers
    from airflow_provider_hwstatus.triggers.watchers import CphRequestWatcher, DliBatchWatcher

SHARED = importlib.util.find_spec("airflow.triggers.shared_stream") is not None

#: DLI's response for a job that it does not know.
NOT_FOUND = Reply(404, {"error_code": "DLI.0023", "error_msg": "not found"})


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


needs_store = pytest.mark.skipif(not SHARED, reason="needs the state store of Airflow 3.3")


#: Seconds between two polls. A poll that takes longer on a busy machine makes the watcher skip the next ones, so the
#: interval is long where the tests' own clock makes it cost nothing.
INTERVAL = 0.1


@pytest.fixture(autouse=True)
def _fast(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.node.get_closest_marker("real_time"):
        request.getfixturevalue("clock")
        monkeypatch.setitem(globals(), "INTERVAL", 20.0)
    monkeypatch.setattr(base_watcher, "SHORTEST_INTERVAL", 0.1)
    monkeypatch.setattr(base_watcher, "RETRY_PAUSE", 0.05)


def watch(cloud: Any, *steps: Any, polls: int = 4, store: Any = None, kind: Any = None, **arguments: Any) -> list[Any]:
    """
    Run a watcher; return the payloads of its events.

    :param steps: Called in order. *polls* polls come before the first, and after each.
    :param kind: The class of the watcher; *arguments* are its arguments.
    """
    watcher = (kind or DliBatchWatcher)(**{"poke_interval": INTERVAL} | arguments)
    watcher.asset_state_store = store
    events = []

    async def run() -> None:
        async for event in stored_at_once(watcher) if SHARED else watcher.run():
            events.extend([json.loads(json.dumps(event.payload))])

    async def main(counter: PollCounter) -> None:
        task = asyncio.create_task(run())
        for step in (lambda: None, *steps):
            step()
            await asyncio.wait_for(counter.wait(polls), 600.0)
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])

    with pytest.MonkeyPatch.context() as monkeypatch:
        asyncio.run(main(PollCounter(monkeypatch)))
    return events


async def stored_at_once(watcher: Any) -> Any:
    """Yield a watcher's events as Airflow's triggerer does, and confirm each at once as stored."""
    from airflow.triggers.shared_stream import SharedStreamManager

    manager, key = SharedStreamManager(), watcher.shared_stream_key()
    try:
        stream = manager.subscribe(trigger_id=1, trigger=watcher, key=key)
        async for event in watcher.filter_shared_stream(stream):
            seq = manager.bind_pending_event(trigger_id=1, key=key)
            yield event
            manager.confirm_persisted([seq])
    finally:
        await manager.unsubscribe(1, key)


class PollCounter:
    """Counts finished polls, whose checkpoints are stored if there is a store."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._count = asyncio.Semaphore(0)
        cls, name = (shared_poll.SharedPoll, "save") if SHARED else (base_watcher.Watcher, "_interval")
        original = getattr(cls, name)

        async def count_save(shared_poll: Any) -> None:
            await original(shared_poll)
            self._count.release()

        def count_interval(watcher: Any) -> float:
            self._count.release()
            return original(watcher)

        monkeypatch.setattr(cls, name, count_save if SHARED else count_interval)

    async def wait(self, polls: int) -> None:
        """Wait until *polls* more polls have finished."""
        for _ in range(polls):
            await self._count.acquire()


def reported(events: list[Any]) -> list[str]:
    """Return the ids of the batches whose ends were reported, sorted."""
    return sorted(event["status"]["job_id"] for event in events)


def ends(cloud: Any, *job_ids: str, state: str = "success") -> Any:
    """Return a step that ends batches."""
    return lambda: [cloud.job("dli_batch", job_id, state) for job_id in job_ids]


def test_reports_each_end_once_and_nothing_older(huaweicloud: Any) -> None:
    """Batches that ended before the first poll are not reported. Later ends are, once, with the last status."""
    huaweicloud.job("dli_batch", "old", "success")
    huaweicloud.job("dli_batch", "b1", "running", name="etl-1", queue="q", owner="ann")

    def end() -> None:
        huaweicloud.job("dli_batch", "b1", "dead", name="etl-1", queue="q", owner="ann")
        huaweicloud.job("dli_batch", "b2", "success")

    events = watch(huaweicloud, end)
    assert ["b1", "b2"] == reported(events)
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
def test_reports_what_the_arguments_select(huaweicloud: Any, arguments: Any, expected: list[str]) -> None:
    """Name, queue and owner are patterns; *ends* selects the outcome."""

    def end() -> None:
        huaweicloud.job("dli_batch", "b1", "success", name="etl-1", queue="q1", owner="ann")
        huaweicloud.job("dli_batch", "b2", "success", name="etl-2", queue="q2", owner="ann")
        huaweicloud.job("dli_batch", "b3", "dead", name="other", queue="q2", owner="bob")

    assert expected == reported(watch(huaweicloud, end, **arguments))


@needs_store
def test_checkpoint_survives_a_restart(huaweicloud: Any) -> None:
    """The next triggerer reports an end that came while none ran, and repeats none."""
    store = Store()
    huaweicloud.job("dli_batch", "b1", "running")
    huaweicloud.job("dli_batch", "b2", "running")

    assert ["b1"] == reported(watch(huaweicloud, ends(huaweicloud, "b1"), store=store))
    ends(huaweicloud, "b2", "b3")()
    assert ["b2", "b3"] == reported(watch(huaweicloud, store=store))
    assert [] == reported(watch(huaweicloud, store=store))


@needs_store
def test_unreadable_checkpoint_starts_a_new_watermark(huaweicloud: Any) -> None:
    """A watcher whose checkpoint is not valid reports later ends."""
    store = Store()
    watch(huaweicloud, store=store)
    (name,) = store.values
    store.values[name] = {"since": "?"}

    assert ["b1"] == reported(watch(huaweicloud, ends(huaweicloud, "b1"), store=store))
    assert "b1" in store.values[name]["ended"]


def test_list_does_not_decide_an_end(huaweicloud: Any) -> None:
    """A batch that the list shows as ended has ended only when its own endpoint says so."""

    def begin() -> None:
        huaweicloud.batch_list.lies = {"b1": "success"}
        huaweicloud.job("dli_batch", "b1", "running")

    def end() -> None:
        assert 2 <= sum("/b1/" in record.path for record in huaweicloud.requests)
        ends(huaweicloud, "b1", state="dead")()

    (event,) = watch(huaweicloud, begin, end)
    assert ("b1", "dead") == (event["status"]["job_id"], event["status"]["state"])


def test_batch_that_only_the_list_shows_is_polled_again(huaweicloud: Any) -> None:
    """The list may show a batch before the batch's own endpoint knows it."""
    huaweicloud.job("dli_batch", "b0", "running")

    def begin() -> None:
        huaweicloud.batch_list.lies = {"b1": "success"}
        huaweicloud.job("dli_batch", "b1", NOT_FOUND)

    assert ["b1"] == reported(watch(huaweicloud, begin, ends(huaweicloud, "b1")))


def test_429_counts_among_other_errors(huaweicloud: Any) -> None:
    """A 429 for one batch delays the next poll, also if other batches have other errors."""

    def begin() -> None:
        huaweicloud.batch_list.lies = dict.fromkeys(("b0", "b1", "b2"), "success")
        for job_id, reply in (("b1", Reply(429, headers={"Retry-After": "60"})), ("b0", NOT_FOUND), ("b2", NOT_FOUND)):
            huaweicloud.job("dli_batch", job_id, reply)

    watch(huaweicloud, begin, polls=8, poke_interval=5.0)
    assert sum("/b1/" in record.path for record in huaweicloud.requests) == 1


@needs_store
def test_deleted_batch_is_dropped(huaweicloud: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """A batch that neither the list nor its own endpoint knows any more is not polled forever."""
    monkeypatch.setattr(batch_watermark, "NOT_FOUND_SECONDS", 0.0)
    store = Store()
    for job_id in ("b1", "b2"):
        huaweicloud.job("dli_batch", job_id, "running")

    def delete() -> None:
        huaweicloud.batch_list.hidden.add("b1")
        huaweicloud.job("dli_batch", "b1", NOT_FOUND)

    assert [] == watch(huaweicloud, delete, store=store, polls=6)
    (checkpoint,) = store.values.values()
    assert ["b2"] == list(checkpoint["running"])
    assert 1 == sum("b1 is dropped" in message for message in caplog.messages)


@pytest.mark.parametrize("answer", [Reply(404, "<html>not found</html>"), NOT_FOUND])
def test_batches_that_are_not_found_for_a_while_are_not_lost(
    huaweicloud: Any, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    """Neither a proxy's 404 nor a service that knows none of the batches makes a watcher drop them."""
    monkeypatch.setattr(batch_watermark, "NOT_FOUND_SECONDS", 0.0)
    names = [f"b{number}" for number in range(5)]
    for name in names:
        huaweicloud.job("dli_batch", name, "running")

    def lose() -> None:
        huaweicloud.batch_list.hidden |= set(names)
        for name in names:
            huaweicloud.job("dli_batch", name, answer)

    assert names == reported(watch(huaweicloud, lose, ends(huaweicloud, *names), polls=6))


def test_404_of_a_proxy_loses_no_batch(huaweicloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if the proxy repeats it for one batch of many."""
    monkeypatch.setattr(batch_watermark, "NOT_FOUND_SECONDS", 0.0)
    for name in ("b1", "b2", "b3"):
        huaweicloud.job("dli_batch", name, "running")

    def away() -> None:
        huaweicloud.batch_list.hidden.add("b1")
        huaweicloud.job("dli_batch", "b1", Reply(404, "<html>not found</html>"))

    assert ["b1"] == reported(watch(huaweicloud, away, ends(huaweicloud, "b1"), polls=6))


@pytest.fixture
def other_project(huaweicloud: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return another project's cloud, and the steps that switch the connection to it and back."""
    monkeypatch.setattr(connection_cache, "LIFETIME", 0.0)
    with FakeHuaweiCloud() as other:
        other.projects[other.region] = "f" * 32

        def switch_to(cloud: Any) -> None:
            fields = cloud.connection(project_id=cloud.projects[cloud.region])
            monkeypatch.setenv("AIRFLOW_CONN_HWSTATUS_DEFAULT", json.dumps(fields))

        yield SimpleNamespace(cloud=other, begin=lambda: switch_to(other), end=lambda: switch_to(huaweicloud))


@pytest.mark.parametrize("restart", [pytest.param(True, marks=needs_store), False])
def test_other_project_for_a_while_loses_no_end(huaweicloud: Any, other_project: Any, restart: bool) -> None:
    """The watcher keeps what it knows of each project, and watches the other one from its own first poll on."""
    names = [f"b{number:02d}" for number in range(21)]
    for name in names:
        huaweicloud.job("dli_batch", name, "running")
    other_project.cloud.job("dli_batch", "old", "success")
    other_project.cloud.job("dli_batch", "x1", "running")

    def away() -> None:
        other_project.begin()
        ends(huaweicloud, *names)()

    store = Store()
    how: Any = {"store": store} if restart else {}
    steps = [away, ends(other_project.cloud, "x1"), other_project.end]
    if restart:
        events = [event for step in steps for event in watch(huaweicloud, step, **how)]
    else:
        events = watch(huaweicloud, *steps)
    assert [*names, "x1"] == reported(events)


@pytest.mark.parametrize("restart", [pytest.param(True, marks=needs_store), False])
def test_request_of_another_project_is_not_lost(huaweicloud: Any, other_project: Any, restart: bool) -> None:
    """A request that is not found for a while is still watched."""
    store = Store()
    cph(huaweicloud, "r1", 1, 1)
    how: Any = {"kind": CphRequestWatcher, "request_id": "r1", "expected_jobs": {"r1": 2}, "store": store}
    steps = [other_project.begin, lambda: cph(huaweicloud, "r1", 2, 2), other_project.end]

    if restart:
        events = [event for step in steps for event in watch(huaweicloud, step, **how)]
    else:
        events = watch(huaweicloud, *steps, **how)
    assert [("r1", "success", 2)] == reported_requests(events)


@needs_store
@pytest.mark.parametrize(("field", "value"), [("since", math.nan), ("since", 1e308), ("running", "x"), ("ended", None)])
def test_corrupt_checkpoint_silences_no_watcher(huaweicloud: Any, field: str, value: Any, caplog: Any) -> None:
    """The log names the corrupt field, and ends are reported."""
    store = Store()
    huaweicloud.job("dli_batch", "b1", "running")
    watch(huaweicloud, store=store)
    (checkpoint,) = store.values.values()
    checkpoint[field] = value

    assert ["b1"] == reported(watch(huaweicloud, ends(huaweicloud, "b1"), store=store))
    assert f"corrupt ({field})" in caplog.text


@pytest.mark.parametrize("backwards", [False, True], ids=["newest first", "oldest first"])
def test_list_of_all_batches_hides_no_new_one(huaweicloud: Any, backwards: bool, caplog: Any) -> None:
    """If the list ignores the filter and the order, polls take few calls and find new ends."""
    huaweicloud.batch_list.ignores = {"start", "end", "order"}
    huaweicloud.batch_list.backwards = backwards
    for day in range(2, 14):
        huaweicloud.foreign_jobs("dli_batch", 1000, "success", age=86_400.0 * day)
    huaweicloud.job("dli_batch", "b1", "running")
    lists: list[int] = []

    def end() -> None:
        lists.append(huaweicloud.batch_list.calls)
        ends(huaweicloud, "b1", "b2")()

    assert ["b1", "b2"] == reported(watch(huaweicloud, end))
    assert lists[0] <= 4 * 5
    assert "not watched" not in caplog.text


@pytest.mark.parametrize("without", ["order", "time"])
def test_list_in_no_order_is_logged_once(huaweicloud: Any, without: str, caplog: Any) -> None:
    """The warning says that polls are costly, and is not repeated in each poll."""
    huaweicloud.batch_list.ignores = {"start", "end", "order"}
    if without == "order":
        huaweicloud.batch_list.shuffled = True
    else:
        huaweicloud.batch_list.omits = {"create_time"}
    for day in range(2, 14):
        huaweicloud.foreign_jobs("dli_batch", 100, "success", age=86_400.0 * day)

    watch(huaweicloud)
    assert 1 == sum("in no order by time" in message for message in caplog.messages)


def test_list_that_repeats_its_rows_has_an_end(huaweicloud: Any) -> None:
    """A page without new rows is the last one, whatever ``total`` says."""
    huaweicloud.batch_list.overlap = 100
    for number in range(150):
        huaweicloud.job("dli_batch", f"b{number}", "running")

    watch(huaweicloud)
    assert sum(record.path.endswith("/batches") for record in huaweicloud.requests) <= 20


def test_batch_that_left_the_list_is_polled(huaweicloud: Any) -> None:
    """A running batch that the list no longer shows is not lost."""
    huaweicloud.job("dli_batch", "b1", "running")

    def hide() -> None:
        huaweicloud.batch_list.hidden.add("b1")
        ends(huaweicloud, "b1")()

    assert ["b1"] == reported(watch(huaweicloud, hide))


def test_outage_is_waited_out(huaweicloud: Any) -> None:
    """Errors neither stop a watcher nor make it lose an end."""
    huaweicloud.job("dli_batch", "b1", "running")

    def away() -> None:
        huaweicloud.batch_list.answer = 500
        ends(huaweicloud, "b1")()

    def back() -> None:
        huaweicloud.batch_list.answer = None

    assert ["b1"] == reported(watch(huaweicloud, away, back))


@pytest.mark.skipif(not SHARED, reason="needs the shared streams of Airflow 3.3")
@pytest.mark.parametrize("held_up", [0.0, 2.0])
def test_watchers_share_polls(huaweicloud: Any, clock: Any, held_up: float) -> None:
    """All watchers of a connection read the list once per interval. Checkpoints are stored after the events."""
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
        while not huaweicloud.requests:  # noqa: ASYNC110  # the fake has no event to await
            await asyncio.sleep(0.05)
        began.append(clock.time())
        await asyncio.sleep(0.3)
        for number in range(5):
            huaweicloud.job("dli_batch", f"b{number}", "success", name=f"n{number}")
        while len(events) < 5:  # noqa: ASYNC110  # no event to await
            await asyncio.sleep(0.05)
        await asyncio.sleep(1.5)
        for task in tasks:
            task.cancel()
        await manager.stop_all()

    began: list[float] = []
    asyncio.run(main())
    lists = sum(record.path.endswith("/batches") for record in huaweicloud.requests)
    assert ["b0", "b1", "b2", "b3", "b4"] == reported([payload for payload, _ in events])
    # Some more: a watcher that was slow asks for older batches than the others.
    assert lists <= (clock.time() - began[0]) / 0.5 + 8
    for (payload, before), store in zip(events, stores, strict=True):
        job_id = payload["status"]["job_id"]
        (after,) = store.values.values()
        assert job_id in after["ended"]
        assert all(job_id not in checkpoint["ended"] for checkpoint in before.values())


def test_repeated_error_is_logged_once(huaweicloud: Any, caplog: Any) -> None:
    """A lasting error is one log line, and its end is another."""
    huaweicloud.batch_list.answer = 403

    def back() -> None:
        huaweicloud.batch_list.answer = None

    with caplog.at_level("INFO"):
        watch(huaweicloud, back)
    lines = [record.message for record in caplog.records if record.name.endswith("base_watcher")]
    assert 2 == len(lines)
    assert "HTTP 403" in lines[0]
    assert "dli:jobs:list" in lines[0]


@pytest.mark.parametrize("total", [None, 100_000])
def test_ends_beyond_a_short_page(huaweicloud: Any, total: int | None) -> None:
    """With short pages and a wrong ``total``, each end is reported once."""
    huaweicloud.batch_list.max_rows = 7
    huaweicloud.batch_list.total = total
    names = [f"b{number:02d}" for number in range(40)]
    for name in names:
        huaweicloud.job("dli_batch", name, "running")

    assert names == reported(watch(huaweicloud, ends(huaweicloud, *names)))


def reported_requests(events: list[Any]) -> list[tuple[str, str, int]]:
    """Return the id, outcome and number of jobs of each reported request, sorted."""
    return sorted((event["request_id"], event["outcome"], len(event["statuses"])) for event in events)


def cph(cloud: Any, request_id: str, *states: int) -> None:
    """Set the states of a request's jobs."""
    for number, state in enumerate(states):
        cloud.job("cph_job", f"{request_id}c{number}", state, request_id=request_id)


@needs_store
def test_request_is_reported_once_when_all_its_jobs_have_ended(huaweicloud: Any) -> None:
    """Not when the first job fails, and not again after a restart."""
    store = Store()
    cph(huaweicloud, "r1", 1, 1, 1)
    cph(huaweicloud, "r2", 1, 2)
    how: Any = {"kind": CphRequestWatcher, "request_id": ["r1", "r2"], "expected_jobs": {"r1": 3, "r2": 2}}

    def some() -> None:
        cph(huaweicloud, "r1", 2, -1, 1)

    def more() -> None:
        cph(huaweicloud, "r1", 2, -1, 2)

    assert [] == watch(huaweicloud, some, store=store, **how)
    (event,) = watch(huaweicloud, more, store=store, **how)
    assert [("r1", "failure", 3)] == reported_requests([event])
    assert {"total": 3, "succeeded": 2, "failed": 1, "in_progress": 0} == event["counts"]
    cph(huaweicloud, "r2", 2, 2)
    assert [("r2", "success", 2)] == reported_requests(watch(huaweicloud, store=store, **how))
    calls = len(huaweicloud.requests)
    with pytest.raises(TimeoutError):
        watch_idle(huaweicloud, store, how)
    assert calls == len(huaweicloud.requests)


def watch_idle(cloud: Any, store: Store, how: dict[str, Any]) -> None:
    """Run a watcher that has nothing left to poll."""
    arguments = {name: value for name, value in how.items() if name != "kind"}
    watcher = CphRequestWatcher(poke_interval=0.1, **arguments)
    watcher.asset_state_store = store  # type: ignore[assignment]

    async def first() -> Any:
        return await asyncio.wait_for(anext(watcher.run()), 0.6)

    asyncio.run(first())


def test_request_of_unknown_size_does_not_end_at_once(huaweicloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An incomplete list looks like a complete one, and a list without the request may show it later."""
    monkeypatch.setattr(request_watermark, "GRACE", 1000.0)

    def first() -> None:
        cph(huaweicloud, "r1", 2)

    def second() -> None:
        cph(huaweicloud, "r1", 2, 2)

    events = watch(huaweicloud, first, second, kind=CphRequestWatcher, request_id="r1")
    assert [] == events
    monkeypatch.setattr(request_watermark, "GRACE", 0.5)
    events = watch(huaweicloud, polls=20, kind=CphRequestWatcher, request_id="r1", ends="success")
    assert [("r1", "success", 2)] == reported_requests(events)


def test_bad_request_does_not_hinder_others(huaweicloud: Any, caplog: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of one request is logged with its id, and the other requests are reported."""
    monkeypatch.setattr(request_watermark, "GRACE", 0.0)
    cph(huaweicloud, "r1", 1)
    how: Any = {"kind": CphRequestWatcher, "request_id": ["none", "r1"], "expected_jobs": {"r1": 1, "none": 1}}

    events = watch(huaweicloud, lambda: cph(huaweicloud, "r1", 2), **how)
    assert [("r1", "success", 1)] == reported_requests(events)
    (line,) = [record.message for record in caplog.records if record.name.endswith("base_watcher")]
    assert "CPH request none" in line


def test_rejected_phones_are_failures(huaweicloud: Any) -> None:
    """The response to the submission has rejected phones, which no list shows."""
    answer = {"request_id": "r1", "jobs": [{"job_id": "r1c0"}, {"phone_id": "p9", "error_code": "CPS.0004"}]}
    cph(huaweicloud, "r1", 1)
    how: Any = {"kind": CphRequestWatcher, "request_id": "r1", "expected_jobs": {"r1": answer}}

    (event,) = watch(huaweicloud, lambda: cph(huaweicloud, "r1", 2), **how)
    assert ("failure", "CPS.0004") == (event["outcome"], event["statuses"][-1]["error_code"])


@pytest.mark.skipif(not SHARED, reason="needs the shared streams of Airflow 3.3")
def test_requests_of_several_watchers_share_calls(huaweicloud: Any) -> None:
    """Forty running requests take two calls per interval."""
    from airflow.triggers.shared_stream import SharedStreamManager

    for number in range(40):
        cph(huaweicloud, f"r{number}", 1, 1)

    async def follow(manager: Any, number: int) -> None:
        ids = [f"r{number}", f"r{number + 20}"]
        watcher = CphRequestWatcher(ids, expected_jobs=dict.fromkeys(ids, 2), poke_interval=0.5)
        key = watcher.shared_stream_key()
        async for _ in watcher.filter_shared_stream(manager.subscribe(trigger_id=number, trigger=watcher, key=key)):
            raise AssertionError

    async def main() -> list[int]:
        manager = SharedStreamManager()
        tasks = [asyncio.create_task(follow(manager, number)) for number in range(20)]
        while len(huaweicloud.requests) < 40:  # noqa: ASYNC110  # the fake has no event to await
            await asyncio.sleep(0.05)
        calls = list[int]()
        while len(calls) < 10 and not in_step(calls):
            before = len(huaweicloud.requests)
            await asyncio.sleep(3.0)
            calls.append(len(huaweicloud.requests) - before)
        assert not any(task.done() for task in tasks)
        for task in tasks:
            task.cancel()
        await manager.stop_all()
        return calls

    def in_step(calls: list[int]) -> bool:
        # Twelve, and some more if a watcher was slow. Without sharing, there would be 240.
        return any(4 <= count <= 36 for count in calls)

    calls = asyncio.run(main())
    assert in_step(calls), calls


@pytest.mark.parametrize(
    ("kind", "arguments", "error"),
    [
        ("DliBatchWatcher", {"ends": "badly"}, "ends must be"),
        ("DliBatchWatcher", {"name": ["etl-*"]}, "name must be"),
        ("DliBatchWatcher", {"nmae": "etl-*"}, "nmae"),
        ("DliBatchWatcher", {"poke_interval": "60"}, "poke_interval must be"),
        ("DliBatchWatcher", {"poke_interval": float("nan")}, "poke_interval must be"),
        ("CphRequestWatcher", {"request_id": "r1", "ends": "badly"}, "ends must be"),
        ("CphRequestWatcher", {"request_id": ["../x"]}, "request_id must be"),
        ("CphRequestWatcher", {"request_id": "r1", "expected_jobs": {"r1": "many"}}, "expected_jobs must be"),
        ("CphRequestWatcher", {"request_id": "r1", "expected_jobs": {"r2": 1}}, "does not: \\['r2'\\]"),
    ],
)
def test_wrong_arguments_are_refused_in_the_dag_file(kind: str, arguments: Any, error: str) -> None:
    """A wrong argument is an error when the DAG is parsed."""
    with pytest.raises((TypeError, ValueError, HwStatusError), match=error):
        getattr(watchers, kind)(**arguments)


def test_interval_is_stored_in_seconds() -> None:
    """A ``timedelta`` is accepted, as for a sensor, and serialized as a number: a trigger's arguments are JSON."""
    _, arguments = DliBatchWatcher(poke_interval=timedelta(minutes=1)).serialize()
    assert 60.0 == arguments["poke_interval"]


def follow(watchers: list[Any], until: Any, ack_timeout: float = 300.0) -> list[Any]:
    """Run watchers on a shared stream until *until* returns true for their payloads; return the payloads."""
    from airflow.triggers.shared_stream import SharedStreamManager

    events: list[Any] = []

    async def one(manager: Any, number: int) -> None:
        key = watchers[number].shared_stream_key()
        stream = manager.subscribe(trigger_id=number, trigger=watchers[number], key=key)
        async for event in watchers[number].filter_shared_stream(stream):
            manager.confirm_persisted([manager.bind_pending_event(trigger_id=number, key=key)])
            events.append(event.payload)

    async def main() -> None:
        manager = SharedStreamManager(ack_timeout=ack_timeout)
        tasks = [asyncio.create_task(one(manager, number)) for number in range(len(watchers))]
        while not until(events):  # noqa: ASYNC110  # no event to await
            await asyncio.sleep(0.05)
        for task in tasks:
            assert not task.done()
            task.cancel()
        await manager.stop_all()

    asyncio.run(asyncio.wait_for(main(), 200.0))
    return events


@needs_store
@pytest.mark.real_time
def test_watcher_that_reported_nothing_continues_beside_one_that_is_dropped(huaweicloud: Any) -> None:
    """Only watchers whose events may not be stored start again."""
    from airflow.triggers.shared_stream import SharedStreamManager

    huaweicloud.job("dli_batch", "b1", "running")
    stores = [Store(), Store()]

    async def one(manager: Any, number: int) -> None:
        watcher = DliBatchWatcher(name=("*", "other")[number], poke_interval=0.1)
        watcher.asset_state_store = stores[number]  # type: ignore[assignment]
        key = watcher.shared_stream_key()
        async for _ in watcher.filter_shared_stream(manager.subscribe(trigger_id=number, trigger=watcher, key=key)):
            manager.bind_pending_event(trigger_id=number, key=key)

    async def main() -> None:
        manager = SharedStreamManager(ack_timeout=3.0)
        dropped, other = (asyncio.create_task(one(manager, number)) for number in (0, 1))
        while not all(store.values for store in stores):  # noqa: ASYNC110  # no event to await
            await asyncio.sleep(0.05)
        ends(huaweicloud, "b1")()
        await asyncio.wait_for(dropped, 20.0)
        huaweicloud.job("dli_batch", "b2", "running", name="other")
        while "b2" not in str(stores[1].values):  # noqa: ASYNC110  # no event to await
            await asyncio.sleep(0.05)
        assert not other.done()
        other.cancel()
        await manager.stop_all()

    asyncio.run(asyncio.wait_for(main(), 60.0))
    (checkpoint,) = stores[0].values.values()
    assert (["b1"], {}) == (list(checkpoint["running"]), checkpoint["ended"])


def test_poll_leaves_too_many_ends_to_the_next(huaweicloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow stores events one by one, and drops a watcher whose events are not stored in time."""
    monkeypatch.setattr(watchers, "MAX_ENDS", 50)
    names = [f"b{number:03d}" for number in range(250)]
    calls_before: list[int] = []

    def end() -> None:
        calls_before.append(len(huaweicloud.requests))
        ends(huaweicloud, *names)()

    assert names == reported(watch(huaweicloud, end, polls=6))
    calls = [record.path for record in list(huaweicloud.requests)[calls_before[0] :]]
    lists = [number for number, path in enumerate(calls) if path.endswith("/batches")]
    assert max(later - earlier for earlier, later in pairwise(lists)) <= 100 + 5


@needs_store
@pytest.mark.real_time
def test_end_that_airflow_has_not_stored_is_reported_again(huaweicloud: Any, caplog: Any) -> None:
    """A watcher that Airflow drops, because its event was not stored in time, stops. The next one reports it again."""
    from airflow.triggers.shared_stream import SharedStreamManager

    store = Store()
    huaweicloud.job("dli_batch", "b1", "running")
    watch(huaweicloud, store=store)
    ends(huaweicloud, "b1")()

    async def unstored() -> list[Any]:
        manager, watcher = SharedStreamManager(ack_timeout=3.0), DliBatchWatcher(poke_interval=0.1)
        watcher.asset_state_store = store  # type: ignore[assignment]
        key = watcher.shared_stream_key()
        stream = manager.subscribe(trigger_id=1, trigger=watcher, key=key)
        events = []
        async for event in watcher.filter_shared_stream(stream):
            manager.bind_pending_event(trigger_id=1, key=key)
            events.append(event.payload)
        await manager.unsubscribe(1, key)
        return events

    assert ["b1"] == reported(asyncio.run(asyncio.wait_for(unstored(), 20.0)))
    assert "Airflow starts it again" in caplog.text
    assert ["b1"] == reported(watch(huaweicloud, store=store))
    assert [] == watch(huaweicloud, store=store)


@pytest.mark.skipif(not SHARED, reason="needs the shared streams of Airflow 3.3")
def test_throttled_poll_ends_before_airflow_drops_the_watcher(
    huaweicloud: Any, clock: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """A poll that would wait long after a 429 is cut off before Airflow's time limit for a subscriber."""
    monkeypatch.setattr(shared_poll, "POLL_TIMEOUT", 0.5)
    huaweicloud.job("dli_batch", "b1", Reply(429, headers={"Retry-After": "600"}))
    with pytest.raises(ThrottledError):
        asyncio.run(HwStatusHook().aget_status("dli_batch", "b1", 0.0))
    began = clock.monotonic()

    follow([DliBatchWatcher(poke_interval=0.3)], lambda _: clock.monotonic() >= began + 8.0, ack_timeout=5.0)
    assert "no answer within 0.5 s" in caplog.text
    assert "Ack timeout" not in caplog.text


@pytest.mark.parametrize("shared", [pytest.param(True, marks=pytest.mark.skipif(not SHARED, reason="3.3")), False])
@pytest.mark.parametrize(
    ("name", "arguments", "path"),
    [("DliBatchWatcher", {}, "/batches"), ("CphRequestWatcher", {"request_id": "r1"}, "/jobs")],
)
def test_throttled_polls_back_off(
    huaweicloud: Any, clock: Any, monkeypatch: pytest.MonkeyPatch, shared: bool, name: str, arguments: Any, path: str
) -> None:
    """Each 429 delays all waits of the connection, so a watcher must not provoke one per interval."""
    kind = getattr(watchers, name)
    monkeypatch.setattr(backoff, "FIRST_PAUSE", 10.0)
    huaweicloud.break_with(Reply(429), 100, path_ends=path)
    # A poll may take longer than an interval.
    huaweicloud.listeners.append(lambda record: clock.sleep(8.0 if record.path.endswith(path) else 0.0))

    def times() -> list[float]:
        return [record.time for record in huaweicloud.requests if record.path.endswith(path)]

    if shared:
        follow([kind(poke_interval=5.0, **arguments)], lambda _: len(times()) >= 4)
    else:
        watch(huaweicloud, polls=24, kind=kind, poke_interval=5.0, **arguments)
    pauses = [later - earlier for earlier, later in pairwise(times())]
    assert all(pause >= least for pause, least in zip(pauses[:3], (10.0, 20.0, 40.0), strict=True)), pauses


@pytest.mark.skipif(not SHARED, reason="needs the shared streams of Airflow 3.3")
def test_429_delays_only_the_watchers_that_got_it(huaweicloud: Any) -> None:
    """A throttled list of batches does not delay the polls of requests."""
    cph(huaweicloud, "r1", 1)
    earlier: dict[str, int] = {}

    def calls(path: str) -> int:
        return sum(record.path.endswith(path) for record in huaweicloud.requests) - earlier.get(path, 0)

    def throttled(_: Any) -> bool:
        if not earlier and calls("/batches") and calls("/jobs"):  # the login has worked
            earlier.update({path: calls(path) for path in ("/batches", "/jobs")})
            huaweicloud.break_with(Reply(429, headers={"Retry-After": "60"}), 100, path_ends="/batches")
        return bool(earlier) and calls("/jobs") >= 5 and calls("/batches") >= 1

    follow([DliBatchWatcher(poke_interval=0.2), CphRequestWatcher("r1", poke_interval=0.2)], throttled)
    assert calls("/batches") <= 2  # one may have been in progress


@pytest.mark.skipif(not SHARED, reason="needs the shared streams of Airflow 3.3")
def test_batch_is_polled_once_for_all_its_watchers(huaweicloud: Any) -> None:
    """A batch that the list no longer shows is polled once per interval, however many watch it."""
    huaweicloud.job("dli_batch", "b1", "running")
    lists: list[int] = []

    def hidden(_: Any) -> bool:
        paths = [record.path for record in huaweicloud.requests]
        if any(path.endswith("/batches") for path in paths):
            huaweicloud.batch_list.hidden.add("b1")
        lists[:] = [sum(path.endswith("/batches") for path in paths), sum("/b1/" in path for path in paths)]
        return lists[1] >= 3

    follow([DliBatchWatcher(name=pattern, poke_interval=0.4) for pattern in (None, "*", "**", "***")], hidden)
    assert lists[1] <= lists[0]


def test_each_kind_of_end_has_its_own_checkpoint(huaweicloud: Any) -> None:
    """A watcher of failures reports an end that a watcher of successes has ignored before."""
    store = Store()
    cph(huaweicloud, "r1", -1)
    how: Any = {"kind": CphRequestWatcher, "request_id": "r1", "expected_jobs": {"r1": 1}, "store": store}

    assert [] == watch(huaweicloud, ends="success", **how)
    assert [("r1", "failure", 1)] == reported_requests(watch(huaweicloud, ends="failure", **how))


@needs_store
def test_checkpoint_outlives_an_asset(huaweicloud: Any) -> None:
    """A watcher of several assets keeps its checkpoint if one of them is removed."""
    stores = {name: Store() for name in ("a", "b", "c")}
    huaweicloud.job("dli_batch", "b1", "running")

    def of(*names: str) -> Any:
        return SimpleNamespace(_by_name={name: stores[name] for name in names})

    assert ["b1"] == reported(watch(huaweicloud, ends(huaweicloud, "b1"), store=of("b", "c")))
    ends(huaweicloud, "b2")()
    assert ["b2"] == reported(watch(huaweicloud, store=of("a", "c")))


def test_refused_key_is_not_tried_in_each_interval(huaweicloud: Any) -> None:
    """Five refusals in a row lock a key, and a watcher runs forever."""
    huaweicloud.batch_list.answer = 401

    watch(huaweicloud)
    assert 1 == len(huaweicloud.requests)
