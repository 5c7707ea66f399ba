"""Waits that begin in the triggerer, without a worker. Needs Airflow 3.3, which renders templates there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow import __version__
from airflow.providers.common.compat.sdk import XComArg

from airflow_provider_hwstatus.core.polling.wait_target import WaitTarget

if TYPE_CHECKING:
    from airflow.triggers.base import StartTriggerArgs


AIRFLOW_3_3 = tuple(map(int, __version__.split(".")[:2])) >= (3, 3)

#: Fields that are rendered, or that only a running wait knows.
_NOT_IN_TARGET = ("job_id", "request_id", "expected_jobs", "rejected")
_NOT_IN_OPTIONS = ("began", "deadline")

#: A template for the begin of the DAG run.
RUN_BEGAN = "{{ dag_run.start_date or dag_run.run_after }}"


def starts_in_triggerer(wanted: bool, deferrable: bool) -> bool:
    """
    Return whether waits begin in the triggerer. Before Airflow 3.3 they begin on a worker, with the same end.

    :raises ValueError: *deferrable* is False.
    """
    if wanted and not deferrable:
        raise ValueError("start_from_trigger=True needs deferrable=True: it is the triggerer that waits")
    return wanted and AIRFLOW_3_3


class StartsInTriggerer:
    """
    The ``start_trigger_args`` of a sensor, computed when Airflow reads them, so that later changes of the sensor count.

    The class itself has none, so that Airflow starts the tasks of a mapped sensor on a worker: it has no way to make
    their triggers, and says nothing about it.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._owner = owner

    def __get__(self, sensor: Any, owner: type) -> StartTriggerArgs | None:
        """
        Return the arguments for one sensor.

        :raises ValueError: The triggerer cannot evaluate an id.
        """
        if sensor is None or not sensor.start_from_trigger:
            return None
        from airflow.triggers.base import StartTriggerArgs

        from airflow_provider_hwstatus.triggers.start_from_trigger import FIELDS, StartedTrigger

        limit, window = sensor.started_window()
        target, options = WaitTarget(sensor.kind, [], sensor.rule).to_dict(), sensor.wait_options().to_dict()
        row: dict[str, Any] = {"target": _without(target, _NOT_IN_TARGET) | sensor.own_target_fields()}
        row |= {"options": _without(options, _NOT_IN_OPTIONS), "limit": limit, "window": window}
        row |= {"ends": self._ends(sensor), "returns": bool(sensor.do_xcom_push), "id_argument": sensor.id_argument}
        fields = [name for name in sensor.template_fields if name in FIELDS]
        return StartTriggerArgs(
            trigger_cls=f"{StartedTrigger.__module__}.{StartedTrigger.__qualname__}",
            trigger_kwargs=row | {name: _encoded(name, _value(sensor, name)) for name in fields},
            next_method="execute_complete",
            timeout=timedelta(seconds=window),
        )

    def _ends(self, sensor: Any) -> bool:
        """Return whether the task can succeed without a worker."""
        own = all(
            getattr(type(sensor), name) is getattr(self._owner, name) for name in ("execute_complete", "post_execute")
        )
        # These need a worker: Airflow 3.3 calls on_success_callback on workers only.
        more = ("outlets", "on_success_callback", "_post_execute_hook", "multiple_outputs", "returns_dag_result")
        return own and not any(getattr(sensor, name, None) for name in more)


def _without(row: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def _value(sensor: Any, name: str) -> Any:
    """Return a template field of a sensor. The begin of the DAG run becomes a template, as no parse knows it."""
    value = getattr(sensor, name, None)
    if name != "submitted_after":
        return value
    if value is None and sensor.id_argument == "name":
        return RUN_BEGAN
    return value.isoformat() if isinstance(value, datetime) else value


def _encoded(name: str, value: Any) -> Any:
    """Return a template field as JSON for the trigger's row; a task's output becomes a template."""
    if isinstance(value, XComArg):
        return _output(name, value)
    if isinstance(value, list | tuple):
        return [_encoded(name, one) for one in value]
    if isinstance(value, Mapping):
        return {str(key): _encoded(name, one) for key, one in value.items()}
    if value is None or isinstance(value, str | int | float):
        return value
    raise ValueError(
        f"start_from_trigger=True: {name} must be text, a template, a task's output, or a list of these; it is a "
        f"{type(value).__name__}"
    )


def _output(name: str, output: XComArg) -> dict[str, str]:
    """
    Return a template that renders to the JSON of a task's output.

    :raises ValueError: The triggerer cannot evaluate this output.
    """
    from airflow.sdk.definitions.xcom_arg import PlainXComArg

    from airflow_provider_hwstatus.triggers.start_from_trigger import OUTPUT

    if not isinstance(output, PlainXComArg):
        raise ValueError(
            f"start_from_trigger=True: {name} must be a task's output as it is, without map, zip or concat"
        )
    task = output.operator
    if task.is_mapped or next(task.iter_mapped_task_groups(), None) is not None:
        raise ValueError(
            f"start_from_trigger=True: {name} cannot be the output of {task.task_id}, which is mapped: Airflow's "
            "triggerer cannot collect that"
        )
    pull = f"ti.xcom_pull(task_ids={json.dumps(task.task_id)}, key={json.dumps(output.key)})"
    return {OUTPUT: f"{{{{ {pull} | tojson }}}}"}
