"""
The target of a wait: one job, several jobs, or all jobs of CPH requests. It also reads the trigger's event.

A target is stored in the trigger's row in Airflow's database. An event comes from that database, too, so it is trusted
only if it covers exactly the jobs of the target. Some jobs may be ``missing`` in it, if the rule ended the wait before
all jobs were polled. If all jobs have to succeed, the event of a success has all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
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
from airflow_provider_hwstatus.kinds import KINDS, kind_of
from airflow_provider_hwstatus.kinds.job_kind import JobKind, Outcome


@dataclass(frozen=True)
class WaitTarget:
    """
    The target of a wait.

    :param kind: The kind of job, with the states that end this wait.
    :param parameters: What the kind's path or headers need beside the id.
    :param ids: The id of one job, or a list of the ids of jobs or requests. Duplicates stay in the list.
    :param rule: When a wait for several jobs is over.
    :param expected: The jobs that the requests should have; None if *ids* are ids of jobs.
    """

    kind: JobKind
    ids: str | Sequence[str]
    rule: CompletionRule
    expected: Expected | None = None
    parameters: Mapping[str, object] = field(default_factory=dict, hash=False)

    @classmethod
    def of(
        cls,
        kind: JobKind,
        given: object,
        rule: CompletionRule,
        expected: Expected | None = None,
        parameters: Mapping[str, object] | None = None,
        argument: str | None = None,
    ) -> WaitTarget:
        """
        Return the target for the ids that a user gave.

        :param argument: How the user calls the ids; the kind's name for them by default.
        :raises ConfigurationError: An id or a parameter is missing or invalid.
        """
        if expected is not None:
            return cls(kind, all_of("request_id", given), rule, expected)
        ids = one_or_more(argument or kind.id_name, given, kind.id_characters)
        target = cls(kind, ids, rule, parameters={} if parameters is None else parameters)
        target.polled_kind  # noqa: B018  # checks the parameters
        return target

    @cached_property
    def polled_kind(self) -> JobKind:
        """
        The kind with the values of its parameters.

        :raises ConfigurationError: A parameter is missing, superfluous or invalid.
        """
        if not isinstance(self.parameters, Mapping):
            raise ConfigurationError(f"parameters must be a mapping; it is {clip(repr(self.parameters), 64)}")
        try:
            return self.kind.with_parameters(self.parameters)
        except ValueError as error:
            raise ConfigurationError(str(error)) from None

    def to_dict(self) -> dict[str, Any]:
        """Return the target as JSON, from which :meth:`from_dict` restores it."""
        ids = self.ids if isinstance(self.ids, str) else list(self.ids)
        own: dict[str, Any] = {"job_id": ids} if self.expected is None else {"request_id": ids}
        expected = {} if self.expected is None else self.expected.to_dict()
        parameters = {"parameters": dict(self.parameters)} if self.parameters else {}
        return _kind_in_row(self.kind) | own | parameters | expected | asdict(self.rule)

    @classmethod
    def from_dict(cls, row: object) -> WaitTarget:
        """
        Restore a target from :meth:`to_dict`. Unknown fields are ignored.

        :raises ConfigurationError: *row* does not describe a target.
        """
        try:
            return cls._from_row(row)
        except RecursionError as error:
            raise ConfigurationError("target is nested too deeply") from error

    @classmethod
    def _from_row(cls, row: object) -> WaitTarget:
        if not isinstance(row, Mapping):
            raise ConfigurationError(f"target must be an object; it is {clip(repr(row), 64)}")
        try:
            kind = kind_of(row.get("kind", "")).with_states(row.get("success_states"), row.get("failure_states"))
            rule = CompletionRule(wait_for_all=row.get("wait_for_all", True), fail_fast=row.get("fail_fast", True))
            expected = expected_in_row(row) if "request_id" in row else None
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        ids = row.get("job_id") if expected is None else row["request_id"]
        return cls.of(kind, ids, rule, expected, row.get("parameters"))

    @property
    def subject(self) -> str:
        """The name of the job or jobs in messages."""
        if self.expected is not None:
            return title_of_requests(self.ids)
        return title_of(self.kind, self.ids if isinstance(self.ids, str) else list(dict.fromkeys(self.ids)))

    @property
    def first(self) -> str | None:
        """The first id, for the console link; None for an empty list."""
        return self.ids if isinstance(self.ids, str) else next(iter(self.ids), None)

    def poller(self, client: Client, known: Poller[PollResult] | None = None) -> Poller[PollResult]:
        """
        Return the poller of the target for a connection.

        :param known: The poller of an earlier connection. It is reused, because it holds the results of earlier polls.
        """
        if known is not None:
            if known.client is not client:
                known.move_to(client)
            return known
        if self.expected is not None:
            return CphRequests(client, self.ids, self.rule, self.expected, self.kind)
        if isinstance(self.ids, str):
            return JobPoller(client, self.polled_kind, self.ids)
        return JobPollers(client, self.polled_kind, self.ids, self.rule)

    def value(self, found: PollResult) -> object:
        """Return the task's return value: a dict for one job, or a list of dicts in the order of *ids*."""
        if isinstance(found, JobStatus):
            return found.to_dict()
        if self.expected is None:
            return found.in_order(self.ids, self.kind.name)
        return [status.to_dict() for status in found.bounded().statuses]

    def found_in(self, event: object) -> PollResult:
        """
        Return the result that a trigger's event holds.

        :raises HwStatusError: The event holds this error.
        :raises TriggerError: It is not an event of this package, or it does not cover exactly the jobs of the target.
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
        wanted, found = set(self.ids), {status.job_id for status in summary.statuses}
        once = len(found) == len(summary.statuses)
        if not once or not found <= wanted or summary.missing != len(wanted - found) or summary.gone:
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
        """:raises ValueError: A job is of another kind, or succeeded in a state that is not listed as success."""
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


def _kind_in_row(kind: JobKind) -> dict[str, Any]:
    """
    Return a kind as the trigger's row has it: its name if this package has the kind, and the states that end the wait.

    The row has the whole declaration of any other kind, because a triggerer may not have the code of the DAGs.
    """
    states = {"success_states": sorted(kind.success), "failure_states": sorted(kind.failure)}
    shipped = KINDS.get(kind.name)
    if shipped == kind:
        return {"kind": kind.name}
    if shipped and shipped.with_states(**states) == kind:
        return {"kind": kind.name} | states
    return {"kind": kind.to_dict()}
