"""What a wait logs while it lasts."""

from __future__ import annotations

from typing import Protocol

from airflow_provider_hwstatus.core.polling.jobs_summary import PollResult
from airflow_provider_hwstatus.core.protocol.throttle import Clock
from airflow_provider_hwstatus.errors import HwStatusError

#: Seconds after which a wait in an unchanged state logs that it still waits.
_SILENCE = 3600.0


class Log(Protocol):
    """What the loggers of the standard library and of Airflow have in common."""

    def info(self, msg: str, /, *args: object) -> object: ...

    def warning(self, msg: str, /, *args: object) -> object: ...

    def error(self, msg: str, /, *args: object) -> object: ...


class ProgressLogger:
    """
    Logs each change of state once, each new unknown state as a warning, and once an hour that it still waits.

    :param subject: The name of the job or jobs in messages.
    :param clock: Returns seconds since 1970.
    :param began: When the wait began, in seconds since 1970.
    :param until: Ends the first line: how long the wait lasts at most. Left out if the first poll ends the wait.
    """

    def __init__(self, log: Log, subject: str, clock: Clock, began: float, until: str = "") -> None:
        self._log = log
        self._subject = subject
        self._clock = clock
        self._began = began
        self._until = until
        #: When it logs again although nothing has changed, in seconds since 1970.
        self.remind_at = clock() + _SILENCE
        #: How many polls there were.
        self.polls = 0
        #: What was logged last; None before.
        self.brief: str | None = None
        self._since = 0.0
        self._warned: set[str] = set()

    def on_poll(self, seen: PollResult | HwStatusError) -> None:
        """Log what a poll found, or an error after which the wait continues."""
        self.polls += 1
        if isinstance(seen, HwStatusError):
            self._log.error("Going on after an error: %s", seen)
            return
        if new := seen.unknown_states - self._warned:
            self._warn(seen, new)
        if seen.brief != self.brief:
            self._changed(seen)
        elif self._clock() >= self.remind_at:
            self._still_waiting(seen)

    def _warn(self, seen: PollResult, states: set[str]) -> None:
        self._warned |= states
        for state in sorted(states):
            self._log.warning("%s: the state %r is in no table; waiting on", self._subject, state)

    def _changed(self, seen: PollResult) -> None:
        now = self._clock()
        more = f", was {self.brief} for {duration(now - self._since)}"
        if self.brief is None:
            more = "" if seen.over else self._until
        self._log.info("%s: %s%s", self._subject, seen.line, more)
        self.brief, self._since, self.remind_at = seen.brief, now, now + _SILENCE

    def _still_waiting(self, seen: PollResult) -> None:
        now = self._clock()
        waited, lasts = duration(now - self._began), duration(now - self._since)
        text = "%s: still waiting after %s and %d polls; %s for %s"
        self._log.info(text, self._subject, waited, self.polls, seen.brief, lasts)
        self.remind_at = now + _SILENCE


def duration(seconds: float) -> str:
    """Return a duration as text, in two units at most: ``42 s``, ``3 min 20 s``, ``2 d 5 h``."""
    left, parts = int(seconds), list[str]()
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if left >= length or (unit == "s" and not parts):
            parts.append(f"{left // length} {unit}")
            left %= length
    return " ".join(parts[:2])
