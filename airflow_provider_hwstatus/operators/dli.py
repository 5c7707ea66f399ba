"""Operators for Data Lake Insight (DLI)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_hwstatus.kinds.dli import DLI_BATCH, DLI_SQL_JOB
from airflow_provider_hwstatus.operators.submit import SubmitOperator

if TYPE_CHECKING:
    from typing import Unpack

    from airflow.providers.common.compat.sdk import XComArg

    from airflow_provider_hwstatus.operators.arguments import OperatorArguments


class DliBatchOperator(SubmitOperator):
    """
    Submits a DLI batch (Spark) job once, and waits until it is over.

    :param batch: The body of the API's request, such as ``{"file": "obs://…", "className": "…", "queue": "…"}``. A
        marker is added to its ``name``. ``args`` and ``conf`` are not logged.
    """

    template_fields: Sequence[str] = ("batch", *SubmitOperator.template_fields)

    def __init__(self, *, batch: Mapping[str, Any] | XComArg, **kwargs: Unpack[OperatorArguments]) -> None:
        super().__init__(kind=DLI_BATCH, body_argument="batch", **kwargs)
        self.check_body(batch)
        self.batch = batch


class DliSqlJobOperator(SubmitOperator):
    """
    Submits a DLI SQL job once, and waits until it is over. A statement that DLI runs at once is over with the answer.

    :param job: The body of the API's request, such as ``{"sql": "…", "queue_name": "…", "currentdb": "…"}``. A marker
        is added to its ``tags``.
    """

    template_fields: Sequence[str] = ("job", *SubmitOperator.template_fields)

    def __init__(self, *, job: Mapping[str, Any] | XComArg, **kwargs: Unpack[OperatorArguments]) -> None:
        super().__init__(kind=DLI_SQL_JOB, body_argument="job", **kwargs)
        self.check_body(job)
        self.job = job
