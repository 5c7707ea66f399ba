"""The commands and their arguments, for Airflow's parser and ours. Every ``airflow`` command imports this module."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airflow_provider_hwstatus.cli.exits import EXIT_CODES
from airflow_provider_hwstatus.kinds import KINDS, JobKind

HELP = "Huawei Cloud jobs: check a connection; list, show, wait for, submit and cancel jobs"

#: In place of a kind: all jobs of a request to CPH.
CPH_REQUEST = "cph_request"

#: Seconds: ten years.
_LONGEST = 315_360_000.0


@dataclass(frozen=True)
class Argument:
    """One argument, as ``argparse`` has it."""

    flags: tuple[str, ...]
    options: dict[str, Any]


@dataclass(frozen=True)
class Command:
    """
    One command.

    :param function: What it runs, as ``module.function`` in this package.
    :param kinds: The kinds of jobs that it works with, as the help lists them; empty if it takes no kind.
    """

    name: str
    help: str
    function: str
    arguments: tuple[Argument, ...]
    kinds: str = ""

    @property
    def epilog(self) -> str:
        """What the help shows after the arguments."""
        return f"{self.kinds}\n\n{EXIT_CODES}" if self.kinds else EXIT_CODES


def _argument(*flags: str, **options: Any) -> Argument:
    return Argument(flags, options)


def _seconds(text: str) -> float:
    """
    Return a number of seconds.

    :raises ArgumentTypeError: *text* is no number, or not from 0 to ten years.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _LONGEST:
        raise ArgumentTypeError(f"{text!r} is not a number from 0 to {_LONGEST:.0f}")
    return seconds


def _kinds(fits: Callable[[JobKind], object], *more: tuple[str, str]) -> str:
    """
    Return the kinds line by line.

    :param fits: Whether a command works with a kind.
    :param more: What else a command takes as a kind, and what it means.
    """
    rows = [(kind.name, _title(kind)) for kind in KINDS.values() if fits(kind)]
    return "\n".join(["Kinds of jobs:", *(f"  {name:<24} {title}" for name, title in (*rows, *more))])


def _title(kind: JobKind) -> str:
    parameters = " ".join(f"--parameter {name}=…" for name in kind.parameters)
    return f"{kind.title}; needs {parameters}" if parameters else kind.title


_REQUEST = (CPH_REQUEST, "all jobs of a CPH request")
_OWN = ("package.module:NAME", "a kind of your own")

_KIND = _argument("kind", metavar="KIND", help="the kind of the jobs, see below")
_IDS = _argument("ids", nargs="+", metavar="ID", help="ids of jobs, or of requests for cph_request")
_PARAMETER = _argument(
    "--parameter",
    action="append",
    default=[],
    dest="parameters",
    help="what the kind needs besides the id, such as cluster_id=…; can be repeated",
    metavar="NAME=VALUE",
)
_JOBS = (_KIND, _IDS, _PARAMETER)
_CONNECTION = (
    _argument("--conn-id", default="hwstatus_default", help="the Airflow connection (default: hwstatus_default)"),
    _argument("--region", help="replaces the region of the connection"),
    _argument("--project-id", help="replaces the project of the connection"),
)
_OUTPUT = _argument(
    "--output", choices=("text", "json"), default="text", help="the format of the result (default: text)"
)
_COMMON = (*_CONNECTION, _OUTPUT)
_WAIT = (
    _argument("--timeout", type=_seconds, default=604800.0, metavar="S", help="seconds (default: 604800, 7 days)"),
    _argument("--poke-interval", type=_seconds, default=15.0, metavar="S", help="seconds between polls (default: 15)"),
)

COMMANDS = (
    Command("check", "Test a connection step by step", "checking.check", _COMMON),
    Command(
        "status",
        "Show the states of jobs",
        "polling.status",
        (*_JOBS, *_COMMON),
        _kinds(lambda kind: True, _REQUEST, _OWN),
    ),
    Command(
        "wait",
        "Wait until jobs end",
        "polling.wait",
        (
            *_JOBS,
            _argument("--expected-jobs", type=int, metavar="N", help="number of jobs of the CPH request"),
            *_WAIT,
            *_COMMON,
        ),
        _kinds(lambda kind: True, _REQUEST, _OWN),
    ),
    Command(
        "list",
        "List recent DLI batches, or the jobs of CPH requests",
        "listing.list_jobs",
        (
            _KIND,
            _argument("ids", nargs="*", metavar="ID", help="ids of the requests, for cph_request only"),
            _argument("--name", help="only batches with this name, or with a pattern such as 'nightly-*'"),
            _argument("--state", help="only jobs in this state"),
            _argument("--queue", help="only batches in this queue"),
            _argument(
                "--submitted-after",
                metavar="TIME",
                help="only batches submitted after this time, in ISO 8601 (default: 24 hours ago)",
            ),
            _argument("--limit", type=int, default=20, metavar="N", help="show at most N jobs (default: 20)"),
            *_COMMON,
        ),
        _kinds(lambda kind: kind.name == "dli_batch", _REQUEST),
    ),
    Command(
        "logs",
        "Show the last lines of a job's log",
        "listing.logs",
        (_KIND, _argument("ids", nargs=1, metavar="ID", help="id of the job"), _PARAMETER, *_COMMON),
        _kinds(lambda kind: kind.log_path or kind.log, _OWN),
    ),
    Command(
        "submit",
        "Submit a job once",
        "submitting.submit",
        (
            _KIND,
            _argument(
                "--body",
                required=True,
                metavar="JSON",
                help="body of the API's request: JSON, @file.json, or @- for standard input",
            ),
            _argument("--action", help="for cph_job: what to do, such as restart"),
            _argument("--wait", action="store_true", help="wait until the job ends"),
            *_WAIT,
            *_COMMON,
        ),
        _kinds(lambda kind: kind.submissions, _OWN),
    ),
    Command(
        "cancel",
        "Cancel jobs and wait until they end",
        "polling.cancel",
        (*_JOBS, *_COMMON),
        _kinds(lambda kind: kind.cancel, _OWN),
    ),
)
