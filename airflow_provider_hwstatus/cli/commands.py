"""What the commands do: poll, as sensors do, and print the result."""

from __future__ import annotations

import json
import os
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from typing import NoReturn

from airflow_provider_hwstatus.cli.jobs import Exit, Job, Jobs
from airflow_provider_hwstatus.cli.kinds import asked_for
from airflow_provider_hwstatus.cli.progress import Progress
from airflow_provider_hwstatus.core.polling import wait as waiting
from airflow_provider_hwstatus.core.polling.wait_options import WaitOptions
from airflow_provider_hwstatus.core.protocol.advice import on_one_line, with_advice
from airflow_provider_hwstatus.core.reporting.connection_check import Result, Step, usable
from airflow_provider_hwstatus.core.reporting.failure_message import failure_message
from airflow_provider_hwstatus.errors import ConfigurationError, HwStatusError
from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook


def check(arguments: Namespace) -> NoReturn:
    """``check``: check a connection, step by step."""
    text = arguments.output == "text"

    def show(step: Step) -> None:
        _print(arguments, f"{step.result.value:<12} {step.name:<15} {step.said}")

    try:
        steps = _hook(arguments).checkup(show if text else lambda step: None)
    except ConfigurationError as error:
        steps = [Step("connection", Result.FAILED, on_one_line(str(error)))]
        if text:
            show(steps[0])
    works = usable(steps)
    if text:
        _print(arguments, f"{arguments.conn_id} {'can be used' if works else 'cannot be used'}.")
    else:
        listed = [{"step": step.name, "result": step.result.value, "said": step.said} for step in steps]
        _print(arguments, json.dumps({"conn_id": arguments.conn_id, "usable": works, "steps": listed}, indent=2))
    sys.exit(Exit.SUCCESS if works else Exit.ERROR)


def status(arguments: Namespace) -> NoReturn:
    """``status``: poll once."""
    kind, ids = asked_for(arguments)
    hook, jobs = _hook(arguments), [Job(job_id) for job_id in ids]
    for job in jobs:
        try:
            job.status = hook.get_status(kind, job.job_id, outage_tolerance=0.0)
        except HwStatusError as error:
            job.error = with_advice(error)
    hook.close()
    _finish(arguments, jobs, Exit.ERROR if any(job.error for job in jobs) else Exit.SUCCESS)


def cancel(arguments: Namespace) -> NoReturn:
    """``cancel``: cancel the jobs one after the other."""
    kind, ids = asked_for(arguments)
    hook, jobs = _hook(arguments), [Job(job_id) for job_id in ids]
    for job in jobs:
        try:
            job.status = hook.cancel(kind, job.job_id)
        except HwStatusError as error:
            job.error = with_advice(error)
    hook.close()
    _finish(arguments, jobs, Exit.ERROR if any(job.error for job in jobs) else Exit.SUCCESS)


def wait(arguments: Namespace) -> NoReturn:
    """``wait``: poll until all jobs are over."""
    kind, ids = asked_for(arguments)
    hook, jobs, began = _hook(arguments), [Job(job_id) for job_id in ids], time.time()
    progress = Progress(began)
    try:
        options = WaitOptions(poke_interval=arguments.poke_interval, began=began, deadline=began + arguments.timeout)
        hook.run(
            lambda client: waiting.wait(
                Jobs(client, kind, jobs, progress.on_job), options, progress.on_poll, pause=progress.pause
            )
        )
    except HwStatusError as error:
        for job in jobs:
            if not job.over:
                job.error = with_advice(error)
                progress.on_job(job)
    except KeyboardInterrupt:
        sys.exit(130)
    for job in jobs:
        if job.status is not None and job.exit is Exit.FAILURE:
            found = hook.diagnose(kind, job.status)
            job.status, job.message = found.status, failure_message(kind, found.status, found.missing, found.console)
    hook.close()
    exits = {job.exit for job in jobs}
    worst = next((exit_ for exit_ in (Exit.FAILURE, Exit.ERROR, Exit.TIMEOUT) if exit_ in exits), Exit.SUCCESS)
    _finish(arguments, jobs, worst)


def _hook(arguments: Namespace) -> HwStatusHook:
    # As Airflow's own commands do: without it Airflow 3 looks for connections in environment variables only.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    where = (getattr(arguments, name, None) for name in ("region", "project_id"))
    return HwStatusHook(arguments.conn_id, *where)


def _finish(arguments: Namespace, jobs: Sequence[Job], code: Exit) -> NoReturn:
    if arguments.output == "json":
        _print(arguments, json.dumps([job.to_dict() for job in jobs], indent=2))
    else:
        for job in jobs:
            _print(arguments, str(job))
    sys.exit(code)


def _print(arguments: Namespace, text: str) -> None:
    print(text, file=getattr(arguments, "answers", None), flush=True)
