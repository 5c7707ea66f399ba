"""The trigger for all jobs of CPH requests."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_hwstatus.core.polling.expected_jobs import expected_from
from airflow_provider_hwstatus.core.polling.job_status import JobStatus
from airflow_provider_hwstatus.core.polling.wait_target import WaitTarget, target_of_requests
from airflow_provider_hwstatus.kinds.cph import CPH_JOB
from airflow_provider_hwstatus.kinds.job_kind import Outcome
from airflow_provider_hwstatus.triggers.job_status import JobStatusTrigger

if TYPE_CHECKING:
    from airflow_provider_hwstatus.core.polling.jobs_summary import CompletionRule
    from airflow_provider_hwstatus.kinds.job_kind import JobKind


class CphRequestTrigger(JobStatusTrigger):
    """
    Waits until all jobs of requests are over, and yields one event as :class:`JobStatusTrigger` does for a list.

    :param request_id: The requests.
    :param expected_jobs: How many jobs they should have led to; None if nobody knows.
    :param rejected: A status, as a dict, for each item of which no job was made.
    :param arguments: As for :class:`JobStatusTrigger`.
    """

    def __init__(
        self,
        request_id: list[str],
        expected_jobs: int | None = None,
        rejected: list[dict[str, Any]] | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(**{"job_id": []} | arguments)
        self.request_id = request_id
        self.expected_jobs = expected_jobs
        self.rejected = rejected

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        path, arguments = super().serialize()
        del arguments["job_id"]
        own = {"request_id": self.request_id, "expected_jobs": self.expected_jobs, "rejected": self.rejected}
        return path, own | arguments

    def _target(self, kind: JobKind, rule: CompletionRule) -> WaitTarget:
        expected = replace(expected_from(self.expected_jobs), rejected=tuple(map(_rejected, self.rejected or ())))
        return target_of_requests(kind, self.request_id, rule, expected)


def _rejected(fields: Any) -> JobStatus:
    status = JobStatus.from_dict(fields)
    if status.kind != CPH_JOB.name or status.outcome is not Outcome.FAILURE:
        raise ValueError("rejected must be a list of statuses of items that CPH rejected")
    return status
