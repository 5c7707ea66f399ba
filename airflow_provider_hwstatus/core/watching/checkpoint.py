"""
Validate a watcher's stored checkpoint.

One invalid value, such as a time in the future, could stop a watcher from reporting anything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import islice
from typing import TypeVar

from airflow_provider_hwstatus.core.polling.job_ids import is_job_id

_log = logging.getLogger(__name__)

_Value = TypeVar("_Value")

#: Seconds by which the clock of the triggerer that stored a time may have been ahead of this one.
_CLOCK_SKEW = 3600.0

#: Entries that are read from one field at most: a watcher that polls a million jobs polls none in time.
_MAX_JOBS = 10_000


def valid_time(value: object, now: float) -> float | None:
    """
    Return *value* if it is a time in the past, in seconds since 1970, else None.

    A time up to an hour in the future is accepted and becomes *now*, because clocks differ.

    :param now: Seconds since 1970.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= now + _CLOCK_SKEW:
        return None
    return min(float(value), now)


class Checkpoint:
    """
    A stored checkpoint that is read field by field, and remembers which fields were corrupt.

    :param title: Whose checkpoint it is, for the log.
    :param fields: The stored JSON object. Any other JSON value is read as an object without fields.
    :param now: Seconds since 1970.
    """

    def __init__(self, title: str, fields: object, now: float) -> None:
        self._title = title
        self._fields = fields if isinstance(fields, dict) else {}
        self._now = now
        self._corrupt = list[str]()

    def time(self, name: str) -> float | None:
        """Return a time in the past, in seconds since 1970; None if the field is corrupt."""
        return self._checked(name, valid_time(self._fields.get(name), self._now))

    def flag(self, name: str) -> bool | None:
        """Return a boolean; None if the field is corrupt."""
        value = self._fields.get(name)
        return self._checked(name, value if isinstance(value, bool) else None)

    def jobs(
        self, name: str, parse: Callable[[object], _Value | None], fallback: Callable[[], _Value | None]
    ) -> dict[str, _Value] | None:
        """
        Return an object with job ids as keys; None if the field is corrupt.

        :param parse: Converts one entry; returns None if the entry is corrupt.
        :param fallback: Returns the value for a corrupt entry, or None to drop the entry.
        """
        entries = self._fields.get(name)
        if not isinstance(entries, dict):
            return self._checked(name, None)
        parsed = {job_id: parse(entry) for job_id, entry in islice(entries.items(), _MAX_JOBS) if is_job_id(job_id)}
        corrupt = len(entries) - sum(value is not None for value in parsed.values())
        self._checked(f"{corrupt} of {name}", None if corrupt else True)
        values = {job_id: fallback() if value is None else value for job_id, value in parsed.items()}
        return {job_id: value for job_id, value in values.items() if value is not None}

    def _checked(self, name: str, value: _Value | None) -> _Value | None:
        """Return *value*; if it is None, remember that the field is corrupt."""
        if value is None:
            self._corrupt.append(name)
        return value

    def log_corrupt_fields(self) -> bool:
        """Log which of the fields that were read are corrupt; return whether there are any."""
        if self._corrupt:
            _log.warning(
                "The checkpoint of %s is corrupt (%s). The watcher ignores the corrupt parts and may report some ends "
                "again.",
                self._title,
                ", ".join(self._corrupt),
            )
        return bool(self._corrupt)
