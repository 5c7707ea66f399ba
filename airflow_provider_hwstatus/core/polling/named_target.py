"""The target of a wait for DLI batches by name: before they are found, and after that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.polling.batches_by_name import BatchesByName, BatchSearch, time_from, with_names
from airflow_provider_hwstatus.core.polling.job_ids import is_job_id
from airflow_provider_hwstatus.core.polling.job_status import JobStatus
from airflow_provider_hwstatus.core.polling.jobs_summary import CompletionRule, JobsSummary, PollResult
from airflow_provider_hwstatus.core.polling.wait import Poller
from airflow_provider_hwstatus.core.polling.wait_target import WaitTarget
from airflow_provider_hwstatus.errors import ConfigurationError
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH
from airflow_provider_hwstatus.kinds.job_kind import JobKind


@dataclass(frozen=True)
class FoundBatches(WaitTarget):
    """
    The target of a wait for batches that were found by name. It is one of ids, and its results have the names.

    :param search: How they were found.
    :param names: The names of the batches, by id.
    """

    search: BatchSearch = field(kw_only=True)
    names: Mapping[str, str] = field(hash=False, kw_only=True)

    def to_dict(self) -> dict[str, Any]:
        """Return the target as JSON, from which :func:`target_from_dict` restores it."""
        return super().to_dict() | self.search.to_dict() | {"names": dict(self.names)}

    def poller(self, client: Client, known: Poller[PollResult] | None = None) -> Poller[PollResult]:
        """Return the poller of the target for a connection, as :meth:`WaitTarget.poller` does."""
        if known is not None:
            return super().poller(client, known)
        return BatchesByName(client, self.kind, self.search, self.rule, self.names)

    def value(self, found: PollResult) -> object:
        """Return the task's return value, in which each status has its name."""
        if isinstance(found, JobStatus):
            return found.to_dict()
        statuses = found.in_order(self.ids, self.kind.name)
        return [status | {"name": self.names.get(str(status["job_id"]))} for status in statuses]

    def _read(self, fields: Mapping[str, object]) -> PollResult:
        return with_names(super()._read(fields), self.names)


@dataclass(frozen=True)
class NamedTarget(WaitTarget):
    """
    The target of a wait for batches by name, as long as they are not found.

    Its ``ids`` are empty: a text for one batch, and a list for all batches that match.

    An event of such a wait has ids that nobody knew before. It is trusted if each batch has a name that matches, none
    is in it twice, and there is only one unless the wait is for all.
    """

    search: BatchSearch = field(kw_only=True)

    @classmethod
    def by_name(cls, kind: JobKind, search: BatchSearch, rule: CompletionRule) -> NamedTarget:
        """
        Return the target for a search.

        :raises ConfigurationError: Jobs of this kind cannot be found by name.
        """
        if kind.name != DLI_BATCH.name:
            raise ConfigurationError(f"only jobs of kind {DLI_BATCH.name!r} are found by name, not {kind.name!r}")
        return cls(kind, [] if search.on_many == "all" else "", rule, search=search)

    def found(self, poller: Poller[PollResult] | None) -> WaitTarget:
        """Return the target with the ids that *poller* has found, or this one if it has found none."""
        if not isinstance(poller, BatchesByName) or not poller.names:
            return self
        return self.with_names(poller.names)

    def with_names(self, names: Mapping[str, str]) -> FoundBatches:
        """
        Return the target for batches that were found.

        :param names: Their names, by id.
        :raises ConfigurationError: *names* are not those of batches. They may come from a database.
        """
        if not isinstance(names, Mapping) or not names or not all(map(is_job_id, names)):
            raise ConfigurationError("names must be the names of the batches that were found, by id")
        ids = list(names) if self.search.on_many == "all" else next(iter(names))
        return FoundBatches(self.kind, ids, self.rule, search=self.search, names=names)

    def to_dict(self) -> dict[str, Any]:
        """Return the target as JSON, from which :func:`target_from_dict` restores it."""
        row = super().to_dict()
        del row["job_id"]
        return row | self.search.to_dict()

    @property
    def subject(self) -> str:
        """The name of the batches in messages."""
        return self.search.title

    @property
    def first(self) -> str:
        """The first id: empty, because it is not known yet."""
        return ""

    def poller(self, client: Client, known: Poller[PollResult] | None = None) -> Poller[PollResult]:
        """Return the poller of the target for a connection, as :meth:`WaitTarget.poller` does."""
        if known is not None:
            return super().poller(client, known)
        return BatchesByName(client, self.kind, self.search, self.rule)

    def value(self, found: PollResult) -> object:
        """Return the task's return value: a dict for one batch, or a list of dicts."""
        if isinstance(found, JobStatus):
            return found.to_dict()
        return [status.to_dict() for status in found.bounded().statuses]

    def _one_job(self, status: JobStatus) -> JobStatus:
        self._check_named([status])
        return status

    def _several_jobs(self, summary: JobsSummary) -> JobsSummary:
        self._check_named(summary.statuses)
        if len({status.job_id for status in summary.statuses}) != len(summary.statuses) or summary.gone:
            raise ValueError("a batch is in it twice, or is said to be gone")
        return summary

    def _check_named(self, statuses: list[JobStatus] | tuple[JobStatus, ...]) -> None:
        """:raises ValueError: A batch is not one that this wait is for."""
        self._check(statuses)
        for status in statuses:
            if not is_job_id(status.job_id) or not self.search.matches(status.name):
                raise ValueError(f"it is about the batch {status.job_id!r} with the name {status.name!r}")


def target_from_dict(row: object) -> WaitTarget:
    """
    Restore any target from its ``to_dict()``: one by name if it has a ``name``. Unknown fields are ignored.

    :raises ConfigurationError: *row* does not describe a target.
    """
    if not isinstance(row, Mapping) or "name" not in row or ("job_id" in row and "names" not in row):
        return WaitTarget.from_dict(row)
    plain = WaitTarget.from_dict({**row, "job_id": []})
    search = BatchSearch(row["name"], time_from(row.get("submitted_after")), row.get("on_many", "error"))
    target = NamedTarget.by_name(plain.kind, search, plain.rule)
    return target.with_names(row["names"]) if "names" in row else target
