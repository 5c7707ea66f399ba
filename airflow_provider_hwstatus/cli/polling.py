"""``status``, ``wait`` and ``cancel``: poll jobs, as sensors do, and print the result."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Sequence
from typing import NoReturn

from airflow_provider_hwstatus.cli.exits import Exit
from airflow_provider_hwstatus.cli.jobs import Job, Jobs
from airflow_provider_hwstatus.cli.output import finish, hook_of
from airflow_provider_hwstatus.cli.progress import Progress
from airflow_provider_hwstatus.cli.targets import jobs_of, or_exit, targets_of
from airflow_provider_hwstatus.core.polling import wait as waiting
from airflow_provider_hwstatus.core.polling.cph_requests import NOT_FOUND_GRACE
from airflow_provider_hwstatus.core.polling.job_status import JobStatus
from airflow_provider_hwstatus.core.polling.wait_options import WaitOptions
from airflow_provider_hwstatus.core.polling.wait_target import WaitTarget
from airflow_provider_hwstatus.core.protocol.advice import with_advice
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget
from airflow_provider_hwstatus.core.reporting.failure_message import failure_message, failures_message
from airflow_provider_hwstatus.core.submitting import cancel as cancelling
from airflow_provider_hwstatus.errors import HwStatusError, TransportError
from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook

#: Seconds to repeat a request of a cancellation, and to wait for the end of the cancelled job.
_PATIENCE, _END = 5.0, 60.0


def status(arguments: Namespace) -> NoReturn:
    """Poll each job once."""
    targets, hook = or_exit(lambda: targets_of(arguments)), hook_of(arguments)
    jobs = [Job(target) for target in targets]
    options = WaitOptions(began=time.time(), outage_tolerance=0.0)
    for job in jobs:
        try:
            hook.run(lambda client, job=job: job.poll(client, options))  # type: ignore[misc]  # the default binds the variable of the loop; mypy infers no type for it
        except TransportError as error:  # the other jobs are in the same service
            _end(jobs, error)
            break
        except HwStatusError as error:
            job.error = with_advice(error)
    hook.close()
    finish(arguments, jobs, Exit.ERROR if any(job.error for job in jobs) else Exit.SUCCESS)


def cancel(arguments: Namespace) -> NoReturn:
    """Cancel the jobs one after the other."""
    targets, hook = or_exit(lambda: jobs_of(arguments)), hook_of(arguments)
    jobs = [Job(target) for target in targets]
    for job in jobs:
        try:
            job.found = hook.run(
                lambda client, job=job: cancelling.cancel(  # type: ignore[misc]  # the default binds the variable of the loop; mypy infers no type for it
                    client, job.target.polled_kind, job.id, RetryBudget(_PATIENCE), _END
                )
            )
        except HwStatusError as error:
            job.error = with_advice(error)
    hook.close()
    finish(arguments, jobs, Exit.ERROR if any(job.error for job in jobs) else Exit.SUCCESS)


def wait(arguments: Namespace) -> NoReturn:
    """Poll until all jobs have ended."""
    targets = or_exit(lambda: targets_of(arguments))
    wait_for(arguments, hook_of(arguments), targets)


def wait_for(arguments: Namespace, hook: HwStatusHook, targets: Sequence[WaitTarget]) -> NoReturn:
    """Poll until all jobs have ended, print the result, and end the process."""
    jobs, began = [Job(target) for target in targets], time.time()
    is_request = any(target.expected is not None for target in targets)
    with Progress(began) as progress:
        try:
            options = WaitOptions(
                poke_interval=arguments.poke_interval,
                began=began,
                deadline=began + arguments.timeout,
                not_found_grace=NOT_FOUND_GRACE if is_request else 0.0,
            )
            hook.run(
                lambda client: waiting.wait(
                    Jobs(client, jobs, progress.on_job), options, progress.on_poll, pause=progress.pause
                )
            )
        except HwStatusError as error:
            _end(jobs, error)
        for job in jobs:
            _explain(hook, job)
    hook.close()
    exits = {job.exit for job in jobs}
    worst = next((exit_ for exit_ in (Exit.FAILURE, Exit.ERROR, Exit.TIMEOUT) if exit_ in exits), Exit.SUCCESS)
    finish(arguments, jobs, worst)


def _end(jobs: Sequence[Job], error: HwStatusError) -> None:
    """Set the error of each job that has not ended."""
    for job in jobs:
        if not job.over:
            job.error = with_advice(error)


def _explain(hook: HwStatusHook, job: Job) -> None:
    """Set the message of a job that has failed."""
    if job.exit is not Exit.FAILURE:
        return
    kind = job.target.polled_kind
    if isinstance(job.found, JobStatus):
        found = hook.diagnose(kind, job.found)
        job.found, job.message = found.status, failure_message(kind, found.status, found.missing, found.console)
    elif job.found:
        job.message = failures_message(kind, job.found)
