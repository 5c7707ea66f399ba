"""The marker of a submission: it names the task and the try, so that a later try finds the job again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_hwstatus.errors import ConfigurationError
from airflow_provider_hwstatus.kinds.submission import Submission

#: Hexadecimal digits of the hash in a marker.
_DIGITS = 16

#: Characters of the longest marker: a hyphen, the hash, a hyphen and the number of the try.
LONGEST_MARKER = 1 + _DIGITS + 1 + 4

#: The key of the tag that holds a marker.
TAG = "hwstatus"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """
    One try of a task instance to get its job done.

    :param run: How often the task was cleared, and when: every clearing begins with a new job.
    :param number: The number of the try since then, from 1.
    """

    dag_id: str
    task_id: str
    run_id: str
    map_index: int
    run: int
    number: int

    def marker(self, number: int | None = None) -> str:
        """
        Return the marker of this try, or of another one.

        :param number: The number of the other try.
        """
        parts = [self.dag_id, self.task_id, self.run_id, self.map_index, self.run]
        digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_DIGITS]
        return f"{digest}-{self.number if number is None else number}"


def check_body(submission: Submission, body: object) -> Mapping[str, Any]:
    """
    Return the body of a submission.

    :raises ConfigurationError: It is no mapping, or lacks a field, or has another value for a fixed one.
    """
    if not isinstance(body, Mapping):
        raise ConfigurationError(
            f"the body must be a mapping, such as the API's request body; it is a {type(body).__name__}"
        )
    if missing := [name for name in submission.required if body.get(name) in (None, "", [])]:
        raise ConfigurationError(f"the body lacks {missing[0]}, which the API needs")
    if different := [name for name, value in submission.fixed.items() if body.get(name, value) != value]:
        raise ConfigurationError(
            f"the body must not have another {different[0]} than {submission.fixed[different[0]]!r}"
        )
    if submission.tags_field and not isinstance(body.get(submission.tags_field) or [], list):
        raise ConfigurationError(f"{submission.tags_field} must be a list of tags")
    return body


def check_name(submission: Submission, body: Mapping[str, Any]) -> None:
    """:raises ConfigurationError: The name leaves no room for a marker."""
    if submission.name_field:
        room = submission.longest_name - LONGEST_MARKER
        name = body.get(submission.name_field) or ""
        if not isinstance(name, str) or len(name) > room:
            raise ConfigurationError(
                f"{submission.name_field} must be a text of at most {room} characters, because a marker of "
                f"{LONGEST_MARKER} characters is added to it"
            )


def with_marker(submission: Submission, body: Mapping[str, Any], marker: str, default_name: str) -> dict[str, Any]:
    """
    Return the body with the marker.

    :param default_name: The job's name, if the body has none.
    """
    marked = {**submission.fixed, **body}
    if field := submission.name_field:
        marked[field] = name_with(submission, body, marker, default_name)
    if field := submission.tags_field:
        marked[field] = [*(body.get(field) or []), {"key": TAG, "value": marker}]
    return marked


def name_with(submission: Submission, body: Mapping[str, Any], marker: str, default_name: str) -> str:
    """Return the job's name with the marker."""
    given = body.get(submission.name_field or "") or default_name
    return f"{str(given)[: submission.longest_name - LONGEST_MARKER]}-{marker}"
