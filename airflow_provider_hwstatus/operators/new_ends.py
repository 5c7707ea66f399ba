"""The first task of a DAG that watchers start: it returns the ends that no other run has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from airflow import __version__
from airflow.providers.common.compat.sdk import AirflowSkipException, BaseOperator

from airflow_provider_hwstatus.core.watching.new_ends import Report, end_of, new_ends
from airflow_provider_hwstatus.errors import ConfigurationError
from airflow_provider_hwstatus.sensors.start_from_trigger import AIRFLOW_3_3

try:
    from airflow.sdk import Asset, AssetAll, AssetAny
except ImportError as error:
    raise ImportError("NewEndsOperator needs Airflow 3. This older Airflow has no asset watchers") from error

#: Whether each event starts a run. Before 3.4, an event that comes soon after another one joins the next run.
STARTS_RUN_PER_EVENT = tuple(map(int, __version__.split(".")[:2])) >= (3, 4)

#: By how much the clocks of two triggerers may differ.
_CLOCK_SKEW = timedelta(minutes=5)

#: How far to look back for earlier reports, if the event does not say.
_LOOKBACK = timedelta(days=1)

#: Events that one request to Airflow's API returns at most.
_PAGE = 500

#: Claimed ends that the asset's state store holds at most.
_MAX_CLAIMS = 1000


class NewEndsOperator(BaseOperator):
    """
    Return the ends that started this DAG run, except those that another run has. Use it as the first task of the DAG.

    A watcher reports an end again if its triggerer stops before Airflow has confirmed that the first report is stored.
    From Airflow 3.4 on, the second report starts a DAG run of its own. Only the first report of an end counts: if none
    of the run's reports is the first, the task is skipped, and so are the tasks after it. There, the task changes
    nothing in Airflow: it can be retried and cleared, and any number of runs may be active.

    .. code-block:: python

        with DAG("after_etl", schedule=[etl]):  # an Asset with watchers
            ends = NewEndsOperator(task_id="new_ends", inlets=[etl])
            report.expand(end=ends.output)

    Before Airflow 3.4, only the first of several events that come close together starts a run. The others join the next
    run, which may start much later. The task therefore also claims ends that started no run, and records its claims in
    the asset's state store. For this, the DAG needs ``max_active_runs=1``.

    :param inlets: The assets of the DAG's schedule.
    :return: The payloads of the ends, oldest first.
    :raises ConfigurationError: *inlets* lacks an asset, or the DAG needs ``max_active_runs=1`` and lacks it.
    """

    def execute(self, context: Any) -> list[Mapping[str, object]]:
        """
        Return the payloads of the ends that belong to this run.

        :raises AirflowSkipException: All of the run's ends belong to other runs.
        """
        reported, new = set[str](), dict[str, Report]()
        for asset, events in context["triggering_asset_events"].items():
            if own := list(_reports(events, context["dag"].dag_id)):
                reported |= {report.end for report in own}
                new |= self._new(context, asset, own)
        for end in sorted(reported - new.keys()):
            self.log.info("%s was reported before, to another run", end)
        if not new:
            raise AirflowSkipException(f"None of the {len(reported)} ends that started this run is new")
        return [report.payload for report in sorted(new.values(), key=lambda report: report.stored_at)]

    def _new(self, context: Any, asset: Any, own: Sequence[Report]) -> dict[str, Report]:
        """
        Return the reports of one asset that belong to this run, by end.

        :param own: The reports that started the run.
        """
        if not AIRFLOW_3_3:  # without checkpoints, no watcher reports an end again
            return {report.end: report for report in reversed(own)}
        run_id, since = context["run_id"], min(map(_repeats_since, own)) - _CLOCK_SKEW
        if STARTS_RUN_PER_EVENT or not _starts_alone(context["dag"]):
            until = max(report.stored_at for report in own)
            return new_ends(_stored_reports(context, asset, since, until), run_id, {}, None)
        if context["dag"].max_active_runs != 1:
            raise ConfigurationError("Before Airflow 3.4, NewEndsOperator needs max_active_runs=1 of its DAG")
        return self._claim(context, asset, list(_stored_reports(context, asset, since, None)))

    def _claim(self, context: Any, asset: Any, reports: Sequence[Report]) -> dict[str, Report]:
        """Claim the ends that started no run, and record the claims; return the reports that belong to this run."""
        run_id = context["run_id"]
        store, key = context["asset_state_store"][asset], f"hwstatus_ends_{self.dag_id}.{self.task_id}"
        value = store.get(key)
        claimed = {end: str(run) for end, run in value.items()} if isinstance(value, dict) else {}
        new = new_ends(reports, run_id, claimed, context["dag_run"].run_after)
        if claims := {end: run_id for end, report in new.items() if not report.runs}:
            store.set(key, dict([*(claimed | claims).items()][-_MAX_CLAIMS:]))
        return new


def _stored_reports(context: Any, asset: Any, since: datetime, until: datetime | None) -> Iterator[Report]:
    """
    Yield the reports that Airflow has stored for an asset, oldest first.

    :param since: When the first of them was stored at the earliest.
    :param until: Later ones are not needed, but may be yielded; None: all are needed.
    :raises ConfigurationError: The asset is not an inlet of the task, so Airflow does not give its events.
    """
    ids = set[int]()
    while True:
        try:
            page = list(context["inlet_events"][asset].after(since.isoformat()).limit(_PAGE))
        except KeyError as error:
            raise ConfigurationError(f"NewEndsOperator needs {asset.name!r} among its inlets") from error
        fresh = [event for event in page if event.id not in ids]
        ids |= {event.id for event in fresh}
        yield from _reports(fresh, context["dag"].dag_id)
        if len(page) < _PAGE or not fresh or (until and page[-1].timestamp > until):
            return
        since = page[-1].timestamp


def _reports(events: Iterable[Any], dag_id: str) -> Iterator[Report]:
    """Yield the watchers' reports among *events*. The events that started the run have no id and no runs."""
    for event in events:
        payload: Any = (event.extra or {}).get("payload")
        if end := end_of(payload):
            runs = frozenset(run.run_id for run in getattr(event, "created_dagruns", ()) if run.dag_id == dag_id)
            yield Report(end, payload, event.timestamp, getattr(event, "id", 0), runs)


def _repeats_since(report: Report) -> datetime:
    """Return the earliest time at which an earlier report of the same end can have been stored."""
    try:
        return datetime.fromisoformat(str(report.payload["first_reported_after"]))
    except (KeyError, ValueError):
        return report.stored_at - _LOOKBACK


def _starts_alone(dag: Any) -> bool:
    """Return whether each asset of the DAG's schedule starts runs alone, without an event of another asset."""
    condition = getattr(dag.timetable, "asset_condition", None)
    return isinstance(condition, Asset | AssetAny) or (isinstance(condition, AssetAll) and len(condition.objects) == 1)
