"""Checks of the job ids that users give, before the first poll."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeGuard

from airflow_provider_hwstatus.errors import ConfigurationError

_JOB_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")

_LONGEST = 128

_STEPS = {".", ".."}  # in a path


#: The text that a template makes of a missing XCom; the last one with the filter ``tojson``.
_MISSING = {"", "None", "null"}


#: The same in a list that a template has turned into text.
_MISSING_ITEM = re.compile(r"""[\[(,]\s*(?:None|null|(["'])(?:None|null)?\1)\s*[,\])]""")


def check_job_id(name: str, job_id: object, characters: str = "") -> str:
    """
    Return *job_id* as text if it is valid; an integer becomes its digits.

    :param name: How the caller calls the id, e.g. ``batch_id``.
    :param characters: What the id may have beside letters, digits, ``.``, ``_`` and ``-``.
    :raises ConfigurationError: It is missing, or cannot be an id.
    """
    if isinstance(job_id, int) and not isinstance(job_id, bool) and 0 <= job_id < 10**128:
        return str(job_id)
    if is_job_id(job_id, characters):
        return job_id
    shown = repr(job_id[:64]) if isinstance(job_id, str) else f"a {type(job_id).__name__}"
    if is_missing(job_id):
        raise ConfigurationError(
            f"{name} is missing: what was given is or holds {shown if job_id is not None else None}, so the XCom or "
            "value that it comes from does not exist or is empty. Check what the task that submits returns"
        )
    if not isinstance(job_id, str):
        raise ConfigurationError(
            f"{name} must be an id or a flat list of ids; what was given is or holds {shown}. Give the id alone, such "
            "as submit.output['id']"
        )
    if is_list_as_text(job_id):
        raise ConfigurationError(
            f"{name} must be a list, not a list as text: {shown}. Give the task's output itself (XComArg, "
            "submit.output), or set render_template_as_native_obj=True in the DAG"
        )
    allowed = " ".join(("A-Z a-z 0-9 . _ -", *characters))
    raise ConfigurationError(
        f"{name} must be 1 to {_LONGEST} of the characters {allowed} (and not '.' or '..'); it is {shown}"
    )


def is_job_id(job_id: object, characters: str = "") -> TypeGuard[str]:
    """Return whether *job_id* is a valid id."""
    if not isinstance(job_id, str) or len(job_id) > _LONGEST or job_id in _STEPS | _MISSING:
        return False
    plain = job_id.translate(dict.fromkeys(map(ord, characters), "-")) if characters else job_id
    return bool(_JOB_ID.fullmatch(plain))


def is_missing(value: object) -> bool:
    """Return whether *value* comes from a missing XCom, or is a list with such an item, at any depth."""
    if isinstance(value, str):
        return value.strip() in _MISSING or (is_list_as_text(value) and bool(_MISSING_ITEM.search(value)))
    return value is None or (is_list(value) and any(map(is_missing, value)))


def is_list(value: object) -> TypeGuard[Iterable[object]]:
    """Return whether *value* is a list, a tuple, or another sequence, such as the outputs of a mapped task."""
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)


def is_list_as_text(text: str) -> bool:
    """Return whether *text* is a list that a template has turned into text."""
    return text.lstrip().startswith(("[", "("))


def one_or_more(argument: str, value: object, characters: str = "") -> str | list[str]:
    """
    Return one id or a list of ids. Every id that a user gives is checked here.

    :param value: As it was given, or made from a template or an ``XComArg``; lazy sequences of mapped tasks, too.
    :param characters: What an id may have beside letters, digits, ``.``, ``_`` and ``-``.
    :raises ConfigurationError: An id is missing or cannot be one, or a template has turned a list into text.
    """
    if not is_list(value):
        return check_job_id(argument, value, characters)
    given = list(value)
    missing = [one for one in given if is_missing(one)]  # counts before what else is wrong
    return [check_job_id(argument, one, characters) for one in missing or given]


def all_of(argument: str, value: object) -> list[str]:
    """Return :func:`one_or_more` as a list."""
    found = one_or_more(argument, value)
    return found if isinstance(found, list) else [found]
