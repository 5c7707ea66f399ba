"""Which jobs a command line asks for: their kind, with its parameters, and their ids."""

from __future__ import annotations

import sys
from argparse import Namespace
from importlib import import_module

from airflow_provider_hwstatus.kinds import KINDS, JobKind, kind_of


def asked_for(arguments: Namespace) -> tuple[JobKind, list[str]]:
    """
    Return the kind of the jobs, with the values of its parameters, and their ids.

    Ends the process with the exit code of a wrong command line if it names no kind or no job.
    """
    kind, ids = (arguments.kind, arguments.ids) if arguments.kind else (arguments.ids[0], arguments.ids[1:])
    try:
        if not ids:
            raise ValueError(f"KIND and ID are needed; there is only {kind!r}")
        return kind_at(kind).with_parameters(_parameters(arguments.parameters or [])), ids
    except ValueError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)


def kind_at(text: str) -> JobKind:
    """
    Return a kind by its name, or one of a user by the place where it is declared, ``package.module:NAME``.

    :raises ValueError: There is no such kind.
    """
    module, colon, name = text.partition(":")
    if not colon:
        return kind_of(text)
    try:
        kind = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"kind {text!r} cannot be imported: {error}") from error
    if not isinstance(kind, JobKind):
        raise ValueError(
            f"{text!r} is a {type(kind).__name__}, not a JobKind; the kinds of this package are {', '.join(KINDS)}"
        )
    return kind


def _parameters(pairs: list[str]) -> dict[str, object]:
    split = [pair.partition("=") for pair in pairs]
    if wrong := [name for name, equals, _ in split if not equals]:
        raise ValueError(f"--parameter must be NAME=VALUE; it is {wrong[0]!r}")
    return {name: value for name, _, value in split}
