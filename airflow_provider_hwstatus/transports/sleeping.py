"""Sleeping in an event loop."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

from airflow_provider_hwstatus.core.protocol.effects import Alarm, Sleep

#: Sleeps of a second or more end at multiples of this many seconds, if they end in step.
_TICK = 0.05
_DAY = 86400.0


def sleep(effect: Sleep) -> Awaitable[None]:
    """Sleep exactly as long as *effect* says."""
    return _sleep(effect, float)


def sleep_in_step(effect: Sleep) -> Awaitable[None]:
    """
    Sleep until other waits wake up, too, because ten polls in one iteration of the event loop take half the time of ten
    polls in ten iterations.

    Sleeps of less than a second are exact. Longer ones take up to :data:`_TICK` longer.
    """
    return _sleep(effect, _in_step)


def _in_step(seconds: float) -> float:
    if not 1.0 <= seconds < _DAY:
        return seconds
    now = asyncio.get_running_loop().time()
    return math.ceil((now + seconds) / _TICK) * _TICK - now


def _sleep(effect: Sleep, rounded: Callable[[float], float]) -> Awaitable[None]:
    if effect.alarm is None:
        return asyncio.sleep(rounded(effect.seconds))
    return _sleep_until_alarm(effect, effect.alarm, rounded)


async def _sleep_until_alarm(effect: Sleep, alarm: Alarm, rounded: Callable[[float], float]) -> None:
    loop = asyncio.get_running_loop()
    over = loop.create_future()

    def end() -> None:
        if not over.done():
            over.set_result(None)

    def end_unless_again() -> None:
        if over.done():
            return
        try:
            more = effect.again() if effect.again else None
        except Exception as error:  # noqa: BLE001  # the flow raises it; here, the event loop would only log it
            over.set_exception(error)
            return
        if more is None:
            end()
        else:
            timers[0] = loop.call_later(rounded(more), end_unless_again)

    def ring(after: float) -> None:
        timers.append(loop.call_later(after, end))

    timers = [loop.call_later(rounded(effect.seconds), end_unless_again)]
    # Event loops in several threads can share the list that rings.
    alarm.ring = lambda after: loop.call_soon_threadsafe(ring, after)
    try:
        await over
    finally:
        alarm.ring = None
        for timer in timers:
            timer.cancel()
