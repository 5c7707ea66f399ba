"""
Find the CPH requests whose jobs have all ended.

The list of jobs of many requests shows which jobs are in progress. To decide that a request has ended, it is polled by
itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.polling.cph_requests import CphRequests, title_of_requests
from airflow_provider_hwstatus.core.polling.expected_jobs import Expected
from airflow_provider_hwstatus.core.polling.job_ids import check_job_id
from airflow_provider_hwstatus.core.polling.job_lists import PAGE, REQUESTS_PER_CALL, Page, cph_jobs, read_pages
from airflow_provider_hwstatus.core.polling.jobs_summary import CompletionRule, JobsSummary
from airflow_provider_hwstatus.core.polling.wait_options import WaitOptions
from airflow_provider_hwstatus.core.protocol.effects import Flow, Together
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget
from airflow_provider_hwstatus.core.watching.checkpoint import Checkpoint
from airflow_provider_hwstatus.errors import HwStatusError, JobNotFoundError, RetryableError
from airflow_provider_hwstatus.kinds.cph import CPH_JOB
from airflow_provider_hwstatus.kinds.job_kind import Outcome

#: Seconds after the start of watching for which the list of a new request may be empty or incomplete.
GRACE = 60.0

_ALL_JOBS = CompletionRule(wait_for_all=True, fail_fast=False)


class RequestWatermark:
    """
    What a watcher knows about one CPH request. :meth:`to_dict` returns the checkpoint, which survives a restart.

    :param expected: How many jobs the request has, and which of them were rejected.
    :raises ConfigurationError: *request_id* is not a valid id.
    """

    def __init__(self, request_id: str, expected: Expected) -> None:
        self.request_id = check_job_id("request_id", request_id)
        #: Whether the end of the request was reported or ignored.
        self.reported = False
        #: Ids of the request's jobs that were in progress in the last poll.
        self.in_progress: frozenset[str] = frozenset()
        #: When watching started, in seconds since 1970.
        self.started_at = 0.0
        self._expected = expected
        self._jobs: CphRequests | None = None

    def restore(self, fields: object, now: float) -> None:
        """
        Restore a checkpoint. Corrupt fields are logged and get the values of a request that is new.

        :param fields: The stored JSON; None if nothing is stored.
        :param now: Seconds since 1970.
        """
        self.started_at, self.reported = now, False
        if fields is not None:
            stored = Checkpoint(f"the watcher of {title_of_requests([self.request_id])}", fields, now)
            started_at, reported = stored.time("started_at"), stored.flag("reported")
            self.started_at, self.reported = now if started_at is None else started_at, reported is True
            stored.log_corrupt_fields()

    def to_dict(self) -> dict[str, object]:
        """Return JSON for :meth:`restore`."""
        return {"started_at": self.started_at, "reported": self.reported}

    def poll(self, client: Client) -> Flow[JobsSummary | None]:
        """
        Poll the request once, without retries.

        :return: The state of its jobs; None if the list does not show the request yet.
        :raises JobNotFoundError: The list does not show the request after :data:`GRACE`.
        :raises HwStatusError: The request could not be polled.
        """
        if self._jobs is None:
            self._jobs = CphRequests(client, [self.request_id], _ALL_JOBS, self._expected)
        self._jobs.move_to(client)
        options = WaitOptions(poke_interval=GRACE, began=self.started_at, outage_tolerance=0.0, not_found_grace=GRACE)
        try:
            summary = yield from self._jobs.poll(options)
        except JobNotFoundError:
            if client.clock() < self.started_at + GRACE:
                return None
            raise
        self.in_progress = frozenset(status.job_id for status in summary.going)
        return summary


def poll_requests(
    client: Client, requests: Sequence[RequestWatermark]
) -> Flow[list[JobsSummary | HwStatusError | None]]:
    """
    Poll each request by itself.

    :return: For each request, what :meth:`RequestWatermark.poll` returned, or the error that it raised.
    """
    results: list[JobsSummary | HwStatusError | None] = yield Together(
        [partial(_poll_request, client, request) for request in requests]
    )
    return results


def _poll_request(client: Client, request: RequestWatermark) -> Flow[JobsSummary | HwStatusError | None]:
    try:
        return (yield from request.poll(client))
    except HwStatusError as error:
        return error


def list_jobs_in_progress(client: Client, request_ids: Sequence[str]) -> Flow[set[str]]:
    """
    Return ids of the requests' jobs that are in progress.

    Some ids may be missing: the requests of a call that fails are skipped, because each is polled by itself later.

    :raises RetryableError: There is an outage.
    """
    in_progress = set[str]()
    for first in range(0, len(request_ids), REQUESTS_PER_CALL):
        try:
            yield from _add_jobs_in_progress(client, request_ids[first : first + REQUESTS_PER_CALL], in_progress)
        except RetryableError:
            raise
        except HwStatusError:
            continue
    return in_progress


def _add_jobs_in_progress(client: Client, request_ids: Sequence[str], in_progress: set[str]) -> Flow[None]:
    """Add ids to *in_progress*: a list that fails on a later page still adds those of the pages before."""
    listed = set[str]()

    def take(page: Page) -> bool:
        states = {str(row.get("job_id")): str(row.get("status")) for row in page.rows}
        in_progress.update(
            job_id for job_id, state in states.items() if CPH_JOB.outcome_of(state) is Outcome.IN_PROGRESS
        )
        new = states.keys() - listed
        listed.update(new)
        return bool(new) and len(page.rows) >= PAGE

    yield from read_pages(client, cph_jobs(request_ids), RetryBudget(0.0), take)
