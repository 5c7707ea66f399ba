"""Validation of arguments from users."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from airflow_provider_hwstatus.core.protocol.effects import T


def one_of(argument: str, value: T, allowed: Sequence[T]) -> T:
    """
    Return *value*, after validating it.

    :param argument: Name of the argument, for the message.
    :raises ValueError: *value* is not in *allowed*.
    """
    if value not in allowed:
        raise ValueError(f"{argument} must be {' or '.join(map(repr, allowed))}; it is {value!r}")
    return value


def seconds(argument: str, value: timedelta | float) -> float:
    """
    Return a duration in seconds.

    :param argument: Name of the argument, for the message.
    :raises ValueError: *value* is not a duration, or is negative or infinite.
    """
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < float("inf"):
        raise ValueError(f"{argument} must be a timedelta or a number of seconds, 0 or more; it is {value!r}")
    return float(number)
