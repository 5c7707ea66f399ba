"""The jobs that a submission to CPH should have, and the items that it rejected."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from airflow_provider_hwstatus.core.polling.job_status import JobStatus
from airflow_provider_hwstatus.core.protocol.responses import clip
from airflow_provider_hwstatus.errors import ConfigurationError
from airflow_provider_hwstatus.kinds.cph import CPH_JOB
from airflow_provider_hwstatus.kinds.job_kind import Outcome

#: Fields that name the phone or server of an item, also in older editions of the API.
_TARGETS = ("phone_id", "server_id", "encode_server_id", "node_id")


def expected_from(value: object) -> Expected:
    """
    Return the number of expected jobs, and the rejected items.

    :param value: A number; the answer to a submission, ``{"request_id": …, "jobs": […]}``; a list of either, one for
        each submission; any of these as JSON; or None if nobody knows.
    :raises ConfigurationError: It is none of these.
    """
    if isinstance(value, str):
        value = _parsed(value)
    if value is None:
        return Expected()
    if isinstance(value, Mapping):
        return _of_answer(value)
    if isinstance(value, Iterable):
        found = [expected_from(one) for one in value]
        if any(one.jobs is None for one in found):
            raise _wrong(value)
        return Expected(jobs=sum(one.jobs or 0 for one in found), rejected=sum((one.rejected for one in found), ()))
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _wrong(value)
    return Expected(jobs=value)


def expected_in_row(row: Mapping[str, object]) -> Expected:
    """
    Restore what :meth:`Expected.to_dict` returned, or read what a user gave as ``expected_jobs``.

    :raises ConfigurationError: ``expected_jobs`` is neither.
    :raises ValueError: ``rejected`` is no list of statuses of items that CPH rejected.
    """
    expected, given = expected_from(row.get("expected_jobs")), row.get("rejected") or ()
    if not isinstance(given, list | tuple):
        raise ValueError("rejected must be a list of statuses")
    statuses = tuple(map(JobStatus.from_dict, given))
    if any(status.kind != CPH_JOB.name or status.outcome is not Outcome.FAILURE for status in statuses):
        raise ValueError("rejected must be a list of statuses of items that CPH rejected")
    return replace(expected, rejected=expected.rejected + statuses)


def _parsed(text: str) -> object:
    if text in ("", "None"):
        return None
    try:
        return json.loads(text)
    except ValueError:
        raise _wrong(text) from None


def _of_answer(answer: Mapping[str, object]) -> Expected:
    items = answer.get("jobs")
    if not isinstance(items, Iterable) or isinstance(items, str | Mapping):
        raise _wrong(answer)
    known = [item for item in items if isinstance(item, Mapping)]
    refused = [item for item in known if not item.get("job_id")]
    return Expected(jobs=len(known) - len(refused), rejected=tuple(map(_rejected, refused)))


def _rejected(item: Mapping[str, object]) -> JobStatus:
    phone = next((item[name] for name in _TARGETS if item.get(name)), "no phone_id")
    code, text = (clip(str(item[name])) if item.get(name) else None for name in ("error_code", "error_msg"))
    return rejected(clip(str(phone), 64), code, text)


def _wrong(value: object) -> ConfigurationError:
    return ConfigurationError(
        "expected_jobs must be a number of jobs, or the answer to the submission with its jobs, or a list of these; "
        f"it is {clip(repr(value), 100)}. Give the task's output itself (XComArg), not a template that makes it text"
    )


@dataclass(frozen=True)
class Expected:
    """
    The jobs that requests should have.

    :param jobs: How many jobs; None if nobody knows.
    :param rejected: What was refused at once: there is no job of it, and no list shows it.
    """

    jobs: int | None = None
    rejected: tuple[JobStatus, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """Return the expectation as JSON, from which :func:`expected_in_row` restores it."""
        return {"expected_jobs": self.jobs, "rejected": [status.to_dict() for status in self.rejected]}

    def missing(self, listed: int) -> int:
        """Return the number of missing jobs, given the number of listed jobs."""
        return 0 if self.jobs is None else max(self.jobs - listed, 0)


def rejected(phone_id: str, code: str | None, text: str | None) -> JobStatus:
    """Return a failed status for an item of a submission that was rejected, so that it has no job."""
    return JobStatus(
        kind=CPH_JOB.name,
        job_id=f"(none, {phone_id})",
        state="rejected",
        outcome=Outcome.FAILURE,
        error_code=code,
        error_message=text,
    )
