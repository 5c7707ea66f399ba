"""What Airflow's metrics are told: polls and what kept them from an answer, by kind of job, and how long waits took."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache
from typing import Any


def counter_of_worker() -> Callable[[str], object]:
    """Return what increments a counter in a task's process."""
    count: Callable[[str], object] = _of_worker().incr
    return count


def counter_of_triggerer() -> Callable[[str], object]:
    """Return what increments a counter in a triggerer."""
    count: Callable[[str], object] = _of_triggerer().incr
    return count


def waited_in_worker(kind: str, seconds: float) -> None:
    """Tell how long a wait took that has ended with its jobs; in a task's process."""
    _time(_of_worker(), kind, seconds)


def waited_in_triggerer(kind: str, seconds: float) -> None:
    """Tell that of a wait that has ended in a triggerer."""
    _time(_of_triggerer(), kind, seconds)


def _time(stats: Any, kind: str, seconds: float) -> None:
    stats.timing(f"hwstatus.{kind}.wait", timedelta(seconds=seconds))


@lru_cache(maxsize=1)
def _of_worker() -> Any:
    from airflow.providers.common.compat.sdk import Stats

    return Stats


@lru_cache(maxsize=1)
def _of_triggerer() -> Any:
    # Airflow 3.2 and newer have two: the triggerer sets up the server's, and tasks the SDK's.
    try:
        from airflow.observability.stats import Stats
    except ImportError:
        return _of_worker()
    return Stats
