"""The scripted steps of a job: one per poll, or one per period of time."""

from __future__ import annotations

import secrets
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeGuard

from airflow_provider_hwstatus.kinds.cph import CPH_JOB
from airflow_provider_hwstatus.kinds.job_kind import JobKind
from airflow_provider_hwstatus.testing.replies import error
from airflow_provider_hwstatus.testing.wire import Answer, Fault, Incoming, Reply, Step

State = str | int


def is_state(step: Step) -> TypeGuard[State]:
    """Return whether *step* is a state, not an HTTP status or another reply."""
    if isinstance(step, Fault):
        return False
    return isinstance(step, str) or (isinstance(step, int) and step < 100)


def check_step(step: object) -> None:
    """
    Check that *step* is valid.

    :raises ValueError: It is not a step, or it is an HTTP status outside 200 to 599.
    """
    known = isinstance(step, str | int | Reply | Fault) and not isinstance(step, bool)
    if not known or (isinstance(step, int) and not (step < 100 or 200 <= step < 600)):
        raise ValueError(f"steps are states, HTTP statuses from 200 to 599, Reply or Fault objects, not {step!r}")


class Script(Protocol):
    """The steps of a job. Times are seconds since 1970."""

    def take(self, now: float) -> Step:
        """Take the next step and return it."""

    def state(self, now: float, ago: float = 0.0) -> tuple[State, float]:
        """
        Return the job's state and when it began, without taking a step.

        :param ago: Return the state of this many seconds before *now*.
        """

    def end(self, state: State, now: float) -> None:
        """End the job in a state, whatever steps there are."""


class _Ending:
    """A script that can be ended: the state in which it ended, and when."""

    _end: tuple[State, float] | None = None

    def end(self, state: State, now: float) -> None:
        self._end = state, now


class ByCalls(_Ending):
    """One step per poll. The last one stays."""

    def __init__(self, steps: Sequence[Step], created: float) -> None:
        self._steps = steps
        self._created = created
        self._times: list[float] = []

    def take(self, now: float) -> Step:
        if self._end:
            return self._end[0]
        step = self._steps[min(len(self._times), len(self._steps) - 1)]
        if len(self._times) < len(self._steps):
            self._times.append(now)
        return step

    def state(self, now: float, ago: float = 0.0) -> tuple[State, float]:
        if self._end and self._end[1] <= now - ago:
            return self._end
        # For the current state, a step also counts if its request arrived after *now*.
        taken = [time for time in self._times if time <= now - ago] if ago else self._times
        return _state_at(self._steps, max(len(taken), 1) - 1), taken[-1] if taken else self._created


class BySeconds(_Ending):
    """
    Each step begins at its second. The last one stays.

    :param timeline: Steps by seconds since *start*. The first step also applies before its second.
    :param start: Seconds since 1970. None if the seconds count from the first poll.
    """

    def __init__(self, timeline: Mapping[float, Step], start: float | None) -> None:
        self._seconds = sorted(timeline)
        self._steps = [timeline[second] for second in self._seconds]
        self._start = start

    def _index(self, now: float) -> int:
        elapsed = 0.0 if self._start is None else now - self._start
        return max(bisect_right(self._seconds, elapsed) - 1, 0)

    def take(self, now: float) -> Step:
        if self._end:
            return self._end[0]
        if self._start is None:
            self._start = now
        return self._steps[self._index(now)]

    def state(self, now: float, ago: float = 0.0) -> tuple[State, float]:
        if self._end and self._end[1] <= now - ago:
            return self._end
        index = self._index(now - ago)
        start = now if self._start is None else self._start
        return _state_at(self._steps, index), start + self._seconds[index]


def _state_at(steps: Sequence[Step], index: int) -> State:
    """Return the state at *index*, else the last one before it, else the first one, else an empty text."""
    nearest = [*reversed(steps[: index + 1]), *steps]
    return next((step for step in nearest if is_state(step)), "")


@dataclass(frozen=True)
class Job:
    """
    A job of the fake.

    :param request_id: Id of the request that submitted it.
    :param created: Seconds since 1970.
    :param fields: Further fields of its replies.
    :param listed_after: Seconds after *created* until lists show it.
    :param parameters: What a request needs beside the id; empty if any values do.
    :param integer_id: Whether replies have the id as a number.
    """

    kind: JobKind
    job_id: str
    script: Script
    request_id: str
    created: float
    fields: Mapping[str, object]
    listed_after: float = 0.0
    parameters: Mapping[str, object] = field(default_factory=dict)
    integer_id: bool = False

    def poll(self, request: Incoming, render: Callable[[State, float], Mapping[str, object]]) -> Answer:
        """
        Take the next step and return the answer.

        :param render: Returns the reply's body. Takes the state and when it began, in seconds since 1970.
        """
        step = self.script.take(request.time)
        if isinstance(step, Reply | Fault):
            return Answer(step)
        if isinstance(step, int) and not is_state(step):
            return Answer(error(request, step))
        state, since = self.script.state(request.time)
        return Answer(Reply(body=render(state, since)), str(state))


@dataclass
class Jobs:
    """All jobs, by path and id. Kinds with the same path share their jobs."""

    _jobs: dict[tuple[str, str], Job] = field(default_factory=dict)
    _submitted: dict[str, str] = field(default_factory=dict)

    def add(self, job: Job) -> None:
        """Add a job, or replace the job with this id."""
        self._jobs[job.kind.path, job.job_id] = job

    def submit(self, job_id: str, request_id: str) -> Job | None:
        """Assign a CPH job to a request, also if it is added later. Return the job, if it exists."""
        self._submitted[job_id] = request_id
        job = self.find(CPH_JOB, job_id)
        if job is not None:
            self.add(replace(job, request_id=request_id))
        return job

    def request_of(self, job_id: str) -> str | None:
        """Return the id of the request that a CPH job is assigned to, if any."""
        return self._submitted.get(job_id)

    def find(self, kind: JobKind, job_id: str) -> Job | None:
        """Return the job with this id, if it exists."""
        return self._jobs.get((kind.path, job_id))

    def of(self, kind: JobKind) -> Iterator[Job]:
        """Yield the jobs of *kind*, oldest first."""
        return (job for job in list(self._jobs.values()) if job.kind.path == kind.path)


def new_script(steps: Sequence[Step], seconds: Mapping[float, Step] | None, start: float | None, now: float) -> Script:
    """
    Return the script of a job.

    :param start: Time from which *seconds* count, in seconds since 1970. None if they count from the first poll.
    :raises ValueError: There are no steps, or both *steps* and *seconds*, or a step is invalid or before the start.
    """
    for step in (*steps, *(seconds or {}).values()):
        check_step(step)
    if bool(steps) == bool(seconds):
        raise ValueError("a job needs either steps by poll or steps by seconds")
    if not seconds:
        return ByCalls(steps, now)
    if min(seconds) < 0:
        raise ValueError(f"a step at {min(seconds)} seconds is before the start")
    return BySeconds(seconds, start)


def new_request_id() -> str:
    """Return a new request id in the gateway's format."""
    return secrets.token_hex(16)
