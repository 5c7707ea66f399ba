"""What is shown on standard error while a command waits; standard output has the result alone."""

from __future__ import annotations

import sys
import time

from airflow_provider_hwstatus.core.reporting.progress import duration


class Progress:
    """
    A line for each change of state; on a terminal also one that counts the time.

    :param began: Seconds since 1970.
    """

    def __init__(self, began: float) -> None:
        self._began = began
        self._states: dict[str, str] = {}
        self._live = sys.stderr.isatty()
        self._anew = "\r\x1b[K" if self._live else ""

    def on_poll(self, job_id: str, state: str) -> None:
        """Show a state, if it is a new one."""
        if self._states.get(job_id) != state:
            self._states[job_id] = state
            self._write(f"{self._anew}{self._clock():>12}  {job_id}  {state}\n")

    def pause(self, seconds: float, doing: str) -> None:
        """Wait, and show that on a terminal."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._live:
                self._write(f"{self._anew}{self._clock():>12}  {doing}; asking again in {left:.0f} s")
            time.sleep(min(left, 1.0) if self._live else left)

    def end(self) -> None:
        """Leave nothing unfinished on a terminal."""
        self._write(self._anew)

    def _clock(self) -> str:
        return duration(time.time() - self._began)

    @staticmethod
    def _write(text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()
