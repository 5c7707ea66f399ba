"""The status of one job: read it from a response, and classify its state."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_hwstatus.core.protocol.effects import Response, encode
from airflow_provider_hwstatus.core.protocol.redaction import Redactor
from airflow_provider_hwstatus.core.protocol.responses import clip, iso_time, json_or_raise, request_id_of, shown
from airflow_provider_hwstatus.errors import MalformedResponseError
from airflow_provider_hwstatus.kinds import KINDS
from airflow_provider_hwstatus.kinds.job_kind import JobKind, Outcome

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
    :param phone_id: The cloud phone of a CPH job.
    :param server_id: The cloud phone server of a CPH job.
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
    phone_id: str | None = None
    server_id: str | None = None

    @property
    def over(self) -> bool:
        """Whether the job has ended."""
        return self.outcome in (Outcome.SUCCESS, Outcome.FAILURE)

    @property
    def subject(self) -> str:
        """The name of the job in messages: its kind and id."""
        return f"{KINDS[self.kind].title} {self.job_id}"

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
        return vars(self) | {"outcome": self.outcome.value, "log": list(self.log)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, object]) -> JobStatus:
        """
        Return the status that :meth:`to_dict` described. Unknown fields, of a later release, are ignored.

        :raises ValueError: *fields* does not describe a status.
        """
        try:
            known = {field.name: fields[field.name] for field in dataclasses.fields(cls) if field.name in fields}
            log = known.pop("log", ())
            if not isinstance(log, list | tuple):
                raise TypeError("log is not a list")
            for name, value in known.items():
                if not isinstance(value, str) and (value is not None or name in _REQUIRED):
                    raise TypeError(f"{name} is not text")
            times = {name: iso_time(known.get(name)) for name in ("begin_time", "end_time")}
            typed = {"outcome": Outcome(str(known["outcome"])), "log": tuple(map(str, log))}
            return cls(**(known | times | typed))  # type: ignore[arg-type]  # the types are checked above
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a job status: {error}") from error


def job_path(template: str, job_id: str) -> str:
    """Fill a job's id into one of its kind's paths. The client fills in ``{project_id}``."""
    return template.replace("{job_id}", encode(job_id))


def read_status(kind: JobKind, job_id: str, response: Response, redact: Redactor, now: float) -> JobStatus:
    """
    Return the status of a job from a response.

    :param now: Seconds since 1970.
    :raises ApiError: The service refused the request.
    :raises MalformedResponseError: The response is not what the API reference specifies, or is about another job.
    """
    body = json_or_raise(response, redact, now)
    check_id(kind, job_id, body, redact)
    return status_of(kind, job_id, body, request_id_of(response, body, redact), redact)


def status_of(
    kind: JobKind, job_id: str, body: Mapping[str, object], request_id: str | None, redact: Redactor
) -> JobStatus:
    """
    Return the status of a job from a JSON object of a response.

    :raises MalformedResponseError: The state is neither a number nor text.
    """
    state = _state(kind, body)
    listed = kind.outcomes.get(state)
    outcome = listed or kind.outcome_of(state)
    return JobStatus(
        kind=kind.name,
        job_id=job_id,
        state=state if listed else shown(state, redact, 100),  # a listed state holds no secret
        outcome=outcome,
        error_code=_text(body.get("error_code"), redact),
        error_message=_text(body.get("error_msg"), redact),
        begin_time=iso_time(body.get(kind.begin_field)),
        end_time=iso_time(body.get(kind.end_field)) if outcome in (Outcome.SUCCESS, Outcome.FAILURE) else None,
        request_id=request_id,
        log=log_lines(body.get(kind.log_field), redact),
        **_optional_texts(body, redact),
    )


def with_details(kind: JobKind, status: JobStatus, body: Mapping[str, object], redact: Redactor) -> JobStatus:
    """
    Add times, output and names from a response with the job's details. State, outcome and error are not changed.

    :raises MalformedResponseError: The response is about another job.
    """
    check_id(kind, status.job_id, body, redact)
    return dataclasses.replace(
        status,
        begin_time=iso_time(body.get(kind.begin_field)) or status.begin_time,
        end_time=iso_time(body.get(kind.end_field)) or status.end_time,
        log=log_lines(body.get(kind.log_field), redact) or status.log,
        **_optional_texts(body, redact),  # type: ignore[arg-type]  # its keys are fields of type str | None
    )


def _optional_texts(body: Mapping[str, object], redact: Redactor) -> dict[str, str | None]:
    return {
        "name": _text(body.get("name"), redact),
        "queue": _text(body.get("queue") or body.get("cluster_name"), redact),
        "phone_id": _text(body.get("phone_id"), redact),
        "server_id": _text(body.get("server_id"), redact),
    }


def check_id(kind: JobKind, job_id: str, body: Mapping[str, object], redact: Redactor) -> None:
    """:raises MalformedResponseError: *body* is about another job."""
    answered = body.get(kind.id_field)
    if isinstance(answered, str) and answered and answered.lower() != job_id.lower():
        raise MalformedResponseError(f"the response is about another job: {shown(answered, redact, 128)!r}")


def _state(kind: JobKind, body: Mapping[str, object]) -> str:
    state = body.get(kind.state_field)
    if state is None:
        return ""
    if isinstance(state, bool) or not isinstance(state, str | int | float):
        raise MalformedResponseError(f"{kind.state_field} is a JSON {type(state).__name__}, not a number or text")
    return str(state)


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
