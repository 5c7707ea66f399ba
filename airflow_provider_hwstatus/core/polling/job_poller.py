"""The status of one job, and of several jobs that are polled one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from airflow_provider_hwstatus.core.connection.client import Call, Client
from airflow_provider_hwstatus.core.polling.batch_coalescer import CoalescedWait, coalescer_of
from airflow_provider_hwstatus.core.polling.job_ids import check_job_id
from airflow_provider_hwstatus.core.polling.job_status import JobStatus, job_path, read_status
from airflow_provider_hwstatus.core.polling.jobs_summary import CompletionRule, JobsSummary, ids
from airflow_provider_hwstatus.core.polling.wait_options import WaitOptions
from airflow_provider_hwstatus.core.protocol.effects import Flow, Response, Together
from airflow_provider_hwstatus.core.protocol.responses import request_id_of
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget
from airflow_provider_hwstatus.errors import (
    ApiError,
    DeadlineError,
    HwStatusError,
    JobNotFoundError,
    MalformedResponseError,
    RetryableError,
    UnknownStateError,
)
from airflow_provider_hwstatus.kinds.job_kind import JobKind, Outcome

#: Errors that concern one job only, while the others can be polled.
_OF_ONE_JOB = (JobNotFoundError, MalformedResponseError, UnknownStateError)

#: Bytes of a body that is kept to recognise a repeated response.
_REPEATED = 4096


@dataclass(frozen=True, slots=True)
class _Seen:
    """
    What is kept of the last response that showed the job in progress. Its headers would take 2 KB.

    :param has_id: Whether its headers have the request id. The body can have it instead.
    :param status: What the response means.
    """

    http_status: int
    body: bytes
    has_id: bool
    status: JobStatus

    def repeated_by(self, response: Response, request_id: str | None) -> bool:
        """Return whether a response means the same, except for the *request_id* in its headers."""
        same = (response.status, response.body) == (self.http_status, self.body)
        return same and (request_id is not None) == self.has_id


class JobPoller:
    """
    Polls one job.

    :param kind: The kind of the job, with the values of its parameters.
    :raises ConfigurationError: *job_id* is no valid id.
    """

    def __init__(self, client: Client, kind: JobKind, job_id: str) -> None:
        self.client = client
        self.kind = kind
        self.job_id = check_job_id(kind.id_name, job_id, kind.id_characters)
        self.subject = f"{kind.title} {self.job_id}"
        self._call = Call("GET", kind.cloud_service, job_path(kind.path, self.job_id), headers=kind.headers or {})
        self._last: _Seen | None = None
        #: The wait in the list of batches; None before the wait begins, and if the list may not answer for the job.
        self.coalesced: CoalescedWait | None = None

    def move_to(self, client: Client) -> None:
        """Use another connection from now on."""
        joined = self.coalesced is not None
        self.close()
        self.client = client
        self._last = None
        if joined:
            self.open()

    def open(self) -> None:
        """Begin a wait: from now on, the list of batches may answer for this job, if the connection coalesces polls."""
        coalescer = coalescer_of(self.client)
        if coalescer and self.coalesced is None:
            self.coalesced = coalescer.join(self.kind, self.job_id)

    def close(self) -> None:
        """End the wait."""
        if self.coalesced:
            self.coalesced.leave()
            self.coalesced = None

    def fetch_status(self, budget: RetryBudget) -> Flow[JobStatus]:
        """
        Request the status, and retry during an outage.

        :raises HwStatusError: There was no usable answer.
        """
        try:
            return (yield from self.client.send(self._call, budget, self._read, self.kind.name))
        except HwStatusError as error:
            raise error.about(self.subject)  # noqa: B904  # the same error, with its subject

    def poll(self, options: WaitOptions) -> Flow[JobStatus]:
        """
        Poll once: request the status, or learn from the list of batches that the job is in progress.

        :raises UnknownStateError: The state is unknown, and the wait fails then.
        :raises HwStatusError: There was no usable answer.
        """
        coalesced = self.coalesced
        if coalesced and (listed := (yield from coalesced.poll(options))):
            return listed
        status = yield from self.fetch_status(options.budget)
        if coalesced:
            coalesced.record(status.state, status.over)
        if status.outcome is Outcome.UNKNOWN:
            check_known(self.subject, status, options)
        return status

    def _read(self, response: Response) -> JobStatus:
        """Return the status. Most responses repeat the last one, and reading them again takes most of the time."""
        redact, last = self.client.redact, self._last
        request_id = request_id_of(response, {}, redact)
        if last and last.repeated_by(response, request_id):
            return replace(last.status, request_id=request_id) if request_id else last.status
        status = read_status(self.kind, self.job_id, response, redact, self.client.clock())
        kept = status.outcome is Outcome.IN_PROGRESS and len(response.body) <= _REPEATED
        self._last = _Seen(response.status, response.body, request_id is not None, status) if kept else None
        return status


def check_known(subject: str, status: JobStatus, options: WaitOptions) -> None:
    """:raises UnknownStateError: The state is unknown, and *options* make that an error."""
    if status.outcome is Outcome.UNKNOWN and options.on_unknown_state == "fail":
        raise UnknownStateError(
            f"{subject}: its state {status.state!r} is in no table, and on_unknown_state is 'fail'",
            request_id=status.request_id,
        )


class JobPollers:
    """
    Polls several jobs. A job that is over is not polled again; a duplicate id is polled once.

    :param job_ids: In any order.
    :raises ConfigurationError: One of them is no valid id.
    """

    coalesced = None

    def __init__(self, client: Client, kind: JobKind, job_ids: Iterable[str], rule: CompletionRule) -> None:
        self.client = client
        self._rule = rule
        self._left = {job_id: JobPoller(client, kind, job_id) for job_id in dict.fromkeys(job_ids)}
        self._statuses: dict[str, JobStatus | None] = dict.fromkeys(self._left)
        self.subject = title_of(kind, list(self._left))

    def move_to(self, client: Client) -> None:
        """Use another connection from now on. What is known stays known."""
        self.client = client
        for poller in self._left.values():
            poller.move_to(client)

    def open(self) -> None:
        """Begin a wait."""
        for poller in self._left.values():
            poller.open()

    def close(self) -> None:
        """End the wait."""
        for poller in self._left.values():
            poller.close()

    def poll(self, options: WaitOptions) -> Flow[JobsSummary]:
        """
        Poll each job that is not over.

        :raises HwStatusError: A job could not be polled, and the end of the wait depends on it.
        """
        try:
            errors = yield from self._poll_left(options)
        except DeadlineError as error:
            raise error.about(f"{self.subject}: {self._summary().standing}")  # noqa: B904  # the same, with more
        summary = self._summary()
        if errors and not summary.over:
            raise _worst(errors)
        return summary

    def _poll_left(self, options: WaitOptions) -> Flow[list[HwStatusError]]:
        errors = list[HwStatusError]()

        def answered(job_id: str, answer: JobStatus | HwStatusError) -> None:
            if isinstance(answer, HwStatusError):
                errors.append(answer)
                return
            self._statuses[job_id] = answer
            if answer.over:
                self._left.pop(job_id).close()

        yield from poll_together(dict(self._left), options, answered)
        return errors

    def _summary(self) -> JobsSummary:
        known = tuple(status for status in self._statuses.values() if status)
        missing = len(self._statuses) - len(known)
        return JobsSummary(subject=self.subject, rule=self._rule, statuses=known, missing=missing)


def poll_together(
    pollers: Mapping[str, JobPoller], options: WaitOptions, answered: Callable[[str, JobStatus | HwStatusError], None]
) -> Flow[None]:
    """
    Poll several jobs concurrently.

    :param answered: Called with each job's status as it arrives, or with an error that concerns that job only.
    :raises HwStatusError: An error that concerns all of them: an outage, a login, a time-out.
    """
    yield Together([partial(_poll_one, job_id, poller, options, answered) for job_id, poller in pollers.items()])


def _poll_one(
    job_id: str, poller: JobPoller, options: WaitOptions, answered: Callable[[str, JobStatus | HwStatusError], None]
) -> Flow[None]:
    try:
        answer: JobStatus | HwStatusError = yield from poller.poll(options)
    except _OF_ONE_JOB as error:
        answer = error
    except ApiError as error:
        if type(error) is not ApiError or isinstance(error, RetryableError):
            raise
        answer = error
    answered(job_id, answer)


def _worst(errors: list[HwStatusError]) -> HwStatusError:
    """Return the first error that cannot pass by itself, or else the first one; the message counts them all."""
    worst = next((error for error in errors if not isinstance(error, JobNotFoundError)), errors[0])
    return worst.about(f"{len(errors)} jobs cannot be polled; one of them is") if len(errors) > 1 else worst


def title_of(kind: JobKind, job_ids: str | list[str]) -> str:
    """Return how messages name a job, or several."""
    if isinstance(job_ids, list) and len(job_ids) != 1:
        return f"{len(job_ids)} {kind.plural} ({ids(job_ids, 1)})"
    return f"{kind.title} {job_ids if isinstance(job_ids, str) else job_ids[0]}"
