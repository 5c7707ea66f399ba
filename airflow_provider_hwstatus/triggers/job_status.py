"""The trigger: one wait, in the triggerer's event loop."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_hwstatus.core.polling.job_status import JobStatus
from airflow_provider_hwstatus.core.polling.jobs_summary import CompletionRule, PollResult
from airflow_provider_hwstatus.core.polling.wait import error_boundary, raise_unless_tolerated, wait
from airflow_provider_hwstatus.core.polling.wait_options import WaitOptions
from airflow_provider_hwstatus.core.polling.wait_target import WaitTarget, poller_of, target_of_jobs
from airflow_provider_hwstatus.core.protocol.retry import DEFAULT_OUTAGE_TOLERANCE
from airflow_provider_hwstatus.core.reporting.progress import ProgressLogger
from airflow_provider_hwstatus.errors import ConfigurationError, HwStatusError
from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook, kind_of

if TYPE_CHECKING:
    from airflow_provider_hwstatus.core.polling.wait import Poller
    from airflow_provider_hwstatus.core.protocol.effects import Flow
    from airflow_provider_hwstatus.kinds.job_kind import JobKind
    from airflow_provider_hwstatus.transports.shared_connections import AsyncConnection

# Not the trigger's own: binding one takes as long as a poll, for each trigger.
_log = logging.getLogger(__name__)

_GOLDEN_RATIO = 0.618034

#: Seconds for which a connection that a worker had found may be missing: Airflow says so of any look-up that fails.
LOOKUP_TOLERANCE = 60.0

#: Seconds between two such look-ups, at most.
LOOKUP_PAUSE = 5.0


class JobStatusTrigger(BaseTrigger):
    """
    Waits until a job is over, or several, and yields one event: what was found, or the error that kept it from that.

    All arguments are stored in Airflow's database as JSON; none is a secret. Keywords of other releases are ignored.

    :param kind: Name of the kind of job, such as ``dli_batch``.
    :param job_id: The job, or a list of jobs.
    :param hwstatus_conn_id: The Airflow connection.
    :param region: Wins over the connection's.
    :param project_id: Wins over the connection's.
    :param poke_interval: Seconds between two polls.
    :param began: When the wait began, in seconds since 1970.
    :param deadline: When it ends at the latest, likewise. It does not move when the trigger does.
    :param deferred_at: When a worker deferred to this trigger, in seconds since 1970; None if no worker did. The first
        poll, and any event, comes ``min(poke_interval, 15)`` seconds later at the earliest: Airflow's scheduler fails
        a task whose trigger fires before the scheduler has noticed that the worker exited.
    :param exponential_backoff: Whether the interval grows.
    :param max_wait: Seconds that it grows to at most.
    :param outage_tolerance: Seconds to go on without an answer.
    :param success_states: Replace the table's.
    :param failure_states: Replace the table's.
    :param on_unknown_state: ``wait`` or ``fail``.
    :param silent_fail: Whether to go on asking after an error.
    :param not_found_grace: Seconds from the begin for which a job that the service does not know is waited for.
    :param wait_for_all: Of several jobs, whether all have to succeed, or one.
    :param fail_fast: Of several jobs, whether the first failure ends the wait.
    """

    def __init__(
        self,
        kind: str,
        job_id: str | list[str],
        hwstatus_conn_id: str = HwStatusHook.default_conn_name,
        region: str | None = None,
        project_id: str | None = None,
        poke_interval: float = 60.0,
        began: float | None = None,
        deadline: float | None = None,
        deferred_at: float | None = None,
        exponential_backoff: bool = False,
        max_wait: float | None = None,
        outage_tolerance: float = DEFAULT_OUTAGE_TOLERANCE,
        success_states: list[str] | None = None,
        failure_states: list[str] | None = None,
        on_unknown_state: str = "wait",
        silent_fail: bool = False,
        not_found_grace: float = 0.0,
        wait_for_all: bool = True,
        fail_fast: bool = True,
        **_other_releases: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's
        self.kind = kind
        self.job_id = job_id
        self.hwstatus_conn_id = hwstatus_conn_id
        self.region = region
        self.project_id = project_id
        self.poke_interval = poke_interval
        self.began = began
        self.deadline = deadline
        self.deferred_at = deferred_at
        self.exponential_backoff = exponential_backoff
        self.max_wait = max_wait
        self.outage_tolerance = outage_tolerance
        self.success_states = success_states
        self.failure_states = failure_states
        self.on_unknown_state = on_unknown_state
        self.silent_fail = silent_fail
        self.not_found_grace = not_found_grace
        self.wait_for_all = wait_for_all
        self.fail_fast = fail_fast
        self._subject: Poller | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        names = (
            "kind",
            "job_id",
            "hwstatus_conn_id",
            "region",
            "project_id",
            "poke_interval",
            "began",
            "deadline",
            "deferred_at",
            "exponential_backoff",
            "max_wait",
            "outage_tolerance",
            "success_states",
            "failure_states",
            "on_unknown_state",
            "silent_fail",
            "not_found_grace",
            "wait_for_all",
            "fail_fast",
        )
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """
        Yield ``{"status": …}`` when the job is over, ``{"summary": …}`` when several are, or ``{"error": …}``.

        With it come ``waited``, in seconds from the begin of the whole wait, and ``polls``, of this trigger.
        """
        yield TriggerEvent(await self._report())

    async def _report(self) -> dict[str, object]:
        try:
            with error_boundary("the trigger's row"):
                options = self._plan()
                settling = options.settling(time.time())
                await asyncio.sleep(settling)
                target = self.target()
                if target.first is None:
                    raise ConfigurationError("the trigger's row has an empty list of ids")
        except HwStatusError as error:  # no flag is about that
            return {"error": error.to_dict()}
        progress = ProgressLogger(_log, time.time, options.began, options.until)
        try:
            found = await self._wait(target, options, progress, options.poke_interval - settling)
        except HwStatusError as error:
            told: dict[str, object] = {"error": error.to_dict()}
        else:
            told = {"status" if isinstance(found, JobStatus) else "summary": found.to_dict()}
        return told | {"waited": round(time.time() - options.began, 3), "polls": progress.polls}

    async def _wait(
        self, target: WaitTarget, options: WaitOptions, progress: ProgressLogger, spread: float
    ) -> PollResult:
        hook = HwStatusHook(self.hwstatus_conn_id, self.region, self.project_id)
        tolerated = time.time() + (0.0 if self.began is None else LOOKUP_TOLERANCE)
        give_up = tolerated if options.deadline is None else min(tolerated, options.deadline)
        while True:
            longest = math.inf
            try:
                with error_boundary(target.subject):
                    return await hook.arun(lambda connection: self._flow(connection, target, options, progress, spread))
            except HwStatusError as error:
                if isinstance(error.__cause__, AirflowNotFoundException) and time.time() < give_up:
                    longest = LOOKUP_PAUSE
                else:
                    raise_unless_tolerated(error, options, time.time())
                progress.on_poll(error)
            await asyncio.sleep(min(options.interval(time.time()), longest))

    def _flow(
        self,
        connection: AsyncConnection,
        target: WaitTarget,
        options: WaitOptions,
        progress: ProgressLogger,
        spread: float,
    ) -> Flow[PollResult]:
        # Waits that begin together spread over *spread* seconds: each asks a golden section after the one before.
        first_after = 0.0 if self._subject else (connection.joined - 1) * _GOLDEN_RATIO % 1 * spread
        self._subject = poller_of(connection.client, target, self._subject)
        return wait(self._subject, options, progress.on_poll, first_after)

    def target(self) -> WaitTarget:
        """
        Return what is waited for.

        :raises ConfigurationError: An argument cannot be one.
        """
        try:
            kind = kind_of(self.kind).with_states(self.success_states, self.failure_states)
            return self._target(kind, CompletionRule(wait_for_all=self.wait_for_all, fail_fast=self.fail_fast))
        except ValueError as error:
            raise ConfigurationError(str(error)) from error

    def _target(self, kind: JobKind, rule: CompletionRule) -> WaitTarget:
        return target_of_jobs(kind, self.job_id, rule)

    def _plan(self) -> WaitOptions:
        return WaitOptions(
            poke_interval=self.poke_interval,
            began=time.time() if self.began is None else self.began,
            deadline=self.deadline,
            deferred_at=self.deferred_at,
            exponential_backoff=self.exponential_backoff,
            max_wait=self.max_wait,
            outage_tolerance=self.outage_tolerance,
            on_unknown_state=self.on_unknown_state,
            silent_fail=self.silent_fail,
            not_found_grace=self.not_found_grace,
        )
