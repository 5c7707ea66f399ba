"""
Paths into a JSON reply: names, ``[0]`` and ``[?field==job_id]``, as in ``backups[?id==job_id].status``.

There are no expressions: thirty kinds of Huawei Cloud jobs need none, and a path from a database must be harmless.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

_STEP = re.compile(r"\.?([A-Za-z_][A-Za-z0-9_-]*)|\[(\d{1,4})\]|\[\?([A-Za-z_][A-Za-z0-9_-]*)==job_id\]")

_LONGEST = 256


@dataclass(frozen=True)
class OfJob:
    """
    The element of a list that is about the job.

    :param field: The element's field with the job's id.
    """

    field: str


#: A name of an object's field, a position in a list, or the list's element about the job.
Step = str | int | OfJob


@lru_cache(maxsize=1024)
def steps_of(path: str) -> tuple[Step, ...]:
    """
    Return the steps of a path.

    :raises ValueError: *path* is not a path.
    """
    steps, position = list[Step](), 0
    while len(path) <= _LONGEST and (match := _STEP.match(path, position)):
        name, index, field = match.groups()
        if name and (match[0][0] == ".") is not bool(steps):
            break  # a point is between names, and nowhere else
        steps.append(name or (OfJob(field) if field else int(index)))
        position = match.end()
    if not steps or position < len(path) or not isinstance(steps[0], str):
        raise ValueError(
            f"{path[:_LONGEST]!r} is no path such as state, job.status, items[0].state or items[?id==job_id].state"
        )
    return tuple(steps)


def value_at(path: str, body: Mapping[str, object], job_id: str) -> object:
    """Return the value at a path; None if there is none."""
    return value_after(steps_of(path), body, job_id)


def has_value(path: str, expected: str | int | bool, body: Mapping[str, object]) -> bool:
    """Return whether the value at a path is *expected*, as text and without regard to letter case."""
    value = value_at(path, body, "")
    return isinstance(value, str | int) and str(value).lower() == str(expected).lower()


def value_after(steps: tuple[Step, ...], body: Mapping[str, object], job_id: str) -> object:
    """Return the value after the steps of a path; None if there is none."""
    value: object = body
    for step in steps:
        value = value.get(step) if type(value) is dict and type(step) is str else _next(value, step, job_id)
        if value is None:
            return None
    return value


def lists_no_job(path: str, body: Mapping[str, object], job_id: str) -> bool:
    """Return whether the path leads through a list that has no element for the job."""
    value: object = body
    for step in steps_of(path):
        of_list = isinstance(value, list) and not isinstance(step, str)
        value = _next(value, step, job_id)
        if value is None:
            return of_list
    return False


def _next(value: object, step: Step, job_id: str) -> object:
    if isinstance(step, str):
        return value.get(step) if isinstance(value, dict) else None
    if not isinstance(value, list):
        return None
    if isinstance(step, int):
        return value[step] if step < len(value) else None
    return next((each for each in value if isinstance(each, dict) and is_id(each.get(step.field), job_id)), None)


def is_id(value: object, job_id: str) -> bool:
    """Return whether a value of a reply is this id. Letter case does not matter."""
    return isinstance(value, str | int) and not isinstance(value, bool) and str(value).lower() == job_id.lower()
