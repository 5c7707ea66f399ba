"""What a kind declares about submission: where a job is submitted, how it is found again, and what its answer has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_hwstatus.kinds.json_path import steps_of
from airflow_provider_hwstatus.kinds.template import check_path


@dataclass(frozen=True, kw_only=True)
class Search:
    """
    How to find a job that was submitted with a marker: a list of the service's jobs.

    :param path: Path of the list, with ``{marker}`` for the marker, percent-encoded, ``{since}`` for a time
        before the submission in milliseconds since 1970, and ``{first}`` or ``{page}`` for the position of the first
        row, counted from 0, or the number of the page, counted from 1. The service may ignore the filters, or match a
        part of the marker.
    :param rows: Field of the response with the rows.
    :param id: Field of a row with the job's id.
    :param state: Field of a row with its state.
    :param created: Field of a row with the time of the submission, in milliseconds since 1970.
    :param permission: IAM action that the request needs; None if it is not documented.
    """

    path: str
    rows: str
    id: str
    state: str
    created: str
    permission: str | None = None


@dataclass(frozen=True, kw_only=True)
class Submission:
    """
    How a job is submitted.

    :param path: Path of the POST, with ``{project_id}``.
    :param id: Path into the answer to the job's id.
    :param is_request: Whether that is the id of a request with several jobs, as CPH has it.
    :param required: Fields that a body must have.
    :param fixed: Fields that are part of every body, such as the command of a CPH phone.
    :param name_field: Field of the body with the job's name, which the marker is added to; None if the marker is a tag.
    :param longest_name: The number of characters that the name may have.
    :param tags_field: Field of the body with tags, of which the marker becomes one; None without tags.
    :param search: How to find the job by the marker; None if the service has no way.
    :param over_at_once: A path into the answer and a value, which says that the job is over already; and the state in
        which it is then.
    :param permission: IAM action that the request needs; None if it is not documented.
    :param source: Where the vendor documents this.
    :raises ValueError: The declaration is wrong.
    """

    path: str
    id: str
    is_request: bool = False
    required: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict, hash=False)
    name_field: str | None = None
    longest_name: int = 128
    tags_field: str | None = None
    search: Search | None = None
    over_at_once: tuple[str, str, str] | None = None
    permission: str | None = None
    source: str = ""

    def __post_init__(self) -> None:
        check_path("path", self.path, {"project_id"})
        steps_of(self.id)
        if self.search:
            check_path("search", self.search.path, {"project_id", "marker", "since", "first", "page"})
        if bool(self.search) is not bool(self.name_field or self.tags_field):
            raise ValueError("a search needs a field for the marker, and the other way round")

    @property
    def is_findable(self) -> bool:
        """Whether a job can be found by its marker."""
        return self.search is not None
