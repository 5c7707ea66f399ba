"""The commands and their arguments, for Airflow's parser and ours. Every ``airflow`` command imports this module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_provider_hwstatus.kinds import KINDS

HELP = "Huawei Cloud jobs: check a connection; show, wait for and cancel jobs"


@dataclass(frozen=True)
class Argument:
    """One argument, as ``argparse`` has it."""

    flags: tuple[str, ...]
    options: dict[str, Any]


@dataclass(frozen=True)
class Command:
    """
    One command.

    :param name: Also of the function in :mod:`airflow_provider_hwstatus.cli.commands`.
    """

    name: str
    help: str
    arguments: tuple[Argument, ...]


def _argument(*flags: str, **options: Any) -> Argument:
    return Argument(flags, options)


_JOBS = (
    _argument("ids", nargs="+", help="the kind of job, and the jobs; with --kind, the jobs alone", metavar="KIND ID"),
    _argument(
        "--kind", help=f"one of {', '.join(KINDS)}; or a kind of your own, as package.module:NAME", metavar="KIND"
    ),
    _argument(
        "--parameter",
        action="append",
        dest="parameters",
        help="what the kind needs beside the id, such as cluster_id=…; can be repeated",
        metavar="NAME=VALUE",
    ),
    _argument("--conn-id", default="hwstatus_default", help="the Airflow connection; hwstatus_default by default"),
    _argument("--region", help="wins over the connection's"),
    _argument("--project-id", help="wins over the connection's"),
)
_OUTPUT = _argument("--output", choices=("text", "json"), default="text", help="text (default), or json for scripts")

COMMANDS = (
    Command(
        "check",
        "Look into a connection, step by step",
        (
            _argument("conn_id", nargs="?", default="hwstatus_default", metavar="CONN_ID", help="the connection"),
            _OUTPUT,
        ),
    ),
    Command("status", "Show the state of jobs", (*_JOBS, _OUTPUT)),
    Command(
        "wait",
        "Wait until jobs are over",
        (
            *_JOBS,
            _argument("--timeout", type=float, default=604800.0, metavar="S", help="seconds; 7 days by default"),
            _argument("--poke-interval", type=float, default=15.0, metavar="S", help="seconds; 15 by default"),
            _OUTPUT,
        ),
    ),
    Command("cancel", "Cancel jobs, and wait until they are over", (*_JOBS, _OUTPUT)),
)
