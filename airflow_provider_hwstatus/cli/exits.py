"""How the commands end."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes. 2 is a wrong command line, as for other programs."""

    SUCCESS = 0
    FAILURE = 1
    TIMEOUT = 3
    ERROR = 4


#: The exit codes, as the help shows them.
EXIT_CODES = """\
Exit codes:
  0    success
  1    a job failed, or CPH rejected a part of the submission
  2    the command line is wrong
  3    the timeout passed before the jobs ended
  4    there is no usable answer; the connection cannot be used
  130  stopped with Ctrl-C
  141  nothing reads standard output any more"""
