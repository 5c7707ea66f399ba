"""What a wait says while it goes on."""

from __future__ import annotations

from typing import Protocol

from airflow_provider_hwstatus.core.errors import HwStatusError
from airflow_provider_hwstatus.core.flow import Clock
from airflow_provider_hwstatus.core.jobs import KINDS, Outcome
from airflow_provider_hwstatus.core.status import JobStatus

#: Seconds after which a wait in an unchanged state says that it still goes on.
_SILENCE = 3600.0


class Log(Protocol):
    """What all loggers have, the standard library's and Airflow's."""

    def info(self, msg: str, /, *args: object) -> object: ...

    def warning(self, msg: str, /, *args: object) -> object: ...

    def error(self, msg: str, /, *args: object) -> object: ...


class Observer:
    """
    Logs each change of state once, each new unknown state as a warning, and once an hour that the wait still goes on.

    :param clock: Returns seconds since 1970.
    :param began: When the wait began, likewise.
    """

    def __init__(self, log: Log, clock: Clock, began: float) -> None:
        self._log = log
        self._clock = clock
        self._began = began
        self._told = clock()
        self._polls = 0
        self._state: str | None = None
        self._since = 0.0
        self._warned: set[str] = set()

    def saw(self, seen: JobStatus | HwStatusError) -> None:
        """Take note of a status, or of an error after which the wait goes on."""
        self._polls += 1
        if isinstance(seen, HwStatusError):
            self._log.error("Going on after an error: %s", seen)
        elif seen.state != self._state:
            self._changed(seen)
        elif self._clock() >= self._told + _SILENCE:
            self._goes_on(seen)

    def _changed(self, seen: JobStatus) -> None:
        title, now = KINDS[seen.kind].title, self._clock()
        if seen.outcome is Outcome.UNKNOWN and seen.state not in self._warned:
            self._warned.add(seen.state)
            self._log.warning("%s %s: its state %r is in no table; waiting on", title, seen.job_id, seen.state)
        before = "" if self._state is None else f", was {self._state!r} for {duration(now - self._since)}"
        reading = seen.outcome.replace("_", " ")
        self._log.info("%s %s: state %r (%s)%s", title, seen.job_id, seen.state, reading, before)
        self._state, self._since, self._told = seen.state, now, now

    def _goes_on(self, seen: JobStatus) -> None:
        now, title = self._clock(), KINDS[seen.kind].title
        waited, lasts = duration(now - self._began), duration(now - self._since)
        text = "%s %s: still waiting after %s and %d polls; state %r for %s"
        self._log.info(text, title, seen.job_id, waited, self._polls, seen.state, lasts)
        self._told = now


def duration(seconds: float) -> str:
    """Return seconds as people say it, in two units at most: ``42 s``, ``3 min 20 s``, ``2 d 5 h``."""
    left, parts = int(seconds), list[str]()
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if left >= length or (unit == "s" and not parts):
            parts.append(f"{left // length} {unit}")
            left %= length
    return " ".join(parts[:2])
