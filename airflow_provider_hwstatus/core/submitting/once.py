"""
Submit a job once, although tries of a task may be lost.

Before a try submits, it looks for what earlier tries submitted: in the record that Airflow keeps (3.3 and newer), and
in the service's list, where a marker in the job's name or tags tells which try submitted it. The list may lag behind,
so a job counts as not submitted only after it was not listed for some seconds. A service without such a list (CPH)
leaves only the record: where that cannot tell, nothing is submitted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.polling.job_poller import JobPoller
from airflow_provider_hwstatus.core.protocol.advice import NEXT
from airflow_provider_hwstatus.core.protocol.effects import Flow
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget
from airflow_provider_hwstatus.core.submitting.marker import Attempt, encoded, name_with, with_marker
from airflow_provider_hwstatus.core.submitting.submit import Submitted, find, find_within, not_found, submit
from airflow_provider_hwstatus.errors import HwStatusError, JobNotFoundError, UnclearSubmissionError
from airflow_provider_hwstatus.kinds.job_kind import JobKind, Outcome
from airflow_provider_hwstatus.kinds.submission import Submission

#: How far a submission came: before the request, after an unclear end, and after the answer. ``NO_JOB``: a later
#: try has no job to wait for, because the service refused it or it has failed.
SENDING, UNCLEAR, SUBMITTED, NO_JOB = "sending", "unclear", "submitted", "no_job"


@dataclass(frozen=True, kw_only=True)
class Kept:
    """
    What is recorded about a submission.

    :param step: How far it came.
    :param job_id: The id in the answer; for CPH, the id of the request. Empty before the answer.
    :param marked: What carries the marker of the try that submitted it.
    :param answer: What is needed of the answer: for CPH, the jobs of the request and what was rejected.
    """

    step: str
    job_id: str = ""
    marked: str = ""
    answer: Mapping[str, Any] = field(default_factory=dict)


class Record(Protocol):
    """Keeps what a try leaves to the next one."""

    @property
    def is_kept(self) -> bool:
        """Whether there is such a record at all."""

    def read(self) -> Kept | None:
        """Return what was recorded since the task was cleared last; None if nothing was."""

    def write(self, kept: Kept) -> None:
        """Record how far the submission came."""


@dataclass(frozen=True, kw_only=True)
class Once:
    """
    One try to get a job submitted.

    :param run: Runs a flow over the connection.
    :param clock: Returns seconds since 1970.
    :param body: The body of the request, without the marker.
    :param since: A time before the first submission, in seconds since 1970.
    :param list_lag: Seconds for which the list may lag behind.
    :param resubmit: Whether it does no harm to submit the job twice.
    :param outage_tolerance: Seconds for which a request is repeated that the service cannot have accepted.
    :param raise_if_stopped: Called before the submission; raises if the task was told to stop.
    """

    run: Callable[[Callable[[Client], Flow[Any]]], Any]
    clock: Callable[[], float]
    kind: JobKind
    submission: Submission
    body: Mapping[str, Any]
    attempt: Attempt
    record: Record
    since: float
    list_lag: float
    resubmit: bool
    outage_tolerance: float
    raise_if_stopped: Callable[[], None] = lambda: None

    def submitted(self) -> Submitted:
        """
        Return the job: one that an earlier try submitted and that has not failed, or else a new one.

        :raises UnclearSubmissionError: It cannot be told whether a job was submitted. Nothing was repeated.
        :raises HwStatusError: The service did not accept the job, or did not answer.
        """
        return self._earlier() or self._new()

    def marked(self, number: int) -> str:
        """Return what carries the marker of a try: the job's whole name, or the value of its tag."""
        marker = self.attempt.marker(number)
        if self.submission.name_field is None:
            return marker
        return name_with(self.submission, self.body, marker, self.attempt.task_id)

    def find(self) -> Submitted | None:
        """Look once for the job that this try or an earlier one submitted, the newest first."""
        marks, budget = self._marks([self.attempt.number, *self.attempt.earlier]), RetryBudget(self.outage_tolerance)

        def flow(client: Client) -> Flow[Submitted | None]:
            for marked in marks:
                if found := (yield from find(client, self.kind, self.submission, marked, self.since, budget)):
                    return found
            return None

        found: Submitted | None = self.run(flow)
        return found

    def _earlier(self) -> Submitted | None:
        kept = self.record.read()
        if kept and kept.step == NO_JOB:
            return None
        if kept and kept.job_id:
            found: Submitted | None = Submitted(kept.job_id, kept.answer, found=True, marked=kept.marked)
        elif self.submission.is_findable:
            found = self._listed(kept)
        else:
            self._raise_unless_certain(kept)
            return None
        return None if found is None or self._has_failed(found) else found

    def _listed(self, kept: Kept | None) -> Submitted | None:
        """Return the newest job that an earlier try submitted, by the list; None if there is none."""
        if kept is None and self.attempt.number == 1:
            return None
        numbers = [*self.attempt.earlier] or [self.attempt.number]  # the same try, if Airflow runs it again
        found = self._find_within(numbers, 0.0 if kept is None and self.attempt.is_first else self.list_lag)
        if found is None and kept and kept.step == UNCLEAR:
            raise not_found(UnclearSubmissionError(_EARLIER), self.list_lag, self.marked(numbers[0]))
        return found

    def _marks(self, numbers: Iterable[int]) -> list[str]:
        return [self.marked(number) for number in numbers]

    def _find_within(self, numbers: Iterable[int], seconds: float) -> Submitted | None:
        """Look for the job that one of these tries submitted, the newest first, for some seconds."""
        marks, until = self._marks(numbers), self.clock() + seconds
        found: Submitted | None = self.run(
            lambda client: find_within(client, self.kind, self.submission, marks, self.since, until)
        )
        return found

    def _raise_unless_certain(self, kept: Kept | None) -> None:
        """:raises UnclearSubmissionError: An earlier try may have submitted the job."""
        if self.resubmit or (kept is None and (self.attempt.is_first or self.record.is_kept)):
            return
        why = (
            _EARLIER if kept else "an earlier try may have submitted it, and Airflow before 3.3 keeps no record of that"
        )
        raise self._cannot_tell(UnclearSubmissionError(why))

    def _cannot_tell(self, error: UnclearSubmissionError) -> UnclearSubmissionError:
        message = (
            f"{error}\n  {self.kind.cloud_service.title} cannot be asked whether it accepted it; it was not submitted "
            "again\n  next: check what it was meant to do; then clear the task, which submits it again. Set "
            "resubmit=True if it does no harm to submit it twice"
        )
        return UnclearSubmissionError(message, http_status=error.http_status, request_id=error.request_id)

    def _has_failed(self, found: Submitted) -> bool:
        """Return whether a job has failed. Of a request with several jobs, only the record knows that."""
        if self.submission.is_request:
            return False
        budget = RetryBudget(self.outage_tolerance)
        try:
            status = self.run(lambda client: JobPoller(client, self.kind, found.job_id).fetch_status(budget))
        except JobNotFoundError:  # it was submitted, so the wait decides for how long it may be unknown
            return False
        return bool(status.outcome is Outcome.FAILURE)

    def _new(self) -> Submitted:
        marker, task_id = self.attempt.marker(), self.attempt.task_id
        body = encoded(with_marker(self.submission, self.body, marker, task_id))
        self.record.write(Kept(step=SENDING))
        self.raise_if_stopped()
        budget = RetryBudget(self.outage_tolerance)
        try:
            submitted: Submitted = self.run(lambda client: submit(client, self.kind, self.submission, body, budget))
        except UnclearSubmissionError as error:
            self.record.write(Kept(step=UNCLEAR))
            submitted = self._after_unclear_end(error)
        except HwStatusError:
            self.record.write(Kept(step=NO_JOB))
            raise
        submitted = replace(submitted, marked=self.marked(self.attempt.number))
        answer = self._kept_of(submitted)
        self.record.write(Kept(step=SUBMITTED, job_id=submitted.job_id, marked=submitted.marked, answer=answer))
        return submitted

    def _after_unclear_end(self, error: UnclearSubmissionError) -> Submitted:
        if not self.submission.is_findable:
            raise error if self.resubmit else self._cannot_tell(error)
        numbers, why = [self.attempt.number], ""
        try:
            found = self._find_within(numbers, self.list_lag)
        except HwStatusError as failure:
            found, why = None, f"\n  the list of jobs could not be read: {str(failure).partition(NEXT)[0]}"
        if found is None:
            raise not_found(error, self.list_lag, self.marked(self.attempt.number), why)
        return found

    def _kept_of(self, submitted: Submitted) -> Mapping[str, Any]:
        """Return what a later try needs of the answer, without what may hold secrets."""
        return dict(submitted.answer) if self.submission.is_request else {}


_EARLIER = "an earlier try submitted it without a clear answer"
