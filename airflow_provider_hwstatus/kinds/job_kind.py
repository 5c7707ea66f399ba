"""What a kind of job declares: where to poll, how to read the reply, and which states end the wait."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from functools import cached_property
from typing import Any
from urllib.parse import quote

from airflow_provider_hwstatus.kinds.json_path import Step, has_value, lists_no_job, steps_of, value_after, value_at
from airflow_provider_hwstatus.kinds.service import Service, service_of
from airflow_provider_hwstatus.kinds.submission import Submission
from airflow_provider_hwstatus.kinds.template import (
    LONGEST_PATH,
    check_path,
    check_template,
    check_text,
    fill,
    placeholders,
)

#: One path into the reply, or several: the first that has a value counts.
Path = str | Sequence[str]

#: Fields of a kind that hold paths into the reply.
_PATHS = (
    "state",
    "id",
    "begin",
    "end",
    "duration",
    "job_name",
    "queue",
    "error_code",
    "error_message",
    "log",
)

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")

#: Headers that carry credentials or decide about the connection. A declaration cannot set them.
_RESERVED = re.compile(
    r"host|authorization|cookie|connection|keep-alive|te|trailer|upgrade|transfer-encoding|expect|forwarded"
    r"|accept-encoding|content-.*|proxy-.*|x-sdk-.*|x-auth-.*|x-subject-token|x-security-token|x-project-id"
    r"|x-domain-id|x-forwarded-.*"
)

#: Names that a status has for itself, so an extra field cannot have them.
_OF_STATUS = frozenset({"kind", "job_id", "state", "outcome", "request_id", "log", "name", "queue"})
_OF_STATUS |= {"error_code", "error_message", "begin_time", "end_time"}

#: The longest value of a parameter.
_LONGEST = 256

#: The longest message about a declaration, which may come from a database.
_LONGEST_MESSAGE = 600


class Outcome(StrEnum):
    """The meaning of a state."""

    IN_PROGRESS = "in_progress"
    SUCCESS = "success"
    FAILURE = "failure"
    UNKNOWN = "unknown"


def fold(state: str) -> str:
    """
    Return *state* in lower case, for comparison: the API reference and real responses differ in letter case.

    A state with a character outside ASCII is returned unchanged, because lower case can turn such a character into an
    ASCII letter, which would make an unknown state look like a listed one.
    """
    return state.lower() if state.isascii() else state


@dataclass(frozen=True, kw_only=True)
class JobKind:
    """
    One kind of job: which API returns its state, and what the states mean.

    Where a *path into the reply* is expected, it is names with points between them, ``[0]``, and
    ``[?field==job_id]`` for the element of a list that is about the job: ``backups[?id==job_id].status``. Several paths
    may be given as a list; the first that has a value counts.

    :param name: Lower-case letters, digits and ``_``. It is stored in trigger rows of Airflow's database, and is
        the tag ``kind`` of metrics.
    :param title: Name of the kind in messages, such as ``MRS job``.
    :param service: The first label of the service's host name, such as ``mrs``; or a :class:`Service`. It is the key of
        the connection's ``endpoints``, too. The host itself comes from the connection.
    :param path: Path that returns the state, with ``{job_id}``, ``{project_id}`` and the declared parameters. It may
        end in a query.
    :param state: Path into the reply to the state. Of several, the first that has a value counts, except that another
        one which is a failure wins.
    :param success: States in which the wait succeeds. Numbers are taken as text. Letter case does not matter.
    :param failure: States in which the wait fails.
    :param in_progress: States in which the job has not ended. States in none of the three sets are unknown.
    :param id_name: Name of the id in the API reference.
    :param id_characters: Characters of an id beside letters, digits, ``.``, ``_`` and ``-``; ``:`` for a URN.
    :param id: Path into the reply to the id, to notice a reply about another job.
    :param parameters: Names of what else the path or a header needs, such as ``cluster_id``.
    :param optional_parameters: Names of what a header may have. A header is left out if its parameter is.
    :param headers: Headers of the request, with parameters in braces. Headers for the login cannot be set.
    :param guard: A path into the reply and a value: where the reply has it, the service refused the request, whatever
        its HTTP status says. It is no failure of the job. Also holds for the answer to a submission.
    :param begin: Path into the reply to the time at which the job began: ISO 8601, or milliseconds since 1970.
    :param end: Path into the reply to the time at which the job ended, in the same form.
    :param duration: Path into the reply to the milliseconds from begin to end, where there is no *end*.
    :param job_name: Path into the reply to the name that the submitter gave the job.
    :param queue: Path into the reply to the queue or cluster.
    :param error_code: Path into the reply to the code of the failure.
    :param error_message: Path into the reply to the text of the failure.
    :param log: Path into the reply to output: a list of lines, or one text.
    :param extra_fields: Further fields of the status, by name: paths into the reply.
    :param permission: IAM action that the request needs; None if it is not documented.
    :param submissions: How such a job is submitted, by action. It is not part of the JSON.
    :param cancel: Method and path that cancel a job: ``DELETE /v1/{project_id}/jobs/{job_id}``; None if a job cannot be
        cancelled.
    :param cancel_permission: IAM action that this needs; None if it is not documented.
    :param detail_path: Path that returns the name, queue and times, in the form of *path*; None if *path* returns them.
    :param log_path: Path that returns the output as ``log``, in the form of *path*; None if there is none.
    :param console: The job's page in the web console, with ``{region}`` and ``{job_id}``; None for the service's page.
    :param advice: What to do about a failed job; ``{console}`` stands for the page.
    :param source: Where the vendor documents this.
    :raises ValueError: The declaration is wrong: a state in two sets, an unknown placeholder, a path that cannot be
        read, a host. The message names the kind and the field.
    """

    name: str
    title: str
    service: Service | str
    path: str
    state: Path
    success: Collection[str | int]
    failure: Collection[str | int]
    in_progress: Collection[str | int] = frozenset()
    id_name: str = "job_id"
    id_characters: str = ""
    id: Path | None = None
    parameters: Collection[str] = ()
    optional_parameters: Collection[str] = ()
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    guard: tuple[str, str | int | bool] | None = None
    begin: Path | None = None
    end: Path | None = None
    duration: Path | None = None
    job_name: Path | None = None
    queue: Path | None = None
    error_code: Path | None = "error_code"
    error_message: Path | None = "error_msg"
    log: Path | None = None
    extra_fields: Mapping[str, Path] = field(default_factory=dict, hash=False)
    permission: str | None = None
    submissions: Mapping[str, Submission] = field(default_factory=dict, hash=False, compare=False)
    cancel: str | None = None
    cancel_permission: str | None = None
    detail_path: str | None = None
    log_path: str | None = None
    console: str | None = None
    advice: str = "look for the reason in {console}"
    source: str = ""

    def __post_init__(self) -> None:
        try:
            self._normalise()
            self._check_texts()
            self._check_request()
            self._check_states()
        except ValueError as error:
            raise ValueError(f"kind {_shown(self.name)}: {error}"[:_LONGEST_MESSAGE]) from None

    def _normalise(self) -> None:
        values = dict[str, Any]()
        values |= {name: _states(name, getattr(self, name)) for name in ("success", "failure", "in_progress")}
        values |= {name: _names(name, getattr(self, name)) for name in ("parameters", "optional_parameters")}
        values |= {name: _paths(name, getattr(self, name)) for name in _PATHS}
        values["headers"] = _mapping("headers", self.headers)
        named = _mapping("extra_fields", self.extra_fields)
        if wrong := [name for name in named if not _NAME.fullmatch(name) or name in _OF_STATUS]:
            raise ValueError(f"extra_fields: {_shown(wrong[0])} is no name, or every status has a field with this name")
        values["extra_fields"] = {name: _paths(f"extra_fields[{name!r}]", path) for name, path in named.items()}
        vars(self).update(values)

    def _check_texts(self) -> None:
        self.cloud_service  # noqa: B018  # checks the label
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise ValueError("name must be 1 to 64 lower-case letters, digits and _, beginning with a letter")
        for name in ("title", "id_name", "advice"):
            check_text(name, getattr(self, name))
        for name in ("permission", "cancel_permission"):
            check_text(name, getattr(self, name), optional=True)
        for name in ("id_characters", "source"):
            text = getattr(self, name)
            if not isinstance(text, str) or not text.isprintable() or len(text) > 1000:
                raise ValueError(f"{name} must be a printable text; it is {text!r}")
        check_template("advice", self.advice, {"console"})

    def _check_request(self) -> None:
        self._check_parameters()
        for name in _PATH_TEMPLATES:
            path = getattr(self, name)
            if path is not None or name == "path":
                check_path(name, path, {"project_id", "job_id", *self.parameters})
        if "job_id" not in placeholders(self.path) and not any("==job_id]" in path for path in self.paths["state"]):
            raise ValueError("path must have {job_id}, or state must choose by [?…==job_id]")
        if self.cancel is not None:
            method, _, path = str(self.cancel).partition(" ")
            if method not in ("DELETE", "POST", "PUT"):
                raise ValueError(f"cancel must begin with DELETE, POST or PUT; it is {self.cancel!r}")
            check_path("cancel", path, {"project_id", "job_id", *self.parameters})
        if self.console is not None:
            check_path("console", self.console, {"region", "job_id"})
        self._check_headers()
        templates = (*(getattr(self, name) for name in _PATH_TEMPLATES), self.cancel, *self.headers.values())
        used = set[str]().union(*map(placeholders, filter(None, templates)))
        if unused := sorted({*self.parameters, *self.optional_parameters} - used):
            raise ValueError(f"parameters: {unused[0]} is used in no path and no header")

    def _check_parameters(self) -> None:
        names = [*self.parameters, *self.optional_parameters]
        if reserved := sorted({"project_id", "job_id"}.intersection(names)):
            raise ValueError(f"parameters: {reserved[0]} has its own argument")
        if twice := _twice(names):
            raise ValueError(f"parameters: {twice} is listed twice")

    def _check_headers(self) -> None:
        if twice := _twice(header.lower() for header in self.headers):
            raise ValueError(f"headers: {twice!r} is listed twice")
        for header, template in self.headers.items():
            if not _HEADER.fullmatch(header) or _RESERVED.fullmatch(header.lower()):
                raise ValueError(f"headers: {_shown(header)} cannot be set")
            field_name = f"headers[{header!r}]"
            check_text(field_name, template)
            if not template.isascii():
                raise ValueError(f"{field_name} must have ASCII characters only; it is {template!r}")
            check_template(field_name, template, {*self.parameters, *self.optional_parameters})

    def _check_states(self) -> None:
        if not self.paths["state"]:
            raise ValueError("state must be a path into the reply")
        if not self.success:
            raise ValueError("success must list a state")
        for one, other in (("success", "failure"), ("success", "in_progress"), ("failure", "in_progress")):
            if both := getattr(self, one) & getattr(self, other):
                raise ValueError(f"{', '.join(sorted(both))} cannot be both {one} and {other}")
        if self.guard is not None:
            vars(self)["guard"] = _guard(self.guard)

    def __repr__(self) -> str:
        # Airflow stores it with a mapped sensor, so it is the same in each process, unlike the order of a set.
        return f"JobKind({', '.join(f'{name}={value!r}' for name, value in self.to_dict().items())})"

    @cached_property
    def cloud_service(self) -> Service:
        """The service, with what is known about it."""
        return service_of(self.service)

    @property
    def plural(self) -> str:
        """Name of several jobs of this kind in messages."""
        return self.title + ("es" if self.title.endswith(("ch", "s", "x")) else "s")

    @property
    def states(self) -> frozenset[str]:
        """Every listed state."""
        return frozenset(self.outcomes)

    @cached_property
    def paths(self) -> Mapping[str, tuple[str, ...]]:
        """The paths into the reply, by field; none for a field without."""
        return {name: _several(getattr(self, name)) for name in _PATHS}

    @cached_property
    def _steps(self) -> Mapping[str, list[tuple[Step, ...]]]:
        """The steps of the paths: a poll reads all of them."""
        return {name: [steps_of(path) for path in paths] for name, paths in self.paths.items()}

    @cached_property
    def _is_in_list(self) -> bool:
        return any("[" in path for path in self.paths["state"])

    @cached_property
    def extra_paths(self) -> Mapping[str, tuple[str, ...]]:
        """The paths of the extra fields, by name."""
        return {name: _several(path) for name, path in self.extra_fields.items()}

    @cached_property
    def outcomes(self) -> Mapping[str, Outcome]:
        """The outcome of every listed state, by state in lower case."""
        sets = {
            Outcome.IN_PROGRESS: self.in_progress,
            Outcome.SUCCESS: self.success,
            Outcome.FAILURE: self.failure,
        }
        return {str(state): outcome for outcome, states in sets.items() for state in states}

    def outcome_of(self, state: str) -> Outcome:
        """Return the outcome of *state*; unknown if the kind does not list the state."""
        return self.outcomes.get(fold(state), Outcome.UNKNOWN)

    def value(self, name: str, body: Mapping[str, object], job_id: str) -> object:
        """Return the value of a field in a reply, such as ``begin``; None if the reply has none."""
        for steps in self._steps[name]:
            value = value_after(steps, body, job_id)
            if value is not None:
                return value
        return None

    def states_in(self, body: Mapping[str, object], job_id: str) -> list[object]:
        """Return the values at the paths to the state, without those that are missing."""
        values = [value_after(steps, body, job_id) for steps in self._steps["state"]]
        return [value for value in values if value is not None]

    def extra_values(self, body: Mapping[str, object], job_id: str) -> dict[str, object]:
        """Return the values of the extra fields in a reply, by name; None for one that the reply has not."""
        found = ((name, [value_at(path, body, job_id) for path in paths]) for name, paths in self.extra_paths.items())
        return {name: next((value for value in values if value is not None), None) for name, values in found}

    def is_not_listed_in(self, body: Mapping[str, object], job_id: str) -> bool:
        """Return whether the state is in an element of a list, and the list of the reply has none for the job."""
        return self._is_in_list and any(lists_no_job(path, body, job_id) for path in self.paths["state"])

    def is_refused(self, body: Mapping[str, object]) -> bool:
        """Return whether a reply says that the service refused the request, although its HTTP status is a success."""
        if self.guard is None:
            return False
        return has_value(*self.guard, body)

    def submission(self, action: str | None = None) -> Submission:
        """
        Return how such a job is submitted.

        :param action: One of :attr:`submissions`; None if there is only one.
        :raises ValueError: There is no such action, or none at all.
        """
        if action is None and len(self.submissions) == 1:
            return next(iter(self.submissions.values()))
        if action is None or action not in self.submissions:
            allowed = ", ".join(self.submissions) or "none: this package cannot submit such a job"
            raise ValueError(f"action must be one of those of {self.name}: {allowed}; it is {action!r}")
        return self.submissions[action]

    def with_states(
        self, success_states: Iterable[str | int] | None = None, failure_states: Iterable[str | int] | None = None
    ) -> JobKind:
        """
        Return this kind with other states that end a wait. Listed states in neither set count as in progress.

        :param success_states: Replace the success states; None keeps them.
        :param failure_states: Replace the failure states; None keeps them.
        :raises ValueError: An argument is not a list of states or is empty, or a state is both success and failure.
        """
        if success_states is None and failure_states is None:
            return self
        success = self.success if success_states is None else _some_states("success_states", success_states)
        failure = self.failure if failure_states is None else _some_states("failure_states", failure_states)
        if both := set(success) & set(failure):
            raise ValueError(
                f"success_states and failure_states overlap in {', '.join(sorted(map(str, both)))}: "
                f"success_states={sorted(map(str, success))}, failure_states={sorted(map(str, failure))}"
            )
        in_progress = self.states - set(success) - set(failure)
        return replace(self, success=success, failure=failure, in_progress=in_progress)

    def for_goal(self, goal: str, **changes: Any) -> JobKind:
        """
        Return the kind of a wait with another goal, such as ``running``; its name has the goal as a suffix.

        :param changes: Fields that differ, such as ``success``. A state that is listed here and in none of the changed
            sets counts as in progress, unless *in_progress* is given.
        :raises ValueError: The declaration is wrong.
        """
        ended = {_folded(state) for name in ("success", "failure") for state in changes.get(name, getattr(self, name))}
        rest: dict[str, Any] = {"in_progress": self.states - ended}
        return replace(self, name=f"{self.name}_{goal}", **(rest | changes))

    def check_parameters(self, names: Collection[str]) -> None:
        """:raises ValueError: A parameter is missing or superfluous."""
        allowed = [*self.parameters, *self.optional_parameters]
        listed = ", ".join(allowed) or "none"
        if missing := [name for name in self.parameters if name not in names]:
            raise ValueError(f"parameters: {missing[0]} is missing; {self.name} needs {', '.join(self.parameters)}")
        if more := [name for name in names if name not in allowed]:
            raise ValueError(f"parameters: {self.name} has no {_shown(more[0])}; it takes: {listed}")

    def with_parameters(self, parameters: Mapping[str, object]) -> JobKind:
        """
        Return this kind with the values of its parameters in its paths and headers.

        :raises ValueError: A parameter is missing, superfluous or invalid.
        """
        self.check_parameters(parameters)
        if not self.parameters and not self.optional_parameters:
            return self
        given = {name: _parameter(name, value, name in self.parameters) for name, value in parameters.items()}

        def in_path(name: str) -> str:
            return quote(given[name], safe="~") if name in given else f"{{{name}}}"

        paths: dict[str, Any] = {
            name: getattr(self, name) and fill(getattr(self, name), in_path) for name in (*_PATH_TEMPLATES, "cancel")
        }
        kept = {
            name: template for name, template in self.headers.items() if all(map(given.get, placeholders(template)))
        }
        headers = {name: fill(template, given.__getitem__) for name, template in kept.items()}
        if any(path and len(path) > LONGEST_PATH for path in paths.values()):
            raise ValueError(f"parameters: their values make the path longer than {LONGEST_PATH} characters")
        if wrong := [header for header, value in headers.items() if not value.isascii()]:
            raise ValueError(f"parameters: a header can have ASCII characters only, and {wrong[0]} has others")
        return replace(self, **paths, headers=headers, parameters=(), optional_parameters=())

    def to_dict(self) -> dict[str, Any]:
        """Return the declaration as JSON, from which :meth:`from_dict` restores it; defaults are left out."""
        values = {
            each.name: _as_json(getattr(self, each.name)) for each in fields(self) if each.name not in _NOT_IN_JSON
        }
        defaults = {each.name: _as_json(each.default) for each in fields(self)} | {"headers": {}, "extra_fields": {}}
        return {name: value for name, value in values.items() if value != defaults[name]}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> JobKind:
        """
        Restore a kind from :meth:`to_dict`. Unknown fields, of a later release, are ignored.

        :raises ValueError: *row* does not declare a kind.
        """
        if not isinstance(row, Mapping):
            raise ValueError(f"kind: a declaration is an object, not {type(row).__name__}")
        known = {
            each.name: row[each.name] for each in fields(cls) if each.name in row and each.name not in _NOT_IN_JSON
        }
        try:
            return cls(**known)
        except TypeError as error:  # a field is missing, or has a wrong type
            raise ValueError(f"kind: {error}") from error


_PATH_TEMPLATES = ("path", "detail_path", "log_path")

#: Fields that are not part of the JSON: a job that is waited for has been submitted.
_NOT_IN_JSON = ("submissions",)


def _folded(state: object) -> str:
    if isinstance(state, bool) or not isinstance(state, str | int) or state == "":
        raise ValueError(f"a state is text or a number; {state!r} is neither")
    return fold(str(state))


def _states(argument: str, states: object) -> frozenset[str]:
    if isinstance(states, str | Mapping) or not isinstance(states, Iterable):
        raise ValueError(f"{argument} must be a list of states, such as ['success']; it is {states!r}")
    folded = [_folded(state) for state in states]
    if twice := _twice(folded):
        raise ValueError(f"{argument} lists {twice!r} twice")
    return frozenset(folded)


def _twice(texts: Iterable[str]) -> str | None:
    """Return the first text that is there more than once; None if there is none."""
    return next((text for text, count in Counter(texts).items() if count > 1), None)


def _shown(value: object) -> str:
    return repr(value[:64] if isinstance(value, str) else value)


def _guard(guard: object) -> tuple[str, str | int | bool]:
    """Return a guard after checking it."""
    if not isinstance(guard, list | tuple) or len(guard) != 2:
        raise ValueError(f"guard must be a path and a value; it is {guard!r}")
    path, value = guard
    if not isinstance(path, str):
        raise ValueError(f"guard must begin with one path into the reply; it is {guard!r}")
    if not isinstance(value, str | int):
        raise ValueError(f"guard: its value must be text, a number or a bool; it is {value!r}")
    return _paths("guard", path), value


def _some_states(argument: str, states: Iterable[str | int]) -> frozenset[str]:
    listed = [] if isinstance(states, str) or not isinstance(states, Iterable) else list(states)
    if not listed or not all(isinstance(state, str | int) and not isinstance(state, bool) for state in listed):
        raise ValueError(f"{argument} must be a non-empty list of states, such as ['success']; it is {states!r}")
    return frozenset(fold(str(state)) for state in listed)


def _names(argument: str, names: object) -> tuple[str, ...]:
    listed = [] if isinstance(names, str) or not isinstance(names, Iterable) else list(names)
    if (names and not listed) or not all(isinstance(name, str) and _NAME.fullmatch(name) for name in listed):
        raise ValueError(f"{argument} must be a list of names, such as ['cluster_id']; it is {names!r}")
    return tuple(listed)


def _several(paths: object) -> tuple[str, ...]:
    return () if paths is None else (paths,) if isinstance(paths, str) else tuple(paths)  # type: ignore[arg-type]  # a list


def _paths(argument: str, paths: object) -> Any:
    """Return one path or several, after checking them."""
    if paths is not None and not isinstance(paths, str | list | tuple):
        raise ValueError(f"{argument} must be a path into the reply, or a list of them; it is {paths!r}")
    for path in _several(paths):
        if not isinstance(path, str):
            raise ValueError(f"{argument}: {path!r} is no path")
        try:
            steps_of(path)
        except ValueError as error:
            raise ValueError(f"{argument}: {error}") from None
    return tuple(paths) if isinstance(paths, list) else paths


def _mapping(argument: str, values: object) -> dict[str, Any]:
    if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
        raise ValueError(f"{argument} must be a mapping by name; it is {values!r}")
    return dict(values)


def _parameter(name: str, value: object, needed: bool) -> str:
    """Return the value of a parameter as text; empty for an optional one that is not given."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None
    if value is None or (text is not None and text.strip() in ("", "None", "null")):
        if not needed:
            return ""
        raise ValueError(
            f"parameters: {name} is missing; it is {value!r}. Check the template or XCom that it comes from"
        )
    if text is None or len(text) > _LONGEST or not text.isprintable() or text in (".", "..") or {"{", "}"} & set(text):
        raise ValueError(
            f"parameters: {name} must be a text of at most {_LONGEST} printable characters without braces; it is "
            f"{str(value)[:64]!r}"
        )
    return text


def _as_json(value: object) -> object:
    if isinstance(value, Service):
        return value.label if service_of(value.label) == value else value.to_dict()
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, Mapping):
        return {name: _as_json(each) for name, each in value.items()}
    return value
