"""``python -m airflow_provider_hwstatus``: the commands of ``airflow hwstatus``, which needs Airflow 3.2 or newer."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout

from airflow_provider_hwstatus.cli.arguments import COMMANDS, HELP
from airflow_provider_hwstatus.cli.exits import EXIT_CODES
from airflow_provider_hwstatus.cli.run import run


def parser() -> argparse.ArgumentParser:
    """Return the parser for the command line."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "python -m airflow_provider_hwstatus", description=HELP, epilog=EXIT_CODES, formatter_class=raw
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        subparser = subparsers.add_parser(
            command.name, help=command.help, description=command.help, epilog=command.epilog, formatter_class=raw
        )
        subparser.set_defaults(function=command.function)
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
        run(arguments.function, arguments)


if __name__ == "__main__":
    main()
