"""What is shown on standard error while a command waits; standard output has only the result."""

from __future__ import annotations

import sys
import time

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
        self._live = sys.stderr.isatty()
        self._anew = "\r\x1b[K" if self._live else ""

    def on_job(self, job: Job) -> None:
        """Show the state of a job, if it is a new one."""
        if self._states.get(job.job_id) != job.shown:
            self._states[job.job_id] = job.shown
            self._write(f"{self._anew}{self._clock():>12}  {job.job_id}  {job.shown}\n")

    def on_poll(self, jobs: Jobs | HwStatusError) -> None:
        """Record how many jobs are not over; if all are, clear the counting line."""
        self._standing = "" if isinstance(jobs, HwStatusError) else jobs.standing
        if isinstance(jobs, Jobs) and jobs.over:
            self._write(self._anew)

    def pause(self, seconds: float) -> Flow[None]:
        """Sleep; on a terminal, show the seconds until the next poll."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._live:
                self._write(f"{self._anew}{self._clock():>12}  {self._standing}; asking again in {left:.0f} s")
            yield Sleep(min(left, 1.0) if self._live else left)

    def _clock(self) -> str:
        return duration(time.time() - self._began)

    @staticmethod
    def _write(text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()
