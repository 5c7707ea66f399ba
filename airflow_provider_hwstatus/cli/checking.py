"""``check``: test a connection."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import NoReturn

from airflow_provider_hwstatus.cli.exits import Exit
from airflow_provider_hwstatus.cli.output import hook_of, show, show_json
from airflow_provider_hwstatus.core.protocol.advice import on_one_line
from airflow_provider_hwstatus.core.reporting.connection_check import Result, Step, usable
from airflow_provider_hwstatus.errors import ConfigurationError


def check(arguments: Namespace) -> NoReturn:
    """Test a connection, and print each step after it is done."""
    report = _Report(arguments)
    try:
        steps = hook_of(arguments).checkup(report.add)
    except ConfigurationError as error:
        steps = [Step("connection", Result.FAILED, on_one_line(str(error)))]
        report.add(steps[0])
    works = usable(steps)
    if arguments.output == "text":
        show(arguments, f"{arguments.conn_id} {'can be used' if works else 'cannot be used'}.")
    else:
        listed = [{"step": step.name, "result": step.result.value, "said": step.said} for step in steps]
        show_json(arguments, {"conn_id": arguments.conn_id, "usable": works, "steps": listed})
    sys.exit(Exit.SUCCESS if works else Exit.ERROR)


class _Report:
    """Prints steps as text. An error that an earlier step had is replaced by the name of that step."""

    def __init__(self, arguments: Namespace) -> None:
        self._arguments = arguments
        self._first = dict[str, str]()

    def add(self, step: Step) -> None:
        """Print a step."""
        if self._arguments.output != "text":
            return
        first = step.name if step.result is Result.OK else self._first.setdefault(step.said, step.name)
        said = step.said if first == step.name else f"as {first}"
        show(self._arguments, f"{step.result.value:<12} {step.name:<15} {said}")
