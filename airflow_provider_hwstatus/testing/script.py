"""What a job goes through: one step per call, or one after the other as time passes."""

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
    """Whether *step* is a state, and not an HTTP status or another reply."""
    if isinstance(step, Fault):
        return False
    return isinstance(step, str) or (isinstance(step, int) and step < 100)


def check_step(step: object) -> None:
    """:raises ValueError: *step* is none, or an HTTP status that no reply can end with."""
    known = isinstance(step, str | int | Reply | Fault) and not isinstance(step, bool)
    if not known or (isinstance(step, int) and not (step < 100 or 200 <= step < 600)):
        raise ValueError(f"{step!r} is no state, no HTTP status from 200 to 599, no Reply and no Fault")


class Script(Protocol):
    """Which step is taken when. Times are seconds since 1970."""

    def take(self, now: float) -> Step:
        """Return the step with which a call is answered."""

    def state(self, now: float, ago: float = 0.0) -> tuple[State, float]:
        """
        Return the job's state and since when; takes no step.

        :param ago: Seconds before *now*.
        """


class ByCalls:
    """One step per call; the last stays."""

    def __init__(self, steps: Sequence[Step], created: float) -> None:
        self._steps = steps
        self._created = created
        self._times: list[float] = []

    def take(self, now: float) -> Step:
        step = self._steps[min(len(self._times), len(self._steps) - 1)]
        if len(self._times) < len(self._steps):
            self._times.append(now)
        return step

    def state(self, now: float, ago: float = 0.0) -> tuple[State, float]:
        # Without looking back, a step counts whose request arrived after the one that asks.
        taken = [time for time in self._times if time <= now - ago] if ago else self._times
        return _state_at(self._steps, max(len(taken), 1) - 1), taken[-1] if taken else self._created


class BySeconds:
    """
    Each step begins at its second; the last stays.

    :param timeline: By seconds since *start*; a state begins with the first of them, however late it is.
    :param start: None if the clock starts at the first call.
    """

    def __init__(self, timeline: Mapping[float, Step], start: float | None) -> None:
        self._seconds = sorted(timeline)
        self._steps = [timeline[second] for second in self._seconds]
        self._start = start

    def _index(self, now: float) -> int:
        elapsed = 0.0 if self._start is None else now - self._start
        return max(bisect_right(self._seconds, elapsed) - 1, 0)

    def take(self, now: float) -> Step:
        if self._start is None:
            self._start = now
        return self._steps[self._index(now)]

    def state(self, now: float, ago: float = 0.0) -> tuple[State, float]:
        index = self._index(now - ago)
        start = now if self._start is None else self._start
        return _state_at(self._steps, index), start + self._seconds[index]


def _state_at(steps: Sequence[Step], index: int) -> State:
    """Return the state at *index*, or the one before it, or the first; "" if there is none."""
    nearest = [*reversed(steps[: index + 1]), *steps]
    return next((step for step in nearest if is_state(step)), "")


@dataclass(frozen=True)
class Job:
    """
    A job that the fake knows.

    :param request_id: Of the call that submitted it.
    :param created: Seconds since 1970.
    :param fields: Added to its replies.
    :param listed_after: Seconds from then on until lists have it.
    """

    kind: JobKind
    job_id: str
    script: Script
    request_id: str
    created: float
    fields: Mapping[str, object]
    listed_after: float = 0.0

    def poll(self, request: Incoming, render: Callable[[State, float], Mapping[str, object]]) -> Answer:
        """
        Take the next step.

        :param render: Returns the reply's body from the state and the seconds since 1970 when it began.
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
    """Every job, by its API and id: the kinds that ask the same API share their jobs."""

    _jobs: dict[tuple[str, str], Job] = field(default_factory=dict)
    _submitted: dict[str, str] = field(default_factory=dict)

    def add(self, job: Job) -> None:
        """Add a job, or replace the one of this id."""
        self._jobs[job.kind.path, job.job_id] = job

    def submit(self, job_id: str, request_id: str) -> Job | None:
        """Let the CPH job of this id belong to a request, now or when it is added; return the job, if there is one."""
        self._submitted[job_id] = request_id
        job = self.find(CPH_JOB, job_id)
        if job is not None:
            self.add(replace(job, request_id=request_id))
        return job

    def request_of(self, job_id: str) -> str | None:
        """Return the request that submitted a CPH job, if that was said."""
        return self._submitted.get(job_id)

    def find(self, kind: JobKind, job_id: str) -> Job | None:
        """Return the job of this id."""
        return self._jobs.get((kind.path, job_id))

    def of(self, kind: JobKind) -> Iterator[Job]:
        """Yield the jobs of *kind*, oldest first."""
        return (job for job in list(self._jobs.values()) if job.kind.path == kind.path)


def new_script(steps: Sequence[Step], seconds: Mapping[float, Step] | None, start: float | None, now: float) -> Script:
    """
    Return a script.

    :param start: From when on the seconds count; None if from the first call.
    :raises ValueError: No steps, both sorts of them, a step before the start, or something that is no step.
    """
    for step in (*steps, *(seconds or {}).values()):
        check_step(step)
    if bool(steps) == bool(seconds):
        raise ValueError("a job needs steps by calls or steps by seconds, and not both")
    if not seconds:
        return ByCalls(steps, now)
    if min(seconds) < 0:
        raise ValueError(f"a step {min(seconds)} seconds after the start is before it")
    return BySeconds(seconds, start)


def new_request_id() -> str:
    """Return an id as the gateway gives them."""
    return secrets.token_hex(16)
