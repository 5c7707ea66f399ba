"""A whole wait: when to ask next, when it is over, when time has run out."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from airflow_provider_hwstatus.core.client import Question
from airflow_provider_hwstatus.core.errors import (
    ConfigurationError,
    CredentialsRefusedError,
    DeadlineError,
    HwStatusError,
    JobNotFoundError,
    UnknownStateError,
)
from airflow_provider_hwstatus.core.flow import DEFAULT_OUTAGE_TOLERANCE, Patience
from airflow_provider_hwstatus.core.jobs import Outcome
from airflow_provider_hwstatus.core.messages import Flow, Sleep
from airflow_provider_hwstatus.core.replies import clip
from airflow_provider_hwstatus.core.status import JobStatus

#: Seconds that lie at least between two polls of a job, whatever the interval.
SHORTEST_INTERVAL = 0.1

#: Part of the interval by which each is longer or shorter, so that waits that begin together do not stay together.
_JITTER = 0.1

UNKNOWN_STATE_POLICIES = ("wait", "fail")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """
    How to wait.

    :param poke_interval: Seconds between two polls.
    :param began: When the wait began, in seconds since 1970.
    :param deadline: When it ends at the latest, likewise; None for never.
    :param exponential_backoff: Whether the interval grows, as Airflow's does.
    :param max_wait: Seconds that it grows to at most; None for no bound.
    :param outage_tolerance: Seconds to go on without an answer.
    :param on_unknown_state: ``wait`` or ``fail``.
    :param silent_fail: Whether to go on asking after an error.
    :param not_found_grace: Seconds from the begin for which a job that the service does not know is waited for.
    :raises ConfigurationError: One of them is none of these: it may come from a database, and another release.
    """

    poke_interval: float
    began: float
    deadline: float | None = None
    exponential_backoff: bool = False
    max_wait: float | None = None
    outage_tolerance: float = DEFAULT_OUTAGE_TOLERANCE
    on_unknown_state: str = "wait"
    silent_fail: bool = False
    not_found_grace: float = 0.0

    def __post_init__(self) -> None:
        numbers = ("poke_interval", "began", "outage_tolerance", "not_found_grace")
        optional = tuple(name for name in ("deadline", "max_wait") if getattr(self, name) is not None)
        for name in numbers + optional:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ConfigurationError(f"{name} must be a number; it is {clip(repr(value), 64)}")
        if self.on_unknown_state not in UNKNOWN_STATE_POLICIES:
            raise ConfigurationError(f"on_unknown_state must be 'wait' or 'fail'; it is {self.on_unknown_state!r}")

    @cached_property
    def patience(self) -> Patience:
        """How long to go on without an answer."""
        return Patience(self.outage_tolerance, self.deadline)

    def interval(self, now: float) -> float:
        """Return seconds from *now* to the next poll: the interval with jitter, at the deadline at the latest."""
        if self.exponential_backoff:
            interval = _grown(self.poke_interval, now - self.began)
            if self.max_wait is not None:
                interval = min(interval, self.max_wait)
        else:
            interval = self.poke_interval * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311  # spreads, hides nothing
        if self.deadline is not None:
            interval = min(interval, self.deadline - now)
        return max(interval, SHORTEST_INTERVAL)


def _grown(poke_interval: float, elapsed: float) -> float:
    """
    Return the interval that Airflow's exponential backoff has reached after *elapsed* seconds.

    Airflow's n-th interval is ``poke_interval * 2 ** (n - 2)``, at least 1 s, times 1 to 2 by jitter. It is taken from
    the time and not from a count of polls, so that it survives a restart.
    """
    interval, total = max(poke_interval / 2, 1.0), 0.0
    while total + interval <= elapsed:
        total += interval
        interval = max(interval * 2, 1.0)
    return interval * random.uniform(1.0, 2.0)  # noqa: S311  # spreads, hides nothing


def poll(question: Question, plan: Plan) -> Flow[JobStatus]:
    """
    Ask once, waiting out an outage, and decide whether the wait may go on.

    :return: The status; the wait is over if its outcome is success or failure.
    :raises DeadlineError: It is not over, and the deadline has passed.
    :raises UnknownStateError: The state is unknown, and the plan is to fail then.
    :raises HwStatusError: The question could not be answered.
    """
    status = yield from question.ask(plan.patience)
    if status.outcome is Outcome.UNKNOWN and plan.on_unknown_state == "fail":
        raise UnknownStateError(
            f"{question.subject}: its state {status.state!r} is in no table, and on_unknown_state is 'fail'",
            request_id=status.request_id,
        )
    if plan.deadline is not None and not status.over and question.client.clock() >= plan.deadline:
        raise DeadlineError(
            f"{question.subject}: timed out after {plan.deadline - plan.began:g} s; its state is {status.state!r}",
            request_id=status.request_id,
        )
    return status


def overlook(error: HwStatusError, plan: Plan, now: float) -> None:
    """
    Go on after *error* where the plan is to do so, or raise.

    :param now: Seconds since 1970.
    :raises DeadlineError: The deadline has passed meanwhile.
    :raises HwStatusError: *error* itself; always where repeats would lock a key.
    """
    if isinstance(error, CredentialsRefusedError | DeadlineError):
        raise error
    if not plan.silent_fail and not (isinstance(error, JobNotFoundError) and now < plan.began + plan.not_found_grace):
        raise error
    if plan.deadline is not None and now >= plan.deadline:
        raise DeadlineError(f"timed out after {plan.deadline - plan.began:g} s; the last error was: {error}") from error


def wait(
    question: Question,
    plan: Plan,
    saw: Callable[[JobStatus | HwStatusError], None],
    first_after: float = 0.0,
) -> Flow[JobStatus]:
    """
    Ask until the job is over.

    :param saw: Told of each status, and of each error after which the wait goes on.
    :param first_after: Seconds until the first poll.
    :raises HwStatusError: As :func:`poll`.
    """
    clock = question.client.clock
    left = first_after if plan.deadline is None else min(first_after, plan.deadline - clock())
    yield Sleep(max(left, 0.0))
    while True:
        try:
            status = yield from poll(question, plan)
        except HwStatusError as error:
            overlook(error, plan, clock())
            saw(error)
        else:
            saw(status)
            if status.over:
                return status
        yield Sleep(plan.interval(clock()))
