"""
What is waited for: a job, several jobs, or all jobs of CPH requests; and what a trigger's event says of it.

An event crosses Airflow's database, so it counts only if it covers exactly the jobs that were asked about. It may leave
some of them ``missing`` where the rule ends a wait before all were answered; the rule then reads it as it reads a poll,
so where all jobs have to succeed, each of them is in the event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.polling.cph_requests import CphRequests, title_of_requests
from airflow_provider_hwstatus.core.polling.expected_jobs import Expected
from airflow_provider_hwstatus.core.polling.job_ids import all_of, is_job_id, one_or_more
from airflow_provider_hwstatus.core.polling.job_poller import JobPoller, JobPollers, title_of
from airflow_provider_hwstatus.core.polling.job_status import JobStatus
from airflow_provider_hwstatus.core.polling.jobs_summary import CompletionRule, JobsSummary, PollResult
from airflow_provider_hwstatus.core.polling.wait import Poller
from airflow_provider_hwstatus.core.protocol.responses import clip
from airflow_provider_hwstatus.errors import TriggerError, error_from_dict
from airflow_provider_hwstatus.kinds.job_kind import JobKind, Outcome

T = TypeVar("T")


class WaitTarget(Protocol):
    """What differs by what is waited for."""

    @property
    def subject(self) -> str:
        """How messages call it."""

    @property
    def first(self) -> str | None:
        """An id that a console may show; None if there is nothing to wait for."""

    @property
    def row(self) -> dict[str, object]:
        """The arguments of a trigger that say it, as JSON."""

    def poller_for(self, client: Client) -> Poller:
        """Return how it is asked about."""

    def found_in(self, event: object) -> PollResult:
        """
        Return what a trigger's event says.

        :raises HwStatusError: The error that the event holds.
        :raises TriggerError: It is not an event of this package, or does not cover exactly what was asked about.
        """

    def value(self, found: PollResult) -> object:
        """Return what the task returns."""


@dataclass(frozen=True)
class OneJob:
    """A job."""

    kind: JobKind
    job_id: str

    @property
    def subject(self) -> str:
        return title_of(self.kind, self.job_id)

    @property
    def first(self) -> str:
        return self.job_id

    @property
    def row(self) -> dict[str, object]:
        return {"job_id": self.job_id}

    def poller_for(self, client: Client) -> JobPoller:
        return JobPoller(client, self.kind, self.job_id)

    def found_in(self, event: object) -> JobStatus:
        return _held_by(event, self.subject, "status", self._read)

    def _read(self, fields: Mapping[str, object]) -> JobStatus:
        status = JobStatus.from_dict(fields)
        _check(self.kind, [status])
        if status.job_id != self.job_id:
            raise ValueError(f"it is about {status.job_id!r}")
        return status

    def value(self, found: PollResult) -> object:
        return found.to_dict()


@dataclass(frozen=True)
class ListOfJobs:
    """Several jobs, with repeats if they were given."""

    kind: JobKind
    job_ids: Sequence[str]
    rule: CompletionRule

    @property
    def subject(self) -> str:
        return title_of(self.kind, list(dict.fromkeys(self.job_ids)))

    @property
    def first(self) -> str | None:
        return next(iter(self.job_ids), None)

    @property
    def row(self) -> dict[str, object]:
        return {"job_id": list(self.job_ids)}

    def poller_for(self, client: Client) -> JobPollers:
        return JobPollers(client, self.kind, self.job_ids, self.rule)

    def found_in(self, event: object) -> JobsSummary:
        return _held_by(event, self.subject, "summary", self._read)

    def _read(self, fields: Mapping[str, object]) -> JobsSummary:
        summary = JobsSummary.from_dict(fields, self.subject, self.rule)
        _check(self.kind, summary.statuses)
        target, told = set(self.job_ids), {status.job_id for status in summary.statuses}
        once = len(told) == len(summary.statuses)
        if not once or not told <= target or summary.missing != len(target - told) or summary.gone:
            raise ValueError("it does not cover each of these jobs once, and no others")
        return summary

    def value(self, found: PollResult) -> object:
        """Return a dict for each id that was given, in that order."""
        return found.in_order(self.job_ids, self.kind.name)  # type: ignore[union-attr]  # of several jobs


@dataclass(frozen=True)
class Requests:
    """All jobs of CPH requests."""

    kind: JobKind
    request_ids: Sequence[str]
    rule: CompletionRule
    expected: Expected

    @property
    def subject(self) -> str:
        return title_of_requests(self.request_ids)

    @property
    def first(self) -> str | None:
        return next(iter(self.request_ids), None)

    @property
    def row(self) -> dict[str, object]:
        rejected = [status.to_dict() for status in self.expected.rejected]
        return {"request_id": list(self.request_ids), "expected_jobs": self.expected.jobs, "rejected": rejected}

    def poller_for(self, client: Client) -> CphRequests:
        return CphRequests(client, self.request_ids, self.rule, self.expected, self.kind)

    def found_in(self, event: object) -> JobsSummary:
        return _held_by(event, self.subject, "summary", self._read)

    def _read(self, fields: Mapping[str, object]) -> JobsSummary:
        summary, expected = JobsSummary.from_dict(fields, self.subject, self.rule), self.expected
        count = max(len(summary.statuses) - len(expected.rejected), 0)
        jobs, rejected = summary.statuses[:count], summary.statuses[count:]
        _check(self.kind, jobs)
        if [item.job_id for item in rejected] != [item.job_id for item in expected.rejected]:
            raise ValueError("it does not have what was rejected at submission")
        if len({job.job_id.lower() for job in jobs if is_job_id(job.job_id)}) != count:
            raise ValueError("a job is in it twice, or has no id")
        if summary.missing != expected.missing(count) or (summary.gone and not all(job.over for job in jobs)):
            raise ValueError("its counts do not fit the jobs that are expected")
        complete = summary.gone or expected.jobs is not None
        return replace(summary, statuses=(*jobs, *expected.rejected), complete=complete)

    def value(self, found: PollResult) -> object:
        return [status.to_dict() for status in found.bounded().statuses]  # type: ignore[union-attr]  # of several jobs


def poller_of(client: Client, target: WaitTarget, known: Poller | None) -> Poller:
    """
    Return how *asked* is polled over a connection.

    :param known: How it was polled before: what that has found stays found.
    """
    if known is None:
        return target.poller_for(client)
    if known.client is not client:
        known.move_to(client)
    return known


def target_of_jobs(kind: JobKind, given: object, rule: CompletionRule) -> OneJob | ListOfJobs:
    """
    Return what is waited for by the ids of jobs.

    :raises ConfigurationError: An id is missing, or cannot be one.
    """
    job_ids = one_or_more(kind.id_name, given)
    return ListOfJobs(kind, job_ids, rule) if isinstance(job_ids, list) else OneJob(kind, job_ids)


def target_of_requests(kind: JobKind, given: object, rule: CompletionRule, expected: Expected) -> Requests:
    """
    Return what is waited for by the ids of CPH requests.

    :raises ConfigurationError: An id is missing, or cannot be one.
    """
    return Requests(kind, all_of("request_id", given), rule, expected)


def _held_by(event: object, subject: str, name: str, read: Callable[[Mapping[str, object]], T]) -> T:
    """
    Return what *read* makes of what *event* holds by a *name*.

    :raises HwStatusError: The error that the event holds.
    :raises TriggerError: The event is not one of this package, or *read* refuses it.
    """
    fields = event if isinstance(event, Mapping) else {}
    if isinstance(fields.get("error"), Mapping):
        raise error_from_dict(fields["error"])
    try:
        if fields.keys() & {"status", "summary", "error"} != {name}:
            raise ValueError(f"it holds no {name}, or more than that")
        return read(fields[name])
    except (AttributeError, TypeError, ValueError) as error:
        shown = clip(repr(event), 200)
        raise TriggerError(f"{subject}: the trigger's event is not one of this wait, {error}: {shown}") from error


def _check(kind: JobKind, statuses: Iterable[JobStatus]) -> None:
    """:raises ValueError: One is of another kind, or succeeded in a state that is no success."""
    for status in statuses:
        if status.kind != kind.name:
            raise ValueError(f"it is about a job of kind {status.kind!r}")
        if status.outcome is Outcome.SUCCESS and kind.outcome_of(status.state) is not Outcome.SUCCESS:
            raise ValueError(f"the state {status.state!r} is no success")
