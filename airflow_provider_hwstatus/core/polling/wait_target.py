"""
What is waited for: a job, several jobs, or all jobs of CPH requests; and what a trigger's event says about them.

A target crosses Airflow's database in the trigger's row, and comes back in the trigger's event. An event is trusted
only if it covers exactly the jobs that were asked about. It may leave some of them ``missing`` where the rule ends a
wait before all were answered; the rule then reads it as it reads a poll, so where all jobs have to succeed, each of
them is in the event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.polling.cph_requests import CphRequests, title_of_requests
from airflow_provider_hwstatus.core.polling.expected_jobs import Expected, expected_in_row
from airflow_provider_hwstatus.core.polling.job_ids import all_of, is_job_id, one_or_more
from airflow_provider_hwstatus.core.polling.job_poller import JobPoller, JobPollers, title_of
from airflow_provider_hwstatus.core.polling.job_status import JobStatus
from airflow_provider_hwstatus.core.polling.jobs_summary import CompletionRule, JobsSummary, PollResult
from airflow_provider_hwstatus.core.polling.wait import Poller
from airflow_provider_hwstatus.core.protocol.responses import clip
from airflow_provider_hwstatus.errors import ConfigurationError, HwStatusError, TriggerError, error_from_dict
from airflow_provider_hwstatus.kinds import KINDS
from airflow_provider_hwstatus.kinds.job_kind import JobKind, Outcome


@dataclass(frozen=True)
class WaitTarget:
    """
    What is waited for.

    :param kind: The kind of job, with the states that end this wait.
    :param ids: The id of a job, or the ids of several jobs or requests, with repeats if they were given.
    :param rule: When a wait for several jobs is over.
    :param expected: What the requests should have led to; None if *ids* are of jobs.
    """

    kind: JobKind
    ids: str | Sequence[str]
    rule: CompletionRule
    expected: Expected | None = None

    @classmethod
    def of(cls, kind: JobKind, given: object, rule: CompletionRule, expected: Expected | None = None) -> WaitTarget:
        """
        Return the target that a user's ids name.

        :raises ConfigurationError: An id is missing, or cannot be one.
        """
        return cls(
            kind, one_or_more(kind.id_name, given) if expected is None else all_of("request_id", given), rule, expected
        )

    def to_dict(self) -> dict[str, Any]:
        """Return JSON scalars, lists and dicts from which :meth:`from_dict` makes an equal target."""
        ids = self.ids if isinstance(self.ids, str) else list(self.ids)
        own: dict[str, Any] = {"job_id": ids} if self.expected is None else {"request_id": ids}
        states = {} if self.kind == KINDS.get(self.kind.name) else _states_of(self.kind)
        expected = {} if self.expected is None else self.expected.to_dict()
        return {"kind": self.kind.name} | own | expected | states | asdict(self.rule)

    @classmethod
    def from_dict(cls, row: object, kind_of: Callable[[Any], JobKind]) -> WaitTarget:
        """
        Return the target that :meth:`to_dict` described. Names that this release does not know are ignored.

        :param kind_of: Returns the kind that a row names.
        :raises ConfigurationError: *row* is no such description.
        """
        if not isinstance(row, Mapping):
            raise ConfigurationError(f"target must be an object; it is {clip(repr(row), 64)}")
        try:
            kind = kind_of(row.get("kind")).with_states(row.get("success_states"), row.get("failure_states"))
            rule = CompletionRule(wait_for_all=row.get("wait_for_all", True), fail_fast=row.get("fail_fast", True))
            expected = expected_in_row(row) if "request_id" in row else None
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        return cls.of(kind, row.get("job_id") if expected is None else row["request_id"], rule, expected)

    @property
    def subject(self) -> str:
        """How messages call it."""
        if self.expected is not None:
            return title_of_requests(self.ids)
        return title_of(self.kind, self.ids if isinstance(self.ids, str) else list(dict.fromkeys(self.ids)))

    @property
    def first(self) -> str | None:
        """An id that a console may show; None if there is nothing to wait for."""
        return self.ids if isinstance(self.ids, str) else next(iter(self.ids), None)

    def poller(self, client: Client, known: Poller[PollResult] | None = None) -> Poller[PollResult]:
        """
        Return what polls it over a connection.

        :param known: What polled it before; what that has found stays found.
        """
        if known is not None:
            if known.client is not client:
                known.move_to(client)
            return known
        if self.expected is not None:
            return CphRequests(client, self.ids, self.rule, self.expected, self.kind)
        if isinstance(self.ids, str):
            return JobPoller(client, self.kind, self.ids)
        return JobPollers(client, self.kind, self.ids, self.rule)

    def value(self, found: PollResult) -> object:
        """Return what the task returns: a dict for one job, or a list of them, for jobs in the order of *ids*."""
        if isinstance(found, JobStatus):
            return found.to_dict()
        if self.expected is None:
            return found.in_order(self.ids, self.kind.name)
        return [status.to_dict() for status in found.bounded().statuses]

    def found_in(self, event: object) -> PollResult:
        """
        Return what a trigger's event says.

        :raises HwStatusError: The error that the event holds.
        :raises TriggerError: It is not an event of this package, or does not cover exactly what was asked about.
        """
        fields = event if isinstance(event, Mapping) else {}
        if isinstance(fields.get("error"), Mapping):
            raise error_from_dict(fields["error"])
        name = "status" if isinstance(self.ids, str) else "summary"
        try:
            if fields.keys() & {"status", "summary", "error"} != {name}:
                raise ValueError(f"it holds no {name}, or more than that")
            return self._read(fields[name])
        except (AttributeError, TypeError, ValueError) as error:
            shown = clip(repr(event), 200)
            raise TriggerError(
                f"{self.subject}: the trigger's event is not one of this wait, {error}: {shown}"
            ) from error

    def _read(self, fields: Mapping[str, object]) -> PollResult:
        if isinstance(self.ids, str):
            return self._one_job(JobStatus.from_dict(fields))
        summary = JobsSummary.from_dict(fields, self.subject, self.rule)
        return self._several_jobs(summary) if self.expected is None else self._requests(summary, self.expected)

    def _one_job(self, status: JobStatus) -> JobStatus:
        self._check([status])
        if status.job_id != self.ids:
            raise ValueError(f"it is about {status.job_id!r}")
        return status

    def _several_jobs(self, summary: JobsSummary) -> JobsSummary:
        self._check(summary.statuses)
        asked, told = set(self.ids), {status.job_id for status in summary.statuses}
        once = len(told) == len(summary.statuses)
        if not once or not told <= asked or summary.missing != len(asked - told) or summary.gone:
            raise ValueError("it does not cover each of these jobs once, and no others")
        return summary

    def _requests(self, summary: JobsSummary, expected: Expected) -> JobsSummary:
        count = max(len(summary.statuses) - len(expected.rejected), 0)
        jobs, rejected = summary.statuses[:count], summary.statuses[count:]
        self._check(jobs)
        if [item.job_id for item in rejected] != [item.job_id for item in expected.rejected]:
            raise ValueError("it does not have what was rejected at submission")
        if len({job.job_id.lower() for job in jobs if is_job_id(job.job_id)}) != count:
            raise ValueError("a job is in it twice, or has no id")
        if summary.missing != expected.missing(count) or (summary.gone and not all(job.over for job in jobs)):
            raise ValueError("its counts do not fit the jobs that are expected")
        complete = summary.gone or expected.jobs is not None
        return replace(summary, statuses=(*jobs, *expected.rejected), complete=complete)

    def _check(self, statuses: Iterable[JobStatus]) -> None:
        """:raises ValueError: One is of another kind, or succeeded in a state that is no success."""
        for status in statuses:
            if status.kind != self.kind.name:
                raise ValueError(f"it is about a job of kind {status.kind!r}")
            if status.outcome is Outcome.SUCCESS and self.kind.outcome_of(status.state) is not Outcome.SUCCESS:
                raise ValueError(f"the state {status.state!r} is no success")


def event_of(found: PollResult | HwStatusError) -> dict[str, object]:
    """Return a trigger's event, which :meth:`WaitTarget.found_in` reads: a status, a summary or an error."""
    if isinstance(found, HwStatusError):
        return {"error": found.to_dict()}
    return {"status" if isinstance(found, JobStatus) else "summary": found.to_dict()}


def _states_of(kind: JobKind) -> dict[str, list[str]]:
    return {"success_states": sorted(kind.success), "failure_states": sorted(kind.failure)}
