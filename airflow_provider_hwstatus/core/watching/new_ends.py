"""Which of the reported ends belong to a DAG run: only the first report of each end counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Report:
    """
    An event in which a watcher reported an end.

    :param end: The name of the end, from :func:`end_of`.
    :param payload: The payload of the event.
    :param stored_at: When Airflow stored the event.
    :param event_id: Airflow's id of the event. It orders events that were stored at the same time.
    :param runs: Ids of the DAG's runs that the event started.
    """

    end: str
    payload: Mapping[str, object]
    stored_at: datetime
    event_id: int
    runs: frozenset[str]


def end_of(payload: object) -> str | None:
    """Return a name for the end that a payload reports; None if the payload is not a watcher's."""
    if not isinstance(payload, dict):
        return None
    if isinstance(request_id := payload.get("request_id"), str):
        return f"CPH request {request_id}"
    status = payload.get("status")
    job_id = status.get("job_id") if isinstance(status, dict) else None
    return f"DLI batch {job_id}" if isinstance(job_id, str) else None


def new_ends(
    reports: Iterable[Report], run_id: str, claimed: Mapping[str, str], claim_after: datetime | None
) -> dict[str, Report]:
    """
    Return the first reports of the ends that belong to a run, by end.

    :param reports: The reports that started the run, and at least all earlier reports of the same ends.
    :param run_id: The run.
    :param claimed: Ends that started no run and that a run has claimed: the run's id by end.
    :param claim_after: The run also claims ends that started no run and were stored after this time. None: it claims
        none.
    """

    def belongs_to_run(report: Report) -> bool:
        if report.end in claimed:
            return claimed[report.end] == run_id
        claimable = not report.runs and claim_after is not None and report.stored_at > claim_after
        return claimable or run_id in report.runs

    first = dict[str, Report]()
    for report in sorted(reports, key=lambda report: (report.stored_at, report.event_id)):
        first.setdefault(report.end, report)
    return {end: report for end, report in first.items() if belongs_to_run(report)}
