"""Which of the ends that watchers reported are new to a run of a DAG: of all events about one end, the first counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Report:
    """
    An event in which a watcher reported an end.

    :param end: Names the end; see :func:`end_of`.
    :param payload: What was reported.
    :param stored_at: When Airflow stored it; *event_id* orders events of the same moment.
    :param runs: Ids of the runs of the DAG that it started.
    """

    end: str
    payload: Mapping[str, object]
    stored_at: datetime
    event_id: int
    runs: frozenset[str]


def end_of(payload: object) -> str | None:
    """Return a name for the end that a payload is about; None if it is no watcher's."""
    if not isinstance(payload, dict):
        return None
    if isinstance(request_id := payload.get("request_id"), str):
        return f"CPH request {request_id}"
    status = payload.get("status")
    job_id = status.get("job_id") if isinstance(status, dict) else None
    return f"DLI batch {job_id}" if isinstance(job_id, str) else None


def new_ends(
    reports: Iterable[Report], run_id: str, taken: Mapping[str, str], take_after: datetime | None
) -> dict[str, Report]:
    """
    Return the first report of each end that is a run's own.

    :param reports: Those of the run's own events, and at least all earlier ones about the same ends.
    :param taken: Runs that have taken ends without a run of their own, by end.
    :param take_after: From when on the run takes such ends, too; None if it does not.
    """

    def is_own(report: Report) -> bool:
        if report.end in taken:
            return taken[report.end] == run_id
        alone = not report.runs and take_after is not None and report.stored_at > take_after
        return alone or run_id in report.runs

    first = dict[str, Report]()
    for report in sorted(reports, key=lambda report: (report.stored_at, report.event_id)):
        first.setdefault(report.end, report)
    return {end: report for end, report in first.items() if is_own(report)}
