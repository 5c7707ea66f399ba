"""The sensor for any kind of job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from airflow_provider_hwstatus.core.polling.wait_target import WaitTarget
from airflow_provider_hwstatus.kinds import JobKind, kind_of
from airflow_provider_hwstatus.sensors.base import JobStatusSensor

if TYPE_CHECKING:
    from typing import Unpack

    from airflow.providers.common.compat.sdk import XComArg

    from airflow_provider_hwstatus.sensors.arguments import SensorArguments


class JobSensor(JobStatusSensor):
    """
    Waits until a job of any kind is over, or several jobs.

    :param kind: The name of a kind, such as ``"mrs_job"``, or a
        :class:`~airflow_provider_hwstatus.kinds.job_kind.JobKind` of your own.
    :param job_id: The job's id, or a list of them.
    :param parameters: What the kind needs beside the id, such as ``{"cluster_id": "…"}``.
    :raises ValueError: There is no such kind; or a parameter is missing or superfluous.
    """

    template_fields: Sequence[str] = ("job_id", "parameters", *JobStatusSensor.template_fields)

    def __init__(
        self,
        *,
        kind: JobKind | str,
        job_id: str | int | Sequence[str] | Sequence[int] | XComArg,
        parameters: Mapping[str, object] | None = None,
        **kwargs: Unpack[SensorArguments],
    ) -> None:
        declared = kind_of(kind)
        if parameters is not None and not isinstance(parameters, Mapping):
            raise ValueError(f"parameters must be a mapping by name; it is {parameters!r}")
        declared.check_parameters(parameters or {})
        super().__init__(kind=declared, **kwargs)
        self.job_id = job_id
        self.parameters = parameters

    @property
    def id_argument(self) -> str:
        return "job_id"

    @cached_property
    def wait_target(self) -> WaitTarget:
        return WaitTarget.of(self.kind, self.job_id, self.rule, parameters=self.parameters, argument="job_id")
