"""
The DLI API: Spark batches and sessions.

Source: DLI API reference, https://support.huaweicloud.com/intl/en-us/api-dli/dli_02_0124.html. For sessions, its
edition of 2020-08-04.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence

from airflow_provider_hwstatus.kinds.dli import DLI_BATCH
from airflow_provider_hwstatus.kinds.job_kind import JobKind
from airflow_provider_hwstatus.testing.lists import BatchList, Row
from airflow_provider_hwstatus.testing.replies import RefusedError, dli_error
from airflow_provider_hwstatus.testing.script import Job, Jobs, State
from airflow_provider_hwstatus.testing.wire import Answer, Incoming, Reply

DEFAULT_LOG_LINES = 100
DETAIL_LOG_LINES = 10
DEFAULT_PAGE = 100  # no maximum is documented

#: Query parameters that filter the list of batches, and the fields that they compare.
_FILTERS = {
    "job_name": "name",
    "job-id": "id",
    "queue_name": "queue",
    "cluster_name": "cluster_name",
    "state": "state",
    "owner": "owner",
}
_ORDERS = {
    "CREATE_TIME_DESC": ("create_time", True),
    "CREATE_TIME_ASC": ("create_time", False),
    "DURATION_DESC": ("duration", True),
    "DURATION_ASC": ("duration", False),
}

#: The id of a batch, and the value of the "job-id" parameter. Source: API reference and the vendor's SDK.
BATCH_ID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
JOB_ID_PARAMETER = re.compile(r"[A-Fa-f0-9_-]*")


def check_id(kind: JobKind, job_id: str) -> None:
    """
    Check that a job of *kind* can have this id.

    :raises ValueError: The job is a batch and the id is not a UUID.
    """
    if kind.path == DLI_BATCH.path and not BATCH_ID.fullmatch(job_id):
        raise ValueError(f"the id of a DLI batch is a UUID, such as str(uuid.uuid4()), not {job_id!r}")


class Dli:
    """
    The endpoints of one collection.

    :param kind: The kind of its jobs.
    :param missing: HTTP status, error code and text for an unknown id.
    """

    def __init__(self, jobs: Jobs, kind: JobKind, missing: tuple[int, str, str]) -> None:
        self._jobs = jobs
        self._kind = kind
        self._missing = missing

    def _job(self, job_id: str) -> Job:
        job = self._jobs.find(self._kind, job_id)
        if job is None:
            status, code, text = self._missing
            raise RefusedError(dli_error(status, code, text.format(job_id)))
        return job

    def show_state(self, request: Incoming, job_id: str) -> Answer:
        """``GET …/{id}/state``. Takes the job's next step."""
        return self._job(job_id).poll(request, lambda state, since: {"id": job_id, "state": str(state)})

    def show(self, request: Incoming, job_id: str) -> Answer:
        """``GET …/{id}``."""
        job = self._job(job_id)
        return Answer(Reply(body=detail_of(job, *job.script.state(request.time))))

    def show_log(self, request: Incoming, job_id: str) -> Answer:
        """``GET …/{id}/log``. Returns the last lines if *from* and *size* are missing."""
        lines = _log(self._job(job_id))
        if request.parameters.get("type", "driver") != "driver":
            raise RefusedError(dli_error(400, "DLI.0001", "type must be driver"))
        # "index" selects the log of a repeated attempt. The fake has only the first attempt.
        if _number(request.parameters, "index", 0) > 0:
            lines = []
        first = _number(request.parameters, "from", max(len(lines) - DEFAULT_LOG_LINES, 0))
        size = _number(request.parameters, "size", DEFAULT_LOG_LINES)
        page = lines[first : first + size]
        return Answer(Reply(body={"id": job_id, "from": first, "total": len(lines), "log": page}))


class DliBatches(Dli):
    """
    The endpoints of batches, which can also be listed.

    :param listing: How batches are listed.
    """

    def __init__(self, jobs: Jobs, kind: JobKind, missing: tuple[int, str, str], listing: BatchList) -> None:
        super().__init__(jobs, kind, missing)
        self._listing = listing

    def _job(self, job_id: str) -> Job:
        if not BATCH_ID.fullmatch(job_id) and self._jobs.find(self._kind, job_id) is None:
            raise RefusedError(dli_error(400, "DLI.0001", "batch_id must be a UUID"))
        return super()._job(job_id)

    def list_batches(self, request: Incoming) -> Answer:
        """``GET /batches``. It ignores unknown parameters, such as *job_id*."""
        snapshot = request.time - self._listing.stale

        def show(job: Job, state: State, since: float) -> Row:
            return _item(job, state, since, snapshot)

        query = {name: value for name, value in request.parameters.items() if name not in self._listing.ignores}
        known = self._listing.known(self._jobs.of(self._kind), request.time)
        part = query.pop("job_name", "") if self._listing.contains else ""
        known = [job for job in known if part in str(job.fields.get("name", ""))]
        found = _select(query, known, lambda job: show(job, *self._listing.state(job, request.time)))
        first, size = _number(query, "from", 0), _number(query, "size", DEFAULT_PAGE)
        total = len(found) + self._listing.moved(first, size) if self._listing.total is None else self._listing.total
        page = [self._without(row) for row in self._listing.rows(found, first, size, request.time, show)]
        body = {"from": first, "total": total, "sessions": page, "create_time": _milliseconds(request.time)}
        return Answer(Reply(body=self._without(body)))

    def _without(self, fields: Row) -> Row:
        return {name: value for name, value in fields.items() if name not in self._listing.omits}


def _select(query: Mapping[str, str], jobs: Sequence[Job], show: Callable[[Job], Row]) -> list[Job]:
    """Return the *jobs* (oldest first) that match *query*, in the order that it asks for."""
    if not JOB_ID_PARAMETER.fullmatch(query.get("job-id", "")):
        raise RefusedError(dli_error(400, "DLI.0001", "job-id must be one id"))
    order = query.get("order", "CREATE_TIME_DESC")
    if order not in _ORDERS:
        raise RefusedError(dli_error(400, "DLI.0001", f"order must be one of {', '.join(_ORDERS)}"))
    by, descending = _ORDERS[order]
    begin, end = _number(query, "start", 0), _number(query, "end", sys.maxsize)
    found = [job for job in jobs if begin <= _created(job) <= end]
    filters = {name: value for parameter, name in _FILTERS.items() if (value := query.get(parameter))}
    if filters:
        rows = [(job, show(job)) for job in found]
        found = [job for job, row in rows if all(row.get(name) == value for name, value in filters.items())]
    if descending:
        found.reverse()  # of two jobs with the same time, the one added later comes first
    # Rows are built only if the order needs them: there can be thousands of jobs.
    found.sort(key=_created if by == "create_time" else lambda job: int(str(show(job)[by])), reverse=descending)
    return found


def _created(job: Job) -> int:
    if "create_time" in job.fields:
        return int(str(job.fields["create_time"]))
    return _milliseconds(job.created)


def detail_of(job: Job, state: State, since: float) -> Row:
    """Return what DLI shows of a batch or session."""
    queue = job.fields.get("queue", "default")
    fields: Row = {
        "id": job.job_id,
        "state": str(state),
        "appId": f"batch-session-{job.job_id}:30663",
        "name": "",
        "owner": "airflow",
        "proxyUser": "",
        "kind": "spark",
        "queue": queue,
        "cluster_name": queue,  # the older name of the same field
        "sc_type": "A",
        "create_time": _milliseconds(job.created),
        "update_time": _milliseconds(since),
    }
    return fields | dict(job.fields) | {"log": _log(job)[-DETAIL_LOG_LINES:]}


def _item(job: Job, state: State, since: float, now: float) -> Row:
    end = now if str(state) in job.kind.in_progress else since
    duration = _milliseconds(end) - _milliseconds(job.created)
    return {"duration": duration, "req_body": "{}", **detail_of(job, state, since)}


def _log(job: Job) -> list[str]:
    lines = job.fields.get("log", [])
    return [str(line) for line in lines] if isinstance(lines, list | tuple) else [str(lines)]


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit()):
        raise RefusedError(dli_error(400, "DLI.0001", f"{name} must be a number of 0 or more"))
    return int(text)


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
