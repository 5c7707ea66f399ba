"""What a sensor waits for, once templates are rendered: a job, or several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_hwstatus.core.client import Question
from airflow_provider_hwstatus.core.jobs import JobKind
from airflow_provider_hwstatus.core.questions import Questions, title_of
from airflow_provider_hwstatus.core.status import JobStatus
from airflow_provider_hwstatus.core.tally import Found, Rule
from airflow_provider_hwstatus.sensors.verdict import status_of, tally_of

if TYPE_CHECKING:
    from airflow_provider_hwstatus.core.client import Client
    from airflow_provider_hwstatus.core.waiting import Subject
    from airflow_provider_hwstatus.triggers.job_status import JobStatusTrigger


class Asked(Protocol):
    """What differs by what is waited for."""

    @property
    def subject(self) -> str:
        """How messages call it."""

    @property
    def first(self) -> str | None:
        """An id that a console may show; None if there is nothing to wait for."""

    def ask_with(self, client: Client) -> Subject:
        """
        Return how it is asked about.

        :raises ConfigurationError: An id cannot be one.
        """

    def trigger(self, **arguments: Any) -> JobStatusTrigger:
        """Return what waits for it in the triggerer."""

    def found_in(self, event: object) -> Found:
        """
        Return what a trigger's event tells, or raise the error that it holds.

        :raises TriggerError: It is not one of our events, or about something else.
        """

    def value(self, found: Found) -> object:
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

    def ask_with(self, client: Client) -> Question:
        return Question(client, self.kind, self.job_id)

    def trigger(self, **arguments: Any) -> JobStatusTrigger:
        from airflow_provider_hwstatus.triggers.job_status import JobStatusTrigger

        return JobStatusTrigger(job_id=self.job_id, **arguments)

    def found_in(self, event: object) -> JobStatus:
        return status_of(event, self.subject, self.kind, self.job_id)

    def value(self, found: Found) -> object:
        return found.to_dict()


@dataclass(frozen=True)
class ListOfJobs:
    """Several jobs, with repeats if they were given."""

    kind: JobKind
    job_ids: Sequence[str]
    rule: Rule

    @property
    def subject(self) -> str:
        return title_of(self.kind, list(dict.fromkeys(map(str, self.job_ids))))

    @property
    def first(self) -> str | None:
        return next(iter(self.job_ids), None)

    def ask_with(self, client: Client) -> Questions:
        return Questions(client, self.kind, self.job_ids, self.rule)

    def trigger(self, **arguments: Any) -> JobStatusTrigger:
        from airflow_provider_hwstatus.triggers.job_status import JobStatusTrigger

        return JobStatusTrigger(job_id=list(self.job_ids), **arguments)

    def found_in(self, event: object) -> Found:
        return tally_of(event, self.subject, self.rule, self.job_ids)

    def value(self, found: Found) -> object:
        """Return a dict for each id that was given, in that order."""
        return found.in_order(self.job_ids, self.kind.name)  # type: ignore[union-attr]  # of several jobs
