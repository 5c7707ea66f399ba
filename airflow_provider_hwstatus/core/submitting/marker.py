"""The marker of a submission: it names the task and the try, so that a later try finds the job again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_hwstatus.errors import ConfigurationError
from airflow_provider_hwstatus.kinds.submission import Submission

#: Hexadecimal digits of the hash in a marker.
_DIGITS = 16

#: Characters of the longest marker: a hyphen, the hash, a hyphen and the number of the try.
LONGEST_MARKER = 1 + _DIGITS + 1 + 4

#: Earlier tries whose job is looked for at most.
_MOST_TRIES = 20

#: The key of the tag that holds a marker.
TAG = "hwstatus"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """
    One try of a task instance to get its job done.

    :param max_tries: The ``max_tries`` of the task instance. Clearing a task raises it, and nothing else changes it. So
        tries with the same ``max_tries`` are about the same job.
    :param number: The number of the try, from 1.
    :param is_first: Whether it is the first one since the task was cleared, by the number of its retries. That is wrong
        if somebody has changed this number in the meantime.
    """

    dag_id: str
    task_id: str
    run_id: str
    map_index: int
    max_tries: int
    number: int
    is_first: bool

    def marker(self, number: int | None = None) -> str:
        """
        Return the marker of this try, or of another one.

        :param number: The number of the other try.
        """
        parts = [self.dag_id, self.task_id, self.run_id, self.map_index, self.max_tries]
        digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_DIGITS]
        return f"{digest}-{self.number if number is None else number}"

    @property
    def earlier(self) -> range:
        """The numbers of the tries that may have submitted the job, the newest first."""
        return range(self.number - 1, max(self.number - 1 - _MOST_TRIES, 0), -1)


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


def encoded(body: Mapping[str, Any]) -> bytes:
    """
    Return a body as JSON. The outputs of mapped tasks become lists.

    :raises ConfigurationError: It has something that is not JSON.
    """

    def plain(value: object) -> list[object]:
        if isinstance(value, Sequence) and not isinstance(value, bytes):
            return list(value)
        raise ConfigurationError(
            f"the body has a {type(value).__name__}, which is not JSON; render it as text, a number or a list"
        )

    try:
        return json.dumps(body, default=plain).encode()
    except ValueError as error:  # it contains itself
        raise ConfigurationError(f"the body is not JSON: {error}") from None


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
