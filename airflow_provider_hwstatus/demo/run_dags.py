"""
Run DAGs one after the other in one process: ``python -m airflow_provider_hwstatus.demo.run_dags DAG_ID...``.

Standard output gets progress as lines of JSON. Airflow's output goes to standard error. The lines are:

* ``{"step": text}``: the current step
* ``{"dag": dag_id}``: a DAG starts
* ``{"dag": dag_id, "task": task_id, "type": text, "mode": text, "state": text, "message": text}``: a task has ended
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, TextIO


def _redirect_stdout() -> TextIO:
    """Return standard output, and send everything else that is written to it to standard error."""
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return lines


def _mode(task: Any) -> str:
    """Return how a task waits, or a hyphen if it does not wait."""
    arguments = getattr(task, "partial_kwargs", None) or vars(task)  # a mapped task has partial_kwargs
    if not arguments.get("wait", True):
        return "-"
    return "deferrable" if arguments.get("deferrable") else str(arguments.get("mode", "-"))


def _state(instances: Sequence[Any]) -> str:
    """Return the state of a task: if it is mapped, that of its first instance without success."""
    states = [str(instance.state) for instance in instances]
    return next((state for state in states if state != "success"), "success")


class ErrorRecorder:
    """
    Records the last error of each task.

    Airflow's callbacks and listeners get the error of a failed task, but not of a skipped one. So the recorder wraps
    the methods that run a task. It wraps them on the class, because Airflow may run copies of the task.
    """

    def __init__(self) -> None:
        self.messages: dict[tuple[str, str], str] = {}
        self._wrapped: set[type] = set()

    def wrap(self, operator: type) -> None:
        """Record every error in tasks of this class."""
        if operator in self._wrapped:
            return
        self._wrapped.add(operator)
        for name in ("execute", "resume_execution"):
            setattr(operator, name, self._recording(getattr(operator, name)))

    def _recording(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def run(task: Any, *args: Any, **kwargs: Any) -> Any:
            with ExitStack() as stack:
                stack.push(lambda kind, error, traceback: self._record(task, error))
                return method(task, *args, **kwargs)

        return run

    def _record(self, task: Any, error: BaseException | None) -> None:
        if error is not None:
            self.messages[task.dag_id, task.task_id] = f"{type(error).__name__}: {error}"


class Runner:
    """
    Runs DAGs and reports progress.

    :param lines: Where the lines of JSON go.
    """

    def __init__(self, lines: TextIO) -> None:
        self._lines = lines
        self._errors = ErrorRecorder()

    def run(self, dag_ids: Sequence[str]) -> None:
        """Create the database, then run the DAGs one after the other."""
        self._report(step="starting Airflow")
        from airflow import __version__
        from airflow.cli.cli_parser import get_parser

        self._report(step=f"creating a database for Airflow {__version__}")
        migrate = get_parser().parse_args(["db", "migrate"])
        migrate.func(migrate)
        self._report(step="loading the DAGs")
        dags = _load_dags()
        for dag_id in dag_ids:
            self._report(dag=dag_id)
            self._run_one(dags[dag_id])

    def _report(self, **line: str) -> None:
        print(json.dumps(line), file=self._lines)

    def _run_one(self, dag: Any) -> None:
        for task in dag.tasks:
            self._errors.wrap(task.operator_class)
        instances = dag.test().get_task_instances()
        for task in dag.tasks:
            state = _state([instance for instance in instances if instance.task_id == task.task_id])
            # Deferring and rescheduling also raise exceptions, so a message counts only for these states.
            has_message = state in {"failed", "skipped", "up_for_retry"}
            message = self._errors.messages.get((dag.dag_id, task.task_id), "") if has_message else ""
            name = {"dag": dag.dag_id, "task": task.task_id, "type": task.operator_name}
            self._report(**name, mode=_mode(task), state=state, message=message)


def _load_dags() -> dict[str, Any]:
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # Airflow before 3.2
        from airflow.models.dagbag import DagBag  # type: ignore[no-redef]
    bag = DagBag()
    if bag.import_errors:
        raise ImportError("\n".join(f"{path}: {error}" for path, error in bag.import_errors.items()))
    return dict(bag.dags)


if __name__ == "__main__":
    Runner(_redirect_stdout()).run(sys.argv[1:])
