"""A limit of time for what has none of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, Queue
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, function: Callable[[], T]) -> T:
    """
    Return what *function* returns, or raise what it raises.

    :raises TimeoutError: It took longer than *seconds*. It goes on in a thread that keeps nobody from leaving: looking
        a host name up, for one, cannot be stopped.
    """
    ends: Queue[tuple[T | None, BaseException | None]] = Queue()

    def run() -> None:
        try:
            ends.put((function(), None))
        except BaseException as error:  # noqa: BLE001  # raised again where it is waited for
            ends.put((None, error))

    threading.Thread(target=run, name="hwstatus-within", daemon=True).start()
    try:
        result, error = ends.get(timeout=seconds)
    except Empty:
        raise TimeoutError(f"not done within {seconds:g} s") from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]  # there is no error, so it is a T
