"""The button on a task that leads to its job in the cloud's web console."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow_provider_hwstatus.core.reporting.progress import Log


class ConsoleLink(BaseOperatorLink):
    """
    Leads to what the task left in XCom: where the job is depends on the connection, which a web server does not know.

    Airflow 3's web server reads it there by the key alone, and Airflow 2's by calling :meth:`get_link`. Airflow 3's
    worker calls that, too, to leave it there, whenever a task ends or defers.
    """

    name = "Huawei Cloud console"

    @property
    def xcom_key(self) -> str:
        """Where the task leaves it."""
        return "hwstatus_console_link"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the job's page; empty where it is not known."""
        page: str | None = getattr(operator, "console_page", None)  # a web server's copy of the task has none
        if page is not None:
            return page
        from airflow.providers.common.compat.sdk import XCom

        return XCom.get_value(key=self.xcom_key, ti_key=ti_key) or ""


def push_console_link(page: str, ti: Any, log: Log) -> None:
    """Leave the page of a job for the button before the wait begins, if it is known. Nothing depends on that."""
    if not page or ti is None:  # as in a test of somebody's DAG
        return
    try:
        ti.xcom_push(key=ConsoleLink().xcom_key, value=page)
    except Exception as error:  # noqa: BLE001  # a wait must not end for want of a button
        log.warning("The link to the console could not be stored: %s", type(error).__name__)
