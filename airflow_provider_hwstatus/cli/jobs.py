"""The jobs of a command: each has a result or an error of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from airflow_provider_hwstatus.cli.exits import Exit
from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.polling.job_status import JobStatus
from airflow_provider_hwstatus.core.polling.jobs_summary import PollResult
from airflow_provider_hwstatus.core.polling.wait import Poller, poll_once, raise_unless_tolerated
from airflow_provider_hwstatus.core.polling.wait_options import WaitOptions
from airflow_provider_hwstatus.core.polling.wait_target import WaitTarget
from airflow_provider_hwstatus.core.protocol.advice import with_advice
from airflow_provider_hwstatus.core.protocol.effects import Flow
from airflow_provider_hwstatus.errors import (
    DeadlineError,
    HwStatusError,
    RetryableError,
    TransportError,
    is_refused_login,
)
from airflow_provider_hwstatus.kinds.job_kind import Outcome


@dataclass
class Job:
    """
    One job of a command, or all jobs of one CPH request.

    :param found: What the last poll found.
    :param error: Why there is no result.
    :param message: Why the job failed.
    """

    target: WaitTarget
    found: PollResult | None = None
    error: HwStatusError | None = None
    message: str | None = None
    _poller: Poller[PollResult] | None = field(default=None, repr=False)

    @property
    def id(self) -> str:
        """The id of the job or request."""
        return self.target.first or ""

    @property
    def over(self) -> bool:
        """Whether it is not polled any more."""
        return self.error is not None or (self.found is not None and self.found.over)

    @property
    def shown(self) -> str:
        """Its state in a word or two."""
        if self.error is not None:
            return "timed out" if isinstance(self.error, DeadlineError) else "no answer"
        if not isinstance(self.found, JobStatus):
            return self.found.line if self.found else ""
        state = self.found.state
        return state if state.isprintable() and state else repr(state)

    @property
    def exit(self) -> Exit:
        """The exit code of the command if there is no other job."""
        if self.error is not None:
            return Exit.TIMEOUT if isinstance(self.error, DeadlineError) else Exit.ERROR
        return Exit.FAILURE if self.found and self.found.outcome is Outcome.FAILURE else Exit.SUCCESS

    def poll(self, client: Client, options: WaitOptions) -> Flow[None]:
        """
        Poll once.

        :raises HwStatusError: There was no usable answer.
        """
        self._poller = self.target.poller(client, self._poller)
        self.found = yield from poll_once(self._poller, options)
        self.error = None

    def to_dict(self) -> dict[str, object]:
        """Return what ``--output json`` prints."""
        what: dict[str, object] = {"job_id" if self.target.expected is None else "request_id": self.id}
        if self.found:
            what |= {"outcome": self.found.outcome.value} | self.found.to_dict()
        error = {"error": self.error.to_dict()} if self.error else {}
        return what | error | ({"message": self.message} if self.message else {})

    def __str__(self) -> str:
        if self.message or self.found is None:
            return self.message or ""
        return f"{self.id}  {self.shown}  ({self.found.outcome.replace('_', ' ')})"


@dataclass
class Jobs:
    """
    Polls the jobs of a command one after the other. The error of one does not end the wait for the others.

    A service that cannot be reached at the first poll ends the wait for all jobs: the endpoint is probably wrong.
    Later, an outage is tolerated.

    :param on_poll: Called with each job after its poll.
    """

    client: Client
    jobs: Sequence[Job]
    on_poll: Callable[[Job], object]
    subject = "the jobs"
    request_id = None
    coalesced = None
    _reached: bool = False

    def move_to(self, client: Client) -> None:
        """Use another connection from now on."""
        self.client = client

    def open(self) -> None:
        """Begin a wait: nothing to prepare, as jobs are polled one after the other."""

    def close(self) -> None:
        """End the wait."""

    @property
    def over(self) -> bool:
        """Whether no job is left to poll."""
        return all(job.over for job in self.jobs)

    @property
    def standing(self) -> str:
        """How many jobs are left to poll."""
        return f"{sum(not job.over for job in self.jobs)} of {len(self.jobs)} not over"

    def poll(self, options: WaitOptions) -> Flow[Jobs]:
        """
        Poll each job that is not over.

        :raises TransportError: The service could not be reached at the first poll.
        :raises HwStatusError: The login was refused: the connection may have another one by now.
        """
        yield from self._round(options)
        if options.deadline is not None and self.client.clock() >= options.deadline:
            yield from self._round(options)  # those that were polled before the deadline
        return self

    def _round(self, options: WaitOptions) -> Flow[None]:
        refused: HwStatusError | None = None
        for job in self.jobs:
            if job.over and not (job.error and is_refused_login(job.error)):
                continue
            try:
                yield from self._poll(job, options)
            except HwStatusError as error:
                if isinstance(error, TransportError) and not self._reached:
                    raise
                job.error = _final(error, options, self.client.clock())
                refused = refused or (error if is_refused_login(error) else None)
            self.on_poll(job)
        if refused:
            raise refused

    def _poll(self, job: Job, options: WaitOptions) -> Flow[None]:
        first = not self._reached
        try:
            yield from job.poll(self.client, replace(options, outage_tolerance=0.0) if first else options)
        except TransportError:
            raise
        except HwStatusError as error:
            self._reached = True
            if not first or not isinstance(error, RetryableError):
                raise
            yield from job.poll(self.client, options)
        self._reached = True


def _final(error: HwStatusError, options: WaitOptions, now: float) -> HwStatusError | None:
    """Return the error that ends the wait for a job; None if the wait continues after *error*."""
    try:
        raise_unless_tolerated(error, options, now)
    except HwStatusError as final:
        return with_advice(final)
    return None
