"""Readings that fail come later and later."""

from __future__ import annotations

import pytest

from airflow_provider_hwstatus.core.protocol.backoff import Backoff


def pause_after(backoff: Backoff, asked_at: float, retry_after: float | None = None) -> float:
    """Have a reading fail a second after it began; return for how many seconds it is left alone."""
    backoff.failed(asked_at, asked_at + 1.0, retry_after)
    return next(seconds for seconds in range(100_000) if not backoff.pausing(asked_at + 1.0 + seconds))


def test_pauses_double_up_to_a_quarter_of_an_hour() -> None:
    """In a row, that is: a reading that goes well for long enough after a pause begins anew."""
    backoff, now, pauses = Backoff(calm=120.0), 0.0, list[float]()
    assert not backoff.pausing(now)
    for _ in range(6):
        pauses.append(pause_after(backoff, now))
        now += 1.0 + pauses[-1] + 119.0
    assert pauses == [60.0, 120.0, 240.0, 480.0, 900.0, 900.0]
    assert pause_after(backoff, now + 2.0) == 60.0


@pytest.mark.parametrize(("retry_after", "expected"), [(None, 60.0), (30.0, 90.0), (86_400.0, 960.0)])
def test_time_in_which_nobody_may_ask_does_not_count(retry_after: float | None, expected: float) -> None:
    """Else the next reading would come just when all waits of the connection come back, and hold them back again."""
    assert pause_after(Backoff(calm=0.0), 0.0, retry_after) == expected


def test_failures_that_began_before_a_pause_say_nothing_new() -> None:
    """They were under way together."""
    backoff = Backoff(calm=120.0)
    backoff.failed(0.0, 1.0, None)
    backoff.failed(0.5, 30.0, None)
    assert not backoff.pausing(61.0)


def test_useless_reading_is_put_off_as_far_as_it_goes() -> None:
    """It was answered, and would be again."""
    backoff = Backoff(calm=120.0)
    backoff.useless(100.0)
    assert backoff.pausing(999.0)
    assert not backoff.pausing(1000.0)
