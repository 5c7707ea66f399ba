"""Several jobs, each asked about by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from airflow_provider_hwstatus.core.client import Client, Question
from airflow_provider_hwstatus.core.errors import (
    ApiError,
    DeadlineError,
    HwStatusError,
    JobNotFoundError,
    MalformedResponseError,
    RetryableError,
    UnknownStateError,
)
from airflow_provider_hwstatus.core.jobs import JobKind
from airflow_provider_hwstatus.core.messages import Flow, Together
from airflow_provider_hwstatus.core.plan import Plan
from airflow_provider_hwstatus.core.status import JobStatus
from airflow_provider_hwstatus.core.tally import Rule, Tally, ids

#: What can be wrong with one job's question, while the others have an answer.
_OF_ONE_JOB = (JobNotFoundError, MalformedResponseError, UnknownStateError)


class Questions:
    """
    How several jobs are. One that is over is not asked about again, and no one twice at once.

    :param job_ids: In any order, with or without repeats.
    :raises ConfigurationError: One of them cannot be an id.
    """

    def __init__(self, client: Client, kind: JobKind, job_ids: Iterable[str], rule: Rule) -> None:
        self.client = client
        self._rule = rule
        self._left = {job_id: Question(client, kind, job_id) for job_id in dict.fromkeys(job_ids)}
        self._statuses: dict[str, JobStatus | None] = dict.fromkeys(self._left)
        self.subject = title_of(kind, list(self._left))

    def move_to(self, client: Client) -> None:
        """Use another connection from now on. What was found stays found."""
        self.client = client
        for question in self._left.values():
            question.move_to(client)

    def look(self, plan: Plan) -> Flow[Tally]:
        """
        Ask about each job that is not over.

        :raises HwStatusError: One of them could not be answered, and how the wait ends depends on it.
        """
        try:
            errors = yield from self._ask(plan)
        except DeadlineError as error:
            raise error.about(f"{self.subject}: {self._tally().standing}")  # noqa: B904  # the same, with more
        tally = self._tally()
        if errors and not tally.over:
            raise _worst(errors)
        return tally

    def _ask(self, plan: Plan) -> Flow[list[HwStatusError]]:
        errors = list[HwStatusError]()

        def answered(job_id: str, answer: JobStatus | HwStatusError) -> None:
            if isinstance(answer, HwStatusError):
                errors.append(answer)
                return
            self._statuses[job_id] = answer
            if answer.over:
                del self._left[job_id]

        yield from ask_together(dict(self._left), plan, answered)
        return errors

    def _tally(self) -> Tally:
        known = tuple(status for status in self._statuses.values() if status)
        return Tally(subject=self.subject, rule=self._rule, statuses=known, missing=len(self._statuses) - len(known))


def ask_together(
    questions: Mapping[str, Question], plan: Plan, answered: Callable[[str, JobStatus | HwStatusError], None]
) -> Flow[None]:
    """
    Poll several jobs at once.

    :param answered: Called with each job's status as it arrives, or with the error that concerns that job alone.
    :raises HwStatusError: One that concerns all of them: an outage, a login, a time-out.
    """
    yield Together([partial(_one, job_id, question, plan, answered) for job_id, question in questions.items()])


def _one(
    job_id: str, question: Question, plan: Plan, answered: Callable[[str, JobStatus | HwStatusError], None]
) -> Flow[None]:
    try:
        answer: JobStatus | HwStatusError = yield from question.look(plan)
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
