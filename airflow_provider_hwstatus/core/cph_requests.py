"""All jobs of one or more CPH requests, by the list of jobs: one call for a hundred of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from airflow_provider_hwstatus.core.client import Client, Question, check_known
from airflow_provider_hwstatus.core.errors import HwStatusError, JobNotFoundError, MalformedResponseError
from airflow_provider_hwstatus.core.flow import Patience
from airflow_provider_hwstatus.core.jobs import CPH_JOB, JobKind, Outcome
from airflow_provider_hwstatus.core.messages import Flow
from airflow_provider_hwstatus.core.pages import MOST_PAGES, PAGE, REQUESTS_PER_CALL, cph_jobs, endless_list
from airflow_provider_hwstatus.core.plan import Plan
from airflow_provider_hwstatus.core.questions import ask_together
from airflow_provider_hwstatus.core.settings import check_job_id, is_job_id
from airflow_provider_hwstatus.core.status import JobStatus, status_of
from airflow_provider_hwstatus.core.tally import Rule, Tally, ids


@dataclass(frozen=True)
class Expected:
    """
    What requests should have led to.

    :param jobs: How many jobs; None if nobody knows.
    :param rejected: What was refused at once: there is no job of it, and no list shows it.
    """

    jobs: int | None = None
    rejected: tuple[JobStatus, ...] = ()

    def missing(self, listed: int) -> int:
        """Return how many jobs are missing where so many are listed."""
        return 0 if self.jobs is None else max(self.jobs - listed, 0)


class CphRequests:
    """
    How the jobs of requests are.

    The rows of the list do not say which request they are of, so they are told apart by job alone. Ids that differ in
    letter case or spaces are one job. Where a row contradicts the end that another one shows, the job is asked about by
    itself. The list may lag behind and be incomplete; how many jobs there are is known from *expected*, or else taken
    from it once ``not_found_grace`` is over and a second look at each request by itself has found no more.

    :raises ConfigurationError: A request id cannot be one.
    """

    def __init__(
        self, client: Client, request_ids: Iterable[str], rule: Rule, expected: Expected, kind: JobKind = CPH_JOB
    ) -> None:
        self.client = client
        self._request_ids = [check_job_id("request_id", one) for one in dict.fromkeys(request_ids)]
        self._kind = kind
        self._rule = rule
        self._expected = expected
        self._jobs: dict[str, JobStatus] = {}  # by id in lower case, as in all of these
        self._disputed = set[str]()  # their rows contradict each other
        self._confirmed = set[str]()  # they were asked, and are over
        self.subject = title_of_requests(self._request_ids)

    def move_to(self, client: Client) -> None:
        """Use another connection from now on. What was found stays found."""
        self.client = client

    def look(self, plan: Plan) -> Flow[Tally]:
        """
        List the jobs, and ask about those by themselves that the list does not show any more.

        :raises JobNotFoundError: There are none.
        :raises HwStatusError: The question could not be answered.
        """
        try:
            tally = yield from self._count(plan)
        except HwStatusError as error:
            raise error.about(self.subject)  # noqa: B904  # the same error, with its subject
        for status in tally.going:
            check_known(status.subject, status, plan)
        return tally

    def _count(self, plan: Plan) -> Flow[Tally]:
        if self._expected.jobs == 0:  # all were rejected
            return self._tally(gone=True)
        listed = yield from self._list(REQUESTS_PER_CALL, plan.patience)
        yield from self._find(set(self._jobs) - listed, plan)
        settled = self.client.clock() >= plan.began + plan.not_found_grace
        tally = self._tally(gone=False)
        if not self._needs_another_look(tally) or not settled:
            return tally
        yield from self._list(1, plan.patience)
        yield from self._find(set(), plan)
        return self._tally(gone=True)

    def _needs_another_look(self, tally: Tally) -> bool:
        """Return whether all that was listed is over, and there may be more that was not."""
        return not tally.over and not tally.going and bool(tally.missing or not tally.complete)

    def _tally(self, gone: bool) -> Tally:
        jobs = [self._jobs[job_id] for job_id in sorted(self._jobs)]
        return Tally(
            subject=self.subject,
            rule=self._rule,
            statuses=(*jobs, *self._expected.rejected),
            missing=self._expected.missing(len(jobs)),
            gone=gone and all(job.over for job in jobs),
            complete=gone or self._expected.jobs is not None,
        )

    def _list(self, at_once: int, patience: Patience) -> Flow[set[str]]:
        """Read the list, *at_once* requests in a call, and return the ids of the jobs in it."""
        listed, missing = set[str](), None
        for first in range(0, len(self._request_ids), at_once):
            request_ids = self._request_ids[first : first + at_once]
            try:
                listed |= yield from self._pages(request_ids, thorough=at_once == 1, patience=patience)
            except JobNotFoundError as error:
                if at_once == 1 and len(self._request_ids) > 1:
                    raise error.about(title_of_requests(request_ids))  # noqa: B904  # the same error, with its subject
                missing = error
        if not listed and not self._jobs:
            raise missing or JobNotFoundError("the list of jobs has none of it")
        return listed

    def _pages(self, request_ids: Sequence[str], thorough: bool, patience: Patience) -> Flow[set[str]]:
        """
        Read the pages of some requests.

        :param thorough: Whether to go on after a page that is not full, until one has nothing new.
        """
        listed, offset = set[str](), 0
        for _ in range(MOST_PAGES):
            try:
                page = yield from cph_jobs(self.client, request_ids, offset, patience)
            except JobNotFoundError:
                if not offset:
                    raise
                return listed  # behind the last one
            new = {self._note(self._read(row, page.request_id)) for row in page.rows} - listed
            if not offset and not new:
                raise JobNotFoundError("the list of jobs has none of it", request_id=page.request_id)
            listed |= new
            offset += len(page.rows)
            if not new or not (thorough or len(page.rows) >= PAGE):
                return listed
        raise endless_list()

    def _read(self, row: Mapping[str, object], request_id: str | None) -> JobStatus:
        job_id, redact = row.get(self._kind.id_field), self.client.redact
        job_id = redact(job_id).strip() if isinstance(job_id, str) else job_id
        if not is_job_id(job_id):
            raise MalformedResponseError("a row of the list of jobs has no job_id", request_id=request_id)
        return status_of(self._kind, job_id, row, request_id, redact)

    def _note(self, status: JobStatus) -> str:
        """Take note of a row, and return by what its job is known."""
        key = status.job_id.lower()
        known = self._jobs.get(key)
        if known is None or not known.over:
            self._jobs[key] = status
        elif status.outcome is not known.outcome and key not in self._confirmed:
            self._disputed.add(key)
        return key

    def _find(self, unlisted: set[str], plan: Plan) -> Flow[None]:
        """
        Ask about jobs by themselves: those that rows contradict each other about, and *unlisted* ones that go on.

        :raises HwStatusError: One of them could not be answered.
        """
        unclear = self._disputed | {one for one in unlisted if not self._jobs[one].over}
        if not unclear:
            return
        questions = {one: Question(self.client, self._kind, self._jobs[one].job_id) for one in sorted(unclear)}
        answers = dict[str, JobStatus | HwStatusError]()
        yield from ask_together(questions, plan, answers.__setitem__)
        for one, answer in answers.items():
            if isinstance(answer, JobStatus):
                self._jobs[one] = answer
                if answer.over:  # until then, no row is believed
                    self._disputed.discard(one)
                    self._confirmed.add(one)
        for answer in answers.values():
            if isinstance(answer, HwStatusError):
                raise answer


def rejected(phone_id: str, code: str | None, text: str | None) -> JobStatus:
    """Return what stands for an item of a submission of which no job was made."""
    return JobStatus(
        kind=CPH_JOB.name,
        job_id=f"(none, {phone_id})",
        state="rejected",
        outcome=Outcome.FAILURE,
        error_code=code,
        error_message=text,
    )


def title_of_requests(request_ids: Sequence[str]) -> str:
    """Return how messages call the jobs of requests."""
    if len(request_ids) == 1:
        return f"CPH request {request_ids[0]}"
    return f"{len(request_ids)} CPH requests ({ids(request_ids, 1)})"
