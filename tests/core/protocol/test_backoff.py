"""The pauses of a list after failures."""

from __future__ import annotations

import pytest

from airflow_provider_hwstatus.core.protocol.backoff import Backoff


def pause_after(backoff: Backoff, began: float, retry_after: float | None = None) -> float:
    """Let a request fail a second after it began; return for how many seconds there is no further one."""
    backoff.failed(began, began + 1.0, retry_after)
    return next(seconds for seconds in range(100_000) if not backoff.pausing(began + 1.0 + seconds))


def test_pauses_double_up_to_a_quarter_of_an_hour() -> None:
    """Failures in a row double the pause up to 15 minutes, and a calm time after a pause resets it."""
    backoff, now, pauses = Backoff(calm=120.0), 0.0, list[float]()
    assert not backoff.pausing(now)
    for _ in range(6):
        pauses.append(pause_after(backoff, now))
        now += 1.0 + pauses[-1] + 119.0
    assert pauses == [60.0, 120.0, 240.0, 480.0, 900.0, 900.0]
    assert pause_after(backoff, now + 2.0) == 60.0


@pytest.mark.parametrize(("retry_after", "expected"), [(None, 60.0), (30.0, 90.0), (86_400.0, 960.0)])
def test_retry_after_extends_the_pause(retry_after: float | None, expected: float) -> None:
    """The pause begins after Retry-After, so that the list does not compete with the waits that were held back."""
    assert pause_after(Backoff(calm=0.0), 0.0, retry_after) == expected


def test_concurrent_failures_count_once() -> None:
    """A failure of a request that began before the pause does not extend the pause."""
    backoff = Backoff(calm=120.0)
    backoff.failed(0.0, 1.0, None)
    backoff.failed(0.5, 30.0, None)
    assert not backoff.pausing(61.0)


def test_useless_list_has_the_longest_pause() -> None:
    """A list that is useless is not requested for 15 minutes."""
    backoff = Backoff(calm=120.0)
    backoff.useless(100.0)
    assert backoff.pausing(999.0)
    assert not backoff.pausing(1000.0)
