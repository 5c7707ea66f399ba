"""The message of a failed job, with the reason if the service has one. Every mode uses it."""

from __future__ import annotations

import time

from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_hwstatus.core.polling.job_status import JobStatus
from airflow_provider_hwstatus.core.polling.jobs_summary import PollResult
from airflow_provider_hwstatus.core.reporting.diagnosis import BUDGET, Diagnosis
from airflow_provider_hwstatus.core.reporting.failure_message import AT_LENGTH, failure_message, failures_message
from airflow_provider_hwstatus.core.reporting.progress import Log
from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook
from airflow_provider_hwstatus.kinds.job_kind import JobKind

#: The next job is diagnosed only if so many seconds are left.
_ENOUGH = 1.0


def why_failed(hook: HwStatusHook, kind: JobKind, found: PollResult, log: Log) -> str:
    """
    Return the message of a failure, and log the last lines of output, in at most ten seconds.

    The worker fetches the details, not the trigger: an event is stored in Airflow's database and must be small.

    :param kind: The kind of the jobs, with the values of its parameters.
    :param found: A failed job, or several jobs; the first of them that failed are diagnosed.
    """
    failed = [found] if isinstance(found, JobStatus) else found.failed[:AT_LENGTH]
    messages = _messages(hook, kind, failed, log)
    return messages[0] if isinstance(found, JobStatus) else failures_message(kind, found, messages)


def _messages(hook: HwStatusHook, kind: JobKind, failed: list[JobStatus], log: Log) -> list[str]:
    """Return a message for each job, or for the first ones if time runs out."""
    until, messages = time.monotonic() + BUDGET, list[str]()
    try:
        for status in failed:
            left = until - time.monotonic()
            if messages and left < _ENOUGH:
                break
            messages.append(_message(kind, hook.diagnose(kind, status, left), log))
    except AirflowTaskTimeout:  # execution_timeout, but how the wait ended is known already
        messages = messages or [failure_message(kind, failed[0], "execution_timeout came first")]
    finally:
        hook.close()
    return messages


def _message(kind: JobKind, found: Diagnosis, log: Log) -> str:
    status = found.status
    if status.log:
        log.info("The last %d lines of output of %s %s:", len(status.log), kind.title, status.job_id)
        for line in found.status.log:
            log.info("  %s", line)
    return failure_message(kind, found.status, found.missing, found.console)
