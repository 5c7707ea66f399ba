"""Run a flow, sync or async."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

from airflow_provider_hwstatus.core.protocol.effects import (
    AcquireSlot,
    Effect,
    Exclusive,
    Flow,
    Mask,
    ReleaseSlot,
    Request,
    Response,
    Sleep,
    T,
    Together,
)
from airflow_provider_hwstatus.errors import HwStatusError
from airflow_provider_hwstatus.transports.priority_semaphore import PrioritySemaphore
from airflow_provider_hwstatus.transports.single_flight import SingleFlights

#: Flows of one wait that run at the same time at most: a list of ten thousand jobs must not queue before all others.
_WIDTH = 20


def run_sync(
    flow: Flow[T],
    send: Callable[[Request], Response],
    turns: SingleFlights[threading.Lock],
    mask: Callable[[str], object],
    sleep: Callable[[float], object] = time.sleep,
) -> T:
    """Run *flow* to its end in this thread."""

    def perform(effect: Effect) -> Any:
        if isinstance(effect, Request):
            return send(effect)
        if isinstance(effect, Sleep):
            return sleep(effect.seconds)
        if isinstance(effect, AcquireSlot | ReleaseSlot):  # a thread has one request under way
            return None
        if isinstance(effect, Mask):
            return mask(effect.secret)
        if isinstance(effect, Together):
            return [run_sync(make(), send, turns, mask, sleep) for make in effect.flows]
        return turns[effect.name].run(lambda: run_sync(effect.flow(), send, turns, mask, sleep), effect.patience)

    resume: Callable[[Any], Any] = flow.send
    value: Any = None
    try:
        while True:
            effect = resume(value)
            try:
                resume, value = flow.send, perform(effect)
            except HwStatusError as error:
                resume, value = flow.throw, error
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        flow.close()


async def run_async(
    flow: Flow[T],
    send: Callable[[Request], Awaitable[Response]],
    turns: SingleFlights[asyncio.Lock],
    slots: PrioritySemaphore,
    mask: Callable[[str], Awaitable[object]],
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> T:
    """Run *flow* to its end in this event loop."""
    inside: str | None = None
    resume: Callable[[Any], Any] = flow.send
    value: Any = None
    try:
        while True:
            effect = resume(value)
            resume, value = flow.send, None
            try:
                if isinstance(effect, Request):
                    value = await send(effect)
                elif isinstance(effect, Sleep):
                    await sleep(effect.seconds)
                elif isinstance(effect, AcquireSlot):
                    await slots.enter(effect.patience, effect.service, effect.limit)
                    inside = effect.service
                elif isinstance(effect, ReleaseSlot):
                    if inside:
                        inside = None
                        slots.leave(effect.error, effect.service)
                elif isinstance(effect, Mask):
                    await mask(effect.secret)
                else:
                    value = await _nested(effect, send, turns, slots, mask, sleep)
            except HwStatusError as error:
                resume, value = flow.throw, error
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        flow.close()
        if inside:  # cancelled
            slots.abandon(inside)


async def _nested(effect: Exclusive | Together, *how: Any) -> Any:
    if isinstance(effect, Together):
        return await _together(effect, *how)
    turns: SingleFlights[asyncio.Lock] = how[1]
    return await turns[effect.name].arun(lambda: run_async(effect.flow(), *how), effect.patience)


async def _together(effect: Together, *how: Any) -> list[Any]:
    results: list[Any] = [None] * len(effect.flows)
    left = iter(enumerate(effect.flows))

    async def work() -> None:
        for index, make in left:
            results[index] = await run_async(make(), *how)

    tasks = [asyncio.create_task(work()) for _ in range(min(_WIDTH, len(effect.flows)))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return results
