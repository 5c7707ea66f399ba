"""The button of a task that opens its job in the cloud's web console."""

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
        """The XCom key of the link."""
        return "hwstatus_console_link"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the URL of the job's page; empty if it is not known."""
        page: str | None = getattr(
            operator, "console_page", None
        )  # the web server's copy of the task has no such attribute
        if page is not None:
            return page
        from airflow.providers.common.compat.sdk import XCom

        return XCom.get_value(key=self.xcom_key, ti_key=ti_key) or ""


def push_console_link(page: str, ti: Any, log: Log) -> None:
    """Store the URL of a job's page for the button, if it is known. An error is only logged."""
    if not page or ti is None:  # no task instance: a unit test
        return
    try:
        ti.xcom_push(key=ConsoleLink().xcom_key, value=page)
    except Exception as error:  # noqa: BLE001  # a missing link must not end the wait
        log.warning("The link to the console could not be stored: %s", type(error).__name__)
