"""Sensors for Data Lake Insight (DLI)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from airflow_provider_hwstatus.core.protocol.arguments import one_of
from airflow_provider_hwstatus.kinds.dli import (
    DLI_BATCH,
    DLI_FLINK_JOB_FINISHED,
    DLI_FLINK_JOB_RUNNING,
    DLI_FLINK_JOB_STOPPED,
    DLI_SESSION_READY,
    DLI_SESSION_STOPPED,
    DLI_SQL_JOB,
)
from airflow_provider_hwstatus.sensors.base import JobStatusSensor

if TYPE_CHECKING:
    from typing import Unpack

    from airflow.providers.common.compat.sdk import XComArg

    from airflow_provider_hwstatus.sensors.arguments import SensorArguments


class DliBatchSensor(JobStatusSensor):
    """
    Waits until a DLI batch (Spark) job is over, or several.

    :param batch_id: The ``id`` in the response to the submission. (Not its ``appId``.)
        Or a list of them.
    """

    template_fields: Sequence[str] = ("batch_id", *JobStatusSensor.template_fields)

    def __init__(self, *, batch_id: str | Sequence[str] | XComArg, **kwargs: Unpack[SensorArguments]) -> None:
        super().__init__(kind=DLI_BATCH, **kwargs)
        self.batch_id = batch_id


class DliSessionSensor(JobStatusSensor):
    """
    Waits until a DLI session takes statements, or until it has been stopped; or several.

    Huawei Cloud withdrew the session API from its documentation in December 2020; where it is gone, the error says so.

    :param session_id: The session, or a list of them.
    :param wait_for: ``ready`` or ``stopped``.
    """

    template_fields: Sequence[str] = ("session_id", *JobStatusSensor.template_fields)

    def __init__(
        self,
        *,
        session_id: str | Sequence[str] | XComArg,
        wait_for: Literal["ready", "stopped"] = "ready",
        **kwargs: Unpack[SensorArguments],
    ) -> None:
        kinds = {"ready": DLI_SESSION_READY, "stopped": DLI_SESSION_STOPPED}
        super().__init__(kind=kinds[one_of("wait_for", wait_for, tuple(kinds))], **kwargs)
        self.session_id = session_id
        self.wait_for = wait_for


class DliSqlJobSensor(JobStatusSensor):
    """
    Waits until a DLI SQL job is over, or several.

    :param job_id: The ``job_id`` in the response to the submission, or a list of them. A statement that DLI runs at
        once (``job_mode`` is ``sync``) is over when it has been submitted.
    """

    template_fields: Sequence[str] = ("job_id", *JobStatusSensor.template_fields)

    def __init__(self, *, job_id: str | Sequence[str] | XComArg, **kwargs: Unpack[SensorArguments]) -> None:
        super().__init__(kind=DLI_SQL_JOB, **kwargs)
        self.job_id = job_id


class DliFlinkJobSensor(JobStatusSensor):
    """
    Waits until a DLI Flink job has finished, runs, or has been stopped; or several.

    :param job_id: The ``job_id`` in the response to its creation, a number, or a list of them.
    :param wait_for: ``finished`` (jobs with an end only), ``running`` or ``stopped``.
    """

    template_fields: Sequence[str] = ("job_id", *JobStatusSensor.template_fields)

    def __init__(
        self,
        *,
        job_id: str | int | Sequence[str] | Sequence[int] | XComArg,
        wait_for: Literal["finished", "running", "stopped"] = "finished",
        **kwargs: Unpack[SensorArguments],
    ) -> None:
        kinds = {
            "finished": DLI_FLINK_JOB_FINISHED,
            "running": DLI_FLINK_JOB_RUNNING,
            "stopped": DLI_FLINK_JOB_STOPPED,
        }
        super().__init__(kind=kinds[one_of("wait_for", wait_for, tuple(kinds))], **kwargs)
        self.job_id = job_id
        self.wait_for = wait_for
