"""How soon to read again what many waits or watchers share, after it could not be read."""

from __future__ import annotations

import math

from airflow_provider_hwstatus.core.protocol.throttle import LONGEST_HOLD

#: Seconds that a reading is put off after one that failed: at first, and at most.
FIRST_PAUSE = 60.0
LONGEST_PAUSE = 900.0


class Backoff:
    """
    Put readings off for longer and longer: whatever one is told, 429 above all, costs all waits of the connection.

    All times are seconds of the caller's clock.

    :param calm: Seconds after a pause in which a reading that fails is one more in a row.
    """

    def __init__(self, calm: float) -> None:
        self._calm = calm
        self._pause = 0.0
        self._until = -math.inf

    def failed(self, asked_at: float, now: float, retry_after: float | None) -> None:
        """
        Put the next reading off, by twice as much each time in a row.

        :param asked_at: When the reading began.
        :param retry_after: Seconds for which nobody may ask anything, which do not count.
        """
        if asked_at < self._until:  # before that was known: it says nothing new
            return
        in_a_row = asked_at <= self._until + self._calm
        self._pause = min(2 * self._pause, LONGEST_PAUSE) if in_a_row else FIRST_PAUSE
        self._until = now + min(retry_after or 0.0, LONGEST_HOLD) + self._pause

    def useless(self, now: float) -> None:
        """Put the next reading off as far as it goes: this one was answered, and of no use."""
        self._pause = LONGEST_PAUSE
        self._until = now + self._pause

    def pausing(self, now: float) -> bool:
        """Return whether to leave it alone."""
        return now < self._until
