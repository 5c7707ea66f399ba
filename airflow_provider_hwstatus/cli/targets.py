"""Which jobs a command line asks for."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from importlib import import_module
from typing import NoReturn, TypeVar

from airflow_provider_hwstatus.cli.arguments import CPH_REQUEST
from airflow_provider_hwstatus.core.polling.expected_jobs import expected_from
from airflow_provider_hwstatus.core.polling.jobs_summary import CompletionRule
from airflow_provider_hwstatus.core.polling.wait_target import WaitTarget
from airflow_provider_hwstatus.errors import ConfigurationError
from airflow_provider_hwstatus.kinds import KINDS, JobKind, kind_of
from airflow_provider_hwstatus.kinds.cph import CPH_JOB

T = TypeVar("T")

#: A command waits for all jobs, also if one has failed.
RULE = CompletionRule(fail_fast=False)


def wrong_command_line(message: object) -> NoReturn:
    """Print what is wrong, and end the process with the exit code of a wrong command line."""
    sys.stderr.write(f"error: {message}\n")
    sys.exit(2)


def or_exit(read: Callable[[], T]) -> T:
    """Return what *read* returns; end the process if it finds the command line wrong."""
    try:
        return read()
    except (ConfigurationError, ValueError) as error:
        wrong_command_line(error)


def targets_of(arguments: Namespace) -> list[WaitTarget]:
    """
    Return a target for each job, or for each CPH request.

    :raises ConfigurationError: An id is invalid.
    :raises ValueError: There is no such kind, or its parameters or the number of jobs are wrong.
    """
    expected = getattr(arguments, "expected_jobs", None)
    if arguments.kind == CPH_REQUEST:
        if expected is not None and len(arguments.ids) > 1:
            raise ValueError("--expected-jobs is the number of jobs of one request")
        return [WaitTarget.of(CPH_JOB, [one], RULE, expected_from(expected)) for one in arguments.ids]
    if expected is not None:
        raise ValueError(f"--expected-jobs is for {CPH_REQUEST} only")
    kind, parameters = kind_at(arguments.kind), _parameters(arguments.parameters)
    kind.with_parameters(parameters)  # before the ids: a wrong kind explains more
    return [WaitTarget.of(kind, one, RULE, parameters=parameters) for one in arguments.ids]


def jobs_of(arguments: Namespace) -> list[WaitTarget]:
    """
    Return a target for each job, for a command that does not work with requests.

    :raises ConfigurationError: As :func:`targets_of`.
    :raises ValueError: As :func:`targets_of`.
    """
    if arguments.kind == CPH_REQUEST:
        raise ValueError(f"{CPH_REQUEST} works with status, wait and list only")
    return targets_of(arguments)


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
    except (ImportError, AttributeError, TypeError, ValueError) as error:  # a TypeError for a relative name
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
