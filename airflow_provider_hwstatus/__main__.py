"""``python -m airflow_provider_hwstatus``: the commands of ``airflow hwstatus``, which needs Airflow 3.2 or newer."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout

from airflow_provider_hwstatus.cli.arguments import COMMANDS, HELP


def parser() -> argparse.ArgumentParser:
    """Return the parser for the command line."""
    parser = argparse.ArgumentParser("python -m airflow_provider_hwstatus", description=HELP)
    subparsers = parser.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        subparser = subparsers.add_parser(command.name, help=command.help, description=command.help)
        for argument in command.arguments:
            subparser.add_argument(*argument.flags, **argument.options)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """
    Run a command, and exit with its exit code.

    :param argv: The arguments; by default, those of the process.
    :raises SystemExit: Always, with the exit code.
    """
    arguments = parser().parse_args(argv, argparse.Namespace(answers=sys.stdout))
    # Airflow logs to standard output outside of its own commands. Here, only results go to standard output.
    with redirect_stdout(sys.stderr):
        from airflow_provider_hwstatus.cli import commands  # takes seconds to import, which --help does not need

        getattr(commands, arguments.command)(arguments)


if __name__ == "__main__":
    main()
