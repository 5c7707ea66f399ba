"""The shared stream of polls for watchers of one connection (Airflow 3.3 and newer). Only a triggerer imports it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING

from airflow.triggers.shared_stream import AdvanceItem, SharedStreamProducer

if TYPE_CHECKING:
    from airflow_provider_hwstatus.triggers.shared_poll import SharedPoll


class PollStream(SharedStreamProducer):
    """
    Start one shared poll per interval; store its checkpoints once Airflow has stored all events of the poll.

    :param make_poll: Returns a new poll.
    :param interval: Seconds between two polls.
    """

    def __init__(self, make_poll: Callable[[], SharedPoll], interval: float) -> None:
        self._make_poll = make_poll
        self._interval = interval

    async def open_stream(self) -> AsyncIterator[tuple[SharedPoll, SharedPoll]]:
        """Yield each poll twice: for the watchers, and as the item that Airflow passes to :meth:`advance`."""
        while True:
            shared_poll = self._make_poll()
            yield shared_poll, shared_poll
            await asyncio.sleep(self._interval)
            shared_poll.stale = True

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """Store the checkpoints of each poll whose events are all stored."""
        for item in batch:
            if item.outcome.failed:
                item.broker_payload.fail()
            else:
                await item.broker_payload.save()
