"""All jobs of one or more CPH requests, by the list of jobs: one call for a hundred of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.polling.expected_jobs import Expected
from airflow_provider_hwstatus.core.polling.job_ids import check_job_id, is_job_id
from airflow_provider_hwstatus.core.polling.job_lists import PAGE, REQUESTS_PER_CALL, Page, cph_jobs, read_pages
from airflow_provider_hwstatus.core.polling.job_poller import JobPoller, check_known, poll_together
from airflow_provider_hwstatus.core.polling.job_status import JobStatus, status_of
from airflow_provider_hwstatus.core.polling.jobs_summary import CompletionRule, JobsSummary, ids
from airflow_provider_hwstatus.core.polling.wait_options import WaitOptions
from airflow_provider_hwstatus.core.protocol.effects import Flow
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget
from airflow_provider_hwstatus.errors import HwStatusError, JobNotFoundError, MalformedResponseError
from airflow_provider_hwstatus.kinds.cph import CPH_JOB
from airflow_provider_hwstatus.kinds.job_kind import JobKind


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
        self,
        client: Client,
        request_ids: Iterable[str],
        rule: CompletionRule,
        expected: Expected,
        kind: JobKind = CPH_JOB,
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

    def open(self) -> None:
        """Begin a wait: nothing to prepare."""

    def close(self) -> None:
        """End the wait: nothing to release."""

    def poll(self, options: WaitOptions) -> Flow[JobsSummary]:
        """
        List the jobs, and ask about those by themselves that the list does not show any more.

        :raises JobNotFoundError: There are none.
        :raises HwStatusError: The question could not be answered.
        """
        try:
            summary = yield from self._count(options)
        except HwStatusError as error:
            raise error.about(self.subject)  # noqa: B904  # the same error, with its subject
        for status in summary.going:
            check_known(status.subject, status, options)
        return summary

    def _count(self, options: WaitOptions) -> Flow[JobsSummary]:
        if self._expected.jobs == 0:  # all were rejected
            return self._tally(gone=True)
        listed = yield from self._list(REQUESTS_PER_CALL, options.budget)
        yield from self._find(set(self._jobs) - listed, options)
        settled = self.client.clock() >= options.began + options.not_found_grace
        summary = self._tally(gone=False)
        if not self._needs_another_look(summary) or not settled:
            return summary
        yield from self._list(1, options.budget)
        yield from self._find(set(), options)
        return self._tally(gone=True)

    def _needs_another_look(self, summary: JobsSummary) -> bool:
        """Return whether all that was listed is over, and there may be more that was not."""
        return not summary.over and not summary.going and bool(summary.missing or not summary.complete)

    def _tally(self, gone: bool) -> JobsSummary:
        jobs = [self._jobs[job_id] for job_id in sorted(self._jobs)]
        return JobsSummary(
            subject=self.subject,
            rule=self._rule,
            statuses=(*jobs, *self._expected.rejected),
            missing=self._expected.missing(len(jobs)),
            gone=gone and all(job.over for job in jobs),
            complete=gone or self._expected.jobs is not None,
        )

    def _list(self, at_once: int, budget: RetryBudget) -> Flow[set[str]]:
        """Read the list, *at_once* requests in a call, and return the ids of the jobs in it."""
        listed, missing = set[str](), None
        for first in range(0, len(self._request_ids), at_once):
            request_ids = self._request_ids[first : first + at_once]
            try:
                listed |= yield from self._pages(request_ids, thorough=at_once == 1, budget=budget)
            except JobNotFoundError as error:
                if at_once == 1 and len(self._request_ids) > 1:
                    raise error.about(title_of_requests(request_ids))  # noqa: B904  # the same error, with its subject
                missing = error
        if not listed and not self._jobs:
            raise missing or JobNotFoundError("the list of jobs has none of it")
        return listed

    def _pages(self, request_ids: Sequence[str], thorough: bool, budget: RetryBudget) -> Flow[set[str]]:
        """
        Read the pages of some requests, and return the ids of the jobs in them.

        :param thorough: Whether to continue after a page that is not full, until a page has nothing new.
        """
        listed = set[str]()

        def take(page: Page) -> bool:
            new = {self._note(self._read(row, page.request_id)) for row in page.rows} - listed
            if not listed and not new:
                raise JobNotFoundError("the list of jobs has none of it", request_id=page.request_id)
            listed.update(new)
            return bool(new) and (thorough or len(page.rows) >= PAGE)

        try:
            yield from read_pages(self.client, cph_jobs(request_ids), budget, take)
        except JobNotFoundError:
            if not listed:
                raise  # else the position is behind the last row
        return listed

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

    def _find(self, unlisted: set[str], options: WaitOptions) -> Flow[None]:
        """
        Ask about jobs by themselves: those that rows contradict each other about, and *unlisted* ones that go on.

        :raises HwStatusError: One of them could not be answered.
        """
        unclear = self._disputed | {one for one in unlisted if not self._jobs[one].over}
        if not unclear:
            return
        pollers = {one: JobPoller(self.client, self._kind, self._jobs[one].job_id) for one in sorted(unclear)}
        answers = dict[str, JobStatus | HwStatusError]()
        yield from poll_together(pollers, options, answers.__setitem__)
        for one, answer in answers.items():
            if isinstance(answer, JobStatus):
                self._jobs[one] = answer
                if answer.over:  # until then, no row is believed
                    self._disputed.discard(one)
                    self._confirmed.add(one)
        for answer in answers.values():
            if isinstance(answer, HwStatusError):
                raise answer


def title_of_requests(request_ids: Sequence[str]) -> str:
    """Return how messages call the jobs of requests."""
    if len(request_ids) == 1:
        return f"CPH request {request_ids[0]}"
    return f"{len(request_ids)} CPH requests ({ids(request_ids, 1)})"
