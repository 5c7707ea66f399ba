"""The trigger of a wait that begins in the triggerer, without a worker."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent

from airflow_provider_hwstatus.core.polling.wait import error_boundary
from airflow_provider_hwstatus.core.polling.wait_target import event_of
from airflow_provider_hwstatus.errors import ConfigurationError, HwStatusError
from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook
from airflow_provider_hwstatus.hooks.metrics import succeeded_in_triggerer
from airflow_provider_hwstatus.kinds.job_kind import Outcome
from airflow_provider_hwstatus.triggers.job_status import JobStatusTrigger

if TYPE_CHECKING:
    from jinja2 import Environment

    from airflow_provider_hwstatus.core.polling.wait_target import WaitTarget

#: The key of a field that stands for a task's output: its value is a template that renders to JSON.
OUTPUT = "output_as_json"

#: The template fields of all sensors, which Airflow renders.
_WHERE = ("hwstatus_conn_id", "region", "project_id")
_IDS = ("batch_id", "session_id", "job_id", "parameters", "request_id", "expected_jobs")
FIELDS = (*_IDS, "name", "submitted_after", *_WHERE)

#: What a target has that is not called ``job_id``, by the argument that has the ids.
_NOT_JOB_IDS = {"request_id": ("request_id", "expected_jobs"), "name": ("name", "submitted_after")}


class StartedTrigger(BaseTrigger):
    """
    Waits as :class:`JobStatusTrigger` does; after a success, it completes the task without a worker.

    Airflow renders the arguments that are named like the sensor's template fields, and keeps the deadline: the row is
    made from the DAG alone, before the wait begins.

    :param target: The target of that trigger, without ids.
    :param options: The options of that trigger, without what only a running wait knows.
    :param limit: Seconds for the whole wait.
    :param window: Seconds from its begin until Airflow's own time-out.
    :param ends: Whether a success completes the task here; if not, the task resumes on a worker.
    :param returns: Whether the task's return value is stored.
    :param id_argument: Which of the fields has the ids, or ``name``.
    :param fields: The sensor's template fields: :data:`FIELDS`. Keywords of other releases are ignored.
    """

    def __init__(
        self,
        target: dict[str, Any],
        options: dict[str, Any],
        limit: float,
        window: float,
        ends: bool = True,
        returns: bool = True,
        id_argument: str = "job_id",
        **fields: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's
        self.target = target
        self.options = options
        self.limit = limit
        self.window = window
        self.ends = ends
        self.returns = returns
        self.id_argument = id_argument
        fields = {"hwstatus_conn_id": HwStatusHook.default_conn_name} | fields
        for name in FIELDS:
            setattr(self, name, fields.get(name))
        self.timeout_after: datetime | None = None  # the triggerer sets it

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        names = ("target", "options", "limit", "window", "ends", "returns", "id_argument", *FIELDS)
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    def get_template_env(self, dag: Any = None) -> Environment:
        """Return the template environment. An undefined name is an error, as on a worker."""
        from jinja2 import StrictUndefined

        environment: Environment = super().get_template_env(dag)  # type: ignore[misc,unused-ignore]  # Airflow 3.3's
        environment.undefined = StrictUndefined
        return environment

    def render_template_fields(self, context: Any, jinja_env: Environment | None = None) -> None:
        """Render the template fields."""
        ti = _Pulling(context["ti"])
        seen: Any = {**context, "ti": ti, "task_instance": ti}
        super().render_template_fields(seen, jinja_env)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event: the end of the task, or what the sensor's trigger yields."""
        try:
            with error_boundary("the trigger's row"):
                trigger = self._trigger()
                target = trigger.wait_target()
        except HwStatusError as error:
            yield TriggerEvent(event_of(error))
            return
        if target.first is None:  # a worker decides about an empty list
            yield TriggerEvent({"summary": {"statuses": []}})
            return
        async for event in trigger.run():
            yield TaskSuccessEvent() if await self._ended(target, event.payload) else event

    async def _ended(self, target: WaitTarget, event: Mapping[str, Any]) -> bool:
        """Return whether the jobs succeeded and the result is stored, so that the task needs no worker."""
        try:
            with error_boundary(target.subject):
                found = target.found_in(event)
                ends = self.ends and found.outcome is Outcome.SUCCESS
                if not ends or not await self._returned(target.value(found)):
                    return False
                succeeded_in_triggerer(target.kind.name, event["waited"])
                return True
        except HwStatusError:  # a worker reports the error
            return False

    def _trigger(self) -> JobStatusTrigger:
        """
        Return what waits.

        :raises ConfigurationError: A rendered field is invalid.
        """
        began = self._began()
        if not isinstance(self.target, Mapping) or not isinstance(self.options, Mapping):
            raise ConfigurationError("target and options must be objects")
        others = _NOT_JOB_IDS.get(self.id_argument)
        names = {"job_id": self.id_argument} if others is None else {name: name for name in others}
        ids = {name: self._given(argument) for name, argument in names.items()} | {
            "parameters": self._given("parameters")
        }
        where = {name: self._given(name) for name in _WHERE}
        options = {**self.options, "began": began, "deadline": began + self.limit}
        return JobStatusTrigger({**self.target, **ids}, options, **where)

    def _began(self) -> float:
        """Return when the wait began, computed from the time-out that Airflow has stored with the task."""
        if self.timeout_after is None:
            return time.time()
        ends = self.timeout_after if self.timeout_after.tzinfo else self.timeout_after.replace(tzinfo=UTC)
        return ends.timestamp() - self.window

    def _given(self, name: str) -> Any:
        return _decoded(name, getattr(self, name))

    async def _returned(self, value: object) -> bool:
        """
        Store what the task returns. Airflow would store it itself, but as text within text.

        :return: Whether that is done; if not, a worker does.
        """
        ti: Any = self.task_instance
        if next(iter(ti.task.iter_mapped_dependants()), None) is not None:
            return False  # only a worker can expand the mapped tasks
        if not self.returns:
            return True
        try:
            from airflow.providers.common.compat.sdk import XCom

            place = {"dag_id": ti.dag_id, "task_id": ti.task_id, "run_id": ti.run_id, "map_index": ti.map_index}
            await XCom.aset(key="return_value", value=value, **place)
        except Exception as error:  # noqa: BLE001  # the job is over; a worker stores the result
            self.log.warning("The result could not be stored, so a worker does: %s", type(error).__name__)
            return False
        return True


class _Pulling:
    """
    A task instance, as templates see it.

    Airflow 3.3 asks for all of a mapped task's XComs where nothing else is said, and its triggerer never answers that.
    """

    def __init__(self, ti: Any) -> None:
        self._ti = ti

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ti, name)

    def xcom_pull(self, *args: Any, map_indexes: Any = -1, **kwargs: Any) -> Any:
        """Pull from an unmapped task by default."""
        return self._ti.xcom_pull(*args, map_indexes=map_indexes, **kwargs)


def _decoded(name: str, value: Any) -> Any:
    """
    Return a field with the outputs of tasks in their places.

    :raises ConfigurationError: An output is not JSON.
    """
    if isinstance(value, list):
        return [_decoded(name, one) for one in value]
    if not isinstance(value, dict):
        return value
    if set(value) != {OUTPUT}:
        return {key: _decoded(name, one) for key, one in value.items()}
    try:
        return json.loads(value[OUTPUT])
    except ValueError as error:
        raise ConfigurationError(f"{name}: the output of the task is no JSON: {value[OUTPUT][:64]!r}") from error
