"""
Runs DAGs on real Airflow, one after the other, in one process: ``python -m …testing.run_dags DAG_ID...``.

It says what it does in lines of JSON on its standard output; whatever Airflow prints goes to standard error:
``{"doing": text}``, ``{"dag": dag_id}`` when one is started and, for each of its tasks when it has ended,
``{"dag": dag_id, "task": task_id, "mode": text, "state": text, "message": text}``.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, TextIO


def _take_stdout() -> TextIO:
    """Return standard output, and let whatever else is written to it go to standard error."""
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return lines


def _mode(task: Any) -> str:
    if getattr(task, "deferrable", False):
        return "deferrable"
    return str(getattr(task, "mode", "@task"))


class Noting:
    """
    Remembers the error with which a task left Airflow's hands last.

    Airflow's callbacks and listeners are told why a task failed, but not why it was skipped. So the methods
    are wrapped through which it runs every task; on their classes, because it may run copies of the tasks.
    """

    def __init__(self) -> None:
        self.messages: dict[tuple[str, str], str] = {}
        self._wrapped: set[type] = set()

    def wrap(self, operator: type) -> None:
        """Take note of every error in tasks of this class."""
        if operator in self._wrapped:
            return
        self._wrapped.add(operator)
        for name in ("execute", "resume_execution"):
            setattr(operator, name, self._noting(getattr(operator, name)))

    def _noting(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def run(task: Any, *args: Any, **kwargs: Any) -> Any:
            with ExitStack() as stack:
                stack.push(lambda kind, error, traceback: self._note(task, error))
                return method(task, *args, **kwargs)

        return run

    def _note(self, task: Any, error: BaseException | None) -> None:
        if error is not None:
            self.messages[task.dag_id, task.task_id] = f"{type(error).__name__}: {error}"


class Runner:
    """
    Runs DAGs and reports.

    :param lines: Where the lines of JSON go.
    """

    def __init__(self, lines: TextIO) -> None:
        self._lines = lines
        self._noting = Noting()

    def run(self, dag_ids: Sequence[str]) -> None:
        """Make the database, then run the DAGs in turn."""
        self._say(doing="starting Airflow")
        from airflow import __version__
        from airflow.cli.cli_parser import get_parser

        self._say(doing=f"making a database for Airflow {__version__}")
        migrate = get_parser().parse_args(["db", "migrate"])
        migrate.func(migrate)
        self._say(doing="loading the DAGs")
        dags = _load_dags()
        for dag_id in dag_ids:
            self._say(dag=dag_id)
            self._run_one(dags[dag_id])

    def _say(self, **line: str) -> None:
        print(json.dumps(line), file=self._lines)

    def _run_one(self, dag: Any) -> None:
        for task in dag.tasks:
            self._noting.wrap(type(task))
        states = {instance.task_id: str(instance.state) for instance in dag.test().get_task_instances()}
        for task in dag.tasks:
            state = states[task.task_id]
            # A wait that is deferred or rescheduled ends by an error, too, in Airflow's way.
            bad = state in {"failed", "skipped", "up_for_retry"}
            message = self._noting.messages.get((dag.dag_id, task.task_id), "") if bad else ""
            self._say(dag=dag.dag_id, task=task.task_id, mode=_mode(task), state=state, message=message)


def _load_dags() -> dict[str, Any]:
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # before 3.2
        from airflow.models.dagbag import DagBag  # type: ignore[no-redef]
    bag = DagBag()
    if bag.import_errors:
        raise ImportError("\n".join(f"{path}: {error}" for path, error in bag.import_errors.items()))
    return dict(bag.dags)


if __name__ == "__main__":
    Runner(_take_stdout()).run(sys.argv[1:])
