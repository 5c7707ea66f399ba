"""An event loop whose clock only sleeping moves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest


class Loop(asyncio.SelectorEventLoop):
    """An event loop in which an hour passes in seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.set_debug(False)  # it would keep a traceback for each turn of a thousand waits
        self.now = 1_000_000.0
        selector: Any = self._selector  # type: ignore[attr-defined]  # of CPython's own
        select = selector.select

        def pass_time(timeout: float | None = None) -> Any:
            self.now += max(timeout or 0.0, 0.0)
            return select(0)

        selector.select = pass_time

    def time(self) -> float:
        return self.now


@pytest.fixture
def quick_loop() -> Iterator[Loop]:
    """Return an event loop in which an hour passes in seconds."""
    loop = Loop()
    yield loop
    loop.close()
