"""Sleeps in an event loop: alarms, sleeps that go on, and sleeps that end together."""

import asyncio
import threading
from contextvars import ContextVar

import pytest

from airflow_provider_hwstatus.core.protocol.effects import Alarm, Sleep
from airflow_provider_hwstatus.transports.sleeping import sleep, sleep_in_step


async def test_alarm_ends_a_sleep_early():
    """A rung alarm ends the sleep, and a later ring has no effect. Without a ring, the sleep has its full length."""
    alarm = Alarm()
    sleeping = asyncio.create_task(sleep(Sleep(3600.0, alarm)))
    await asyncio.sleep(0)
    alarm.ring(0.01)
    alarm.ring(0.0)
    await asyncio.wait_for(sleeping, 60.0)
    assert alarm.ring is None

    await asyncio.wait_for(sleep(Sleep(0.01, alarm)), 60.0)
    assert alarm.ring is None


async def test_alarm_is_rung_in_another_thread():
    """A list that another event loop reads ends the sleep, too."""
    alarm = Alarm()
    sleeping = asyncio.create_task(sleep(Sleep(3600.0, alarm)))
    await asyncio.sleep(0)
    threading.Timer(0.2, alarm.ring, (0.0,)).start()  # when the event loop sleeps
    await asyncio.wait_for(sleeping, 60.0)


async def test_cancelled_sleep_leaves_no_alarm():
    """An alarm of a cancelled sleep has nothing to end."""
    alarm = Alarm()
    sleeping = asyncio.create_task(sleep(Sleep(3600.0, alarm)))
    await asyncio.sleep(0)
    sleeping.cancel()
    await asyncio.wait([sleeping])

    assert sleeping.cancelled()
    assert alarm.ring is None


def test_sleep_goes_on_as_long_as_it_is_told(quick_loop):
    """When the seconds are over, the function says how many more there are, in the context of the sleeping task."""
    name = ContextVar("name")
    left = [20.0, 10.0, None]
    seen = []

    def again():
        seen.append((name.get(), round(quick_loop.time() - began, 3)))
        return left.pop(0)

    async def wait():
        name.set("mine")
        await sleep(Sleep(30.0, Alarm(), again))

    began = quick_loop.time()
    quick_loop.run_until_complete(wait())
    assert [("mine", 30.0), ("mine", 50.0), ("mine", 60.0)] == seen


def test_alarm_ends_a_sleep_that_went_on(quick_loop):
    """A ring ends the sleep whatever the function would say, and the function is not called after it."""
    alarm, asked = Alarm(), []

    def again():
        asked.append(quick_loop.time() - began)
        return 10.0

    async def run():
        sleeping = asyncio.create_task(sleep(Sleep(10.0, alarm, again)))
        await asyncio.sleep(35.0)
        alarm.ring(0.0)
        await sleeping
        await asyncio.sleep(35.0)

    began = quick_loop.time()
    quick_loop.run_until_complete(run())
    assert [10.0, 20.0, 30.0] == pytest.approx(asked)


def test_function_is_not_called_after_the_alarm(quick_loop):
    """If the alarm and the end of the seconds are due in the same iteration of the event loop, the first one counts."""
    alarm, asked = Alarm(), []

    async def run():
        sleeping = asyncio.create_task(sleep(Sleep(20.0, alarm, lambda: asked.append(1))))
        await asyncio.sleep(0)
        alarm.ring(10.0)
        await asyncio.sleep(0)
        quick_loop.now += 30.0  # now both are due
        await sleeping

    quick_loop.run_until_complete(run())
    assert not asked


async def test_error_of_the_function_ends_the_sleep():
    """An error is raised where the sleep is awaited. If only the event loop logged it, the wait would never end."""
    alarm = Alarm()

    def again():
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        await asyncio.wait_for(sleep(Sleep(0.0, alarm, again)), 60.0)
    assert alarm.ring is None


def test_long_pauses_end_together(quick_loop):
    """Pauses that end within 50 ms of each other end in the same iteration of the event loop."""
    ends = []

    async def sleep(number):
        await sleep_in_step(Sleep(1.0 + number / 1000))
        ends.append(quick_loop.time() - started_at)

    async def run():
        await asyncio.gather(*map(sleep, range(100)))

    started_at = quick_loop.time()
    quick_loop.run_until_complete(run())
    assert 1.0 <= min(ends)
    assert max(ends) < 1.15
    assert len({round(end, 3) for end in ends}) <= 4


def test_short_pauses_are_exact(quick_loop):
    """A pause of 0.1 s is not extended."""
    started_at = quick_loop.time()
    quick_loop.run_until_complete(sleep_in_step(Sleep(0.1)))
    assert pytest.approx(0.1) == quick_loop.time() - started_at
