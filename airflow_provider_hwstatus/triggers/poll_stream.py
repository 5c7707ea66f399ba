"""The shared stream of Airflow 3.3 for watchers of one connection. Only a triggerer loads it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING

from airflow.triggers.shared_stream import AdvanceItem, SharedStreamProducer

if TYPE_CHECKING:
    from airflow_provider_hwstatus.triggers.shared_poll import SharedPoll


class PollStream(SharedStreamProducer):
    """
    Gives a tick in each interval, and stores its marks once Airflow has stored all that came of it.

    :param tick: Makes one.
    :param interval: Seconds between two.
    """

    def __init__(self, shared_poll: Callable[[], SharedPoll], interval: float) -> None:
        self._tick = shared_poll
        self._interval = interval

    async def open_stream(self) -> AsyncIterator[tuple[SharedPoll, SharedPoll]]:
        """Yield each tick, and again as what is to be advanced."""
        while True:
            shared_poll = self._tick()
            yield shared_poll, shared_poll
            await asyncio.sleep(self._interval)
            shared_poll.stale = True

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """Store the marks of each tick whose events are all stored."""
        for item in batch:
            if item.outcome.failed:
                item.broker_payload.fail()
            else:
                await item.broker_payload.save()
