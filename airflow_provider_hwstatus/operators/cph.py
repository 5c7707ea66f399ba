"""Operators for Cloud Phone (CPH)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_hwstatus.kinds.cph import CPH_JOB
from airflow_provider_hwstatus.operators.submit import SubmitOperator

if TYPE_CHECKING:
    from typing import Unpack

    from airflow.providers.common.compat.sdk import XComArg

    from airflow_provider_hwstatus.operators.arguments import OperatorArguments


class CphPhonesOperator(SubmitOperator):
    """
    Does something with cloud phones once, and waits until all jobs of the request are over.

    CPH cannot be asked whether it has accepted a request. After an answer that is missing, the task fails for good,
    and says that the command may have been submitted; ``resubmit=True`` lets a retry submit it again. A job of CPH
    cannot be cancelled.

    :param action: ``restart``, ``stop``, ``reset``, ``run_command``, ``install``, ``install_multiple``, ``uninstall``,
        ``push``, ``update_property``, ``export_data``, ``import_data``, ``expand_volume``, ``restart_servers``,
        ``restart_encode_servers``, ``push_share_files``, ``push_share_apps`` or ``delete_share_files``.
    :param body: The body of the API's request, without ``command``, such as ``{"phones": [{"phone_id": "…"}]}``.
        ``content`` is not logged.
    :param resubmit: Whether it does no harm to submit the request twice.
    """

    template_fields: Sequence[str] = ("body", *SubmitOperator.template_fields)

    def __init__(
        self,
        *,
        action: str,
        body: Mapping[str, Any] | XComArg,
        resubmit: bool = False,
        **kwargs: Unpack[OperatorArguments],
    ) -> None:
        super().__init__(kind=CPH_JOB, body_argument="body", action=action, resubmit=resubmit, **kwargs)
        self.check_body(body)
        self.action = action
        self.body = body
