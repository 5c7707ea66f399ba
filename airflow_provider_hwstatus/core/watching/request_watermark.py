"""Which CPH requests are over. The list of jobs of many tells which go on; each is asked about alone to decide."""

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

#: Seconds for which the list may not know a request or not show all of its jobs.
GRACE = 60.0

_ALL = CompletionRule(wait_for_all=True, fail_fast=False)


class RequestWatermark:
    """
    What a watcher has seen of a request.

    :raises ConfigurationError: It cannot be one.
    """

    def __init__(self, request_id: str, expected: Expected) -> None:
        self.request_id = check_job_id("request_id", request_id)
        #: Whether its end is told, or of no interest.
        self.told = False
        #: Ids of its jobs that went on when it was looked at.
        self.going: frozenset[str] = frozenset()
        #: When it was first watched, in seconds since 1970.
        self.began = 0.0
        self._expected = expected
        self._jobs: CphRequests | None = None

    def remember(self, fields: object, now: float) -> None:
        """
        Go on where :meth:`to_dict` says, or begin. What is corrupt is logged, and begins anew.

        :param fields: None if nothing is stored.
        :param now: Seconds since 1970.
        """
        self.began, self.told = now, False
        if fields is not None:
            stored = Checkpoint(f"the watcher of {title_of_requests([self.request_id])}", fields, now)
            began, told = stored.time("began"), stored.flag("told")
            self.began, self.told = now if began is None else began, told is True
            stored.log_what_is_corrupt()

    def to_dict(self) -> dict[str, object]:
        """Return JSON for :meth:`remember`."""
        return {"began": self.began, "told": self.told}

    def poll(self, client: Client) -> Flow[JobsSummary | None]:
        """
        Ask about it, and nothing else.

        :return: None if nothing is known of it yet.
        :raises HwStatusError: It could not be answered.
        """
        if self._jobs is None:
            self._jobs = CphRequests(client, [self.request_id], _ALL, self._expected)
        self._jobs.move_to(client)
        options = WaitOptions(poke_interval=GRACE, began=self.began, outage_tolerance=0.0, not_found_grace=GRACE)
        try:
            summary = yield from self._jobs.poll(options)
        except JobNotFoundError:
            if client.clock() < self.began + GRACE:
                return None
            raise
        self.going = frozenset(status.job_id for status in summary.going)
        return summary


def poll_each(client: Client, requests: Sequence[RequestWatermark]) -> Flow[list[JobsSummary | HwStatusError | None]]:
    """Ask about each request by itself; what is wrong with one keeps no other."""
    answers: list[JobsSummary | HwStatusError | None] = yield Together(
        [partial(_poll_once, client, one) for one in requests]
    )
    return answers


def _poll_once(client: Client, request: RequestWatermark) -> Flow[JobsSummary | HwStatusError | None]:
    try:
        return (yield from request.poll(client))
    except HwStatusError as error:
        return error


def read_going(client: Client, request_ids: Sequence[str]) -> Flow[set[str]]:
    """
    Return ids of jobs of these requests that go on, or some of them: what is wrong with one is seen when it is alone.

    :raises RetryableError: There is an outage.
    """
    going = set[str]()
    for first in range(0, len(request_ids), REQUESTS_PER_CALL):
        try:
            yield from _read(client, request_ids[first : first + REQUESTS_PER_CALL], going)
        except RetryableError:
            raise
        except HwStatusError:
            continue
    return going


def _read(client: Client, request_ids: Sequence[str], going: set[str]) -> Flow[None]:
    listed = set[str]()

    def take(page: Page) -> bool:
        states = {str(row.get(CPH_JOB.id_field)): str(row.get(CPH_JOB.state_field)) for row in page.rows}
        going.update(job_id for job_id, state in states.items() if CPH_JOB.outcome_of(state) is Outcome.IN_PROGRESS)
        new = states.keys() - listed
        listed.update(new)
        return bool(new) and len(page.rows) >= PAGE

    yield from read_pages(client, cph_jobs(request_ids), RetryBudget(0.0), take)
