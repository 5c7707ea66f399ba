"""The first task of a DAG that watchers start: it passes on the ends that are new."""

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
    raise ImportError("NewEndsOperator needs Airflow 3; this is an older one, which has no asset watchers") from error

#: Before 3.4, only the first of several events that come close together starts a run; the others join the next one.
STARTS_RUN_PER_EVENT = tuple(map(int, __version__.split(".")[:2])) >= (3, 4)

#: By how much the clocks of two triggerers may differ.
_SKEW = timedelta(minutes=5)

#: How far to look back for an event that does not say.
_LONGEST_AGO = timedelta(days=1)

#: Events of one request to Airflow's API, and ends whose run is remembered.
_PAGE = 500
_REMEMBERED = 1000


class NewEndsOperator(BaseOperator):
    """
    Return the ends that started this DAG run, without those that another run has. For the first task of such a DAG.

    A watcher reports an end again if a triggerer ends before Airflow has said that it stored the first report; from
    Airflow 3.4 on, that starts a DAG run of its own. Of all events about one end, the first one counts: if none of the
    run's own is one, the task is skipped, and so are the tasks after it. It changes nothing in Airflow, so it can be
    retried and cleared, and any number of runs may be active.

    .. code-block:: python

        with DAG("after_etl", schedule=[etl]):  # an Asset with watchers
            ends = NewEndsOperator(task_id="new_ends", inlets=[etl])
            report.expand(end=ends.output)

    Before Airflow 3.4, only the first of several events that come close together starts a run, and the others join
    the next run, which may not come for long. There, the task also takes ends that have no run yet. It notes that in
    the asset's state store, for which the DAG needs ``max_active_runs=1``.

    :param inlets: The assets of the DAG's schedule.
    :return: The payloads of the ends, oldest first.
    :raises ConfigurationError: *inlets* lacks an asset, or the DAG lacks ``max_active_runs=1`` where that is needed.
    """

    def execute(self, context: Any) -> list[Mapping[str, object]]:
        """
        Return the payloads of the ends that are new.

        :raises AirflowSkipException: There are none.
        """
        reported, new = set[str](), dict[str, Report]()
        for asset, events in context["triggering_asset_events"].items():
            if own := list(_reports(events, context["dag"].dag_id)):
                reported |= {report.end for report in own}
                new |= self._new(context, asset, own)
        for end in sorted(reported - new.keys()):
            self.log.info("%s was reported before: another run has it", end)
        if not new:
            raise AirflowSkipException(f"None of the {len(reported)} ends that started this run is new")
        return [report.payload for report in sorted(new.values(), key=lambda report: report.stored_at)]

    def _new(self, context: Any, asset: Any, own: Sequence[Report]) -> dict[str, Report]:
        """
        Return those of the ends of one asset that are the run's.

        :param own: What started the run.
        """
        if not AIRFLOW_3_3:  # there, no watcher reports an end again
            return {report.end: report for report in reversed(own)}
        run_id, since = context["run_id"], min(map(_since, own)) - _SKEW
        if STARTS_RUN_PER_EVENT or not _starts_alone(context["dag"]):
            until = max(report.stored_at for report in own)
            return new_ends(_stored(context, asset, since, until), run_id, {}, None)
        if context["dag"].max_active_runs != 1:
            raise ConfigurationError("Before Airflow 3.4, NewEndsOperator needs max_active_runs=1 of its DAG")
        reports = list(_stored(context, asset, since, None))
        store, key = context["asset_state_store"][asset], f"hwstatus_ends_{self.dag_id}.{self.task_id}"
        value = store.get(key)
        taken = {end: str(run) for end, run in value.items()} if isinstance(value, dict) else {}
        new = new_ends(reports, run_id, taken, context["dag_run"].run_after)
        if took := {end: run_id for end, report in new.items() if not report.runs}:
            store.set(key, dict([*(taken | took).items()][-_REMEMBERED:]))
        return new


def _stored(context: Any, asset: Any, since: datetime, until: datetime | None) -> Iterator[Report]:
    """
    Yield the reports that Airflow has stored for an asset, oldest first.

    :raises ConfigurationError: The asset is no inlet of the task, so Airflow does not say.
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
    """Yield what watchers have reported; the events that started a run have no id and no runs."""
    for event in events:
        payload: Any = (event.extra or {}).get("payload")
        if end := end_of(payload):
            runs = frozenset(run.run_id for run in getattr(event, "created_dagruns", ()) if run.dag_id == dag_id)
            yield Report(end, payload, event.timestamp, getattr(event, "id", 0), runs)


def _since(report: Report) -> datetime:
    """Return when an earlier report of the same end may have been stored at the earliest."""
    try:
        return datetime.fromisoformat(str(report.payload["first_reported_after"]))
    except (KeyError, ValueError):
        return report.stored_at - _LONGEST_AGO


def _starts_alone(dag: Any) -> bool:
    """Return whether each asset of the DAG's schedule starts runs by itself, and need not wait for another."""
    condition = getattr(dag.timetable, "asset_condition", None)
    return isinstance(condition, Asset | AssetAny) or (isinstance(condition, AssetAll) and len(condition.objects) == 1)
