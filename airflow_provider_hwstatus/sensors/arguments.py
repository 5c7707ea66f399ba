"""What users give to a sensor, checked and typed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

EMPTY_LIST_POLICIES = ("fail", "succeed")


def as_text(states: Sequence[str | int] | None) -> list[str] | None:
    """Return states as JSON has them."""
    return None if states is None else [str(state) for state in states]


def seconds(argument: str, value: timedelta | float) -> float:
    """
    Return a duration in seconds.

    :raises ValueError: It is none, or less than 0.
    """
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < float("inf"):
        raise ValueError(f"{argument} must be a timedelta or a number of seconds, 0 or more; it is {value!r}")
    return float(number)
