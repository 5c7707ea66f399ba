"""Sensors for Data Lake Insight (DLI)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, cast, overload

from airflow_provider_hwstatus.core.polling.batches_by_name import BatchSearch, time_from
from airflow_provider_hwstatus.core.polling.named_target import FoundBatches, NamedTarget
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
from airflow_provider_hwstatus.sensors.by_name import GRACE_BY_NAME, NOT_GIVEN, check_name_arguments, run_began
from airflow_provider_hwstatus.sensors.console_link import push_console_link

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Unpack

    from airflow.providers.common.compat.sdk import Context, PokeReturnValue, XComArg

    from airflow_provider_hwstatus.core.polling.wait_target import WaitTarget
    from airflow_provider_hwstatus.sensors.arguments import SensorArguments


class DliBatchSensor(JobStatusSensor):
    """
    Waits until a DLI batch (Spark) job is over, or several. Give either *batch_id* or *name*.

    :param batch_id: The ``id`` in the response to the submission. (Not its ``appId``.)
        Or a list of them.
    :param name: The name of a batch that another system submits: the name itself, or a pattern with ``*``, ``?`` and
        ``[…]``, as for file names. It is case-sensitive.
    :param submitted_after: With *name*: batches that were submitted earlier are ignored. A datetime or a text in
        ISO 8601, in UTC if it has no time zone. By default, the start of the DAG run.
    :param on_many: With *name*: what to do about several such batches: end with an ``error``; wait for the ``newest``;
        or wait for ``all``, as for a list of ids.
    :param not_found_grace: Seconds from the begin of the wait in which a batch that is not found is no error; by
        default 600 with *name*, and 0 with *batch_id*.
    :raises ValueError: Both *batch_id* and *name* are given, or neither; or an argument has an invalid value.
    """

    template_fields: Sequence[str] = ("batch_id", "name", "submitted_after", *JobStatusSensor.template_fields)

    _is_by_name = False  # Airflow reads start_trigger_args before __init__() has set this

    @overload
    def __init__(self, *, batch_id: str | Sequence[str] | XComArg, **kwargs: Unpack[SensorArguments]) -> None: ...

    @overload
    def __init__(
        self,
        *,
        name: str | XComArg,
        submitted_after: str | datetime | XComArg | None = None,
        on_many: Literal["error", "newest", "all"] = "error",
        **kwargs: Unpack[SensorArguments],
    ) -> None: ...

    def __init__(
        self,
        *,
        batch_id: Any = NOT_GIVEN,
        name: str | XComArg | None = None,
        submitted_after: str | datetime | XComArg | None = None,
        on_many: Literal["error", "newest", "all"] = "error",
        **kwargs: Unpack[SensorArguments],
    ) -> None:
        check_name_arguments(batch_id, name, submitted_after, on_many)
        if name is not None and kwargs.get("not_found_grace") is None:
            kwargs["not_found_grace"] = GRACE_BY_NAME
        super().__init__(kind=DLI_BATCH, **kwargs)
        self.batch_id = None if batch_id is NOT_GIVEN else batch_id
        self.name = name
        self.submitted_after = submitted_after
        self.on_many = on_many
        self._is_by_name = name is not None
        self._run_began: float | None = None
        self._target: WaitTarget | None = None

    @property
    def id_argument(self) -> str:
        return "name" if self._is_by_name else "batch_id"

    @property
    def wait_target(self) -> WaitTarget:
        # By name until the batches are found, and then by id.
        if self._target is None:
            self._target = self._target_by_name() if self._is_by_name else super().wait_target
        if isinstance(self._target, NamedTarget):
            self._target = self._target.found(self._poller)
        return self._target

    def _target_by_name(self) -> NamedTarget:
        began = time.time() if self._run_began is None else self._run_began
        after = began if self.submitted_after is None else time_from(self.submitted_after)
        return NamedTarget.by_name(self.kind, BatchSearch(cast("str", self.name), after, self.on_many), self.rule)

    def own_target_fields(self) -> dict[str, Any]:
        return {"on_many": self.on_many} if self._is_by_name else {}

    def _take(self, context: Context, kept: dict[str, Any] | None = None) -> None:
        if self._is_by_name:
            self._run_began = run_began(context)
        if kept is not None:
            self._target = self._target_by_name().with_names(kept)

    def _kept(self) -> dict[str, Any] | None:
        target = self.wait_target
        return dict(target.names) if isinstance(target, FoundBatches) else None

    def poke(self, context: Context) -> bool | PokeReturnValue:
        before = self.wait_target
        try:
            return super().poke(context)
        finally:
            if self.wait_target is not before:  # the batches are found, so the button has a target
                vars(self).pop("console_page", None)
                push_console_link(self.console_page, context.get("ti"), self.log)


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
