"""The trigger of a job that the task itself submitted: it cancels the job if somebody ends the task."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow import __version__
from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from airflow_provider_hwstatus.core.protocol.advice import with_advice
from airflow_provider_hwstatus.errors import HwStatusError
from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook
from airflow_provider_hwstatus.triggers.job_status import JobStatusTrigger

if TYPE_CHECKING:
    from airflow_provider_hwstatus.core.polling.wait_target import WaitTarget

#: Seconds that cancelling may take in all: Airflow gives a trigger 30 s.
_TO_CANCEL = 25.0

#: States of a task whose trigger has fired, timed out or moved to another triggerer: nobody has ended it.
_GOING_ON = frozenset({"deferred", "scheduled", "queued", "running"})

#: What Airflow 3.4 answers to a trigger whose task was cleared and has a new try.
_NOT_LIVE = "not a live attempt"

_HAS_ON_KILL = hasattr(BaseTrigger, "on_kill")
_AIRFLOW_2 = __version__.startswith("2.")


class SubmittedJobTrigger(JobStatusTrigger):
    """
    Waits as :class:`JobStatusTrigger` does. If somebody marks, clears or stops its task, it cancels the job.

    A trigger that moves to another triggerer, or whose triggerer stops, cancels nothing: whether somebody ended the
    task is read from the task's state.

    :param cancel_on_kill: Whether to cancel the job then.
    :param max_tries: The task's ``max_tries`` at the deferral: clearing a task raises it.
    """

    def __init__(self, *args: Any, cancel_on_kill: bool = True, max_tries: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cancel_on_kill = cancel_on_kill
        self.max_tries = max_tries

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        path, arguments = super().serialize()
        return path, arguments | {"cancel_on_kill": self.cancel_on_kill, "max_tries": self.max_tries}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """
        Yield the event of the wait; see :meth:`JobStatusTrigger.run`.

        The event also has the target as ``submitted``, because ``dag.test()`` drops the arguments of a deferral.
        """
        try:
            async for event in super().run():
                yield TriggerEvent({**event.payload, "submitted": self.target})
        except asyncio.CancelledError:
            if not _HAS_ON_KILL:  # before Airflow 3.3
                await self._cancel_unless(_GOING_ON)
            raise

    async def on_kill(self) -> None:
        """Cancel the job. Airflow 3.3.0 to 3.3.2 also call this when the trigger moves; then the task is deferred."""
        await self._cancel_unless(frozenset({"deferred"}))

    async def _cancel_unless(self, going_on: frozenset[str]) -> None:
        """
        Cancel the job if somebody ended the task.

        It runs as a task of its own, because Airflow cancels a trigger again and again until it has ended, also while
        this runs.

        :param going_on: States in which nobody has ended the task.
        """
        if not self.cancel_on_kill:
            return
        task, until = asyncio.ensure_future(self._cancel_if_ended(going_on)), time.monotonic() + _TO_CANCEL
        _cancelling.add(task)
        task.add_done_callback(_cancelling.discard)
        while not task.done() and (left := until - time.monotonic()) > 0:
            with suppress(asyncio.CancelledError):
                await asyncio.wait({task}, timeout=left)

    async def _cancel_if_ended(self, going_on: frozenset[str]) -> None:
        try:
            target = self.wait_target()
            ended = await self._task_was_ended(going_on, target)
        except Exception as error:  # noqa: BLE001  # without the state, a healthy job must not be cancelled
            self.log.warning("The task's state cannot be read, so its job is not cancelled: %s", type(error).__name__)
            return
        if ended:
            await self._cancel(target)

    async def _cancel(self, target: WaitTarget) -> None:
        hook = HwStatusHook(self.hwstatus_conn_id, self.region, self.project_id)
        try:
            status = await hook.acancel(target.polled_kind, target.first or "", seconds=_TO_CANCEL / 2)
            self.log.info("%s: cancelled, because its task was ended; its state is %r", target.subject, status.state)
        except HwStatusError as error:
            self.log.warning("The job could not be cancelled: %s", with_advice(error))

    async def _task_was_ended(self, going_on: frozenset[str], target: WaitTarget) -> bool:
        ti = self.task_instance
        if _AIRFLOW_2:
            state, max_tries = await sync_to_async(_state_in_database)(ti)
            return state not in going_on or (self.max_tries is not None and max_tries != self.max_tries)
        try:
            state = await sync_to_async(_state_by_api)(ti)
            if state != "deferred":
                return state not in going_on
            # A task that was cleared may have submitted another job by now, and be deferred again.
            submitted = await sync_to_async(_submitted_by)(ti, target.kind.id_name)
        except Exception as error:  # Airflow has no class of its own for this answer
            if _NOT_LIVE in str(error):
                return True
            raise
        return submitted is not None and submitted != target.first


#: What cancels jobs now. An event loop holds its tasks by weak references only.
_cancelling = set[asyncio.Future[None]]()


def _state_by_api(ti: Any) -> str | None:
    """Return a task's state, from Airflow 3's API."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    states = RuntimeTaskInstance.get_task_states(
        dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
    )
    of_run = states.get(ti.run_id, {})
    state = next(iter(of_run.values()), None)
    return None if state is None else str(getattr(state, "value", state))


def _submitted_by(ti: Any, key: str) -> object:
    """Return the id of the job that a task has submitted last, from its XCom; None if there is none."""
    from airflow.providers.common.compat.sdk import XCom

    place = {"dag_id": ti.dag_id, "task_id": ti.task_id, "run_id": ti.run_id, "map_index": ti.map_index}
    return XCom.get_one(key=key, **place)


def _state_in_database(ti: Any) -> tuple[str | None, int | None]:
    """Return a task's state and its ``max_tries``, from Airflow 2's database."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    with create_session() as session:
        row = (
            session.query(TaskInstance.state, TaskInstance.max_tries)
            .filter_by(dag_id=ti.dag_id, task_id=ti.task_id, run_id=ti.run_id, map_index=ti.map_index)
            .one_or_none()
        )
    return (None, None) if row is None else (row[0], row[1])
