"""What a watcher has stored, read with care: a value that cannot be would silence it for ever."""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import islice
from typing import TypeVar

from airflow_provider_hwstatus.core.polling.job_ids import is_job_id

_log = logging.getLogger(__name__)

_Value = TypeVar("_Value")

#: Seconds by which the clock of the triggerer that stored a time may have been ahead.
_SKEW = 3600.0

#: Jobs that are read at most.
_MOST = 10_000


def time_of(value: object, now: float) -> float | None:
    """
    Return seconds since 1970 that have passed, or None if *value* is something else.

    :param now: Seconds since 1970.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= now + _SKEW:
        return None
    return min(float(value), now)


class Checkpoint:
    """
    A stored checkpoint.

    :param title: Whose, for the log.
    :param fields: The JSON object that was stored, or whatever is there instead.
    :param now: Seconds since 1970.
    """

    def __init__(self, title: str, fields: object, now: float) -> None:
        self._title = title
        self._fields = fields if isinstance(fields, dict) else {}
        self._now = now
        self._corrupt = list[str]()

    def time(self, name: str) -> float | None:
        """Return a field that is a time in the past; None if it is corrupt."""
        return self._checked(name, time_of(self._fields.get(name), self._now))

    def flag(self, name: str) -> bool | None:
        """Return a field that is true or false; None if it is corrupt."""
        value = self._fields.get(name)
        return self._checked(name, value if isinstance(value, bool) else None)

    def jobs(
        self, name: str, read: Callable[[object], _Value | None], unreadable: Callable[[], _Value | None]
    ) -> dict[str, _Value] | None:
        """
        Return a field that is an object by job id; None if it is corrupt.

        :param read: Returns what an entry means; None if it is corrupt.
        :param unreadable: Returns what such an entry becomes; None leaves it out.
        """
        entries = self._fields.get(name)
        if not isinstance(entries, dict):
            return self._checked(name, None)
        values = {job_id: read(entry) for job_id, entry in islice(entries.items(), _MOST) if is_job_id(job_id)}
        corrupt = len(entries) - sum(value is not None for value in values.values())
        self._checked(f"{corrupt} of {name}", None if corrupt else True)
        found = {job_id: unreadable() if value is None else value for job_id, value in values.items()}
        return {job_id: value for job_id, value in found.items() if value is not None}

    def _checked(self, name: str, value: _Value | None) -> _Value | None:
        if value is None:
            self._corrupt.append(name)
        return value

    def log_what_is_corrupt(self) -> bool:
        """Log what was corrupt of that which has been read, and return whether there was anything."""
        if self._corrupt:
            _log.warning(
                "The checkpoint of %s is corrupt (%s). It goes on without what is corrupt, and may report ends again.",
                self._title,
                ", ".join(self._corrupt),
            )
        return bool(self._corrupt)
