"""The jobs of a command: each has a status or an error of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.polling.job_poller import JobPoller
from airflow_provider_hwstatus.core.polling.job_status import JobStatus
from airflow_provider_hwstatus.core.polling.wait import poll_once
from airflow_provider_hwstatus.core.polling.wait_options import WaitOptions
from airflow_provider_hwstatus.core.protocol.advice import with_advice
from airflow_provider_hwstatus.core.protocol.effects import Flow
from airflow_provider_hwstatus.errors import DeadlineError, HwStatusError, is_refused_login
from airflow_provider_hwstatus.kinds.job_kind import JobKind, Outcome


class Exit(IntEnum):
    """How a command ends. 2 is a wrong command line, as everywhere."""

    SUCCESS = 0
    FAILURE = 1
    TIMEOUT = 3
    ERROR = 4


@dataclass
class Job:
    """
    One job of a command.

    :param error: Why there is no status.
    :param message: Why the job failed.
    """

    job_id: str
    status: JobStatus | None = None
    error: HwStatusError | None = None
    message: str | None = None

    @property
    def over(self) -> bool:
        """Whether it is not polled any more."""
        return self.error is not None or (self.status is not None and self.status.over)

    @property
    def shown(self) -> str:
        """How it stands, in a word or two."""
        if self.error is not None:
            return "timed out" if isinstance(self.error, DeadlineError) else "no answer"
        if self.status is None:
            return ""
        state = self.status.state
        return state if state.isprintable() and state else repr(state)

    @property
    def exit(self) -> Exit:
        """What it alone would end the command with."""
        if self.error is not None:
            return Exit.TIMEOUT if isinstance(self.error, DeadlineError) else Exit.ERROR
        return Exit.FAILURE if self.status and self.status.outcome is Outcome.FAILURE else Exit.SUCCESS

    def to_dict(self) -> dict[str, object]:
        """Return what ``--output json`` prints."""
        what: dict[str, object] = {"job_id": self.job_id}
        status = self.status.to_dict() if self.status else {}
        error = {"error": self.error.to_dict()} if self.error else {}
        return what | status | error | ({"message": self.message} if self.message else {})

    def __str__(self) -> str:
        if self.error is not None:
            return str(self.error)
        if self.message or self.status is None:
            return self.message or ""
        return f"{self.job_id}  {self.shown}  ({self.status.outcome.replace('_', ' ')})"


@dataclass
class Jobs:
    """
    Polls the jobs of a command one after the other. The error of one does not end the wait for the others.

    :param on_poll: Called with each job after its poll.
    """

    client: Client
    kind: JobKind
    jobs: Sequence[Job]
    on_poll: Callable[[Job], object]
    subject = "the jobs"
    request_id = None

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
                job.status = yield from poll_once(JobPoller(self.client, self.kind, job.job_id), options)
                job.error = None
            except HwStatusError as error:
                job.error = with_advice(error)
                refused = refused or (error if is_refused_login(error) else None)
            self.on_poll(job)
        if refused:
            raise refused
