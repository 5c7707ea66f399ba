"""Sensors for Cloud Phone (CPH)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from airflow_provider_hwstatus.core.polling.cph_requests import NOT_FOUND_GRACE
from airflow_provider_hwstatus.core.polling.expected_jobs import expected_from
from airflow_provider_hwstatus.core.polling.wait_target import WaitTarget
from airflow_provider_hwstatus.kinds.cph import CPH_JOB
from airflow_provider_hwstatus.sensors.base import JobStatusSensor

if TYPE_CHECKING:
    from typing import Unpack

    from airflow.providers.common.compat.sdk import XComArg

    from airflow_provider_hwstatus.sensors.arguments import SensorArguments


class CphJobSensor(JobStatusSensor):
    """
    Waits until a CPH job is over, or several.

    :param job_id: The ``job_id`` in the response to the submission, or a list of them. For all jobs of a submission,
        :class:`CphRequestSensor` sends a hundredth of the requests.
    """

    template_fields: Sequence[str] = ("job_id", *JobStatusSensor.template_fields)

    def __init__(self, *, job_id: str | Sequence[str] | XComArg, **kwargs: Unpack[SensorArguments]) -> None:
        super().__init__(kind=CPH_JOB, **kwargs)
        self.job_id = job_id


class CphRequestSensor(JobStatusSensor):
    """
    Waits until all jobs of a submission to CPH are over, or of several, by the list of jobs: one call for 100 jobs.

    Returns a list of statuses, in the order of their job ids: the list does not tell which request a job is of.

    :param request_id: The ``request_id`` in the response to the submission, or a list of them.
    :param expected_jobs: How many jobs there should be: a number, or the response to the submission itself (a list of
        either for several). It catches what was rejected at submission, which the list never shows.
    :param not_found_grace: Seconds from the begin of the wait for which the list may show no job or too few; 60 by
        default. Without *expected_jobs*, a success counts only after them: a list that is not complete yet looks like
        one that is.
    """

    template_fields: Sequence[str] = ("request_id", "expected_jobs", *JobStatusSensor.template_fields)
    default_not_found_grace = NOT_FOUND_GRACE

    def __init__(
        self,
        *,
        request_id: str | Sequence[str] | XComArg,
        expected_jobs: object = None,
        **kwargs: Unpack[SensorArguments],
    ) -> None:
        super().__init__(kind=CPH_JOB, **kwargs)
        self.request_id = request_id
        self.expected_jobs = expected_jobs

    @property
    def id_argument(self) -> str:
        return "request_id"

    @cached_property
    def wait_target(self) -> WaitTarget:
        return WaitTarget.of(self.kind, self.request_id, self.rule, expected_from(self.expected_jobs))
