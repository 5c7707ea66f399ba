"""What commands have in common: the hook, and the result on standard output."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import NoReturn

from airflow_provider_hwstatus.cli.exits import Exit
from airflow_provider_hwstatus.cli.jobs import Job
from airflow_provider_hwstatus.core.protocol.advice import on_one_line, with_advice
from airflow_provider_hwstatus.errors import HwStatusError, TransportError
from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook


def hook_of(arguments: Namespace) -> HwStatusHook:
    """Return the hook for the connection that the command line names."""
    # As Airflow's own commands do: without it Airflow 3 looks for connections in environment variables only.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    return HwStatusHook(arguments.conn_id, arguments.region, arguments.project_id)


def message_of(error: HwStatusError) -> str:
    """Return the message of an error, with what to do next; on one line if the service cannot be reached."""
    message = str(with_advice(error))
    return on_one_line(message) if isinstance(error, TransportError) else message


def finish(arguments: Namespace, jobs: Sequence[Job], code: Exit) -> NoReturn:
    """Print the result of each job, and end the process."""
    if arguments.output == "json":
        show_json(arguments, [job.to_dict() for job in jobs])
    else:
        # An error that all jobs share is printed once.
        lines = [message_of(job.error) if job.error else str(job) for job in jobs]
        for line in dict.fromkeys(lines):
            show(arguments, line)
    sys.exit(code)


def fail(arguments: Namespace, error: HwStatusError) -> NoReturn:
    """Print an error as the result, and end the process."""
    with_advice(error)
    if arguments.output == "json":
        show_json(arguments, {"error": error.to_dict()})
    else:
        show(arguments, message_of(error))
    sys.exit(Exit.ERROR)


def show(arguments: Namespace, text: str) -> None:
    """Print text to standard output. Characters that control the terminal are escaped, except tabs and line ends."""
    escaped = "".join(one if one.isprintable() or one in "\t\n" else repr(one)[1:-1] for one in text)
    print(escaped, file=getattr(arguments, "answers", None), flush=True)


def show_json(arguments: Namespace, value: object) -> None:
    """Print a value as JSON to standard output."""
    show(arguments, json.dumps(value, indent=2))


def printable(text: str) -> str:
    """Return text without characters that control the terminal."""
    return text if text.isprintable() else repr(text)
