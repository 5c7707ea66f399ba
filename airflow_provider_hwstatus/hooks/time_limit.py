"""A time limit for functions that have none."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, Queue
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, function: Callable[[], T]) -> T:
    """
    Call *function* in a thread, and return its result or raise its exception.

    After a time-out, *function* continues in its thread, because a DNS look-up, for example, cannot be stopped. The
    thread does not keep the process from exiting.

    :raises TimeoutError: *function* took longer than *seconds*.
    """
    results: Queue[tuple[T | None, BaseException | None]] = Queue()

    def run() -> None:
        try:
            results.put((function(), None))
        except BaseException as error:  # noqa: BLE001  # raised again in the calling thread
            results.put((None, error))

    threading.Thread(target=run, name="hwstatus-within", daemon=True).start()
    try:
        result, error = results.get(timeout=seconds)
    except Empty:
        raise TimeoutError(f"not done within {seconds:g} s") from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]  # without an error, it is a T
