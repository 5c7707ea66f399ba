"""NewEndsOperator without Airflow's processes; ``tests/e2e/ends.py`` runs it with them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_hwstatus.demo.airflow_home import AIRFLOW_3
from airflow_provider_hwstatus.errors import ConfigurationError

pytestmark = pytest.mark.skipif(not AIRFLOW_3, reason="Airflow 2 has no asset watchers")

if AIRFLOW_3:
    from airflow.sdk import DAG, Asset

    from airflow_provider_hwstatus.operators import new_ends as operators
    from airflow_provider_hwstatus.operators.new_ends import NewEndsOperator

    ETL = Asset("etl")

START = datetime(2026, 11, 24, tzinfo=UTC)


class Log:
    """The events that Airflow has stored for an asset, with the interface of its inlet events."""

    def __init__(self, *events: Any) -> None:
        self.events = list(events)
        self.read = 0

    def after(self, time: str) -> Any:
        events = [event for event in self.events if event.timestamp >= datetime.fromisoformat(time)]
        return SimpleNamespace(limit=lambda count: self.count(events[:count]))

    def count(self, events: list[Any]) -> list[Any]:
        self.read += len(events)
        return events


class Store(dict[str, Any]):
    """An asset's state store."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value


class ByAsset:
    """A mapping by asset, such as Airflow gives to a task: assets of Airflow 3.1 cannot be keys of a dict."""

    def __init__(self, *pairs: tuple[Any, Any]) -> None:
        self.pairs = pairs

    def items(self) -> tuple[tuple[Any, Any], ...]:
        return self.pairs

    def __getitem__(self, asset: Any) -> Any:
        for key, value in self.pairs:
            if key == asset:
                return value
        raise KeyError(asset)


def event(
    number: int, job_id: str, *runs: str, reported_after: str | None = "2026-11-23T23:59:00Z", dag_id: str = "after"
) -> Any:
    """Return a watcher's event, stored *number* seconds after the start, that started *runs*."""
    payload = {"status": {"job_id": job_id}, **({"first_reported_after": reported_after} if reported_after else {})}
    return SimpleNamespace(
        id=number,
        timestamp=START + timedelta(seconds=number),
        extra={"payload": payload},
        created_dagruns=[SimpleNamespace(dag_id=dag_id, run_id=run) for run in runs],
    )


def run(run_id: str, log: Log, store: Any = None, operator: Any = None, schedule: Any = None, **dag: Any) -> Any:
    """Run the operator in a DAG run; return the ids of the jobs whose ends it returns."""
    own = [one for one in log.events if any(made.run_id == run_id for made in one.created_dagruns)]
    with DAG("after", schedule=schedule or [ETL], start_date=START, **{"max_active_runs": 1} | dag) as after:
        task = operator or NewEndsOperator(task_id="new_ends", inlets=[ETL])
    context = {
        "dag": after,
        "dag_run": SimpleNamespace(run_after=max((one.timestamp for one in own), default=START)),
        "run_id": run_id,
        "triggering_asset_events": ByAsset((ETL, own)),
        "inlet_events": ByAsset(*[(ETL, log)] if ETL in task.inlets else []),
        "asset_state_store": ByAsset((ETL, Store() if store is None else store)),
    }
    return [payload["status"]["job_id"] for payload in task.execute(context)]


@pytest.fixture(params=[False, True], ids=["before 3.4", "3.4"])
def starts_run_per_event(request: Any, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Run the test as on Airflow 3.3, and as on 3.4."""
    monkeypatch.setattr(operators, "AIRFLOW_3_3", True)
    monkeypatch.setattr(operators, "STARTS_RUN_PER_EVENT", request.param)
    return bool(request.param)


@pytest.mark.usefixtures("starts_run_per_event")
def test_repeated_end_skips_its_run() -> None:
    """The run of the first report gets the end, also when it is cleared; the run of the second is skipped."""
    log = Log(event(1, "b1", "run1"), event(2, "b1", "run2"))

    with pytest.raises(AirflowSkipException, match="None of the 1 ends"):
        run("run2", log)
    assert ["b1"] == run("run1", log)
    assert ["b1"] == run("run1", log)


@pytest.mark.usefixtures("starts_run_per_event")
def test_run_with_several_ends_gets_the_new_ones() -> None:
    """In the order of the reports."""
    log = Log(event(1, "b2", "run1"), event(2, "b3", "run2"), event(3, "b2", "run2"), event(4, "b1", "run2"))

    assert ["b3", "b1"] == run("run2", log)


@pytest.mark.usefixtures("starts_run_per_event")
def test_other_events_and_other_dags_do_not_count() -> None:
    """Events that a user created by hand are ignored, and so are the runs of other DAGs."""
    foreign = [
        SimpleNamespace(**vars(event(1, "b1", "run2")) | {"extra": extra}) for extra in ({}, None, {"payload": "b1"})
    ]
    log = Log(*foreign, event(2, "b1", "run2"))

    assert ["b1"] == run("run2", log)
    log.events[-1].created_dagruns.append(SimpleNamespace(dag_id="other", run_id="run9"))
    assert ["b1"] == run("run2", log)


def test_airflow_without_checkpoints_is_not_queried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Airflow 3.3, no watcher reports an end again, and there is no state store."""
    monkeypatch.setattr(operators, "AIRFLOW_3_3", False)
    log = Log(event(1, "b1", "run1"), event(2, "b2", "run2"), event(3, "b1", "run2"))

    assert ["b2", "b1"] == run("run2", log, max_active_runs=16, operator=NewEndsOperator(task_id="new_ends"))


@pytest.mark.usefixtures("starts_run_per_event")
def test_run_without_ends_is_skipped() -> None:
    """For example, a run that a user starts by hand."""
    with pytest.raises(AirflowSkipException):
        run("run1", Log())


def test_ends_without_a_run_are_claimed(starts_run_per_event: bool) -> None:
    """Before Airflow 3.4, they would wait for the next end's run. That run does not return them again."""
    log, store = Log(event(1, "b1", "run1"), event(2, "b2"), event(3, "b3")), Store()

    assert ["b1"] + ["b2", "b3"] * (not starts_run_per_event) == run("run1", log, store)
    for one in log.events[1:]:
        one.created_dagruns.append(SimpleNamespace(dag_id="after", run_id="run2"))
    log.events.append(event(4, "b4", "run2"))
    assert ["b2", "b3"] * starts_run_per_event + ["b4"] == run("run2", log, store)
    assert ["b1"] + ["b2", "b3"] * (not starts_run_per_event) == run("run1", log, store)


def test_concurrent_runs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two active runs could claim the same end, so the error names ``max_active_runs``."""
    monkeypatch.setattr(operators, "AIRFLOW_3_3", True)
    monkeypatch.setattr(operators, "STARTS_RUN_PER_EVENT", False)
    log = Log(event(1, "b1", "run1"), event(2, "b2"))

    with pytest.raises(ConfigurationError, match="max_active_runs=1"):
        run("run1", log, max_active_runs=2)
    assert ["b1"] == run("run1", log, schedule=ETL & Asset("other"), max_active_runs=2)
    assert ["b1", "b2"] == run("run1", log, schedule=ETL | Asset("other"))


@pytest.mark.parametrize("value", ["x", 7, ["b2"], {"DLI batch b2": 7}])
def test_invalid_claims_are_ignored(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any task can write to an asset's state store."""
    monkeypatch.setattr(operators, "STARTS_RUN_PER_EVENT", False)
    store = Store({"hwstatus_ends_after.new_ends": value})

    assert "b1" in run("run1", Log(event(1, "b1", "run1"), event(2, "b3")), store)


def test_number_of_claims_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest claims are removed."""
    monkeypatch.setattr(operators, "AIRFLOW_3_3", True)
    monkeypatch.setattr(operators, "STARTS_RUN_PER_EVENT", False)
    monkeypatch.setattr(operators, "_MAX_CLAIMS", 3)
    store = Store()
    for number in range(5):
        run(
            f"run{number}",
            Log(event(10 * number, f"b{number}", f"run{number}"), event(10 * number + 1, f"c{number}")),
            store,
        )

    assert [{f"DLI batch c{number}": f"run{number}" for number in (2, 3, 4)}] == list(store.values())


@pytest.mark.usefixtures("starts_run_per_event")
def test_asset_that_is_not_an_inlet_is_named() -> None:
    """Airflow gives a task the events of its inlets only."""
    with pytest.raises(ConfigurationError, match="'etl' among its inlets"):
        run("run1", Log(event(1, "b1", "run1")), operator=NewEndsOperator(task_id="new_ends"))


@pytest.mark.usefixtures("starts_run_per_event")
@pytest.mark.parametrize("reported_after", ["2026-11-23T23:59:00Z", None, "soon"])
def test_many_events_are_read_page_by_page(reported_after: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """No event is missed at the edge of a page."""
    monkeypatch.setattr(operators, "_PAGE", 7)
    log = Log(
        *(event(number, f"b{number % 50}", f"run{number}", reported_after=reported_after) for number in range(100))
    )

    assert ["b49"] == run("run49", log)
    with pytest.raises(AirflowSkipException):
        run("run99", log)


def test_only_events_that_may_be_repeats_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """``first_reported_after`` limits how many events are read: not a day's events for each end."""
    monkeypatch.setattr(operators, "STARTS_RUN_PER_EVENT", True)
    log = Log(
        *(
            event(60 * number, f"b{number}", f"run{number}", reported_after=str(START + timedelta(minutes=number)))
            for number in range(1440)
        )
    )

    assert ["b700"] == run("run700", log)
    assert log.read <= 2 * operators._PAGE
