"""Airflow metrics: counters of requests, of their errors and of ends, and the duration of waits, by kind of job."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache
from typing import Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_hwstatus.core.protocol.effects import Count

#: The outcomes of a task that has ended, in the metric ``hwstatus.ends``.
SUCCESS, FAILURE, TIMEOUT, UNCLEAR, ERROR = "success", "failure", "timeout", "unclear", "error"


def counter_of_worker() -> Callable[[Count], None]:
    """Return the function that increments a counter in a task's process."""
    return _counter(_stats_of_worker())


def counter_of_triggerer() -> Callable[[Count], None]:
    """Return the function that increments a counter in a triggerer."""
    return _counter(_stats_of_triggerer())


def ended_in_worker(kind: str, outcome: str, waited: float | None = None) -> None:
    """
    Record the end of a task in its process.

    :param kind: Name of the kind of job.
    :param outcome: :data:`SUCCESS`, :data:`FAILURE`, :data:`TIMEOUT`, :data:`UNCLEAR` or :data:`ERROR`.
    :param waited: Seconds since the wait began; None if it did not, or that is unknown.
    """
    _record_end(_stats_of_worker(), kind, outcome, waited)


def succeeded_in_triggerer(kind: str, waited: float) -> None:
    """
    Record the success of a task that ends in a triggerer.

    :param kind: Name of the kind of job.
    :param waited: Seconds since the wait began.
    """
    _record_end(_stats_of_triggerer(), kind, SUCCESS, waited)


def _counter(stats: Any) -> Callable[[Count], None]:
    def count(counted: Count) -> None:
        for name, tags in _series(counted.metric, counted.kind):
            stats.incr(name, tags=tags)

    return count


def _record_end(stats: Any, kind: str, outcome: str, waited: float | None) -> None:
    for name, tags in _series("ends", kind, outcome):
        stats.incr(name, tags=tags)
    if waited is not None and outcome in {SUCCESS, FAILURE}:
        for name, tags in _series("wait", kind):
            stats.timing(name, timedelta(seconds=waited), tags=tags)


@lru_cache(maxsize=1024)
def _series(metric: str, kind: str, outcome: str = "") -> list[tuple[str, dict[str, str]]]:
    """
    Return the names and tags with which a metric is written.

    As Airflow's own metrics, it is written with tags, and a second time with their values in its name, because StatsD
    without an extension drops tags. ``legacy_names_on = False`` switches that off.
    """
    tags = {"kind": kind} | ({"outcome": outcome} if outcome else {})
    series = [(f"hwstatus.{metric}", tags)]
    if conf.getboolean("metrics", "legacy_names_on", fallback=True):  # an option since Airflow 3.2
        series.append((".".join(filter(None, ("hwstatus", kind, metric, outcome))), {}))
    return series


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
