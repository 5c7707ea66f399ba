"""Start the job server and communicate with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from job_server import Counts, ServerOptions

PROGRAM = Path(__file__).with_name("job_server.py")

#: The parent process's processors. The measured program has the first one, the server the last one.
PROCESSORS = sorted(os.sched_getaffinity(os.getppid()))


class JobServer:
    """
    A job server in its own process.

    :param process: The server's process. Its first line of output is its port.
    :param tls: Whether it uses TLS.
    """

    def __init__(self, process: subprocess.Popen[str], tls: bool) -> None:
        self._process = process
        self.tls = tls
        self.port = int(self._answer()["port"])

    @property
    def url(self) -> str:
        """The server's URL, without a trailing slash."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def begin(self, epoch: float) -> None:
        """Reset the counts and set the epoch of the jobs, on the monotonic clock."""
        self._command({"epoch": epoch})

    def counts(self) -> Counts:
        """Return the counts since :meth:`begin`."""
        answer = self._command({})
        for name in ("statuses", "seconds"):
            answer[name] = Counter({int(key): count for key, count in answer[name].items()})
        return Counts(**answer)

    def _command(self, command: dict[str, float]) -> dict[str, Any]:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@contextmanager
def serving(server_options: ServerOptions) -> Iterator[JobServer]:
    """Run a server on the last processor until the end of the block."""
    with subprocess.Popen(
        [sys.executable, PROGRAM, json.dumps(asdict(server_options))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        os.sched_setaffinity(process.pid, {PROCESSORS[-1]})
        try:
            yield JobServer(process, server_options.certificate is not None)
        finally:
            assert process.stdin
            process.stdin.close()
