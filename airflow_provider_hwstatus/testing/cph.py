"""
The CPH API: jobs on cloud phones.

Source: CPH API reference, https://support.huaweicloud.com/intl/en-us/api-cph/cph_api_0521.html.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_provider_hwstatus.kinds.cph import CPH_JOB
from airflow_provider_hwstatus.testing.lists import CphJobList, Row
from airflow_provider_hwstatus.testing.replies import RefusedError, cph_error
from airflow_provider_hwstatus.testing.script import Job, Jobs, State
from airflow_provider_hwstatus.testing.wire import Answer, Incoming, Reply

MAX_REQUEST_IDS = 20
MAX_PAGE = 100

#: Fields that are null until the job ends.
_RESULTS = ("error_code", "error_msg", "execute_msg")


class Cph:
    """
    The API's endpoints.

    :param listing: How jobs are listed.
    """

    def __init__(self, jobs: Jobs, listing: CphJobList) -> None:
        self._jobs = jobs
        self._listing = listing

    def show_job(self, request: Incoming, job_id: str) -> Answer:
        """``GET /v1/{project_id}/cloud-phone/jobs/{job_id}``. Takes the job's next step."""
        job = self._jobs.find(CPH_JOB, job_id)
        if job is None:
            raise RefusedError(cph_error(request, 400, "CPS.0011", "Job not found."))
        ids = {"request_id": job.request_id}
        return job.poll(request, lambda state, since: ids | _fields(job, state, since))

    def list_jobs(self, request: Incoming) -> Answer:
        """``GET /v1/{project_id}/cloud-phone/jobs``. Lists the jobs of one or more requests."""
        request_ids = _request_ids(request)
        offset, limit = _number(request, "offset", 0), _number(request, "limit", MAX_PAGE)
        if not 1 <= limit <= MAX_PAGE:
            raise _bad_page(request)
        found = [job for job in self._jobs.of(CPH_JOB) if job.request_id in request_ids]
        found = self._listing.known(found, request.time)
        if not found and self._listing.empty_is_error:
            raise RefusedError(cph_error(request, 400, "CPS.0050", "No job found for the request_id."))
        page = self._listing.rows(found, offset, limit, request.time, _fields)
        return Answer(Reply(body={"request_id": request.request_id, "jobs": page}))


def _request_ids(request: Incoming) -> list[str]:
    value = request.parameters.get("request_ids") or request.parameters.get("request_id")
    if not value:
        raise RefusedError(cph_error(request, 400, "CPS.0049", "The request_id is empty."))
    ids = value.split(",") if request.parameters.get("request_ids") else [value]
    if not all(ids):
        raise RefusedError(cph_error(request, 400, "CPS.0049", "A request_id is empty."))
    if len(ids) > MAX_REQUEST_IDS:
        raise RefusedError(cph_error(request, 400, "CPS.0161", "Too many request ids."))
    return ids


def _number(request: Incoming, name: str, default: int) -> int:
    text = request.parameters.get(name, str(default))
    if not (text.isascii() and text.isdigit()):
        raise _bad_page(request)
    return int(text)


def _bad_page(request: Incoming) -> RefusedError:
    return RefusedError(cph_error(request, 400, "CPS.0002", "The offset or limit is invalid."))


def _fields(job: Job, state: State, since: float) -> Row:
    ended = str(state) not in CPH_JOB.in_progress
    fields: Row = {
        "job_id": job.job_id,
        "begin_time": _time(job.created),
        "end_time": _time(since) if ended else None,
        "status": _status(state),
    }
    results = dict.fromkeys(_RESULTS) | dict(job.fields)
    return fields | {name: value if ended or name not in _RESULTS else None for name, value in results.items()}


def _status(state: State) -> State:
    """Return the state as CPH sends it: a number. A word, which CPH never sends, stays a word."""
    try:
        return int(state)
    except ValueError:
        return state


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
