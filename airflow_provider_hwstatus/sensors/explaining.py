"""The message of a job's failure, which says why as far as the service tells. Every mode comes through here."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_hwstatus.core.explaining import Explanation
from airflow_provider_hwstatus.core.jobs import JobKind
from airflow_provider_hwstatus.core.observing import Log
from airflow_provider_hwstatus.core.report import failure_message
from airflow_provider_hwstatus.core.status import JobStatus
from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook


def why_failed(hook: HwStatusHook, kind: JobKind, status: JobStatus, log: Log) -> str:
    """
    Return the message of a failure, and log the job's last lines of output. That takes ten seconds at most.

    Asked by the worker, in every mode: what a trigger tells goes through Airflow's database, and has to be small.
    """
    try:
        found = hook.explain(kind, status)
    except AirflowTaskTimeout:  # execution_timeout, but how the wait ended is known already
        found = Explanation(status, "execution_timeout came first")
    finally:
        hook.close()
    if found.status.log:
        log.info("The last %d lines of output of %s %s:", len(found.status.log), kind.title, status.job_id)
        for line in found.status.log:
            log.info("  %s", line)
    return failure_message(kind, found.status, found.missing, found.console)
