"""Sensors for Cloud Phone (CPH)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_hwstatus.core.cph_requests import CphRequests, title_of_requests
from airflow_provider_hwstatus.core.jobs import CPH_JOB
from airflow_provider_hwstatus.sensors.arguments import one_or_more
from airflow_provider_hwstatus.sensors.base import JobStatusSensor
from airflow_provider_hwstatus.sensors.submissions import expected_from
from airflow_provider_hwstatus.sensors.verdict import tally_of

if TYPE_CHECKING:
    from airflow_provider_hwstatus.core.client import Client
    from airflow_provider_hwstatus.core.cph_requests import Expected
    from airflow_provider_hwstatus.core.plan import Plan
    from airflow_provider_hwstatus.core.tally import Found, Tally
    from airflow_provider_hwstatus.triggers.cph_request import CphRequestTrigger


class CphJobSensor(JobStatusSensor):
    """
    Waits until a CPH job is over, or several.

    :param job_id: The ``job_id`` in the reply to the submission, or a list of them. For all jobs of a submission,
        :class:`CphRequestSensor` asks a hundred times less.
    """

    template_fields: Sequence[str] = ("job_id", *JobStatusSensor.template_fields)

    def __init__(self, *, job_id: str | Sequence[str], **kwargs: Any) -> None:
        super().__init__(kind=CPH_JOB, **kwargs)
        self.job_id = job_id


class CphRequestSensor(JobStatusSensor):
    """
    Waits until all jobs of a submission to CPH are over, or of several, by the list of jobs: one call for 100 jobs.

    Returns a list of statuses, in the order of their job ids: the list does not tell which request a job is of.

    :param request_id: The ``request_id`` in the reply to the submission, or a list of them.
    :param expected_jobs: How many jobs there should be: a number, or the reply to the submission itself (a list of
        either for several). It catches what was rejected at submission, which the list never shows.
    :param not_found_grace: Seconds from the begin of the wait for which the list may show no job or too few. Without
        *expected_jobs*, a success counts only after them: a list that is not complete yet looks like one that is.
    """

    template_fields: Sequence[str] = ("request_id", "expected_jobs", *JobStatusSensor.template_fields)

    def __init__(
        self,
        *,
        request_id: str | Sequence[str],
        expected_jobs: object = None,
        not_found_grace: timedelta | float = 60.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(kind=CPH_JOB, not_found_grace=not_found_grace, **kwargs)
        self.request_id = request_id
        self.expected_jobs = expected_jobs

    @property
    def _id_name(self) -> str:
        return "request_id"

    @cached_property
    def _asked(self) -> list[str]:
        asked = one_or_more(self._id_name, self.request_id)
        return asked if isinstance(asked, list) else [asked]

    @cached_property
    def _expected(self) -> Expected:
        return expected_from(self.expected_jobs)

    def _ask_with(self, client: Client) -> CphRequests:
        return CphRequests(client, self._asked, self._rule, self._expected, self.kind)

    def _trigger(self, plan: Plan) -> CphRequestTrigger:
        from airflow_provider_hwstatus.triggers.cph_request import CphRequestTrigger

        return CphRequestTrigger(
            request_id=self._asked,
            expected_jobs=self._expected.jobs,
            rejected=[status.to_dict() for status in self._expected.rejected],
            **self._trigger_arguments(plan),
        )

    def _found_in(self, event: object) -> Tally:
        return tally_of(event, self._subject, self._rule)

    def _value(self, found: Found) -> object:
        return [status.to_dict() for status in found.bounded().statuses]  # type: ignore[union-attr]

    @property
    def _subject(self) -> str:
        return title_of_requests(self._asked)
