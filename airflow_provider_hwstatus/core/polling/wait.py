"""The wait loop and its single step. Every sensor mode, the trigger and the command line use them."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import PurePath
from traceback import extract_tb
from typing import Protocol, TypeVar

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.polling.wait_options import WaitOptions
from airflow_provider_hwstatus.core.protocol.effects import Alarm, Flow, Sleep
from airflow_provider_hwstatus.errors import (
    CredentialsRefusedError,
    DeadlineError,
    HwStatusError,
    JobNotFoundError,
    is_refused_login,
)

_log = logging.getLogger(__name__)

#: The shortest pause between two polls of a job, in seconds.
SHORTEST_INTERVAL = 0.1

#: Each interval is longer or shorter by up to this part, so that waits that begin together spread out.
_JITTER = 0.1


class Found(Protocol):
    """The result of a poll."""

    @property
    def over(self) -> bool:
        """Whether the wait is over."""

    @property
    def standing(self) -> str:
        """The states of the jobs, for the message of a time-out."""

    @property
    def request_id(self) -> str | None:
        """The request id of the response; Huawei Cloud's support asks for it."""


F = TypeVar("F", bound=Found)
F_co = TypeVar("F_co", bound=Found, covariant=True)


class Coalesced(Protocol[F_co]):
    """Polls a job in a list that many waits share."""

    #: Rings when the list no longer shows the job in progress.
    alarm: Alarm

    def poll_now(self, options: WaitOptions) -> F_co | None:
        """Poll without any request. Return None if a request is needed."""


class Poller(Protocol[F_co]):
    """Polls one job or several."""

    client: Client

    @property
    def subject(self) -> str:
        """The name of the job or jobs in messages."""

    @property
    def coalesced(self) -> Coalesced[F_co] | None:
        """What polls the job without a request of its own; None if nothing does."""

    def move_to(self, client: Client) -> None:
        """Use another connection from now on. Results of earlier polls stay."""

    def open(self) -> None:
        """Begin a wait."""

    def close(self) -> None:
        """End the wait."""

    def poll(self, options: WaitOptions) -> Flow[F_co]:
        """
        Poll once, and retry during an outage.

        :raises HwStatusError: There was no answer.
        """


def poll_once(poller: Poller[F], options: WaitOptions) -> Flow[F]:
    """
    Poll once, retry during an outage, and raise if the deadline has passed.

    :return: The result; its ``over`` says whether the wait is over.
    :raises DeadlineError: The wait is not over and the deadline has passed.
    :raises UnknownStateError: A state is unknown and *options* make that an error.
    :raises HwStatusError: There was no answer.
    """
    now = poller.client.clock()
    late = options.deadline is not None and now > options.deadline
    found = yield from poller.poll(options.last_poll(now) if late else options)
    if options.deadline is not None and not found.over and poller.client.clock() >= options.deadline:
        raise DeadlineError(
            f"{poller.subject}: timed out after {options.deadline - options.began:g} s; {found.standing}",
            request_id=found.request_id,
        )
    return found


@contextmanager
def error_boundary(subject: str, *passing: type[Exception]) -> Iterator[None]:
    """
    Turn unexpected exceptions of a poll into errors of this package, so that flags and deadlines apply to them.

    The message does not quote the exception, because its text may hold a secret. The exception is the cause.

    :param subject: The name of the job or jobs in the message.
    :param passing: Exceptions that are not changed.
    :raises HwStatusError: There was an unexpected exception.
    """
    try:
        yield
    except HwStatusError:
        raise
    except passing:
        raise
    except Exception as error:
        _log.debug("%s: an unexpected exception", subject, exc_info=True)
        place = extract_tb(error.__traceback__)[-1]
        raise HwStatusError(
            f"{subject}: an unexpected {type(error).__name__} in {place.name}, {PurePath(place.filename).name} line "
            f"{place.lineno}\n  next: look at it in the log, in a triggerer's at level DEBUG, and report it if it "
            "comes from airflow_provider_hwstatus"
        ) from error


def raise_unless_tolerated(error: HwStatusError, options: WaitOptions, now: float) -> None:
    """
    Return if the wait continues after *error*, or else raise.

    :param now: Seconds since 1970.
    :raises DeadlineError: The deadline has passed.
    :raises HwStatusError: *error* itself. A refused key or password always ends the wait: repeats would lock it.
    """
    if isinstance(error, CredentialsRefusedError | DeadlineError):
        raise error
    if not options.silent_fail and not (
        isinstance(error, JobNotFoundError) and now < options.began + options.not_found_grace
    ):
        raise error
    if options.deadline is not None and now >= options.deadline:
        raise DeadlineError(
            f"timed out after {options.deadline - options.began:g} s; the last error was: {error}"
        ) from error


def wait(
    poller: Poller[F],
    options: WaitOptions,
    on_poll: Callable[[F | HwStatusError], object],
    first_after: float = 0.0,
    pause: Callable[[float], Flow[None]] | None = None,
) -> Flow[F]:
    """
    Poll until the wait is over.

    A refused login always ends this loop: the caller checks whether the connection has a new login by now.

    :param on_poll: Called with the result of each poll, and with each error after which the wait continues.
    :param first_after: Seconds until the first poll.
    :param pause: Sleeps between two polls. By default, the alarm of a coalesced wait can end this sleep,
        and polls that need no request do not.
    :raises HwStatusError: As :func:`poll_once`.
    """
    poller.open()
    try:
        return (yield from _wait(poller, options, on_poll, first_after, pause))
    finally:
        poller.close()


def _wait(
    poller: Poller[F],
    options: WaitOptions,
    on_poll: Callable[[F | HwStatusError], object],
    first_after: float,
    pause: Callable[[float], Flow[None]] | None,
) -> Flow[F]:
    clock = poller.client.clock
    left = first_after if options.deadline is None else min(first_after, options.deadline - clock())
    yield Sleep(max(left, 0.0))
    while True:
        try:
            found = yield from poll_once(poller, options)
        except HwStatusError as error:
            if is_refused_login(error):
                raise
            raise_unless_tolerated(error, options, clock())
            on_poll(error)
        else:
            on_poll(found)
            if found.over:
                return found
            del found  # while the wait sleeps, it needs no status
        seconds = seconds_to_next_poll(options, clock())
        if pause:
            yield from pause(seconds)
        elif coalesced := poller.coalesced:
            yield Sleep(seconds, coalesced.alarm, partial(_poll_now, poller, coalesced, options, on_poll))
        else:
            yield Sleep(seconds)


def _poll_now(
    poller: Poller[F], coalesced: Coalesced[F], options: WaitOptions, on_poll: Callable[[F], object]
) -> float | None:
    """Poll without a request, and return the seconds to the next poll; return None if a request is needed."""
    found = coalesced.poll_now(options)
    if found is None:
        return None
    on_poll(found)
    return seconds_to_next_poll(options, poller.client.clock())


def seconds_to_next_poll(options: WaitOptions, now: float) -> float:
    """
    Return the seconds from *now* to the next poll: the interval with jitter, but not past the deadline.

    :param now: Seconds since 1970.
    """
    if options.exponential_backoff:
        interval = _grown(options.poke_interval, now - options.began)
        if options.max_wait is not None:
            interval = min(interval, options.max_wait)
    else:
        interval = options.poke_interval * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311  # spreads, hides nothing
    if options.deadline is not None:
        interval = min(interval, options.deadline - now)
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
