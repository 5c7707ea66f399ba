"""Poll all jobs of one or more CPH requests with the list of jobs, a hundred jobs per call."""

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

#: Seconds from the begin of a wait for which the list may show no job or too few, by default.
NOT_FOUND_GRACE = 60.0


class CphRequests:
    """
    Polls the jobs of CPH requests.

    A row of the list does not name its request, so only the job id identifies it. Ids that differ only in letter case
    or in surrounding spaces are the same job. If rows contradict each other about a job's end, the job is polled by
    itself. The list may lag behind and be incomplete. *expected* gives the number of jobs. If it does not, the list is
    taken as complete after ``not_found_grace``, once listing each request by itself has shown no more jobs.

    :param request_ids: In any order; duplicates are dropped.
    :param rule: When the wait for the jobs is over.
    :param expected: How many jobs the requests have, and which were rejected.
    :param kind: The kind of the jobs.
    :raises ConfigurationError: A request id is not valid.
    """

    coalesced = None

    def __init__(
        self,
        client: Client,
        request_ids: Iterable[str],
        rule: CompletionRule,
        expected: Expected,
        kind: JobKind = CPH_JOB,
    ) -> None:
        self.client = client
        self._request_ids = [check_job_id("request_id", request_id) for request_id in dict.fromkeys(request_ids)]
        self._kind = kind
        self._rule = rule
        self._expected = expected
        # The keys of these three are job ids in lower case.
        self._jobs: dict[str, JobStatus] = {}
        self._disputed = set[str]()  # rows contradict each other about these
        self._confirmed = set[str]()  # polled by themselves, and ended
        self.subject = title_of_requests(self._request_ids)

    def move_to(self, client: Client) -> None:
        """Use another connection from now on. Known states are kept."""
        self.client = client

    def open(self) -> None:
        """Begin a wait: nothing to prepare."""

    def close(self) -> None:
        """End the wait: nothing to release."""

    def poll(self, options: WaitOptions) -> Flow[JobsSummary]:
        """
        List the jobs; poll each running job by itself that the list no longer shows.

        :raises JobNotFoundError: The list shows no job.
        :raises UnknownStateError: A state is unknown, and *options* make that an error.
        :raises HwStatusError: The list or a job could not be polled.
        """
        try:
            summary = yield from self._poll(options)
        except HwStatusError as error:
            raise error.about(self.subject)  # noqa: B904  # the same error, with its subject
        for status in summary.going:
            check_known(f"{self._kind.title} {status.job_id}", status, options)
        return summary

    def _poll(self, options: WaitOptions) -> Flow[JobsSummary]:
        if self._expected.jobs == 0:  # all jobs were rejected
            return self._summary(final=True)
        listed = yield from self._list(REQUESTS_PER_CALL, options.budget)
        yield from self._poll_unclear(set(self._jobs) - listed, options)
        grace_is_over = self.client.clock() >= options.began + options.not_found_grace
        summary = self._summary(final=False)
        if not grace_is_over or not self._may_have_more_jobs(summary):
            return summary
        yield from self._list(1, options.budget)
        yield from self._poll_unclear(set(), options)
        return self._summary(final=True)

    def _may_have_more_jobs(self, summary: JobsSummary) -> bool:
        """Return whether all listed jobs have ended, and some may not be listed yet."""
        return not summary.over and not summary.going and bool(summary.missing or not summary.complete)

    def _summary(self, final: bool) -> JobsSummary:
        """
        Return a summary of the known jobs.

        :param final: Whether jobs that are not listed by now never will be.
        """
        jobs = [self._jobs[job_id] for job_id in sorted(self._jobs)]
        return JobsSummary(
            subject=self.subject,
            rule=self._rule,
            statuses=(*jobs, *self._expected.rejected),
            missing=self._expected.missing(len(jobs)),
            gone=final and all(job.over for job in jobs),
            complete=final or self._expected.jobs is not None,
        )

    def _list(self, at_once: int, budget: RetryBudget) -> Flow[set[str]]:
        """List the jobs, *at_once* requests in a call; return the keys of the listed jobs."""
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
            raise missing or JobNotFoundError("the list shows no jobs")
        return listed

    def _pages(self, request_ids: Sequence[str], thorough: bool, budget: RetryBudget) -> Flow[set[str]]:
        """
        Read the pages of some requests' list; return the keys of the listed jobs.

        :param thorough: Whether to continue after a page that is not full, until a page has no new job.
        :raises JobNotFoundError: The list is empty.
        """
        listed = set[str]()

        def take(page: Page) -> bool:
            new = {self._record(self._read(row, page.request_id)) for row in page.rows} - listed
            if not listed and not new:
                raise JobNotFoundError("the list shows no jobs", request_id=page.request_id)
            listed.update(new)
            return bool(new) and (thorough or len(page.rows) >= PAGE)

        try:
            yield from read_pages(self.client, cph_jobs(request_ids), budget, take)
        except JobNotFoundError:
            if not listed:
                raise  # otherwise, the position is behind the last row
        return listed

    def _read(self, row: Mapping[str, object], request_id: str | None) -> JobStatus:
        job_id, redact = self._kind.value("id", row, ""), self.client.redact
        job_id = redact(job_id).strip() if isinstance(job_id, str) else job_id
        if not is_job_id(job_id):
            raise MalformedResponseError("a row of the list of jobs has no job_id", request_id=request_id)
        return status_of(self._kind, job_id, row, request_id, redact)

    def _record(self, status: JobStatus) -> str:
        """Record what a row shows of a job; return the job's key."""
        key = status.job_id.lower()
        known = self._jobs.get(key)
        if known is None or not known.over:
            self._jobs[key] = status
        elif status.outcome is not known.outcome and key not in self._confirmed:
            self._disputed.add(key)
        return key

    def _poll_unclear(self, unlisted: set[str], options: WaitOptions) -> Flow[None]:
        """
        Poll jobs by themselves: disputed ones, and the *unlisted* ones that have not ended.

        :param unlisted: Keys of jobs that the list no longer shows.
        :raises HwStatusError: A job could not be polled. The statuses of the others are recorded.
        """
        unclear = self._disputed | {key for key in unlisted if not self._jobs[key].over}
        if not unclear:
            return
        pollers = {key: JobPoller(self.client, self._kind, self._jobs[key].job_id) for key in sorted(unclear)}
        results = dict[str, JobStatus | HwStatusError]()
        yield from poll_together(pollers, options, results.__setitem__)
        errors = list[HwStatusError]()
        for key, result in results.items():
            if isinstance(result, HwStatusError):
                errors.append(result)
                continue
            self._jobs[key] = result
            if result.over:  # until a job's own endpoint shows its end, no row decides
                self._disputed.discard(key)
                self._confirmed.add(key)
        if errors:
            raise errors[0]


def title_of_requests(request_ids: Sequence[str]) -> str:
    """Return the name of the requests in messages."""
    if len(request_ids) == 1:
        return f"CPH request {request_ids[0]}"
    return f"{len(request_ids)} CPH requests ({ids(request_ids, 1)})"
