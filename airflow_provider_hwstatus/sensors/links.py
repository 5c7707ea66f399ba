"""The button on a task that leads to its job in the cloud's web console."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow_provider_hwstatus.core.jobs import JobKind
    from airflow_provider_hwstatus.core.observing import Log
    from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook


class ConsoleLink(BaseOperatorLink):
    """
    Leads to what the task left in XCom: where the job is depends on the connection, which a web server does not know.

    Airflow 3 reads it there by the key alone, Airflow 2 by calling :meth:`get_link`.
    """

    name = "Huawei Cloud console"

    @property
    def xcom_key(self) -> str:
        """Where the task leaves it."""
        return "hwstatus_console_link"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the job's page; empty where it is not known."""
        from airflow.providers.common.compat.sdk import XCom

        return XCom.get_value(key=self.xcom_key, ti_key=ti_key) or ""


def offer(hook: HwStatusHook, kind: JobKind, job_id: str, ti: Any, log: Log) -> None:
    """Leave the page of a job for the button before the wait begins, if it is known. Nothing depends on that."""
    try:
        url = hook.console_url(kind, job_id)
        if url is not None and ti is not None:  # it is None in a test of somebody's DAG
            ti.xcom_push(key=ConsoleLink().xcom_key, value=url)
    except Exception as error:  # noqa: BLE001  # a wait must not end for want of a button
        log.warning("The link to the console could not be stored: %s", type(error).__name__)
