"""The commands as Airflow 3.2 and newer take them from a provider."""

from __future__ import annotations

from functools import partial
from typing import Any

from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand

from airflow_provider_hwstatus.cli.arguments import COMMANDS, HELP
from airflow_provider_hwstatus.cli.exits import EXIT_CODES
from airflow_provider_hwstatus.cli.run import run


def get_commands() -> list[Any]:
    """Return ``airflow hwstatus``."""
    commands = [
        ActionCommand(
            name=command.name,
            help=command.help,
            func=partial(run, command.function),
            args=tuple(Arg(each.flags, **each.options) for each in command.arguments),  # type: ignore[no-untyped-call]
            epilog=command.epilog,
        )
        for command in COMMANDS
    ]
    return [GroupCommand(name="hwstatus", help=HELP, subcommands=commands, epilog=EXIT_CODES)]
