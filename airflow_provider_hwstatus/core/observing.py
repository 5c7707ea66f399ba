"""What a wait says while it goes on."""

from __future__ import annotations

from typing import Protocol

from airflow_provider_hwstatus.core.errors import HwStatusError
from airflow_provider_hwstatus.core.jobs import KINDS, Outcome
from airflow_provider_hwstatus.core.status import JobStatus


class Log(Protocol):
    """What all loggers have, the standard library's and Airflow's."""

    def info(self, msg: str, /, *args: object) -> object: ...

    def warning(self, msg: str, /, *args: object) -> object: ...

    def error(self, msg: str, /, *args: object) -> object: ...


class Observer:
    """Logs each change of state once, and each new unknown state as a warning."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._state: str | None = None
        self._warned: set[str] = set()

    def saw(self, seen: JobStatus | HwStatusError) -> None:
        """Take note of a status, or of an error after which the wait goes on."""
        if isinstance(seen, HwStatusError):
            self._log.error("Going on after an error: %s", seen)
            return
        title = KINDS[seen.kind].title
        if seen.outcome is Outcome.UNKNOWN and seen.state not in self._warned:
            self._warned.add(seen.state)
            self._log.warning("%s %s: its state %r is in no table; waiting on", title, seen.job_id, seen.state)
        if seen.state != self._state:
            before = "" if self._state is None else f", was {self._state!r}"
            reading = seen.outcome.replace("_", " ")
            self._log.info("%s %s: state %r (%s)%s", title, seen.job_id, seen.state, reading, before)
            self._state = seen.state
