"""Several jobs, each asked about by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.polling.batch_coalescer import LONGEST_READ
from airflow_provider_hwstatus.core.polling.job_ids import check_job_id
from airflow_provider_hwstatus.core.polling.job_status import JobStatus, read_status, status_request
from airflow_provider_hwstatus.core.polling.jobs_summary import CompletionRule, JobsSummary, ids
from airflow_provider_hwstatus.core.polling.wait_options import WaitOptions
from airflow_provider_hwstatus.core.protocol.effects import Flow, Request, Response, Together
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

#: What can be wrong with one job's question, while the others have an answer.
_OF_ONE_JOB = (JobNotFoundError, MalformedResponseError, UnknownStateError)


class JobPollers:
    """
    How several jobs are. One that is over is not asked about again, and no one twice at once.

    :param job_ids: In any order, with or without repeats.
    :raises ConfigurationError: One of them cannot be an id.
    """

    def __init__(self, client: Client, kind: JobKind, job_ids: Iterable[str], rule: CompletionRule) -> None:
        self.client = client
        self._rule = rule
        self._left = {job_id: JobPoller(client, kind, job_id) for job_id in dict.fromkeys(job_ids)}
        self._statuses: dict[str, JobStatus | None] = dict.fromkeys(self._left)
        self.subject = title_of(kind, list(self._left))

    def move_to(self, client: Client) -> None:
        """Use another connection from now on. What was found stays found."""
        self.client = client
        for poller in self._left.values():
            poller.move_to(client)

    def poll(self, options: WaitOptions) -> Flow[JobsSummary]:
        """
        Ask about each job that is not over.

        :raises HwStatusError: One of them could not be answered, and how the wait ends depends on it.
        """
        try:
            errors = yield from self._ask(options)
        except DeadlineError as error:
            raise error.about(f"{self.subject}: {self._tally().standing}")  # noqa: B904  # the same, with more
        summary = self._tally()
        if errors and not summary.over:
            raise _worst(errors)
        return summary

    def _ask(self, options: WaitOptions) -> Flow[list[HwStatusError]]:
        errors = list[HwStatusError]()

        def answered(job_id: str, answer: JobStatus | HwStatusError) -> None:
            if isinstance(answer, HwStatusError):
                errors.append(answer)
                return
            self._statuses[job_id] = answer
            if answer.over:
                del self._left[job_id]

        yield from poll_together(dict(self._left), options, answered)
        return errors

    def _tally(self) -> JobsSummary:
        known = tuple(status for status in self._statuses.values() if status)
        return JobsSummary(
            subject=self.subject, rule=self._rule, statuses=known, missing=len(self._statuses) - len(known)
        )


def poll_together(
    pollers: Mapping[str, JobPoller], options: WaitOptions, answered: Callable[[str, JobStatus | HwStatusError], None]
) -> Flow[None]:
    """
    Poll several jobs at once.

    :param answered: Called with each job's status as it arrives, or with the error that concerns that job alone.
    :raises HwStatusError: One that concerns all of them: an outage, a login, a time-out.
    """
    yield Together([partial(_one, job_id, poller, options, answered) for job_id, poller in pollers.items()])


def _one(
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
    """Return the first error, one that may not pass by itself if there is such; the rest are counted."""
    worst = next((error for error in errors if not isinstance(error, JobNotFoundError)), errors[0])
    return worst.about(f"{len(errors)} jobs cannot be asked about; one of them is") if len(errors) > 1 else worst


def title_of(kind: JobKind, job_ids: str | list[str]) -> str:
    """Return how messages call a job, or several."""
    if isinstance(job_ids, list) and len(job_ids) != 1:
        return f"{len(job_ids)} {kind.plural} ({ids(job_ids, 1)})"
    return f"{kind.title} {job_ids if isinstance(job_ids, str) else job_ids[0]}"


#: Bytes of a reply that are kept to compare the next one with.
_SHORT = 1024


class JobPoller:
    """
    How a job is, asked as often as need be. What is the same each time is worked out once.

    :raises ConfigurationError: *job_id* cannot be one.
    """

    def __init__(self, client: Client, kind: JobKind, job_id: str) -> None:
        self.client = client
        self.kind = kind
        self.job_id = check_job_id(kind.id_name, job_id)
        self._request: Request | None = None
        self._body: bytes | None = None
        self._status: JobStatus | None = None
        if client.coalescer:
            client.coalescer.watch(self)

    def move_to(self, client: Client) -> None:
        """Use another connection from now on."""
        self.client, self._request = client, None
        if client.coalescer:
            client.coalescer.watch(self)

    @property
    def subject(self) -> str:
        """What the question is about, as messages call it."""
        return f"{self.kind.title} {self.job_id}"

    def ask(self, budget: RetryBudget) -> Flow[JobStatus]:
        """
        Ask, and go on asking through an outage.

        :raises HwStatusError: The question could not be answered.
        """
        try:
            return (yield from self.client.retry(self._ask, budget, self.kind.service, self.kind.name))
        except HwStatusError as error:
            raise error.about(self.subject)  # noqa: B904  # the same error, with its subject

    def poll(self, options: WaitOptions) -> Flow[JobStatus]:
        """
        Ask as *plan* says, or have the list of jobs say that it goes on.

        :raises UnknownStateError: The state is unknown, and the plan is to fail then.
        :raises HwStatusError: The question could not be answered.
        """
        coalescer = self.client.coalescer
        # A list can take as long as LONGEST_READ, so a wait that has less does without.
        hurried = options.deadline is not None and self.client.clock() + LONGEST_READ >= options.deadline
        if coalescer and not hurried and (state := (yield from coalescer.cached_state(self))):
            return JobStatus(kind=self.kind.name, job_id=self.job_id, state=state, outcome=Outcome.IN_PROGRESS)
        status = yield from self.ask(options.budget)
        if coalescer:
            coalescer.record(self, status.state, status.over)
        check_known(self.subject, status, options)
        return status

    def _ask(self) -> Flow[JobStatus]:
        client = self.client
        response: Response = yield from client.exchange(self._request or (yield from self._build()))
        if response.body == self._body and response.status == 200 and self._status:
            return self._status
        status = read_status(self.kind, self.job_id, response, client.redact, client.clock())
        if status.outcome is Outcome.IN_PROGRESS and len(response.body) < _SHORT:
            self._body, self._status = response.body, status
        return status

    def _build(self) -> Flow[Request]:
        project_id = yield from self.client.project_id()
        endpoint = self.client.settings.endpoint(self.kind.service)
        self._request = status_request(self.kind, endpoint, project_id, self.job_id)
        return self._request


def check_known(subject: str, status: JobStatus, options: WaitOptions) -> None:
    """
    Raise where a state is unknown and *plan* is to fail then.

    :raises UnknownStateError: So it is.
    """
    if status.outcome is Outcome.UNKNOWN and options.on_unknown_state == "fail":
        raise UnknownStateError(
            f"{subject}: its state {status.state!r} is in no table, and on_unknown_state is 'fail'",
            request_id=status.request_id,
        )
