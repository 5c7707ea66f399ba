"""What all sensors do: ask, defer, and turn what was found into Airflow's verdict."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowTaskTimeout,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_hwstatus.core.client import Question
from airflow_provider_hwstatus.core.errors import (
    CredentialsRefusedError,
    HwStatusError,
    TriggerError,
)
from airflow_provider_hwstatus.core.flow import DEFAULT_OUTAGE_TOLERANCE
from airflow_provider_hwstatus.core.jobs import JobKind
from airflow_provider_hwstatus.core.observing import Observer
from airflow_provider_hwstatus.core.replies import clip
from airflow_provider_hwstatus.core.waiting import UNKNOWN_STATE_POLICIES, Plan, overlook, poll
from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook
from airflow_provider_hwstatus.sensors.explaining import why_failed
from airflow_provider_hwstatus.sensors.links import ConsoleLink, offer
from airflow_provider_hwstatus.sensors.rescheduling import first_poke_at
from airflow_provider_hwstatus.sensors.verdict import Stop, flags, settle, status_of, unanswered

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_hwstatus.core.status import JobStatus

#: Seconds by which Airflow's own time-out of a deferral lies behind the trigger's: when it fires, no trigger runs.
BACKSTOP = 300.0

#: Airflow cannot store a time-out that ends after the year 9999.
_LONGEST_DEFERRAL = timedelta(days=3650)

# What Airflow calls instead of execute_complete when a trigger did not end by an event, and its words for a time-out.
_TRIGGER_FAILED = "__fail__"
_TRIGGER_TIMED_OUT = ("Trigger timeout", "Trigger/execution timeout")


class JobStatusSensor(BaseSensorOperator):
    """
    Waits until a job is over. The job's failure fails the task at once, whatever its ``retries``.

    :param kind: What to wait for.
    :param hwstatus_conn_id: The Airflow connection.
    :param region: Wins over the connection's.
    :param project_id: Wins over the connection's.
    :param deferrable: Whether to wait in the triggerer; ``mode`` does not matter then.
    :param success_states: States that end the wait well, instead of the table's.
    :param failure_states: States that end it badly, instead of the table's.
    :param on_unknown_state: What a state that no table lists does: ``wait``, or ``fail`` with an
        :class:`~airflow_provider_hwstatus.core.errors.UnknownStateError`.
    :param outage_tolerance: Seconds to go on without an answer; 0 for not at all.
    :param not_found_grace: Seconds from the begin of the wait for which a job that the service does not know (yet) is
        waited for; by default that is an error at once.
    :raises ValueError: An argument has a value that it cannot have.
    """

    template_fields: Sequence[str] = ("hwstatus_conn_id", "region", "project_id")
    ui_color = "#f9d7d7"
    operator_extra_links = (ConsoleLink(),)

    def __init__(
        self,
        *,
        kind: JobKind,
        hwstatus_conn_id: str = HwStatusHook.default_conn_name,
        region: str | None = None,
        project_id: str | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        success_states: Sequence[str | int] | None = None,
        failure_states: Sequence[str | int] | None = None,
        on_unknown_state: str = "wait",
        outage_tolerance: timedelta | float = DEFAULT_OUTAGE_TOLERANCE,
        not_found_grace: timedelta | float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if on_unknown_state not in UNKNOWN_STATE_POLICIES:
            raise ValueError(f"on_unknown_state must be 'wait' or 'fail'; it is {on_unknown_state!r}")
        self.hwstatus_conn_id = hwstatus_conn_id
        self.region = region
        self.project_id = project_id
        self.deferrable = deferrable
        self.kind = kind.with_states(success_states, failure_states)
        self.success_states = _as_text(success_states)
        self.failure_states = _as_text(failure_states)
        self.on_unknown_state = on_unknown_state
        self.outage_tolerance = _seconds("outage_tolerance", outage_tolerance)
        self.not_found_grace = _seconds("not_found_grace", not_found_grace)
        self._began: float | None = None
        self._deadline: float | None = None

    @property
    def _job_id(self) -> str:
        job_id: str = getattr(self, self.kind.id_name)
        return job_id

    @cached_property
    def hook(self) -> HwStatusHook:
        """The hook, whose session lasts as long as this process waits."""
        return HwStatusHook(self.hwstatus_conn_id, self.region, self.project_id)

    @cached_property
    def _observer(self) -> Observer:
        return Observer(self.log, time.time, self._plan().began)

    @cached_property
    def _question(self) -> Question:
        return Question(self.hook.get_conn().client, self.kind, self._job_id)

    def execute(self, context: Context) -> Any:
        """Wait, or defer the wait if the job is not over yet. Returns the last status, as a dict."""
        self._began, limit = self._first_poke_at(context), self._limit
        self._deadline, timeout = self._began + limit, self.timeout
        # Each poke looks at the deadline. Airflow's own look would race it, with a message that names no job.
        self.timeout = math.inf
        try:
            with flags(self), self._execution_timeout():
                offer(self.hook, self.kind, self._job_id, context.get("ti"), self.log)
                if not self.deferrable:
                    # Past Airflow 2's guard, which takes this call for one from outside of a task.
                    return super().execute.__wrapped__(self, context)  # type: ignore[attr-defined]  # by functools.wraps
                found = self.poke(context)
                return found.xcom_value if found else self._defer()
        except Stop as stop:
            raise stop.error from stop.error.__cause__
        finally:
            self.timeout = timeout
            self.hook.close()

    def poke(self, context: Context) -> PokeReturnValue:
        """
        Ask once, waiting out an outage.

        :raises AirflowFailException: The job failed.
        :raises AirflowSensorTimeout: The deadline has passed.
        :raises HwStatusError: The question could not be answered.
        """
        plan = self._plan()
        try:
            status = self.hook.get_conn().run(poll(self._question, plan))
        except HwStatusError as error:
            return self._poke_failed(error, plan)
        self._observer.saw(status)
        return settle(status, self._why_failed)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> Any:
        """Resume after the trigger's event. Returns the last status, as a dict."""
        with flags(self):
            found = settle(status_of(event, self.kind, self._job_id), self._why_failed)
            if not found:
                raise TriggerError(f"{self._subject}: the trigger ended before the job did: {clip(repr(event), 200)}")
            return found.xcom_value

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume; where Airflow would end the task itself, end it as every other mode does."""
        if next_method != _TRIGGER_FAILED:
            # The operator's, not the sensor's: that one has flags of its own, and hides a trigger that crashed.
            return super(BaseSensorOperator, self).resume_execution(next_method, next_kwargs, context)
        reason, traceback = ((next_kwargs or {}).get(name) for name in ("error", "traceback"))
        if traceback:
            self.log.error("The trigger failed:\n%s", "\n".join(traceback))
        with flags(self):
            if reason in _TRIGGER_TIMED_OUT:
                raise AirflowSensorTimeout(f"{self._subject}: timed out, and no triggerer had it at its deadline")
            raise TriggerError(f"{self._subject}: the trigger did not end by an event: {reason}; see the log above")

    def _why_failed(self, status: JobStatus) -> str:
        return why_failed(self.hook, self.kind, status, self.log)

    @property
    def _subject(self) -> str:
        return f"{self.kind.title} {self._job_id}"

    def _first_poke_at(self, context: Context) -> float:
        rescheduled = first_poke_at(self, context) if self.reschedule and not self.deferrable else None
        return rescheduled.timestamp() if isinstance(rescheduled, datetime) else time.time()

    def _plan(self) -> Plan:
        began = time.time() if self._began is None else self._began
        return Plan(
            poke_interval=self.poke_interval,
            began=began,
            deadline=self._deadline,
            exponential_backoff=self.exponential_backoff,
            max_wait=self.max_wait.total_seconds() if self.max_wait else None,
            outage_tolerance=self.outage_tolerance,
            on_unknown_state=self.on_unknown_state,
            silent_fail=self.silent_fail,
            not_found_grace=self.not_found_grace,
        )

    @property
    def _limit(self) -> float:
        """Seconds for the whole wait. A rescheduled poke has Airflow's ``execution_timeout`` for itself alone."""
        if self.execution_timeout is None or (self.reschedule and not self.deferrable):
            return self.timeout
        return min(self.timeout, self.execution_timeout.total_seconds())

    def _get_next_poke_interval(self, started_at: Any, run_duration: Any, poke_count: int) -> float:
        """Replace Airflow's, so that the interval is the same in every mode and the last poll is at the deadline."""
        return self._plan().interval(time.time())

    def _defer(self) -> NoReturn:
        from airflow_provider_hwstatus.triggers.job_status import JobStatusTrigger

        plan = self._plan()
        left = (plan.deadline or 0.0) - time.time()
        backstop = timedelta(seconds=min(left + BACKSTOP, _LONGEST_DEFERRAL.total_seconds()))
        trigger = JobStatusTrigger(
            kind=self.kind.name,
            job_id=self._job_id,
            hwstatus_conn_id=self.hwstatus_conn_id,
            region=self.region,
            project_id=self.project_id,
            poke_interval=plan.poke_interval,
            began=plan.began,
            deadline=plan.deadline,
            exponential_backoff=plan.exponential_backoff,
            max_wait=plan.max_wait,
            outage_tolerance=plan.outage_tolerance,
            success_states=self.success_states,
            failure_states=self.failure_states,
            on_unknown_state=plan.on_unknown_state,
            silent_fail=plan.silent_fail,
            not_found_grace=plan.not_found_grace,
        )
        self.defer(trigger=trigger, method_name="execute_complete", timeout=backstop)
        raise AssertionError("defer() returned")

    def _poke_failed(self, error: HwStatusError, plan: Plan) -> PokeReturnValue:
        try:
            overlook(error, plan, time.time())
        except CredentialsRefusedError as refused:
            if self.silent_fail:
                raise Stop(refused) from None
            raise
        except HwStatusError as final:
            unanswered(final)
        self._observer.saw(error)
        return PokeReturnValue(is_done=False)

    @contextmanager
    def _execution_timeout(self) -> Iterator[None]:
        """Take Airflow's time-out for the deadline that it is, except where it is for one rescheduled poke alone."""
        try:
            yield
        except AirflowTaskTimeout as error:
            if self.reschedule and not self.deferrable:
                raise
            seconds = (self._deadline or 0.0) - (self._began or 0.0)
            raise AirflowSensorTimeout(f"{self._subject}: timed out after {seconds:g} s") from error


def _as_text(states: Sequence[str | int] | None) -> list[str] | None:
    return None if states is None else [str(state) for state in states]


def _seconds(argument: str, value: timedelta | float) -> float:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < float("inf"):
        raise ValueError(f"{argument} must be a timedelta or a number of seconds, 0 or more; it is {value!r}")
    return float(seconds)
