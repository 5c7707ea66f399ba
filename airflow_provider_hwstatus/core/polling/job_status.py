"""The status of one job: read it from a response, and classify its state."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_provider_hwstatus.core.protocol.effects import Response, encode
from airflow_provider_hwstatus.core.protocol.redaction import Redactor
from airflow_provider_hwstatus.core.protocol.responses import (
    clip,
    iso_time,
    json_or_raise,
    refusal_of,
    request_id_of,
    shown,
)
from airflow_provider_hwstatus.errors import JobNotFoundError, MalformedResponseError
from airflow_provider_hwstatus.kinds.job_kind import JobKind, Outcome
from airflow_provider_hwstatus.kinds.json_path import is_id

#: Lines of output that a status holds at most.
_MAX_LOG_LINES = 50

#: Fields of a status that are never None.
_REQUIRED = {"kind", "job_id", "state", "outcome"}

#: Characters in a job's output that could control a terminal or a browser.
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, kw_only=True)
class JobStatus:
    """
    Everything that one poll found.

    Optional fields are None if the response does not have them.

    :param kind: Name of the :class:`~airflow_provider_hwstatus.kinds.job_kind.JobKind`.
    :param job_id: The job's id.
    :param state: The service's own word for the state, as text; empty if the response has none.
    :param outcome: The meaning of the state: in progress, success, failure or unknown.
    :param error_code: The service's code for why the job failed.
    :param error_message: The service's text about why the job failed.
    :param begin_time: When the job began, as ISO 8601 in UTC.
    :param end_time: When the job ended, as ISO 8601 in UTC.
    :param request_id: The id of the HTTP request, which Huawei Cloud's support asks for.
    :param log: The last lines of output.
    :param name: The name that the submitter gave the job.
    :param queue: The queue or cluster on which it runs.
    :param extra_fields: What else the kind declares, such as ``phone_id`` and ``server_id`` of a CPH job. In
        :meth:`to_dict`, they stand beside the other fields.
    """

    kind: str
    job_id: str
    state: str
    outcome: Outcome
    error_code: str | None = None
    error_message: str | None = None
    begin_time: str | None = None
    end_time: str | None = None
    request_id: str | None = None
    log: tuple[str, ...] = ()
    name: str | None = None
    queue: str | None = None
    extra_fields: Mapping[str, str | None] = field(default_factory=dict, hash=False)

    @property
    def over(self) -> bool:
        """Whether the job has ended."""
        return self.outcome in (Outcome.SUCCESS, Outcome.FAILURE)

    @property
    def unknown_states(self) -> set[str]:
        """The state, if it is unknown."""
        return {self.state} if self.outcome is Outcome.UNKNOWN else set()

    @property
    def brief(self) -> str:
        """The state, quoted."""
        return repr(self.state)

    @property
    def line(self) -> str:
        """The state and its outcome."""
        return f"state {self.state!r} ({self.outcome.replace('_', ' ')})"

    @property
    def standing(self) -> str:
        """The state, as a clause."""
        return f"its state is {self.state!r}"

    def to_dict(self) -> dict[str, object]:
        """Return a JSON object from which :meth:`from_dict` makes an equal status."""
        own = vars(self) | {"outcome": self.outcome.value, "log": list(self.log)}
        return {**own.pop("extra_fields"), **own}

    @classmethod
    def from_dict(cls, fields: Mapping[str, object]) -> JobStatus:
        """
        Return the status that :meth:`to_dict` described. Unknown texts are taken as extra fields.

        :raises ValueError: *fields* does not describe a status.
        """
        try:
            known = {name: fields[name] for name in _FIELDS if name in fields}
            extra = {name: value for name, value in fields.items() if name not in _FIELDS and _is_text(value)}
            log = known.pop("log", ())
            if not isinstance(log, list | tuple):
                raise TypeError("log is not a list")
            for name, value in known.items():
                if not isinstance(value, str) and (value is not None or name in _REQUIRED):
                    raise TypeError(f"{name} is not text")
            times = {name: iso_time(known.get(name)) for name in ("begin_time", "end_time")}
            typed = {"outcome": Outcome(str(known["outcome"])), "log": tuple(map(str, log)), "extra_fields": extra}
            return cls(**(known | times | typed))  # type: ignore[arg-type]  # the types are checked above
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a job status: {error}") from error


#: The names of a status's fields.
_FIELDS = frozenset(each.name for each in dataclasses.fields(JobStatus)) - {"extra_fields"}


def _is_text(value: object) -> bool:
    return value is None or isinstance(value, str)


def job_path(template: str, job_id: str) -> str:
    """Fill a job's id into one of its kind's paths. The client fills in ``{project_id}``."""
    return template.replace("{job_id}", encode(job_id))


def read_status(kind: JobKind, job_id: str, response: Response, redact: Redactor, now: float) -> JobStatus:
    """
    Return the status of a job from a response.

    :param now: Seconds since 1970.
    :raises ApiError: The service refused the request.
    :raises JobNotFoundError: The service lists jobs, and not this one.
    :raises MalformedResponseError: The response is not what the API reference specifies, or is about another job.
    """
    body = json_or_raise(response, redact, now, kind.permission)
    if kind.is_refused(body):
        raise refusal_of(response, body, kind.value("error_message", body, job_id), redact)
    check_id(kind, job_id, body, redact)
    request_id = request_id_of(response, body, redact)
    if kind.is_not_listed_in(body, job_id):
        raise JobNotFoundError("the service lists no such job", http_status=response.status, request_id=request_id)
    return status_of(kind, job_id, body, request_id, redact)


def status_of(
    kind: JobKind, job_id: str, body: Mapping[str, object], request_id: str | None, redact: Redactor
) -> JobStatus:
    """
    Return the status of a job from a JSON object of a response.

    :raises MalformedResponseError: The state is neither a number nor text.
    """
    state = _state(kind, body, job_id)
    listed = kind.outcomes.get(state)
    outcome = listed or kind.outcome_of(state)
    return JobStatus(
        kind=kind.name,
        job_id=job_id,
        state=state if listed else shown(state, redact, 100),  # a listed state holds no secret
        outcome=outcome,
        error_code=_text(kind.value("error_code", body, job_id), redact),
        error_message=_text(kind.value("error_message", body, job_id), redact),
        begin_time=iso_time(kind.value("begin", body, job_id)),
        end_time=_end_time(kind, body, job_id) if outcome in (Outcome.SUCCESS, Outcome.FAILURE) else None,
        request_id=request_id,
        log=log_lines(kind.value("log", body, job_id), redact),
        name=_text(kind.value("job_name", body, job_id), redact),
        queue=_text(kind.value("queue", body, job_id), redact),
        extra_fields=_extra_fields(kind, body, job_id, redact),
    )


def with_details(kind: JobKind, status: JobStatus, body: Mapping[str, object], redact: Redactor) -> JobStatus:
    """
    Add times, output and names from a response with the job's details. State, outcome and error are not changed.

    :raises MalformedResponseError: The response is about another job.
    """
    job_id = status.job_id
    check_id(kind, job_id, body, redact)
    return dataclasses.replace(
        status,
        begin_time=iso_time(kind.value("begin", body, job_id)) or status.begin_time,
        end_time=_end_time(kind, body, job_id) or status.end_time,
        log=log_lines(kind.value("log", body, job_id), redact) or status.log,
        name=_text(kind.value("job_name", body, job_id), redact) or status.name,
        queue=_text(kind.value("queue", body, job_id), redact) or status.queue,
        extra_fields={
            name: value or status.extra_fields.get(name)
            for name, value in _extra_fields(kind, body, job_id, redact).items()
        },
    )


def _extra_fields(kind: JobKind, body: Mapping[str, object], job_id: str, redact: Redactor) -> dict[str, str | None]:
    return {name: _text(value, redact) for name, value in kind.extra_values(body, job_id).items()}


def _end_time(kind: JobKind, body: Mapping[str, object], job_id: str) -> str | None:
    """Return when the job ended: as the service says it, or from its begin and its duration."""
    if end := iso_time(kind.value("end", body, job_id)):
        return end
    begin, duration = (kind.value(name, body, job_id) for name in ("begin", "duration"))
    if not isinstance(begin, int) or not isinstance(duration, int):
        return None
    return iso_time(begin + duration)


def check_id(kind: JobKind, job_id: str, body: Mapping[str, object], redact: Redactor) -> None:
    """:raises MalformedResponseError: *body* is about another job."""
    answered = kind.value("id", body, job_id)
    if isinstance(answered, str | int) and answered != "" and not is_id(answered, job_id):
        raise MalformedResponseError(f"the response is about another job: {shown(str(answered), redact, 128)!r}")


def _state(kind: JobKind, body: Mapping[str, object], job_id: str) -> str:
    """Return the state; empty if the response has none. Of several, a failure counts, or else the first."""
    states = list[str]()
    for state in kind.states_in(body, job_id):
        if isinstance(state, bool) or not isinstance(state, str | int | float):
            path = " or ".join(kind.paths["state"])
            raise MalformedResponseError(f"{path} is a JSON {type(state).__name__}, not a number or text")
        states.append(str(state))
    return next((state for state in states if kind.outcome_of(state) is Outcome.FAILURE), states[0] if states else "")


def _text(value: object, redact: Redactor) -> str | None:
    return shown(str(value), redact) if isinstance(value, str | int) and value != "" else None


def log_lines(value: object, redact: Redactor) -> tuple[str, ...]:
    """
    Return the last lines of a job's output, redacted and without control characters.

    :param value: The output in a response: text or a list of lines. Any other value is taken as no output.
    """
    items = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    plain = [redact(_COLOURS.sub("", str(item))) for item in items[-_MAX_LOG_LINES:]]
    lines = [line for item in plain for line in item.splitlines() or [""]]
    return tuple(clip(_CONTROLS.sub("?", line)) for line in lines[-_MAX_LOG_LINES:])
