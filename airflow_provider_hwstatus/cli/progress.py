"""What is shown on standard error while a command waits; standard output has only the result."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress as Display
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

from airflow_provider_hwstatus.cli.jobs import Job, Jobs
from airflow_provider_hwstatus.core.protocol.effects import Flow, Sleep
from airflow_provider_hwstatus.core.reporting.progress import duration
from airflow_provider_hwstatus.errors import HwStatusError


class Progress:
    """
    Prints a line for each change of state; on a terminal, also a line that counts the time.

    :param began: Seconds since 1970.
    """

    def __init__(self, began: float) -> None:
        self._began = began
        self._states: dict[str, str] = {}
        self._standing = ""
        self._console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        self._display = Display(
            SpinnerColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._line = self._display.add_task("first poll", total=None)

    def __enter__(self) -> Self:
        self._display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._display.stop()

    def on_job(self, job: Job) -> None:
        """Show the state of a job, if it is a new one."""
        if self._states.get(job.id) != job.shown:
            self._states[job.id] = job.shown
            self._console.print(f"{duration(time.time() - self._began):>12}  {job.id}  {job.shown}")

    def on_poll(self, jobs: Jobs | HwStatusError) -> None:
        """Record how many jobs are not over."""
        self._standing = "" if isinstance(jobs, HwStatusError) else f"{jobs.standing}; "

    def pause(self, seconds: float) -> Flow[None]:
        """Sleep; on a terminal, show the seconds until the next poll."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._show(f"{self._standing}next poll in {left:.0f} s")
            yield Sleep(left if self._display.disable else min(left, 1.0))
        self._show(f"{self._standing}polling")

    def _show(self, text: str) -> None:
        self._display.update(self._line, description=text, refresh=True)
