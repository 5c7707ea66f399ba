"""The options of a wait, and the intervals between its polls."""

import json

import pytest

from airflow_provider_hwstatus.core.polling.wait import seconds_to_next_poll
from airflow_provider_hwstatus.core.polling.wait_options import WaitOptions
from airflow_provider_hwstatus.core.protocol.retry import LAST_POLL
from airflow_provider_hwstatus.errors import ConfigurationError

BEGAN = 1_795_000_000.0


def options(**changes):
    return WaitOptions(**{"poke_interval": 10.0, "began": BEGAN} | changes)


def spread(how, elapsed):
    """Return the shortest and the longest of many intervals."""
    intervals = [seconds_to_next_poll(how, BEGAN + elapsed) for _ in range(2000)]
    return min(intervals), max(intervals)


def test_interval_is_a_tenth_longer_or_shorter():
    """The interval has a jitter of a tenth at any time of the wait."""
    for elapsed in (0.0, 86_400.0):
        shortest, longest = spread(options(), elapsed)
        assert 9.0 <= shortest < 9.1
        assert 10.9 < longest <= 11.0


def test_interval_ends_at_the_deadline():
    """The interval ends at the deadline, and lasts a tenth of a second at least."""
    how = options(deadline=BEGAN + 100.0)

    assert [9.0, 5.0, 0.1, 0.1] == [seconds_to_next_poll(how, BEGAN + at) for at in (91.0, 95.0, 99.99, 500.0)]
    assert 0.1 == seconds_to_next_poll(options(poke_interval=0.0), BEGAN)


@pytest.mark.parametrize(
    ("changes", "elapsed", "expected"),
    [
        ({}, 0.0, 10.0),
        ({"poke_interval": 60.0}, 0.0, 15.0),
        ({"poke_interval": 60.0}, 14.0, 1.0),
        ({"poke_interval": 60.0}, 15.0, 0.0),
        ({"poke_interval": 60.0}, 9999.0, 0.0),
        ({"poke_interval": 60.0}, -9999.0, 15.0),
        ({"poke_interval": 60.0, "deadline": BEGAN + 9.0}, 4.0, 5.0),
        ({"poke_interval": 60.0, "deadline": BEGAN + 9.0}, 10.0, 0.0),
        ({"poke_interval": 60.0, "deadline": BEGAN + 90.0}, 4.0, 11.0),
        ({"deferred_at": None}, 0.0, 0.0),
    ],
)
def test_trigger_pauses_after_a_deferral(changes, elapsed, expected):
    """After a deferral a trigger pauses for 15 seconds or a shorter interval, and ends the pause at the deadline."""
    assert expected == options(**{"deferred_at": BEGAN} | changes).settling(BEGAN + elapsed)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"deadline": BEGAN + 10.1}, True),
        ({"deadline": BEGAN + 10.0}, False),
        ({"deadline": BEGAN - 1.0}, False),
        ({"deadline": BEGAN + 15.1, "poke_interval": 60.0}, True),
        ({"deadline": BEGAN + 15.0, "poke_interval": 60.0}, False),
        ({}, True),
    ],
)
def test_wait_is_deferred_if_a_trigger_can_poll_in_time(changes, expected):
    """A wait is not deferred if its deadline comes before the first poll of a trigger."""
    assert expected == options(**changes).worth_deferring(BEGAN)


@pytest.mark.parametrize(
    ("poke_interval", "elapsed", "expected"),
    [
        # Airflow's first interval is half of poke_interval and at least a second. Each interval is twice as long as the
        # one before, and jitter makes it up to twice as long again: 5, 10, 20, 40 … begin at 0, 5, 15, 35 …
        (10.0, 0.0, 5.0),
        (10.0, 4.99, 5.0),
        (10.0, 5.0, 10.0),
        (10.0, 14.99, 10.0),
        (10.0, 15.0, 20.0),
        (10.0, 35.0, 40.0),
        (10.0, 3600.0, 2560.0),
        (0.2, 0.0, 1.0),
        (0.2, 1.0, 2.0),
        (0.0, 3.0, 4.0),
    ],
)
def test_backoff_is_airflows(poke_interval, elapsed, expected):
    """The interval is taken from the time waited, and is that of Airflow at this time."""
    shortest, longest = spread(options(poke_interval=poke_interval, exponential_backoff=True), elapsed)

    assert expected == pytest.approx(shortest, rel=0.01)
    assert 2 * expected == pytest.approx(longest, rel=0.01)


def test_backoff_has_bounds():
    """max_wait and the deadline limit the interval of a backoff, and max_wait does nothing without backoff."""
    how = options(exponential_backoff=True, max_wait=60.0, deadline=BEGAN + 3600.0)

    assert 60.0 == seconds_to_next_poll(how, BEGAN + 3000.0)
    assert 25.0 == seconds_to_next_poll(how, BEGAN + 3575.0)
    assert 9.0 <= seconds_to_next_poll(options(max_wait=1.0), BEGAN)


@pytest.mark.parametrize(
    "argument", ["poke_interval", "began", "outage_tolerance", "not_found_grace", "deadline", "deferred_at", "max_wait"]
)
@pytest.mark.parametrize("wrong", [True, False, "1", -1.0, float("nan"), float("inf"), 10**400, [1]])
def test_invalid_number_is_named(argument, wrong):
    """The error of an invalid number names the argument and has less than 200 characters."""
    with pytest.raises(ConfigurationError, match=rf"^{argument} must be a number") as caught:
        options(**{argument: wrong})
    assert 200 > len(str(caught.value))


def test_optional_numbers_may_be_left_out():
    """The deadline and max_wait are optional, and poke_interval is required."""
    assert options(deadline=None, max_wait=None) == options()
    with pytest.raises(ConfigurationError, match=r"^poke_interval"):
        options(poke_interval=None)


@pytest.mark.parametrize("policy", ["", "Wait", None, "ignore"])
def test_policy_for_unknown_states_is_wait_or_fail(policy):
    """Any other value of on_unknown_state raises an error."""
    with pytest.raises(ConfigurationError, match=r"^on_unknown_state must be 'wait' or 'fail'"):
        options(on_unknown_state=policy)


def test_log_says_how_long_and_how_often():
    """The log has the interval, and the deadline if there is one."""
    assert "; waiting, polling every 10 s" == options().until
    assert "; waiting until 2026-11-18T11:35:00Z at most, polling every 0.5 s" == (
        options(poke_interval=0.5, deadline=BEGAN + 1700.0).until
    )


def test_budget_is_that_of_the_options():
    """Each poll has the tolerance and the deadline of the options, and a poll after the deadline has five seconds."""
    how = options(outage_tolerance=7.0, deadline=BEGAN + 60.0)
    last = how.last_poll(BEGAN + 500.0)

    assert (7.0, BEGAN + 60.0, BEGAN + 60.0 + LAST_POLL) == (
        how.budget.outage_tolerance,
        how.budget.deadline,
        how.budget.end,
    )
    assert (7.0, BEGAN + 500.0 + LAST_POLL) == (last.budget.outage_tolerance, last.budget.end)
    assert BEGAN + 60.0 + LAST_POLL == how.budget.end


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"deadline": BEGAN + 60.0, "deferred_at": BEGAN, "max_wait": 5.0, "exponential_backoff": True},
        {"outage_tolerance": 0.0, "on_unknown_state": "fail", "silent_fail": True, "not_found_grace": 3.0},
    ],
)
def test_options_cross_the_database(changes):
    """As JSON, without what is as by default, and names of other releases are ignored."""
    how = options(**changes)
    row = json.loads(json.dumps(how.to_dict()))

    assert {"poke_interval", "began"} | changes.keys() == row.keys()
    assert how == WaitOptions.from_dict(row | {"from_the_future": 1}, began=0.0)


def test_wait_that_does_not_say_when_it_began_begins_now():
    """An operator of somebody's own need not say it."""
    for row in ({}, {"began": None}):
        assert BEGAN == WaitOptions.from_dict(row, BEGAN).began
    for wrong in (None, [], "60", 60.0):
        with pytest.raises(ConfigurationError, match="options must be an object"):
            WaitOptions.from_dict(wrong, BEGAN)
