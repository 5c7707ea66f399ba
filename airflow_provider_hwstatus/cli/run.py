"""How both parsers run a command."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from pkgutil import resolve_name

#: Exit codes of programs that SIGINT and SIGPIPE end.
_INTERRUPTED, _BROKEN_PIPE = 130, 141

_STDOUT = 1


def run(function: str, arguments: Namespace) -> None:
    """
    Run a command. After Ctrl-C, or if nothing reads standard output any more, it ends without a traceback.

    :param function: What the command runs, as ``module.function`` in this package.
    :raises SystemExit: Always, with the exit code.
    """
    try:
        # Importing the function takes seconds, which --help does not need.
        resolve_name(f"airflow_provider_hwstatus.cli.{function}")(arguments)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:  # as with "| head -1"
        os.dup2(os.open(os.devnull, os.O_WRONLY), _STDOUT)  # Python writes the rest of its buffer at exit
        sys.exit(_BROKEN_PIPE)
