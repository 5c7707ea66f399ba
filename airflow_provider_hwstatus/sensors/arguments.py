"""What users give to a sensor, checked and typed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from airflow_provider_hwstatus.core.errors import ConfigurationError

EMPTY_LIST_POLICIES = ("fail", "succeed")


def one_of(argument: str, value: str, allowed: Sequence[str]) -> str:
    """
    Return *value*.

    :raises ValueError: It is not allowed.
    """
    if value not in allowed:
        raise ValueError(f"{argument} must be {' or '.join(map(repr, allowed))}; it is {value!r}")
    return value


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


def one_or_more(argument: str, value: object) -> str | list[str]:
    """
    Return an id, or a list of ids; what cannot be one is refused where it is asked about.

    :param value: As it was given, or made from a template or an ``XComArg``; lazy sequences of mapped tasks, too.
    :raises ConfigurationError: A list that a template has turned into text.
    """
    if isinstance(value, str) and value.lstrip().startswith(("[", "(")):
        raise ConfigurationError(
            f"{argument} is a list as text: {value[:64]!r}. Give the task's output itself (XComArg, submit.output), or "
            "set render_template_as_native_obj=True in the DAG"
        )
    if isinstance(value, str) or not isinstance(value, Iterable) or isinstance(value, Mapping | bytes):
        return value  # type: ignore[return-value]  # what it is not is said where it is used
    return list(value)
