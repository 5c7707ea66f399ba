"""What a wait says while it goes on."""

from __future__ import annotations

from typing import Protocol

from airflow_provider_hwstatus.core.polling.jobs_summary import PollResult
from airflow_provider_hwstatus.core.protocol.throttle import Clock
from airflow_provider_hwstatus.errors import HwStatusError

#: Seconds after which a wait in an unchanged state says that it still goes on.
_SILENCE = 3600.0


class Log(Protocol):
    """What all loggers have, the standard library's and Airflow's."""

    def info(self, msg: str, /, *args: object) -> object: ...

    def warning(self, msg: str, /, *args: object) -> object: ...

    def error(self, msg: str, /, *args: object) -> object: ...


class ProgressLogger:
    """
    Logs each change of state once, each new unknown state as a warning, and once an hour that the wait still goes on.

    :param clock: Returns seconds since 1970.
    :param began: When the wait began, likewise.
    :param until: A sentence's end that says how long it goes on at most; told once, if it goes on.
    """

    def __init__(self, log: Log, clock: Clock, began: float, until: str = "") -> None:
        self._log = log
        self._clock = clock
        self._began = began
        self._until = until
        self._told = clock()
        #: How often it was asked.
        self.polls = 0
        self._brief: str | None = None
        self._since = 0.0
        self._warned: set[str] = set()

    def on_poll(self, seen: PollResult | HwStatusError) -> None:
        """Take note of what a poll found, or of an error after which the wait goes on."""
        self.polls += 1
        if isinstance(seen, HwStatusError):
            self._log.error("Going on after an error: %s", seen)
            return
        if new := seen.unknown_states - self._warned:
            self._warn(seen, new)
        if seen.brief != self._brief:
            self._changed(seen)
        elif self._clock() >= self._told + _SILENCE:
            self._goes_on(seen)

    def _warn(self, seen: PollResult, states: set[str]) -> None:
        self._warned |= states
        for state in sorted(states):
            self._log.warning("%s: the state %r is in no table; waiting on", seen.subject, state)

    def _changed(self, seen: PollResult) -> None:
        now = self._clock()
        more = f", was {self._brief} for {duration(now - self._since)}"
        if self._brief is None:
            more = "" if seen.over else self._until
        self._log.info("%s: %s%s", seen.subject, seen.line, more)
        self._brief, self._since, self._told = seen.brief, now, now

    def _goes_on(self, seen: PollResult) -> None:
        now = self._clock()
        waited, lasts = duration(now - self._began), duration(now - self._since)
        text = "%s: still waiting after %s and %d polls; %s for %s"
        self._log.info(text, seen.subject, waited, self.polls, seen.brief, lasts)
        self._told = now


def duration(seconds: float) -> str:
    """Return seconds as people say it, in two units at most: ``42 s``, ``3 min 20 s``, ``2 d 5 h``."""
    left, parts = int(seconds), list[str]()
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if left >= length or (unit == "s" and not parts):
            parts.append(f"{left // length} {unit}")
            left %= length
    return " ".join(parts[:2])
