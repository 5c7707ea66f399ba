"""The base of the operators that submit a job once, wait until it is over, and cancel it if they are told to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, XComArg

from airflow_provider_hwstatus.core.polling.job_status import JobStatus
from airflow_provider_hwstatus.core.polling.jobs_summary import PollResult
from airflow_provider_hwstatus.core.polling.wait import error_boundary
from airflow_provider_hwstatus.core.polling.wait_target import WaitTarget
from airflow_provider_hwstatus.core.protocol.advice import with_advice
from airflow_provider_hwstatus.core.protocol.arguments import seconds
from airflow_provider_hwstatus.core.submitting.marker import Attempt, check_body, check_name
from airflow_provider_hwstatus.core.submitting.once import NO_JOB, Kept, Once
from airflow_provider_hwstatus.core.submitting.submit import LIST_LAG, Submitted, target_of
from airflow_provider_hwstatus.errors import ConfigurationError, HwStatusError, UnclearSubmissionError
from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook
from airflow_provider_hwstatus.hooks.metrics import ERROR, SUCCESS, UNCLEAR, ended_in_worker
from airflow_provider_hwstatus.kinds.job_kind import JobKind, Outcome
from airflow_provider_hwstatus.operators.submission_record import SubmissionRecord
from airflow_provider_hwstatus.sensors.base import JobStatusSensor
from airflow_provider_hwstatus.sensors.verdicts import JobFailedError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, PokeReturnValue
    from airflow.triggers.base import BaseTrigger

#: Seconds that cancelling may take when a worker is told to stop: Airflow kills it soon after.
_TO_CANCEL = 10.0

#: By how much the clocks of Airflow and of the cloud may differ.
_CLOCK_SKEW = timedelta(minutes=15)

#: Jobs that an earlier try submitted are looked for at most so far back.
_LONGEST_AGO = timedelta(days=30)

#: Arguments of sensors that make no sense for a task that submits.
_NOT_FOR_OPERATORS = {
    "mode": "an operator waits in the worker, or with deferrable=True in the triggerer",
    "start_from_trigger": "a submission needs a worker",
    "on_empty": "an operator has no list of ids",
    "resume_deadline": "each job that is submitted has the whole time",
}


class SubmitOperator(JobStatusSensor):
    """
    Submits a job once, and waits until it is over.

    A job that failed fails the task, and a retry submits another one. The arguments of the sensors apply, with the same
    meaning, except for ``mode``, ``start_from_trigger``, ``resume_deadline`` and ``on_empty``.

    :param kind: The kind of job.
    :param action: How it is submitted, if the kind has several ways.
    :param body_argument: The name of the argument that has the body of the request.
    :param wait: Whether to wait until the job is over. If not, the task returns the service's answer.
    :param cancel_on_kill: Whether to cancel the job if somebody ends the task while it waits; by default, if such a job
        can be cancelled.
    :param list_lag: Seconds for which the service's list of jobs may lag behind. After a lost worker or an unclear
        answer, a job that is not listed for so long counts as not submitted.
    :param resubmit: Whether it does no harm to submit the job twice.
    :param not_found_grace: Seconds from the begin of the wait in which a job that the service does not know is no
        error; 60 by default.
    :raises ValueError: An argument is invalid.
    """

    failed_job_error = JobFailedError
    default_not_found_grace = 60.0

    def __init__(
        self,
        *,
        kind: JobKind,
        body_argument: str,
        action: str | None = None,
        wait: bool = True,
        cancel_on_kill: bool | None = None,
        list_lag: timedelta | float = LIST_LAG,
        resubmit: bool = False,
        **kwargs: Any,
    ) -> None:
        if given := [name for name in _NOT_FOR_OPERATORS if name in kwargs]:
            raise ValueError(f"{given[0]} is not for {type(self).__name__}: {_NOT_FOR_OPERATORS[given[0]]}")
        if cancel_on_kill and kind.cancel is None:
            raise ValueError(f"cancel_on_kill=True is not possible: a {kind.title} cannot be cancelled")
        super().__init__(kind=kind, **kwargs)
        self.submission = kind.submission(action)
        self.body_argument = body_argument
        self.wait = wait
        self.cancel_on_kill = kind.cancel is not None if cancel_on_kill is None else cancel_on_kill
        self.list_lag = seconds("list_lag", list_lag)
        self.resubmit = resubmit
        self._target: WaitTarget | None = None
        self._once: Once | None = None
        self._record: SubmissionRecord | None = None
        self._max_tries: int | None = None
        self._marked = ""
        self._stopped = False
        self._over = False

    def check_body(self, body: object) -> None:
        """
        Check a body when the DAG is parsed. Templates in it are checked when they are rendered.

        :raises ValueError: It is wrong.
        """
        if isinstance(body, XComArg):
            return
        try:
            checked = check_body(self.submission, body)
            if "{" not in str(checked.get(self.submission.name_field or "")):
                check_name(self.submission, checked)
        except ConfigurationError as error:
            raise ValueError(f"{self.body_argument}: {error}") from None

    @property
    def id_argument(self) -> str:
        return self.submission.id

    @property
    def wait_target(self) -> WaitTarget:
        """
        The job that this task submitted.

        :raises ConfigurationError: It has submitted none.
        """
        if self._target is None:
            raise ConfigurationError(f"{self.task_id} has submitted no job yet")
        return self._target

    def execute(self, context: Context) -> Any:
        """
        Submit the job, unless an earlier try did, and wait until it is over.

        :return: The last status as a dict; for CPH, a list of dicts. With ``wait=False``, the service's answer.
        """
        submitted = self._submit(context)
        if not self.wait:
            return {self.submission.id: submitted.job_id, **submitted.answer}  # a job that was found has no answer
        if submitted.over_at_once:
            return self._over_at_once(submitted)
        return super().execute(context)

    def _submit(self, context: Context) -> Submitted:
        """
        Submit the job once, and make its id safe.

        :raises AirflowFailException: It cannot be told whether the job was submitted, and a later try could not tell.
        :raises HwStatusError: The service did not accept the job.
        """
        attempt = attempt_of(context, self.retries)
        self._record, self._max_tries = SubmissionRecord(context, attempt), context["ti"].max_tries
        try:
            body = check_body(self.submission, getattr(self, self.body_argument))
            check_name(self.submission, body)
            self._once = Once(
                run=self.hook.run,
                clock=time.time,
                kind=self.kind,
                submission=self.submission,
                body=body,
                attempt=attempt,
                record=self._record,
                since=earliest(context).timestamp(),
                list_lag=self.list_lag,
                resubmit=self.resubmit,
                outage_tolerance=self.outage_tolerance,
                raise_if_stopped=self._raise_if_stopped,
            )
            submitted = self._once.submitted()
        except HwStatusError as error:
            with_advice(error)
            unclear = isinstance(error, UnclearSubmissionError)
            ended_in_worker(self.kind.name, UNCLEAR if unclear else ERROR)
            self.hook.close()
            if unclear and not self._can_be_told_later:
                raise AirflowFailException(str(error)) from error
            raise
        self._keep(submitted, context, attempt)
        if self._stopped:  # while the service answered
            self._cancel()
            self._raise_if_stopped()
        return submitted

    def _raise_if_stopped(self) -> None:
        """:raises AirflowException: The task was told to stop. Airflow 3 goes on with it after :meth:`on_kill`."""
        if self._stopped:
            raise AirflowException("the task was told to stop")

    @property
    def _can_be_told_later(self) -> bool:
        """Whether a later try may continue after an unclear end."""
        return self.resubmit or (self.submission.is_findable and self._record is not None and self._record.is_kept)

    def _keep(self, submitted: Submitted, context: Context, attempt: Attempt) -> None:
        """Log the id and store it, before the first poll."""
        self._marked = submitted.marked
        how = "was submitted before, and is waited for" if submitted.found else "submitted"
        name = f"{'CPH request' if self.submission.is_request else self.kind.title} {submitted.job_id}"
        mark = f" as {submitted.marked}" if submitted.marked else ""
        self.log.info("%s: %s%s; this is try %d", name, how, mark, attempt.number)
        ti: Any = context.get("ti")
        if submitted.job_id and ti is not None:
            ti.xcom_push(key=self.xcom_key, value=submitted.job_id)
        if submitted.job_id:
            self._target = self.target_of(submitted.job_id, submitted.answer)

    @property
    def xcom_key(self) -> str:
        """The key of the XCom that has the id of the job; for CPH, of the request."""
        return self.submission.id if self.submission.is_request else self.kind.id_name

    def target_of(self, job_id: str, answer: Mapping[str, Any]) -> WaitTarget:
        """Return what to wait for: the job; or for CPH, all jobs of the request."""
        return target_of(self.kind, self.submission, job_id, answer, self.rule)

    def _over_at_once(self, submitted: Submitted) -> dict[str, Any]:
        """Return the status of a job that the service ran while it answered, and what else it answered."""
        status = JobStatus(
            kind=self.kind.name,
            job_id=submitted.job_id,
            state=submitted.state,
            outcome=Outcome.SUCCESS,
        )
        self.hook.close()
        ended_in_worker(self.kind.name, SUCCESS)
        return {**submitted.answer, **status.to_dict()}

    def trigger_of(self, options: dict[str, Any]) -> BaseTrigger:
        from airflow_provider_hwstatus.triggers.submitted_job import SubmittedJobTrigger

        where = (self.hwstatus_conn_id, self.region, self.project_id)
        return SubmittedJobTrigger(
            self.wait_target.to_dict(), options, *where, cancel_on_kill=self.cancel_on_kill, max_tries=self._max_tries
        )

    def _kept(self) -> dict[str, Any]:
        return {"target": self.wait_target.to_dict(), "marked": self._marked}

    def _take(self, context: Context, kept: dict[str, Any] | None = None) -> None:
        self._record = SubmissionRecord(context, attempt_of(context, self.retries))
        if kept is not None:
            self._target, self._marked = WaitTarget.from_dict(kept.get("target")), str(kept.get("marked", ""))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after a trigger. What the task kept is lost if the trigger failed, and always in dag.test()."""
        left = next_kwargs or {}
        if self._target is None and "kept" not in left:
            self._target = self._recovered_target(left.get("event"), context)
        return super().resume_execution(next_method, next_kwargs, context)

    def _recovered_target(self, event: object, context: Context) -> WaitTarget | None:
        """Return what the trigger waited for, by the id in XCom; None if that is lost, too."""
        ti: Any = context["ti"]
        job_id = ti.xcom_pull(key=self.xcom_key, task_ids=self.task_id, map_indexes=ti.map_index)
        if not isinstance(job_id, str):
            return None
        if isinstance(event, Mapping) and event.get("submitted"):  # with the number of jobs of a CPH request
            told = WaitTarget.from_dict(event["submitted"])
            if told.first == job_id:
                return told
        return self.target_of(job_id, {})

    @property
    def _subject(self) -> str:
        return self._target.subject if self._target else f"the {self.kind.title} that {self.task_id} submitted"

    def _settle(self, found: PollResult) -> PokeReturnValue:
        self._over = found.over
        if found.outcome is Outcome.FAILURE and self._record is not None:
            self._record.write(Kept(step=NO_JOB))
        return super()._settle(found)

    def why_failed(self, found: PollResult) -> str:
        """Return the message about the failed job, and which try submitted it."""
        message = super().why_failed(found)
        if not self._marked:
            return message
        number = self._marked.rpartition("-")[2]
        return f"{message}\n  submitted: in try {number}, as {self._marked}"

    def on_kill(self) -> None:
        """Cancel the job, in at most ten seconds. Airflow calls this in a worker that is told to stop."""
        self._stopped = True
        if not self.cancel_on_kill or self._over or (self._once is None and self._target is None):
            return
        # In a thread: this may run in the middle of a request, which holds locks, and then must not wait for ever.
        thread = threading.Thread(target=self._cancel, name="cancel", daemon=True)
        thread.start()
        thread.join(_TO_CANCEL)

    def _cancel(self) -> None:
        hook = HwStatusHook(self.hwstatus_conn_id, self.region, self.project_id)
        try:
            with error_boundary(self.kind.title):
                job_id = self._target.first if self._target else self._just_submitted(hook)
                if job_id is None:
                    return
                status = hook.cancel(self.kind, job_id, seconds=_TO_CANCEL / 2)
            self.log.info("%s %s: cancelled; its state is %r", self.kind.title, job_id, status.state)
        except HwStatusError as error:
            self.log.warning("The job could not be cancelled: %s", with_advice(error))
        finally:
            hook.close()

    def _just_submitted(self, hook: HwStatusHook) -> str | None:
        """Return the id of the job of this try or an earlier one that this process does not know yet, by the list."""
        found = replace(self._once, run=hook.run).find() if self._once else None
        return found.job_id if found else None


def attempt_of(context: Context, retries: int | None) -> Attempt:
    """
    Return the try of a task instance.

    Clearing a task raises ``max_tries``: its difference to ``retries`` is the number of tries before the clearing.
    """
    ti = context["ti"]
    max_tries = ti.max_tries or 0
    return Attempt(
        dag_id=ti.dag_id,
        task_id=ti.task_id,
        run_id=ti.run_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        max_tries=max_tries,
        number=ti.try_number,
        is_first=ti.try_number <= max(max_tries - (retries or 0), 0) + 1,
    )


def earliest(context: Context) -> datetime:
    """Return a time before the first submission of a DAG run: none comes before the run was due."""
    dag_run = context.get("dag_run")
    now = datetime.now().astimezone()
    long_ago = now - _LONGEST_AGO
    times = [time for name in _DUE if isinstance(time := getattr(dag_run, name, None), datetime)]
    return max(min([now, *times]) if times else long_ago, long_ago) - _CLOCK_SKEW


#: Times of a DAG run, of Airflow 3 and of Airflow 2. The earliest of them is before the run began.
_DUE = ("run_after", "data_interval_end", "logical_date", "execution_date", "queued_at", "start_date")
