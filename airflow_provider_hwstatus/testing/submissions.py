"""
Submitting and cancelling jobs: DLI batches, DLI SQL jobs, and what CPH does with phones.

Sources: DLI API reference, https://support.huaweicloud.com/intl/en-us/api-dli/dli_02_0124.html (create) and
dli_02_0129.html (cancel); the request and response models of the vendor's SDK (3.1.219) for SQL jobs and CPH.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from airflow_provider_hwstatus.kinds.cph import ACTIONS, CPH_JOB
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH, DLI_SQL_JOB
from airflow_provider_hwstatus.kinds.job_kind import JobKind, Outcome
from airflow_provider_hwstatus.testing.dli import detail_of
from airflow_provider_hwstatus.testing.replies import RefusedError, cph_error, dli_error
from airflow_provider_hwstatus.testing.script import Job, Jobs, new_request_id, new_script
from airflow_provider_hwstatus.testing.wire import Answer, Fault, Incoming, Reply, Step

#: Statements that DLI runs while it answers: those that define and show.
_SYNC = re.compile(r"\s*(create|drop|alter|show|desc|describe|use|set)\b", re.IGNORECASE)

_LONGEST_NAME = 128
_LONGEST_CONTENT = 1024

#: Types of a batch's documented fields; both spellings of the names are accepted, and further fields.
_BATCH_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "file": str,
    "className": str,
    "class_name": str,
    "queue": str,
    "cluster_name": str,
    "args": list,
    "sc_type": str,
    "jars": list,
    "pyFiles": list,
    "files": list,
    "modules": list,
    "conf": dict,
    "name": str,
    "driverMemory": str,
    "driverCores": int,
    "executorMemory": str,
    "executorCores": int,
    "numExecutors": int,
    "auto_recovery": bool,
    "max_retry_times": int,
}

#: The commands that each CPH action sends, and whether they need phones or servers.
_COMMANDS = {"shell", "install", "install-multiple", "uninstall", "push"}


@dataclass(frozen=True)
class Submission:
    """
    A submission that the fake has accepted.

    :param job_id: The job's id; for CPH, the id of the request.
    :param body: The body of the request.
    :param time: Seconds since 1970.
    """

    kind: str
    job_id: str
    body: Mapping[str, Any] = field(repr=False)
    time: float


@dataclass
class Submissions:
    """
    How the fake takes submissions. Every field can be changed while it runs.

    :param seconds: How new jobs proceed, by the name of their kind: steps by the seconds since the submission.
    :param steps: For kinds that are not in *seconds*: one step per poll. CPH's list of jobs takes no steps.
    :param listed_after: Seconds until the list of jobs shows a new job.
    :param answers: What the next submissions are answered with, although they are accepted: an HTTP status, a
        :class:`Reply` or a :class:`Fault`, one for each. None is the usual answer.
    :param rejected: Ids of phones that CPH rejects.
    :param accepted: Every submission that was accepted, oldest first.
    :param cancelled: The id of every job that was cancelled, in this order.
    :param ends_at_cancel: The state of a DLI batch that was cancelled.
    """

    steps: dict[str, Sequence[Step]] = field(
        default_factory=lambda: {
            "dli_batch": ("starting", "running", "success"),
            "dli_sql_job": ("LAUNCHING", "RUNNING", "FINISHED"),
        }
    )
    seconds: dict[str, Mapping[float, Step]] = field(default_factory=lambda: {"cph_job": {0: 1, 1: 2}})
    listed_after: float = 0.0
    answers: list[int | Reply | Fault | None] = field(default_factory=list)
    rejected: set[str] = field(default_factory=set)
    accepted: list[Submission] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    ends_at_cancel: str = "dead"

    def count(self, kind: str) -> int:
        """Return how many submissions of a kind were accepted."""
        return sum(submission.kind == kind for submission in self.accepted)


class SubmitApi:
    """
    The endpoints that submit and cancel.

    :param submissions: How submissions are taken.
    """

    def __init__(self, jobs: Jobs, submissions: Submissions) -> None:
        self._jobs = jobs
        self._submissions = submissions

    def create_batch(self, request: Incoming) -> Answer:
        """``POST /v2.0/{project_id}/batches``."""
        body = _json(request, lambda text: dli_error(400, "DLI.0001", text))
        _check_batch(body)
        job = self._add(
            request, DLI_BATCH, str(uuid4()), body, {name: body[name] for name in ("name", "queue") if name in body}
        )
        return self._answered(request, Reply(body=detail_of(job, *job.script.state(request.time))))

    def cancel_batch(self, request: Incoming, job_id: str) -> Answer:
        """``DELETE /v2.0/{project_id}/batches/{job_id}``."""
        self._cancel(request, DLI_BATCH, job_id, self._submissions.ends_at_cancel)
        return Answer(Reply(body={"msg": "deleted"}))

    def create_sql_job(self, request: Incoming) -> Answer:
        """``POST /v1.0/{project_id}/jobs/submit-job``."""
        body = _json(request, lambda text: dli_error(400, "DLI.0001", text))
        sql, tags = body.get("sql"), body.get("tags", [])
        if not isinstance(sql, str) or not sql.strip():
            raise RefusedError(dli_error(400, "DLI.0001", "sql is missing"))
        if not isinstance(tags, list) or not all(
            isinstance(tag, dict) and {"key", "value"} <= tag.keys() for tag in tags
        ):
            raise RefusedError(dli_error(400, "DLI.0001", "tags must be a list of key and value"))
        answer: dict[str, object] = {"is_success": True, "message": "", "job_type": "QUERY", "job_mode": "async"}
        if _SYNC.match(sql):
            answer |= {"job_type": "DDL", "job_mode": "sync", "schema": [], "rows": []}
        fields = {"queue": body.get("queue_name", "default"), "statement": sql, "tags": tags}
        steps = ("FINISHED",) if answer["job_mode"] == "sync" else None
        job = self._add(request, DLI_SQL_JOB, str(uuid4()), body, fields, steps)
        return self._answered(request, Reply(body=answer | {"job_id": job.job_id}))

    def list_sql_jobs(self, request: Incoming) -> Answer:
        """``GET /v1.0/{project_id}/jobs``, newest first."""
        key, _, value = request.parameters.get("tags", "").partition("=")
        start = int(request.parameters.get("start", "0"))
        size, page = (
            int(request.parameters.get(name, default)) for name, default in (("page-size", "50"), ("current-page", "1"))
        )
        if not 1 <= size <= 100 or page < 1:  # the documented limit
            raise RefusedError(dli_error(400, "DLI.0001", "page-size must be 1 to 100, and current-page 1 or more"))
        jobs = [job for job in self._jobs.of(DLI_SQL_JOB) if job.created + job.listed_after <= request.time]
        rows = [_sql_row(job, request.time) for job in reversed(jobs) if job.created * 1000 >= start]
        if key:
            rows = [row for row in rows if {"key": key, "value": value} in row["tags"]]  # type: ignore[operator]  # a list
        shown = rows[(page - 1) * size : page * size]
        return Answer(Reply(body={"is_success": True, "message": "", "job_count": len(rows), "jobs": shown}))

    def cancel_sql_job(self, request: Incoming, job_id: str) -> Answer:
        """``DELETE /v1.0/{project_id}/jobs/{job_id}``."""
        self._cancel(request, DLI_SQL_JOB, job_id, "CANCELLED")
        return Answer(Reply(body={"is_success": True, "message": ""}))

    def phones(self, request: Incoming) -> Answer:
        """Each ``POST /v1/{project_id}/cloud-phone/…`` that starts jobs."""
        body = _json(request, lambda text: cph_error(request, 400, "CPS.0004", text))
        targets = _targets(request, body)
        request_id, items = new_request_id(), list[dict[str, object]]()
        for name, target in targets:
            if target in self._submissions.rejected:
                items.append({name: target, "error_code": "CPS.0005", "error_msg": "The phone does not exist."})
                continue
            job_id = uuid4().hex
            self._add_job(request, CPH_JOB, job_id, {name: target}, None, request_id)
            items.append({name: target, "job_id": job_id})
        self._submissions.accepted.append(Submission("cph_job", request_id, body, request.time))
        return self._answered(request, Reply(body={"request_id": request_id, "jobs": items}))

    def _add(
        self,
        request: Incoming,
        kind: JobKind,
        job_id: str,
        body: Mapping[str, Any],
        fields: Mapping[str, object],
        steps: Sequence[Step] | None = None,
    ) -> Job:
        self._submissions.accepted.append(Submission(kind.name, job_id, body, request.time))
        return self._add_job(request, kind, job_id, fields, steps, new_request_id())

    def _add_job(
        self,
        request: Incoming,
        kind: JobKind,
        job_id: str,
        fields: Mapping[str, object],
        steps: Sequence[Step] | None,
        request_id: str,
    ) -> Job:
        how, now = self._submissions, request.time
        seconds = None if steps else how.seconds.get(kind.name)
        script = new_script(() if seconds else steps or how.steps[kind.name], seconds, now, now)
        job = Job(kind, job_id, script, request_id, now, fields, how.listed_after)
        self._jobs.add(job)
        return job

    def _cancel(self, request: Incoming, kind: JobKind, job_id: str, state: str) -> None:
        job = self._jobs.find(kind, job_id)
        if job is None:
            raise RefusedError(dli_error(400, "DLI.0002", f"The job {job_id} does not exist."))
        if kind.outcome_of(str(job.script.state(request.time)[0])) in (Outcome.SUCCESS, Outcome.FAILURE):
            raise RefusedError(dli_error(400, "DLI.0001", "The job has ended, so it cannot be cancelled."))
        job.script.end(state, request.time)
        self._submissions.cancelled.append(job_id)

    def _answered(self, request: Incoming, usual: Reply) -> Answer:
        """Return the answer to a submission that was accepted: the usual one, unless a test asks for another one."""
        answer = self._submissions.answers.pop(0) if self._submissions.answers else None
        if answer is None:
            return Answer(usual)
        return Answer(
            Reply(answer, {"error_code": "APIGW.0203", "error_msg": "Backend timeout"})
            if isinstance(answer, int)
            else answer
        )


def _json(request: Incoming, refusal: Callable[[str], Reply]) -> Mapping[str, Any]:
    try:
        body = json.loads(request.body)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise RefusedError(refusal("the body must be a JSON object"))
    return body


def _check_batch(body: Mapping[str, Any]) -> None:
    if not body.get("file"):
        raise RefusedError(dli_error(400, "DLI.0001", "file is missing"))
    for name, expected in _BATCH_TYPES.items():
        if name in body and not isinstance(body[name], expected):
            raise RefusedError(dli_error(400, "DLI.0001", f"{name} has a wrong type"))
    if len(body.get("name", "")) > _LONGEST_NAME:
        raise RefusedError(dli_error(400, "DLI.0001", f"name is longer than {_LONGEST_NAME} characters"))
    if "queue" in body and "cluster_name" in body:
        raise RefusedError(dli_error(400, "DLI.0001", "queue and cluster_name cannot coexist"))


def _targets(request: Incoming, body: Mapping[str, Any]) -> list[tuple[str, str]]:
    """
    Return what the jobs of a request are about: the name of its id, and the id.

    :raises RefusedError: The body lacks what the call needs.
    """
    call = "/".join(request.segments[3:])
    actions = [action for action in ACTIONS.values() if action.path.endswith(f"/cloud-phone/{call}")]
    if not any(all(body.get(name) for name in action.required) for action in actions):
        raise RefusedError(cph_error(request, 400, "CPS.0004", "A parameter is missing."))
    if call == "phones/commands":
        if body.get("command") not in _COMMANDS:
            raise RefusedError(cph_error(request, 400, "CPS.0117", "The command is invalid."))
        if len(str(body["content"]).encode()) > _LONGEST_CONTENT and body["command"] != "install-multiple":
            raise RefusedError(cph_error(request, 400, "CPS.0118", "The content is invalid."))
    if listed := body.get("phones") or body.get("storage_infos") or body.get("restore_infos"):
        return [("phone_id", _id(request, item)) for item in listed]
    if phone_ids := body.get("phone_ids"):
        return [("phone_id", str(phone_id)) for phone_id in phone_ids]
    server_ids = body.get("server_ids") or body.get("encode_server_ids")
    if not server_ids:
        raise RefusedError(cph_error(request, 400, "CPS.0080", "The phone_ids are empty."))
    return [("server_id", str(server_id)) for server_id in server_ids]


def _id(request: Incoming, item: object) -> str:
    phone_id = item.get("phone_id") if isinstance(item, dict) else None
    if not isinstance(phone_id, str) or not phone_id:
        raise RefusedError(cph_error(request, 400, "CPS.0077", "A phone has no phone_id."))
    return phone_id


def _sql_row(job: Job, now: float) -> dict[str, object]:
    state, since = job.script.state(now)
    row: dict[str, object] = {"job_id": job.job_id, "status": str(state), "start_time": int(job.created * 1000)}
    row |= {"duration": int((since - job.created) * 1000), "queue_name": job.fields.get("queue"), "tags": []}
    return row | {name: job.fields[name] for name in ("statement", "tags") if name in job.fields}
