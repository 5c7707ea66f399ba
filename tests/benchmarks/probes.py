"""What is read off a process while it waits."""

from __future__ import annotations

import asyncio
import gc
import io
import math
import time
from collections.abc import Sequence
from pathlib import Path

from serving import PROCESSORS

#: Seconds between two looks at the event loop.
TICK = 0.01


class LogCounter(io.RawIOBase):
    """Takes the place of the pipe to the triggerer's supervisor, and counts the lines."""

    lines = 0

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]  # structlog gives it nothing else
        self.lines += 1
        return len(data)


class Ticker:
    """Notes by how many seconds the event loop is late to wake it."""

    def __init__(self) -> None:
        self.lags: list[float] = []

    async def run(self, start: float) -> None:
        """Look again and again, from *start* on the monotonic clock."""
        due = start
        while True:
            await asyncio.sleep(due - time.monotonic())
            now = time.monotonic()
            self.lags.append(max(now - due, 0.0))
            due = now + TICK

    async def cost(self) -> float:
        """Return the processor time that a second of this takes."""
        task = asyncio.create_task(self.run(time.monotonic()))
        before = time.process_time()
        await asyncio.sleep(1.0)
        task.cancel()
        self.lags.clear()
        return time.process_time() - before


def forget_peak() -> int:
    """Forget how much memory this process has had at most; return how many KB it has now."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def memory(which: str) -> int:
    """Return KB of memory: ``VmRSS`` for now, ``VmHWM`` for the most since :func:`forget_peak`."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[which].split()[0])


def busy() -> float:
    """Return for how many seconds the measured processor has worked, for anybody."""
    (line,) = (line for line in Path("/proc/stat").read_text().splitlines() if line.startswith(f"cpu{PROCESSORS[0]} "))
    user, nice, system, _idle, _iowait, *interrupts = map(int, line.split()[1:9])
    return (user + nice + system + sum(interrupts)) / 100


def percentile(values: Sequence[float], share: float) -> float:
    """Return what a *share* of the values is not above; nan if there is none."""
    ordered = sorted(values)
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else math.nan
