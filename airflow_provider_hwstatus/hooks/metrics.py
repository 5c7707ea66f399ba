"""Airflow metrics: the number of polls and of failed polls, and the duration of waits, by kind of job."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache
from typing import Any


def counter_of_worker() -> Callable[[str], object]:
    """Return the function that increments a counter in a task's process."""
    count: Callable[[str], object] = _stats_of_worker().incr
    return count


def counter_of_triggerer() -> Callable[[str], object]:
    """Return the function that increments a counter in a triggerer."""
    count: Callable[[str], object] = _stats_of_triggerer().incr
    return count


def waited_in_worker(kind: str, seconds: float) -> None:
    """
    Record the duration of a wait that has ended in a task's process.

    :param kind: Name of the kind of job.
    """
    _record_duration(_stats_of_worker(), kind, seconds)


def waited_in_triggerer(kind: str, seconds: float) -> None:
    """
    Record the duration of a wait that has ended in a triggerer.

    :param kind: Name of the kind of job.
    """
    _record_duration(_stats_of_triggerer(), kind, seconds)


def _record_duration(stats: Any, kind: str, seconds: float) -> None:
    stats.timing(f"hwstatus.{kind}.wait", timedelta(seconds=seconds))


@lru_cache(maxsize=1)
def _stats_of_worker() -> Any:
    from airflow.providers.common.compat.sdk import Stats

    return Stats


@lru_cache(maxsize=1)
def _stats_of_triggerer() -> Any:
    # Airflow 3.2 and newer have two: a triggerer configures the server's, and a task the SDK's.
    try:
        from airflow.observability.stats import Stats
    except ImportError:
        return _stats_of_worker()
    return Stats
