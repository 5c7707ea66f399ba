"""
DLI: Spark batches and sessions.

Source: DLI API reference, https://support.huaweicloud.com/intl/en-us/api-dli/dli_02_0124.html; for sessions
its edition of 2020-08-04.
"""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_hwstatus.core.jobs import JobKind
from airflow_provider_hwstatus.testing.replies import Refused, dli_error
from airflow_provider_hwstatus.testing.script import Job, Jobs
from airflow_provider_hwstatus.testing.wire import Answer, Incoming, Reply

DEFAULT_LOG_LINES = 100
DETAIL_LOG_LINES = 10

#: What the list of batches can be asked for: the parameter and the field that it must equal.
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


class Dli:
    """
    The views of one collection.

    :param kind: Whose jobs.
    :param missing: HTTP status, code and text for an unknown id.
    """

    def __init__(self, jobs: Jobs, kind: JobKind, missing: tuple[int, str, str]) -> None:
        self._jobs = jobs
        self._kind = kind
        self._missing = missing

    def _job(self, job_id: str) -> Job:
        job = self._jobs.find(self._kind, job_id)
        if job is None:
            status, code, text = self._missing
            raise Refused(dli_error(status, code, text.format(job_id)))
        return job

    def show_state(self, request: Incoming, job_id: str) -> Answer:
        """``GET …/{id}/state``: takes the job's next step."""
        return self._job(job_id).poll(request, lambda state, since: {"id": job_id, "state": str(state)})

    def show(self, request: Incoming, job_id: str) -> Answer:
        """``GET …/{id}``."""
        return Answer(Reply(body=_detail(self._job(job_id), request.time)))

    def show_log(self, request: Incoming, job_id: str) -> Answer:
        """``GET …/{id}/log``: without *from* and *size* the last lines."""
        lines = _log(self._job(job_id))
        if request.parameters.get("type", "driver") != "driver":
            raise Refused(dli_error(400, "DLI.0001", "type must be driver"))
        # "index" chooses the log of a repeated attempt; there is only the first.
        if _number(request, "index", 0) > 0:
            lines = []
        first = _number(request, "from", max(len(lines) - DEFAULT_LOG_LINES, 0))
        size = _number(request, "size", DEFAULT_LOG_LINES)
        page = lines[first : first + size]
        return Answer(Reply(body={"id": job_id, "from": first, "total": len(lines), "log": page}))

    def list_batches(self, request: Incoming) -> Answer:
        """``GET /batches``."""
        found = [_item(job, request.time) for job in self._jobs.of(self._kind)]
        for parameter, name in _FILTERS.items():
            if wanted := request.parameters.get(parameter):
                found = [item for item in found if item.get(name) == wanted]
        order = request.parameters.get("order", "CREATE_TIME_DESC")
        if order not in _ORDERS:
            raise Refused(dli_error(400, "DLI.0001", f"order must be one of {', '.join(_ORDERS)}"))
        field, descending = _ORDERS[order]
        found.sort(key=lambda item: int(str(item[field])), reverse=descending)
        first, size = _number(request, "from", 0), _number(request, "size", 100)
        page = {"from": first, "total": len(found), "sessions": found[first : first + size]}
        return Answer(Reply(body=page | {"create_time": _milliseconds(request.time)}))


def _detail(job: Job, now: float) -> Mapping[str, object]:
    state, since = job.script.state(now)
    queue = job.fields.get("queue", "default")
    fields: dict[str, object] = {
        "id": job.job_id,
        "state": str(state),
        "appId": f"batch-session-{job.job_id}:30663",
        "name": "",
        "owner": "airflow",
        "proxyUser": "",
        "kind": "spark",
        "queue": queue,
        "cluster_name": queue,  # the same queue under its older name
        "sc_type": "A",
        "create_time": _milliseconds(job.created),
        "update_time": _milliseconds(since),
    }
    return fields | dict(job.fields) | {"log": _log(job)[-DETAIL_LOG_LINES:]}


def _item(job: Job, now: float) -> Mapping[str, object]:
    end = now if str(job.script.state(now)[0]) in job.kind.in_progress else job.script.state(now)[1]
    duration = _milliseconds(end) - _milliseconds(job.created)
    return {"duration": duration, "req_body": "{}", **_detail(job, now)}


def _log(job: Job) -> list[str]:
    lines = job.fields.get("log", [])
    return [str(line) for line in lines] if isinstance(lines, list | tuple) else [str(lines)]


def _number(request: Incoming, name: str, default: int) -> int:
    text = request.parameters.get(name, str(default))
    if not (text.isascii() and text.isdigit()):
        raise Refused(dli_error(400, "DLI.0001", f"{name} must be a number from 0 on"))
    return int(text)


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
