"""The status of jobs of any kind, rendered from the kind's declaration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from airflow_provider_hwstatus.kinds.job_kind import JobKind, Outcome
from airflow_provider_hwstatus.kinds.json_path import OfJob, steps_of
from airflow_provider_hwstatus.kinds.template import fill
from airflow_provider_hwstatus.testing.replies import RefusedError, gateway_error
from airflow_provider_hwstatus.testing.script import Job, Jobs, State
from airflow_provider_hwstatus.testing.wire import Answer, Incoming, Reply

#: Fields of a job that the reply shows when it has ended.
_RESULTS = ("error_code", "error_message", "log")


class DeclaredJobs:
    """
    The jobs of all kinds with one path.

    :param kind: One of the kinds.
    """

    def __init__(self, jobs: Jobs, kind: JobKind) -> None:
        self._jobs = jobs
        self._kind = kind

    def show(self, request: Incoming, names: Mapping[str, str]) -> Answer:
        """Return the status of a job, or of all jobs if the kind chooses its job from a list. Takes the next step."""
        found = [job for job in self._jobs.of(self._kind) if _fits(job, request, names)]
        if "job_id" not in names:
            return self._show_all(request, found)
        if not found:
            if path := _list_path(self._kind):
                return Answer(Reply(body=_put({}, path, [])))
            text = f"The {self._kind.title} {names['job_id']} does not exist."
            raise RefusedError(gateway_error(request, 404, f"{self._kind.cloud_service.label.upper()}.0404", text))
        return found[-1].poll(request, lambda state, since: _body(found[-1], state, since))

    def polled(self, names: Mapping[str, str]) -> Iterator[str]:
        """Yield the ids of the jobs whose status a request reads."""
        if "job_id" in names:
            yield names["job_id"]
            return
        yield from (job.job_id for job in self._jobs.of(self._kind) if _has(job.parameters, names))

    def _show_all(self, request: Incoming, jobs: list[Job]) -> Answer:
        body: dict[str, object] = {}
        answer = Answer(Reply(body=_put(body, _list_path(self._kind), [])))
        for job in jobs:
            answer = job.poll(request, lambda state, since, job=job: _body(job, state, since, body))  # type: ignore[misc]  # a default
        return answer


def _fits(job: Job, request: Incoming, names: Mapping[str, str]) -> bool:
    """Return whether the request asks for the job: its id and parameters, those in headers included."""
    wanted = {"job_id": names.get("job_id", job.job_id).lower()} == {"job_id": job.job_id.lower()}
    parameters = job.parameters
    for name, template in job.kind.headers.items():
        if parameters and fill(template, lambda each: str(parameters.get(each, ""))) != request.headers.get(
            name.lower(), ""
        ):
            return False
    return wanted and _has(parameters, names)


def _has(parameters: Mapping[str, object], names: Mapping[str, str]) -> bool:
    return all(str(value) == names.get(name, str(value)) for name, value in parameters.items())


def _body(job: Job, state: State, since: float, body: dict[str, object] | None = None) -> Mapping[str, object]:
    """Return the reply about a job in a state; or add the job to the list that *body* has."""
    kind, body = job.kind, {} if body is None else body
    ended = kind.outcome_of(str(state)) in (Outcome.SUCCESS, Outcome.FAILURE)
    values: dict[str, object] = {
        "state": state,
        "id": int(job.job_id) if job.integer_id else job.job_id,
        "begin": int(job.created * 1000),
        "end": datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if ended else None,
        "duration": int((since - job.created) * 1000),
    }
    values |= {name: value for name, value in job.fields.items() if ended or name not in _RESULTS}
    for name, value in values.items():
        paths = (
            kind.paths.get(name)
            or kind.extra_paths.get(name)
            or (() if name in values.keys() - job.fields else (name,))
        )
        for path in paths[:1]:
            _put(body, path, value, job.job_id)
    if kind.guard:
        path, refused = kind.guard
        _put(body, path, _other_than(refused))
    return body


def _other_than(refused: str | int | bool) -> str | bool:
    """Return a value of a guard's field in a reply that is no refusal, of the same type."""
    other = str(refused).lower() != "true"
    return str(other).lower() if isinstance(refused, str) else other


def _list_path(kind: JobKind) -> str:
    """Return the path of the list in which the state is; empty if it is in no list."""
    path = kind.paths["state"][0]
    return path.partition("[")[0] if "[" in path else ""


def _put(body: dict[str, object], path: str, value: object, job_id: str = "") -> dict[str, object]:
    """Set the value at a path, and return *body*."""
    if not path:
        return body
    steps, place = steps_of(path), body
    for step, following in zip(steps, (*steps[1:], None), strict=True):
        if following is None and isinstance(step, str):
            place[step] = value
        elif isinstance(step, str):
            place = place.setdefault(step, {} if isinstance(following, str) else [])  # type: ignore[assignment]  # a container
        elif following is None:
            raise ValueError(f"{path} ends in an element of a list")
        else:
            place = _element(place, step, job_id)  # type: ignore[arg-type]  # a list
    return body


def _element(rows: list[dict[str, object]], step: int | OfJob, job_id: str) -> dict[str, object]:
    if isinstance(step, int):
        rows.extend({} for _ in range(step + 1 - len(rows)))
        return rows[step]
    row = next((row for row in rows if row.get(step.field) == job_id), None)
    if row is None:
        row = {step.field: job_id}
        rows.append(row)
    return row
