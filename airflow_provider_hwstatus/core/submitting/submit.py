"""Submit a job once: one POST, and after an unclear end a look into the service's list instead of another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_hwstatus.core.connection.client import Call, Client
from airflow_provider_hwstatus.core.polling.expected_jobs import Expected, expected_from
from airflow_provider_hwstatus.core.polling.job_ids import is_job_id
from airflow_provider_hwstatus.core.polling.jobs_summary import CompletionRule
from airflow_provider_hwstatus.core.polling.wait_target import WaitTarget
from airflow_provider_hwstatus.core.protocol.effects import Flow, Response, Sleep, encode
from airflow_provider_hwstatus.core.protocol.redaction import Redactor
from airflow_provider_hwstatus.core.protocol.responses import json_or_raise, refusal_of, request_id_of
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget
from airflow_provider_hwstatus.core.submitting.marker import TAG
from airflow_provider_hwstatus.errors import ConfigurationError, MalformedResponseError, UnclearSubmissionError
from airflow_provider_hwstatus.kinds.job_kind import JobKind
from airflow_provider_hwstatus.kinds.json_path import has_value, value_at
from airflow_provider_hwstatus.kinds.submission import Search, Submission

#: Seconds for which the list may lag behind. A job that it has not shown for so long counts as not submitted.
LIST_LAG = 30.0

#: Seconds between two looks into the list.
_PAUSE = 2.0

#: Pages of the list that are read at most. The jobs that are looked for are new, and the list shows new ones first.
_MOST_PAGES = 20


@dataclass(frozen=True)
class Submitted:
    """
    A job that was submitted.

    :param job_id: Its id; for CPH, the id of the request. Empty if the service ran the job at once and gave it no id.
    :param answer: The service's answer to the submission, or the id and state in the row of its list.
    :param found: Whether it was found in the list.
    :param state: The state in that row, or of a job that is over at once.
    :param marked: What carries the marker of the try that submitted it: the job's name, or its tag. Empty if unknown.
    :param over_at_once: Whether the service ran the job while it answered.
    """

    job_id: str
    answer: Mapping[str, Any]
    found: bool = False
    state: str = ""
    marked: str = ""
    over_at_once: bool = False


def submit(client: Client, kind: JobKind, submission: Submission, body: bytes, budget: RetryBudget) -> Flow[Submitted]:
    """
    Send the POST that submits a job. It is repeated only if the service cannot have accepted it.

    :param body: The whole body, with its marker, as JSON.
    :param budget: For how long to repeat it.
    :raises UnclearSubmissionError: The service may have accepted it: there was no clear answer.
    :raises HwStatusError: The service did not accept it.
    """

    def read(response: Response) -> Submitted:
        answer = _redacted(json_or_raise(response, client.redact, client.clock(), submission.permission), client.redact)
        if kind.is_refused(answer):
            raise refusal_of(response, answer, answer.get("message"), client.redact)
        return _submitted(client, kind, submission, response, answer)

    call = Call("POST", kind.cloud_service, submission.path, body=body, once=True)
    return (yield from client.send(call, budget, read, f"{kind.cloud_service.label}_submit"))


def _submitted(
    client: Client, kind: JobKind, submission: Submission, response: Response, answer: Mapping[str, Any]
) -> Submitted:
    found = value_at(submission.id, answer, "")
    job_id = str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""
    if submission.over_at_once:
        path, value, state = submission.over_at_once
        if has_value(path, value, answer):
            return Submitted(job_id, answer, state=state, over_at_once=True)
    if is_job_id(job_id, kind.id_characters):
        return Submitted(job_id, answer)
    raise MalformedResponseError(
        f"the answer to the submission has no valid {submission.id}",
        http_status=response.status,
        request_id=request_id_of(response, answer, client.redact),
    )


def _redacted(value: Any, redact: Redactor) -> Any:
    """Return JSON with its texts redacted: a service may repeat a secret in its answer."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list):
        return [_redacted(each, redact) for each in value]
    return {name: _redacted(each, redact) for name, each in value.items()} if isinstance(value, dict) else value


def target_of(
    kind: JobKind, submission: Submission, job_id: str, answer: Mapping[str, Any], rule: CompletionRule
) -> WaitTarget:
    """
    Return what to wait for after a submission: the job; or for CPH, all jobs of the request.

    :param job_id: The id of the job or request.
    :param answer: The service's answer, which says how many jobs a request has.
    """
    if not submission.is_request:
        return WaitTarget.of(kind, job_id, rule)
    try:
        expected = expected_from(dict(answer))
    except ConfigurationError:
        expected = Expected()
    # An answer without jobs does not say how many there are.
    known = bool(expected.jobs or expected.rejected)
    return WaitTarget.of(kind, job_id, rule, expected if known else Expected())


def find(
    client: Client, kind: JobKind, submission: Submission, marked: str, since: float, budget: RetryBudget
) -> Flow[Submitted | None]:
    """
    Look into the service's list for a job with a marker; None if the list does not show it.

    :param marked: What carries the marker: the job's whole name, or the value of its tag.
    :param since: A time before the submission, in seconds since 1970.
    :raises HwStatusError: The list could not be read.
    """
    search = submission.search
    if search is None:
        return None
    first, page = 0, 1
    for _ in range(_MOST_PAGES):
        values = {"marker": encode(marked), "since": str(int(since * 1000)), "first": str(first), "page": str(page)}
        path = search.path
        for name, value in values.items():
            path = path.replace(f"{{{name}}}", value)
        rows = yield from client.get(
            kind.cloud_service, path, budget, lambda response: _rows(client, search, response), f"{kind.name}_search"
        )
        if found := next((row for row in rows if _is_marked(submission, row, marked)), None):
            job_id, state = str(found.get(search.id)), str(found.get(search.state))
            # Without the rest of the row, which may have the arguments of the job.
            return Submitted(job_id, {search.id: job_id, search.state: state}, found=True, state=state, marked=marked)
        first, page = first + len(rows), page + 1
        if not rows or all(_is_older(search, row, since) for row in rows):
            return None
    raise MalformedResponseError(f"the list of jobs since the submission is longer than {_MOST_PAGES} pages")


def find_within(
    client: Client, kind: JobKind, submission: Submission, marks: Sequence[str], since: float, until: float
) -> Flow[Submitted | None]:
    """
    Look for a job until it appears in the list, which may lag behind.

    :param marks: What carries the marker, of each try that may have submitted a job, the newest first.
    :param until: When to give up, in seconds since 1970.
    :return: The job of the newest try. The job of an older one only after all the time, because a newer one may appear.
    :raises HwStatusError: The list could not be read at the end.
    """
    while True:
        budget = RetryBudget(max(until - client.clock(), _PAUSE))
        for number, marked in enumerate(marks):
            found = yield from find(client, kind, submission, marked, since, budget)
            if found and number == 0:
                return found
            if found:
                break
        if client.clock() >= until:
            return found
        yield Sleep(min(_PAUSE, max(until - client.clock(), 0.0)))


def _rows(client: Client, search: Search, response: Response) -> list[Mapping[str, Any]]:
    body = json_or_raise(response, client.redact, client.clock(), search.permission)
    rows = body.get(search.rows)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise MalformedResponseError(f"the list of jobs has no {search.rows} in it", http_status=response.status)
    return rows


def _is_marked(submission: Submission, row: Mapping[str, Any], marked: str) -> bool:
    """Return whether a row has exactly this marker: the service may also list jobs whose name contains it."""
    if submission.name_field:
        return row.get(submission.name_field) == marked
    tags = row.get(submission.tags_field or "")
    return isinstance(tags, list) and {"key": TAG, "value": marked} in [_plain(tag) for tag in tags]


def _plain(tag: object) -> object:
    return {name: tag.get(name) for name in ("key", "value")} if isinstance(tag, dict) else tag


def _is_older(search: Search, row: Mapping[str, Any], since: float) -> bool:
    created = row.get(search.created)
    return isinstance(created, int) and created < since * 1000


def not_found(error: UnclearSubmissionError, seconds: float, marked: str, why: str = "") -> UnclearSubmissionError:
    """
    Add to the error of an unclear submission that the list did not show the job.

    :param why: Why not, as a line of the message, if the list could not be read.
    """
    message = (
        f"{error}{why}\n  the list of jobs has not shown it for {seconds:g} s; it was not submitted again"
        f"\n  next: look for {marked} in the console; if it is not there, clear the task, which submits it again"
    )
    return UnclearSubmissionError(message, http_status=error.http_status, code=error.code, request_id=error.request_id)
