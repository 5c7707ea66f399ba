"""The base of all sensors: poll, pause until the next poll, and end the task."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, TypeGuard

from airflow.exceptions import AirflowRescheduleException
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowTaskTimeout,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_hwstatus.core.polling.jobs_summary import CompletionRule, PollResult
from airflow_provider_hwstatus.core.polling.wait import (
    error_boundary,
    poll_once,
    raise_unless_tolerated,
    seconds_to_next_poll,
)
from airflow_provider_hwstatus.core.polling.wait_options import UNKNOWN_STATE_POLICIES, WaitOptions
from airflow_provider_hwstatus.core.polling.wait_target import WaitTarget
from airflow_provider_hwstatus.core.protocol.advice import with_advice
from airflow_provider_hwstatus.core.protocol.arguments import one_of, seconds
from airflow_provider_hwstatus.core.protocol.responses import clip
from airflow_provider_hwstatus.core.protocol.retry import DEFAULT_OUTAGE_TOLERANCE
from airflow_provider_hwstatus.core.reporting.progress import ProgressLogger, duration
from airflow_provider_hwstatus.errors import ConfigurationError, DeadlineError, HwStatusError, TriggerError
from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook
from airflow_provider_hwstatus.kinds import kind_of
from airflow_provider_hwstatus.kinds.job_kind import JobKind, Outcome
from airflow_provider_hwstatus.sensors.console_link import ConsoleLink, push_console_link
from airflow_provider_hwstatus.sensors.failure import why_failed
from airflow_provider_hwstatus.sensors.reschedule import first_poke_at
from airflow_provider_hwstatus.sensors.resume_deadline import resumes, wait_started_at
from airflow_provider_hwstatus.sensors.start_from_trigger import StartsInTriggerer, starts_in_triggerer
from airflow_provider_hwstatus.sensors.verdicts import FINAL, VERDICTS, Verdicts, raise_unanswered

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_hwstatus.core.connection.client import Client
    from airflow_provider_hwstatus.core.polling.wait import Poller
    from airflow_provider_hwstatus.core.protocol.effects import Flow

#: Seconds from the trigger's deadline to Airflow's own time-out of the deferral, which fires only if no trigger runs.
BACKSTOP = 300.0

#: Airflow cannot store a time that is after the year 9999.
_LONGEST = timedelta(days=3650)

# The method that Airflow calls if a trigger ended without an event, and Airflow's texts for a time-out.
_TRIGGER_FAILED = "__fail__"
_TRIGGER_TIMED_OUT = ("Trigger timeout", "Trigger/execution timeout")

#: Ten polls a second for three years.
_MOST_POLLS = 1e9

EMPTY_LIST_POLICIES = ("fail", "succeed")


class JobStatusSensor(BaseSensorOperator):
    """
    Waits until one job or several jobs are over. A failed job fails the task at once, regardless of ``retries``.

    :param kind: The kind of job, or the name of one.
    :param hwstatus_conn_id: The Airflow connection.
    :param region: Overrides the connection's region.
    :param project_id: Overrides the connection's project.
    :param deferrable: Whether to wait in the triggerer; by default Airflow's setting ``[operators]
        default_deferrable``. ``mode`` has no effect then.
    :param start_from_trigger: Whether the wait begins in the triggerer. If it succeeds, it also ends there, without a
        worker. Needs ``deferrable``. Before Airflow 3.3, the wait begins on a worker.
    :param resume_deadline: Whether ``timeout`` applies to all tries together, so that a retry continues the wait of the
        first try. Needs Airflow 3.3, and does not work with ``start_from_trigger``.
    :param success_states: States that count as success; they replace the kind's.
    :param failure_states: States that count as failure; they replace the kind's.
    :param on_unknown_state: What to do about a state that is in no table: ``wait``, or ``fail`` with an
        :class:`~airflow_provider_hwstatus.errors.UnknownStateError`.
    :param outage_tolerance: Seconds for which an outage is tolerated; 0 for none.
    :param not_found_grace: Seconds from the begin of the wait in which a job that the service does not know is no
        error; by default it is an error at once.
    :param wait_for_all: For several jobs: whether all have to succeed (True), or one (False).
    :param fail_fast: For several jobs: whether the first failure ends the wait (True), or the wait continues until all
        jobs are over (False).
    :param on_empty: What to do about an empty list of ids: ``fail`` or ``succeed``.
    :raises ValueError: An argument has an invalid value.
    """

    template_fields: Sequence[str] = ("hwstatus_conn_id", "region", "project_id")
    ui_color = "#f9d7d7"
    operator_extra_links = (ConsoleLink(),)
    start_trigger_args = StartsInTriggerer()
    default_not_found_grace = 0.0
    #: What a failed job ends the task with.
    failed_job_error: type[AirflowException] = AirflowFailException

    def __init__(
        self,
        *,
        kind: JobKind | str,
        hwstatus_conn_id: str = HwStatusHook.default_conn_name,
        region: str | None = None,
        project_id: str | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        start_from_trigger: bool = False,
        resume_deadline: bool = False,
        success_states: Sequence[str | int] | None = None,
        failure_states: Sequence[str | int] | None = None,
        on_unknown_state: str = "wait",
        outage_tolerance: timedelta | float = DEFAULT_OUTAGE_TOLERANCE,
        not_found_grace: timedelta | float | None = None,
        wait_for_all: bool = True,
        fail_fast: bool = True,
        on_empty: str = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.hwstatus_conn_id = hwstatus_conn_id
        self.region = region
        self.project_id = project_id
        self.deferrable = deferrable
        self.kind = kind_of(kind).with_states(success_states, failure_states)
        self.success_states = success_states
        self.failure_states = failure_states
        self.on_unknown_state = one_of("on_unknown_state", on_unknown_state, UNKNOWN_STATE_POLICIES)
        self.outage_tolerance = seconds("outage_tolerance", outage_tolerance)
        self.not_found_grace = seconds(
            "not_found_grace", self.default_not_found_grace if not_found_grace is None else not_found_grace
        )
        self.wait_for_all = wait_for_all
        self.fail_fast = fail_fast
        self.rule = CompletionRule(wait_for_all=wait_for_all, fail_fast=fail_fast)
        self.on_empty = one_of("on_empty", on_empty, EMPTY_LIST_POLICIES)
        #: What the last poll found; None before.
        self.found: PollResult | None = None
        #: Seconds from the begin of the wait to the end of its jobs; None before.
        self.waited: float | None = None
        self._began: float | None = None
        self._deadline: float | None = None
        self._poller: Poller[PollResult] | None = None
        self.resume_deadline = resumes(resume_deadline, start_from_trigger)
        self.start_from_trigger = starts_in_triggerer(start_from_trigger, deferrable)

    @property
    def id_argument(self) -> str:
        """The name of the argument that has the ids."""
        return self.kind.id_name

    @cached_property
    def wait_target(self) -> WaitTarget:
        """
        What to wait for, once templates are rendered.

        :raises ConfigurationError: An id is missing, or cannot be one.
        """
        return WaitTarget.of(self.kind, getattr(self, self.id_argument, None), self.rule)

    @cached_property
    def hook(self) -> HwStatusHook:
        """The hook, whose session lasts as long as this process waits."""
        return HwStatusHook(self.hwstatus_conn_id, self.region, self.project_id)

    @cached_property
    def console_page(self) -> str:
        """The job's page in the cloud's web console; empty where it is not known."""
        try:
            first = self.wait_target.first
            return (first and self.hook.console_url(self.kind, first)) or ""
        except Exception:  # noqa: BLE001  # a missing link must not end the wait
            return ""

    @cached_property
    def _progress(self) -> ProgressLogger:
        options = self.wait_options()
        return ProgressLogger(self.log, self._subject, time.time, options.began, options.until)

    def execute(self, context: Context) -> Any:
        """
        Poll, and then wait or defer.

        :return: The last status as a dict; for a list of ids, a list of dicts in the order of the ids.
        """
        self._take(context)
        self._began = self._first_poke_at(context)
        if self.resume_deadline:
            self._began = wait_started_at(context, self._began, self._limit)
        self._deadline = self._began + self._limit
        try:
            with Verdicts(self):
                return self._wait(context)
        finally:
            if self._poller:
                self._poller.close()
            self.hook.close()

    def _wait(self, context: Context) -> Any:
        """Poke until the wait is over, like :meth:`BaseSensorOperator.execute`, but also able to defer."""
        if self.wait_target.first is None:
            return self._nothing()
        push_console_link(self.console_page, context.get("ti"), self.log)
        try:
            while not (found := self._poke(context)):
                self._pause()
        except AirflowTaskTimeout as error:
            if self._reschedules:  # execution_timeout limits one poke only
                raise
            raise self._timed_out() from error
        self.log.info("Success criteria met. Exiting.")
        return found.xcom_value if isinstance(found, PokeReturnValue) else None

    def _poke(self, context: Context) -> bool | PokeReturnValue:
        """
        Poke. With ``silent_fail``, the wait continues after an exception of a subclass's own poke.

        :raises AirflowSensorTimeout: The poke began after the deadline, and a subclass's own poke did not report that.
        """
        began = time.time()
        found: bool | PokeReturnValue = False
        try:
            found = self.poke(context)
        except FINAL:
            raise
        except Exception:
            if not self.silent_fail:
                raise
            self.log.exception("The poke failed; the wait continues because of silent_fail")
        if not found and self._deadline is not None and began >= self._deadline:
            raise self._timed_out()
        return found

    def _pause(self) -> None:
        """
        Pause until the next poke: defer, release the worker slot, or sleep.

        If the deadline comes before a trigger could poll, it sleeps here instead of deferring.
        """
        options, now = self.wait_options(), time.time()
        if self.deferrable and options.worth_deferring(now):
            self._defer(options)
        interval = seconds_to_next_poll(options, now)
        if self._reschedules:
            again = datetime.now(UTC) + min(timedelta(seconds=interval), _LONGEST)
            raise AirflowRescheduleException(again)  # type: ignore[no-untyped-call]
        time.sleep(interval)

    def _defer(self, options: WaitOptions) -> NoReturn:
        now, kept = time.time(), self._kept()
        backstop = min((options.deadline or 0.0) - now + BACKSTOP, _LONGEST.total_seconds())
        row = options.to_dict() | {"began": options.began, "deferred_at": now}
        self.defer(
            trigger=self.trigger_of(row),
            method_name="execute_complete",
            kwargs=None if kept is None else {"kept": kept},
            timeout=timedelta(seconds=backstop),
        )
        raise AssertionError("defer() returned")

    def trigger_of(self, options: dict[str, Any]) -> BaseTrigger:
        """Return the trigger that continues the wait, with the options of its row."""
        from airflow_provider_hwstatus.triggers.job_status import JobStatusTrigger

        return JobStatusTrigger(
            self.wait_target.to_dict(), options, self.hwstatus_conn_id, self.region, self.project_id
        )

    def own_target_fields(self) -> dict[str, Any]:
        """Return fields of a trigger's target that are neither ids nor common to all sensors."""
        return {}

    def _take(self, context: Context, kept: dict[str, Any] | None = None) -> None:
        """Take what the sensor needs of the context, and what :meth:`_kept` had returned: nothing by default."""

    def _kept(self) -> dict[str, Any] | None:
        """Return what the worker that resumes needs to know of this wait, as JSON: nothing by default."""
        return None

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """
        Poll once, and retry during an outage.

        :raises AirflowFailException: The job failed.
        :raises AirflowSensorTimeout: The deadline has passed.
        :raises HwStatusError: There was no answer.
        """
        options = self.wait_options()

        def flow(client: Client) -> Flow[PollResult]:
            self._poller = self.wait_target.poller(client, self._poller)
            self._poller.open()
            return poll_once(self._poller, options)

        try:
            with error_boundary(self._subject, *VERDICTS):
                found = self.hook.run(flow)
                self._progress.on_poll(found)
                return self._settle(found)
        except HwStatusError as error:
            try:
                raise_unless_tolerated(error, options, time.time())
            except HwStatusError as final:
                raise_unanswered(final)
            self._progress.on_poll(error)
            return PokeReturnValue(is_done=False)

    def execute_complete(
        self, context: Context, event: dict[str, Any] | None = None, kept: dict[str, Any] | None = None
    ) -> Any:
        """
        Resume after the trigger's event. Returns what :meth:`execute` does.

        :param kept: What :meth:`_kept` returned before the deferral.
        """
        with Verdicts(self):
            self._take(context, kept)
            if self.wait_target.first is None:  # start_from_trigger: only the worker decides about an empty list
                return self._nothing()
            self._resumed(event)
            try:
                found = self._settle(self.wait_target.found_in(event))
            except HwStatusError as error:
                raise_unanswered(error)
            if not found:
                raise TriggerError(f"{self._subject}: the trigger ended before the job did: {clip(repr(event), 200)}")
            return found.xcom_value

    def _resumed(self, event: object) -> None:
        """Log how long the trigger waited, if its event has valid figures."""
        seconds, polls = (event.get(name) if isinstance(event, dict) else None for name in ("waited", "polls"))
        if _is_number(seconds, time.time()) and _is_number(polls, _MOST_POLLS):
            self.log.info("%s: resumed after %s and %d polls by the trigger", self._subject, duration(seconds), polls)
            self._began = time.time() - seconds

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after a trigger. If the trigger failed, end the task as in every other mode."""
        if next_method != _TRIGGER_FAILED:
            # BaseOperator's method: BaseSensorOperator's applies flags of its own, and hides a crashed trigger.
            return super(BaseSensorOperator, self).resume_execution(next_method, next_kwargs, context)
        reason, traceback = ((next_kwargs or {}).get(name) for name in ("error", "traceback"))
        if traceback:
            self.log.error("The trigger failed:\n%s", "\n".join(traceback))
        with Verdicts(self):
            timed_out = DeadlineError(f"{self._subject}: timed out, and no triggerer had it at its deadline")
            failed = TriggerError(f"{self._subject}: the trigger did not end by an event: {reason}")
            return raise_unanswered(timed_out if reason in _TRIGGER_TIMED_OUT else failed)

    def _nothing(self) -> list[object]:
        """
        Return the result of a wait for an empty list.

        :raises ConfigurationError: That is an error.
        """
        if self.on_empty == "fail":
            raise ConfigurationError(
                f"{self.id_argument} is an empty list; on_empty='succeed' would take that for a success"
            )
        return []

    def _settle(self, found: PollResult) -> PokeReturnValue:
        """
        Turn what was found into a verdict. Every mode uses it.

        :raises AirflowFailException: A job failed.
        """
        self.found = found
        if found.over and self._began is not None:
            self.waited = time.time() - self._began
        if found.outcome is Outcome.FAILURE:
            raise self.failed_job_error(self.why_failed(found))
        return PokeReturnValue(is_done=found.outcome is Outcome.SUCCESS, xcom_value=self.wait_target.value(found))

    def why_failed(self, found: PollResult) -> str:
        """Return the message about jobs of which one failed."""
        return why_failed(self.hook, self.wait_target.polled_kind, found, self.log)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage:
        """Return what OpenLineage reports about the jobs. Airflow calls this after a failure, too."""
        from airflow.providers.openlineage.extractors import OperatorLineage

        from airflow_provider_hwstatus.sensors.openlineage import lineage_of

        try:
            settings = self.hook.get_conn().client.settings
            return lineage_of(self.wait_target, self.found, settings, self.console_page)
        except (ConfigurationError, TypeError):  # the task has no job, or its id was never rendered
            return OperatorLineage()

    @property
    def _subject(self) -> str:
        return self.wait_target.subject

    @property
    def _reschedules(self) -> bool:
        return bool(self.reschedule) and not self.deferrable

    def _first_poke_at(self, context: Context) -> float:
        rescheduled = first_poke_at(self, context) if self._reschedules else None
        return rescheduled.timestamp() if isinstance(rescheduled, datetime) else time.time()

    @property
    def _limit(self) -> float:
        """Seconds for the whole wait. A rescheduled poke has Airflow's ``execution_timeout`` for itself alone."""
        if self.execution_timeout is None or self._reschedules:
            return self.timeout
        return min(self.timeout, self.execution_timeout.total_seconds())

    def _timed_out(self) -> AirflowSensorTimeout:
        seconds = (self._deadline or 0.0) - (self._began or 0.0)
        return AirflowSensorTimeout(str(with_advice(DeadlineError(f"{self._subject}: timed out after {seconds:g} s"))))

    def wait_options(self) -> WaitOptions:
        """Return how to wait. The wait begins now if it has not begun."""
        return WaitOptions(
            poke_interval=self.poke_interval,
            began=time.time() if self._began is None else self._began,
            deadline=self._deadline,
            exponential_backoff=self.exponential_backoff,
            max_wait=self.max_wait.total_seconds() if self.max_wait else None,
            outage_tolerance=self.outage_tolerance,
            on_unknown_state=self.on_unknown_state,
            silent_fail=self.silent_fail,
            not_found_grace=self.not_found_grace,
        )

    def started_window(self) -> tuple[float, float]:
        """Return the seconds of a wait that begins in the triggerer: its own, and those after which Airflow ends it."""
        window = min(self._limit + BACKSTOP, _LONGEST.total_seconds())
        if self.execution_timeout is not None:  # from the begin, too
            window = min(window, self.execution_timeout.total_seconds())
        return min(self._limit, window), window


def _is_number(value: object, most: float) -> TypeGuard[float]:
    """Return whether *value* is a number from 0 to *most*, as JSON has it."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most
