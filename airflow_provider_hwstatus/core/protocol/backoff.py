"""How long to wait after a failed read of a list that many waits or watchers share."""

from __future__ import annotations

import math

from airflow_provider_hwstatus.core.protocol.throttle import LONGEST_HOLD

#: Seconds to pause after the first failure, and at most.
FIRST_PAUSE = 60.0
LONGEST_PAUSE = 900.0


class Backoff:
    """
    A pause after each failed read, twice as long after each further failure.

    An HTTP 429 to one read delays all waits on the connection, so a read that fails must not be repeated soon. All
    times are seconds of the caller's clock.

    :param calm: A read that fails less than this many seconds after a pause counts as a further failure. A later one
        counts as the first.
    """

    def __init__(self, calm: float) -> None:
        self._calm = calm
        self._pause = 0.0
        self._until = -math.inf

    def failed(self, began_at: float, now: float, retry_after: float | None) -> None:
        """
        Begin a pause after a failed read.

        :param began_at: When the read began.
        :param retry_after: Seconds for which the service accepts no request; the pause follows them.
        """
        if began_at < self._until:  # the read began before an earlier failure, so it is not a further one
            return
        further = began_at <= self._until + self._calm
        self._pause = min(2 * self._pause, LONGEST_PAUSE) if further else FIRST_PAUSE
        self._until = now + min(retry_after or 0.0, LONGEST_HOLD) + self._pause

    def useless(self, now: float) -> None:
        """Begin a pause of :data:`LONGEST_PAUSE` after a read that succeeded but did not help."""
        self._pause = LONGEST_PAUSE
        self._until = now + self._pause

    def pausing(self, now: float) -> bool:
        """Return whether the pause has not ended, so that nothing should be read."""
        return now < self._until
