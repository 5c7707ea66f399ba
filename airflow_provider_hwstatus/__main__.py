"""``python -m airflow_provider_hwstatus``: what ``airflow hwstatus`` is, also before Airflow 3.2."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout

from airflow_provider_hwstatus.cli.arguments import COMMANDS, HELP


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser("python -m airflow_provider_hwstatus", description=HELP)
    subparsers = parser.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        subparser = subparsers.add_parser(command.name, help=command.help, description=command.help)
        for argument in command.arguments:
            subparser.add_argument(*argument.flags, **argument.options)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command; leaves by ``SystemExit``."""
    arguments = parser().parse_args(argv, argparse.Namespace(answers=sys.stdout))
    # Outside of its own commands Airflow logs to standard output, which is for answers.
    with redirect_stdout(sys.stderr):
        from airflow_provider_hwstatus.cli import commands  # which takes seconds: not for --help

        getattr(commands, arguments.command)(arguments)


if __name__ == "__main__":
    main()
