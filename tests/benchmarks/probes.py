"""Measurements of a process while it waits."""

from __future__ import annotations

import asyncio
import gc
import io
import math
import time
from collections.abc import Sequence
from pathlib import Path

from serving import PROCESSORS

#: Seconds between two measurements of the event loop's lag.
LAG_INTERVAL = 0.01


class LogCounter(io.RawIOBase):
    """Replaces the pipe to the triggerer's supervisor and counts log lines."""

    lines = 0

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]  # structlog passes only bytes
        self.lines += 1
        return len(data)


class LagProbe:
    """Measures by how many seconds the event loop resumes a coroutine too late."""

    def __init__(self) -> None:
        self.lags: list[float] = []

    async def run(self, start: float) -> None:
        """Measure repeatedly, from *start* on the monotonic clock."""
        due = start
        while True:
            await asyncio.sleep(due - time.monotonic())
            now = time.monotonic()
            self.lags.append(max(now - due, 0.0))
            due = now + LAG_INTERVAL

    async def cost(self) -> float:
        """Return the CPU seconds that one second of measuring takes."""
        task = asyncio.create_task(self.run(time.monotonic()))
        before = time.process_time()
        await asyncio.sleep(1.0)
        task.cancel()
        self.lags.clear()
        return time.process_time() - before


def reset_peak_memory() -> int:
    """Reset the peak memory of this process. Return its current memory in KB."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def memory(which: str) -> int:
    """Return memory in KB: ``VmRSS`` is the current one, ``VmHWM`` the peak since :func:`reset_peak_memory`."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[which].split()[0])


def processor_seconds() -> float:
    """Return the seconds for which the measured processor was busy with any process."""
    (line,) = (line for line in Path("/proc/stat").read_text().splitlines() if line.startswith(f"cpu{PROCESSORS[0]} "))
    user, nice, system, _idle, _iowait, *interrupts = map(int, line.split()[1:9])
    return (user + nice + system + sum(interrupts)) / 100


def percentile(values: Sequence[float], share: float) -> float:
    """Return the percentile of values for a *share* from 0 to 1, or nan if there are no values."""
    ordered = sorted(values)
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else math.nan
