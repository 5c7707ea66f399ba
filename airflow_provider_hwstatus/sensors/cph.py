"""Sensor for Cloud Phone (CPH)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_hwstatus.core.jobs import CPH_JOB
from airflow_provider_hwstatus.sensors.base import JobStatusSensor


class CphJobSensor(JobStatusSensor):
    """
    Waits until a CPH job is over.

    :param job_id: The ``job_id`` in the reply to the submission.
    """

    template_fields: Sequence[str] = ("job_id", *JobStatusSensor.template_fields)

    def __init__(self, *, job_id: str, **kwargs: Any) -> None:
        super().__init__(kind=CPH_JOB, **kwargs)
        self.job_id = job_id
