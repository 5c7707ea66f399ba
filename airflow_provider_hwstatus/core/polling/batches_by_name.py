"""Find DLI batches by their name, and then poll them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TypeGuard

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.polling.job_ids import is_job_id, is_missing
from airflow_provider_hwstatus.core.polling.job_lists import Row
from airflow_provider_hwstatus.core.polling.job_poller import JobPoller, JobPollers
from airflow_provider_hwstatus.core.polling.job_status import JobStatus
from airflow_provider_hwstatus.core.polling.jobs_summary import CompletionRule, PollResult, ids
from airflow_provider_hwstatus.core.polling.recent_batches import RecentBatches, created_at, read_recent
from airflow_provider_hwstatus.core.polling.wait_options import WaitOptions
from airflow_provider_hwstatus.core.protocol.advice import NEXT
from airflow_provider_hwstatus.core.protocol.effects import Flow
from airflow_provider_hwstatus.core.protocol.responses import clip, utc
from airflow_provider_hwstatus.errors import (
    ConfigurationError,
    HwStatusError,
    JobNotFoundError,
    MalformedResponseError,
)
from airflow_provider_hwstatus.kinds.job_kind import JobKind

ON_MANY_POLICIES = ("error", "newest", "all")

#: Characters that make a name a pattern.
_WILDCARDS = frozenset("*?[")

#: The largest submission time: the year 9999.
_MOST = 253_402_300_799.0

#: Seconds: the list is read from this long before the submission time, because it may be out of order by that.
_MARGIN = 60.0


@dataclass(frozen=True)
class BatchSearch:
    """
    Which batches a wait by name is for.

    :param name: A name, or a pattern with ``*``, ``?`` and ``[…]``, as for file names. It is case-sensitive.
    :param submitted_after: Batches submitted before this time, in seconds since 1970, do not match.
    :param on_many: What to do about several matches: ``error``; wait for the ``newest``; or wait for ``all``.
    :raises ConfigurationError: An argument is missing or invalid. It may come from a template or a database.
    """

    name: str
    submitted_after: float
    on_many: str = "error"

    def __post_init__(self) -> None:
        if is_missing(self.name):
            raise ConfigurationError(
                f"name is missing: what was given is {self.name!r}, so the XCom or value that it comes from does not "
                "exist or is empty"
            )
        if not isinstance(self.name, str):
            raise ConfigurationError(f"name must be a text; it is {clip(repr(self.name), 64)}")
        if not _is_time(self.submitted_after):
            raise ConfigurationError(
                f"submitted_after must be seconds since 1970; it is {clip(repr(self.submitted_after), 64)}"
            )
        if self.on_many not in ON_MANY_POLICIES:
            raise ConfigurationError(f"on_many must be 'error', 'newest' or 'all'; it is {self.on_many!r}")

    def to_dict(self) -> dict[str, object]:
        """Return the search as JSON."""
        return asdict(self)

    @property
    def exact_name(self) -> str | None:
        """The name, if it is not a pattern."""
        return None if _WILDCARDS & set(self.name) else self.name

    @property
    def title(self) -> str:
        """The name of the batches in messages, as long as they are not found."""
        batches = "DLI batches" if self.on_many == "all" else "DLI batch"
        return f"{batches} {clip(self.name, 128)!r}"

    @property
    def since(self) -> str:
        """The submission time in messages."""
        return f"submitted at or after {utc(self.submitted_after)}"

    def matches(self, name: object) -> bool:
        """Return whether a batch has such a name."""
        return isinstance(name, str) and fnmatchcase(name, self.name)

    def names_in(self, rows: Iterable[Row]) -> dict[str, str]:
        """
        Return the names of the batches that match, by id, in the order of their submission.

        A cloud may ignore the filters of its list, so each row is compared here.

        :raises ConfigurationError: There are several, and that is an error.
        :raises MalformedResponseError: A batch with such a name has no id or no submission time.
        """
        after = int(self.submitted_after * 1000)  # rows have milliseconds
        found = sorted(entry for entry in map(_entry, filter(self._has_name, rows)) if entry[0] >= after)
        names = {job_id: name for _, job_id, name in found}
        if len(names) > 1 and self.on_many == "error":
            raise ConfigurationError(self._ambiguous(names))
        return names if self.on_many == "all" else dict(list(names.items())[-1:])

    def _has_name(self, row: Row) -> bool:
        return self.matches(row.get("name"))

    def _ambiguous(self, names: Mapping[str, str]) -> str:
        shown = ids([f"{job_id} ({clip(name, 64)!r})" for job_id, name in reversed([*names.items()])])
        return (
            f"{len(names)} batches have such a name and were {self.since}: {shown}{NEXT}give the exact name or a later "
            "submitted_after, or say with on_many='newest' or on_many='all' which of them to wait for"
        )


class BatchesByName:
    """
    Looks for batches by name until there are some, and polls them from then on. Later batches change nothing.

    :param names: The names of the batches by id, if they have been found before.
    :ivar names: The names of the batches that were found, by id; empty before that.
    """

    coalesced = None

    def __init__(
        self,
        client: Client,
        kind: JobKind,
        search: BatchSearch,
        rule: CompletionRule,
        names: Mapping[str, str] | None = None,
    ) -> None:
        self.client = client
        self.names: Mapping[str, str] = names or {}
        self._kind = kind
        self._search = search
        self._rule = rule
        self._poller = self._new_poller(list(names)) if names else None
        self._is_open = False

    @property
    def subject(self) -> str:
        """The name of the batches in messages."""
        return self._poller.subject if self._poller else self._search.title

    def move_to(self, client: Client) -> None:
        """Use another connection from now on. The batches that were found stay the same."""
        self.client = client
        if self._poller:
            self._poller.move_to(client)

    def open(self) -> None:
        """Begin a wait."""
        self._is_open = True
        if self._poller:
            self._poller.open()

    def close(self) -> None:
        """End the wait."""
        self._is_open = False
        if self._poller:
            self._poller.close()

    def poll(self, options: WaitOptions) -> Flow[PollResult]:
        """
        Look for the batches if they are not found yet, and poll them.

        :raises JobNotFoundError: No batch matches.
        :raises ConfigurationError: Several match, and that is an error.
        :raises HwStatusError: The list or a batch could not be polled.
        """
        poller = self._poller
        if poller is None:
            poller = yield from self._find(options)
        found: PollResult = yield from poller.poll(options)
        return with_names(found, self.names)

    def _find(self, options: WaitOptions) -> Flow[JobPoller | JobPollers]:
        search = self._search
        since = max(search.submitted_after - _MARGIN, 0.0)
        try:
            listed = yield from read_recent(self.client, since, options.budget, search.exact_name)
            self.names = self._names_in(listed)
        except HwStatusError as error:
            raise error.about(self.subject)  # noqa: B904  # the same error, with its subject
        self._poller = self._new_poller(list(self.names))
        if self._is_open:
            self._poller.open()
        return self._poller

    def _names_in(self, listed: RecentBatches) -> Mapping[str, str]:
        if not listed.complete:
            raise MalformedResponseError(
                f"the list of batches that were {self._search.since} is too long to be read{NEXT}give a later "
                "submitted_after, or an exact name"
            )
        names = self._search.names_in(listed.rows)
        if not names:
            raise JobNotFoundError(
                f"no batch with such a name was {self._search.since}{NEXT}check the name (letter case counts), "
                "project_id and region; if it is submitted later, raise not_found_grace; if it was submitted earlier, "
                "give submitted_after"
            )
        return names

    def _new_poller(self, job_ids: list[str]) -> JobPoller | JobPollers:
        if self._search.on_many == "all":
            return JobPollers(self.client, self._kind, job_ids, self._rule)
        return JobPoller(self.client, self._kind, job_ids[0])


def with_names(found: PollResult, names: Mapping[str, str]) -> PollResult:
    """Return *found* with the names of the batches, which a poll of the state alone does not show."""
    if isinstance(found, JobStatus):
        return replace(found, name=names.get(found.job_id) or found.name)
    named = (replace(status, name=names.get(status.job_id) or status.name) for status in found.statuses)
    return replace(found, statuses=tuple(named))


def time_from(value: object) -> float:
    """
    Return a time that a user gave, in seconds since 1970.

    :param value: A datetime, a text in ISO 8601, or seconds since 1970. Without a time zone, it is in UTC.
    :raises ConfigurationError: It is none of these, or is missing.
    """
    if isinstance(value, str):
        with suppress(ValueError):  # refused below
            value = datetime.fromisoformat(value.strip())
    if isinstance(value, datetime):
        value = (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if _is_time(value):
        return value
    raise ConfigurationError(
        f"submitted_after must be a datetime or a text in ISO 8601, such as '2026-11-21T02:00:00Z'; it is "
        f"{clip(repr(value), 64)}"
    )


def _is_time(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MOST


def _entry(row: Row) -> tuple[int, str, str]:
    """
    Return when a batch was submitted, in milliseconds since 1970, with its id and name.

    :raises MalformedResponseError: The row does not show that.
    """
    created, job_id, name = created_at(row), row.get("id"), row.get("name")
    if created is None or not is_job_id(job_id):
        raise MalformedResponseError(
            f"the list of batches shows {clip(repr(name), 64)} without a valid "
            f"{'create_time' if created is None else 'id'}, so it cannot be told which batch that is"
        )
    return round(created * 1000), job_id, str(name)
