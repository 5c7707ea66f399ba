"""What the commands do: ask, as sensors do, and show."""

from __future__ import annotations

import json
import os
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NoReturn, cast

from airflow_provider_hwstatus.cli.progress import Progress
from airflow_provider_hwstatus.core.polling.job_poller import JobPoller
from airflow_provider_hwstatus.core.polling.job_status import JobStatus
from airflow_provider_hwstatus.core.polling.wait import poll_once
from airflow_provider_hwstatus.core.polling.wait_options import WaitOptions
from airflow_provider_hwstatus.core.reporting.connection_check import Result, Step, usable
from airflow_provider_hwstatus.core.reporting.failure_message import failure_message
from airflow_provider_hwstatus.errors import ConfigurationError, DeadlineError, HwStatusError
from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook
from airflow_provider_hwstatus.kinds import KINDS
from airflow_provider_hwstatus.kinds.job_kind import JobKind, Outcome


class Exit(IntEnum):
    """How a command ends. 2 is a wrong command line, as everywhere."""

    SUCCESS = 0
    FAILURE = 1
    TIMEOUT = 3
    ERROR = 4


@dataclass
class Job:
    """
    One job that was asked about.

    :param error: Why there is no status.
    :param message: Why it failed.
    """

    job_id: str
    status: JobStatus | None = None
    error: HwStatusError | None = None
    message: str | None = None

    @property
    def over(self) -> bool:
        """Whether there is nothing left to ask."""
        return self.error is not None or (self.status is not None and self.status.over)

    @property
    def shown(self) -> str:
        """How it stands, in a word or two."""
        if self.error is not None:
            return "timed out" if isinstance(self.error, DeadlineError) else "no answer"
        return _plain(self.status.state) if self.status else ""

    @property
    def exit(self) -> Exit:
        """What it alone would end the command with."""
        if self.error is not None:
            return Exit.TIMEOUT if isinstance(self.error, DeadlineError) else Exit.ERROR
        return Exit.FAILURE if self.status and self.status.outcome is Outcome.FAILURE else Exit.SUCCESS

    def to_dict(self) -> dict[str, object]:
        """Return what ``--output json`` prints."""
        what: dict[str, object] = {"job_id": self.job_id}
        status = self.status.to_dict() if self.status else {}
        error = {"error": self.error.to_dict()} if self.error else {}
        return what | status | error | ({"message": self.message} if self.message else {})

    def __str__(self) -> str:
        if self.error is not None:
            return str(self.error)
        if self.message or self.status is None:
            return self.message or ""
        return f"{self.job_id}  {self.shown}  ({self.status.outcome.replace('_', ' ')})"


def check(arguments: Namespace) -> NoReturn:
    """``check``: look into a connection."""
    text = arguments.output == "text"

    def show(step: Step) -> None:
        _print(arguments, f"{step.result.value:<12} {step.name:<15} {step.said}")

    try:
        steps = _hook(arguments).checkup(show if text else lambda step: None)
    except ConfigurationError as error:
        steps = [Step("connection", Result.FAILED, str(error))]
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
    """``status``: ask once."""
    hook, jobs = _hook(arguments), [Job(job_id) for job_id in arguments.ids]
    for job in jobs:
        try:
            job.status = hook.get_status(arguments.kind, job.job_id, outage_tolerance=0.0)
        except HwStatusError as error:
            job.error = error
    hook.close()
    _finish(arguments, jobs, Exit.ERROR if any(job.error for job in jobs) else Exit.SUCCESS)


def wait(arguments: Namespace) -> NoReturn:
    """``wait``: ask until all are over."""
    kind, hook = KINDS[arguments.kind], _hook(arguments)
    jobs, began = [Job(job_id) for job_id in arguments.ids], time.time()
    try:
        options = WaitOptions(poke_interval=arguments.poke_interval, began=began, deadline=began + arguments.timeout)
        _wait(hook, kind, jobs, options)
    except HwStatusError as error:
        for job in jobs:
            job.error = job.error or error
    except KeyboardInterrupt:
        sys.exit(130)
    for job in jobs:
        if job.status is not None and job.exit is Exit.FAILURE:
            found = hook.diagnose(kind, job.status)
            job.status, job.message = found.status, failure_message(found.status, found.missing, found.console)
    hook.close()
    exits = {job.exit for job in jobs}
    worst = next((exit_ for exit_ in (Exit.FAILURE, Exit.ERROR, Exit.TIMEOUT) if exit_ in exits), Exit.SUCCESS)
    _finish(arguments, jobs, worst)


def _wait(hook: HwStatusHook, kind: JobKind, jobs: Sequence[Job], options: WaitOptions) -> None:
    progress = Progress(options.began)
    while True:
        for job in jobs:
            if job.over:
                continue
            try:
                job.status = _poll(hook, kind, job.job_id, options)
            except HwStatusError as error:
                job.error = error
            progress.on_poll(job.job_id, job.shown)
        left = sum(not job.over for job in jobs)
        if not left:
            progress.end()
            return
        progress.pause(options.interval(time.time()), f"{left} of {len(jobs)} not over")


def _poll(hook: HwStatusHook, kind: JobKind, job_id: str, options: WaitOptions) -> JobStatus:
    return cast(JobStatus, hook.run(lambda client: poll_once(JobPoller(client, kind, job_id), options)))  # of one job


def _hook(arguments: Namespace) -> HwStatusHook:
    # As Airflow's own commands do: without it Airflow 3 looks for connections in environment variables only.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    where = (getattr(arguments, name, None) for name in ("region", "project_id"))
    return HwStatusHook(arguments.conn_id, *where)


def _plain(state: str) -> str:
    return state if state.isprintable() and state else repr(state)


def _finish(arguments: Namespace, jobs: Sequence[Job], code: Exit) -> NoReturn:
    if arguments.output == "json":
        _print(arguments, json.dumps([job.to_dict() for job in jobs], indent=2))
    else:
        for job in jobs:
            _print(arguments, str(job))
    sys.exit(code)


def _print(arguments: Namespace, text: str) -> None:
    print(text, file=getattr(arguments, "answers", None), flush=True)
