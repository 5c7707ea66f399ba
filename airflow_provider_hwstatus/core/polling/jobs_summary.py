"""Several jobs, and when a wait for them is over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from airflow_provider_hwstatus.core.polling.job_status import JobStatus
from airflow_provider_hwstatus.core.protocol.arguments import one_of
from airflow_provider_hwstatus.kinds.job_kind import Outcome

#: The largest number of ids in a line.
_SHOWN = 5

#: Characters of output of all jobs together that may be stored in Airflow's database.
LOG_BUDGET = 65_536


@dataclass(frozen=True, kw_only=True)
class CompletionRule:
    """
    When a wait for several jobs is over.

    :param wait_for_all: Whether it succeeds when all jobs have succeeded, or when the first has.
    :param fail_fast: Whether it fails at the first failure, or after all jobs have ended.
    :raises ValueError: One of them is no bool: ``None`` or ``"False"`` must not change when a wait succeeds.
    """

    wait_for_all: bool = True
    fail_fast: bool = True

    def __post_init__(self) -> None:
        for argument, value in vars(self).items():
            one_of(argument, value, (True, False))


@dataclass(frozen=True, kw_only=True)
class JobsSummary:
    """
    The states of several jobs.

    :param subject: The name of the jobs in messages.
    :param statuses: The last status of each job that has one, without duplicates.
    :param missing: How many more jobs there should be.
    :param gone: Whether the missing jobs will not appear any more; then they have failed.
    :param complete: Whether all jobs are counted.
    """

    subject: str
    rule: CompletionRule
    statuses: tuple[JobStatus, ...]
    missing: int = 0
    gone: bool = False
    complete: bool = True
    request_id: None = None

    @cached_property
    def succeeded(self) -> list[JobStatus]:
        """Jobs that succeeded."""
        return [status for status in self.statuses if status.outcome is Outcome.SUCCESS]

    @cached_property
    def failed(self) -> list[JobStatus]:
        """Jobs that failed, without those that are missing."""
        return [status for status in self.statuses if status.outcome is Outcome.FAILURE]

    @cached_property
    def going(self) -> list[JobStatus]:
        """Jobs that are not over."""
        return [status for status in self.statuses if not status.over]

    @cached_property
    def counts(self) -> dict[str, int]:
        """The number of jobs, in all and by outcome."""
        return {
            "total": len(self.statuses) + self.missing,
            "succeeded": len(self.succeeded),
            "failed": len(self.failed) + (self.missing if self.gone else 0),
            "in_progress": len(self.going) + (0 if self.gone else self.missing),
        }

    @cached_property
    def outcome(self) -> Outcome:
        """The outcome of the wait; ``in_progress`` if it continues."""
        failed, all_over = self.counts["failed"], self.complete and not self.counts["in_progress"]
        if self.succeeded and not self.rule.wait_for_all:
            return Outcome.SUCCESS
        if failed and (self.rule.fail_fast or all_over):
            return Outcome.FAILURE
        return Outcome.SUCCESS if all_over and self.succeeded else Outcome.IN_PROGRESS

    @property
    def over(self) -> bool:
        """Whether the wait is over."""
        return self.outcome is not Outcome.IN_PROGRESS

    @property
    def unknown_states(self) -> set[str]:
        """States that are in no table."""
        return {status.state for status in self.going if status.outcome is Outcome.UNKNOWN}

    @property
    def brief(self) -> str:
        """How many jobs are over, in a few words."""
        total, over = self.counts["total"], self.counts["succeeded"] + self.counts["failed"]
        return f"{over} of {total} over" if self.complete else f"{over} over"

    @property
    def line(self) -> str:
        """How many jobs are over, and which failed."""
        if not self.counts["failed"]:
            return self.brief
        failed = ids(f"{status.job_id} ({status.state!r})" for status in self.failed)
        missing = f"{self.missing} not listed" if self.gone else ""
        return f"{self.brief}, {self.counts['failed']} failed: {', '.join(filter(None, (failed, missing)))}"

    @property
    def standing(self) -> str:
        """How many jobs are over, which failed, and which are not over."""
        going = [f"not over: {ids(status.job_id for status in self.going)}"] if self.going else []
        missing = [f"{self.missing} not listed"] if self.missing and not self.gone else []
        return "; ".join([self.line, *going, *missing])

    def bounded(self) -> JobsSummary:
        """Return this with at most :data:`LOG_BUDGET` characters of output; failed jobs keep theirs first."""
        left, kept = LOG_BUDGET, dict[str, JobStatus]()
        for status in [*self.failed, *self.succeeded, *self.going]:
            size = sum(map(len, status.log))
            kept[status.job_id] = status if size <= left else replace(status, log=())
            left -= size if size <= left else 0
        return replace(self, statuses=tuple(kept[status.job_id] for status in self.statuses))

    def in_order(self, job_ids: Iterable[str], kind: str) -> list[dict[str, object]]:
        """Return a dict for each of *job_ids*, with repeats; a job without an answer has the outcome unknown."""
        known = {status.job_id: status.to_dict() for status in self.bounded().statuses}
        return [known.get(job_id) or _unanswered(kind, job_id) for job_id in job_ids]

    def to_dict(self) -> dict[str, object]:
        """Return the summary as JSON, with its output bounded; :meth:`from_dict` restores it."""
        statuses = [_without_blanks(status.to_dict()) for status in self.bounded().statuses]
        return {"statuses": statuses, "missing": self.missing, "gone": self.gone, "counts": self.counts}

    @classmethod
    def from_dict(cls, fields: Mapping[str, object], subject: str, rule: CompletionRule) -> JobsSummary:
        """
        Return the tally that :meth:`to_dict` described.

        :raises ValueError: *fields* is no such description.
        """
        statuses, missing, gone = fields.get("statuses"), fields.get("missing", 0), fields.get("gone", False)
        if not isinstance(statuses, list) or not all(isinstance(status, dict) for status in statuses):
            raise ValueError("not a summary: statuses is no list of objects")
        if isinstance(missing, bool) or not isinstance(missing, int) or missing < 0:
            raise ValueError("not a summary: missing is no number of jobs")
        if not isinstance(gone, bool):
            raise ValueError("not a summary: gone is no bool")
        return cls(
            subject=subject,
            rule=rule,
            statuses=tuple(map(JobStatus.from_dict, statuses)),
            missing=missing,
            gone=gone,
        )


#: The result of a poll: the status of one job, or a summary of several.
PollResult = JobStatus | JobsSummary


def ids(texts: Iterable[str], most: int = _SHOWN) -> str:
    """Return the first of *texts* on one line, and the number of the others."""
    shown = list(texts)
    more = len(shown) - most
    return ", ".join(shown[:most]) + (f" and {more} more" if more > 0 else "")


def _unanswered(kind: str, job_id: str) -> dict[str, object]:
    """Return the status of a job that was not polled, because the wait was over without it."""
    return JobStatus(kind=kind, job_id=job_id, state="", outcome=Outcome.UNKNOWN).to_dict()


def _without_blanks(fields: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value not in (None, [])}
