"""How to wait: how often to poll, until when, and which errors to tolerate."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from airflow_provider_hwstatus.core.protocol.responses import clip, utc
from airflow_provider_hwstatus.core.protocol.retry import DEFAULT_OUTAGE_TOLERANCE, LAST_POLL, RetryBudget
from airflow_provider_hwstatus.errors import ConfigurationError

#: The largest number of seconds in a trigger's row: above any timedelta, and small enough for exact arithmetic.
_MOST = 1e14

#: The longest pause between a deferral and the trigger's first poll, in seconds. The scheduler needs it to process the
#: exit of the worker that deferred: up to 6 s when it is quiet, 10 s in a burst. If an event comes earlier, the
#: scheduler takes the exit for one of the resumed task and fails the task. A trigger cannot know about the exit.
SETTLING = 15.0

UNKNOWN_STATE_POLICIES = ("wait", "fail")


@dataclass(frozen=True, kw_only=True)
class WaitOptions:
    """
    How to wait. It is stored as JSON in a trigger's row.

    :param poke_interval: Seconds between two polls.
    :param began: When the wait began, in seconds since 1970.
    :param deadline: When it ends at the latest, in seconds since 1970; None for never. It does not move when a trigger
        does.
    :param deferred_at: When a worker deferred the wait, in seconds since 1970; None if no worker did. The trigger's
        first poll, and its event, come at least ``min(poke_interval, 15)`` seconds later: Airflow's scheduler fails a
        task whose trigger fires before the scheduler has noticed that the worker exited.
    :param exponential_backoff: Whether the interval grows, as Airflow's does.
    :param max_wait: The longest interval with backoff, in seconds; None for no limit.
    :param outage_tolerance: Seconds for which an outage is tolerated.
    :param on_unknown_state: ``wait`` or ``fail``.
    :param silent_fail: Whether to continue after an error.
    :param not_found_grace: Seconds from the begin of the wait in which an unknown job is no error.
    :raises ConfigurationError: An option has a wrong type or value. It may come from a database, and another release.
    """

    poke_interval: float = 60.0
    began: float
    deadline: float | None = None
    deferred_at: float | None = None
    exponential_backoff: bool = False
    max_wait: float | None = None
    outage_tolerance: float = DEFAULT_OUTAGE_TOLERANCE
    on_unknown_state: str = "wait"
    silent_fail: bool = False
    not_found_grace: float = 0.0

    def __post_init__(self) -> None:
        numbers = ("poke_interval", "began", "outage_tolerance", "not_found_grace")
        optional = tuple(name for name in ("deadline", "deferred_at", "max_wait") if getattr(self, name) is not None)
        for name in numbers + optional:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST:
                raise ConfigurationError(f"{name} must be a number from 0 to {_MOST:g}; it is {clip(repr(value), 64)}")
        if self.on_unknown_state not in UNKNOWN_STATE_POLICIES:
            raise ConfigurationError(f"on_unknown_state must be 'wait' or 'fail'; it is {self.on_unknown_state!r}")

    def to_dict(self) -> dict[str, Any]:
        """Return JSON scalars from which :meth:`from_dict` makes equal options; defaults are left out."""
        values = {field.name: (getattr(self, field.name), field.default) for field in fields(self)}
        return {name: value for name, (value, default) in values.items() if value != default}

    @classmethod
    def from_dict(cls, row: object, began: float) -> WaitOptions:
        """
        Return the options that :meth:`to_dict` described. Names that this release does not know are ignored.

        :param began: When the wait began if *row* does not say it, in seconds since 1970.
        :raises ConfigurationError: *row* is no such description.
        """
        if not isinstance(row, Mapping):
            raise ConfigurationError(f"options must be an object; it is {clip(repr(row), 64)}")
        known = {name: row[name] for name in OPTION_NAMES if name in row}
        return cls(**known | {"began": began if known.get("began") is None else known["began"]})

    @property
    def until(self) -> str:
        """The deadline and the interval, for the log."""
        at_most = "" if self.deadline is None else f" until {utc(self.deadline)} at most"
        return f"; waiting{at_most}, polling every {self.poke_interval:g} s"

    @cached_property
    def budget(self) -> RetryBudget:
        """How long to retry without an answer."""
        return RetryBudget(self.outage_tolerance, self.deadline)

    def last_poll(self, now: float) -> WaitOptions:
        """Return the options for a poll that begins *now*, after the deadline: it ends within :data:`LAST_POLL` s."""
        options = copy.copy(self)
        vars(options)["budget"] = RetryBudget(self.outage_tolerance, self.deadline, now + LAST_POLL)
        return options

    @property
    def floor(self) -> float:
        """The shortest time from a deferral to the trigger's first poll or event, in seconds."""
        return min(self.poke_interval, SETTLING)

    def settling(self, now: float) -> float:
        """Return the seconds from *now* until a trigger may poll, but not past the deadline."""
        if self.deferred_at is None:
            return 0.0
        left = min(self.deferred_at + self.floor - now, self.floor)  # another machine's clock may be ahead
        if self.deadline is not None:
            left = min(left, self.deadline - now)
        return max(left, 0.0)

    def worth_deferring(self, now: float) -> bool:
        """Return whether a trigger could poll before the deadline; if not, the worker waits for the rest."""
        return self.deadline is None or self.deadline - now > self.floor


#: The names of the options, in a trigger's row and as keywords of a trigger.
OPTION_NAMES = tuple(field.name for field in fields(WaitOptions))
