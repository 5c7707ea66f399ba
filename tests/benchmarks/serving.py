"""The job server, as whoever is measured starts and asks it."""

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

from job_server import Conduct, Counts

PROGRAM = Path(__file__).with_name("job_server.py")

#: Those of whoever started this. What is measured has the first for itself, and the server the last.
PROCESSORS = sorted(os.sched_getaffinity(os.getppid()))


class JobServer:
    """
    A job server in a process of its own.

    :param process: Which takes orders, and has said which port it serves.
    """

    def __init__(self, process: subprocess.Popen[str], tls: bool) -> None:
        self._process = process
        self.tls = tls
        self.port = int(self._answer()["port"])

    @property
    def url(self) -> str:
        """The server's URL, without a slash at its end."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def begin(self, epoch: float) -> None:
        """Count from nothing, and let jobs count from *epoch* on the monotonic clock."""
        self._order({"epoch": epoch})

    def counts(self) -> Counts:
        """Return what was asked since :meth:`begin`."""
        answer = self._order({})
        for name in ("statuses", "seconds"):
            answer[name] = Counter({int(key): count for key, count in answer[name].items()})
        return Counts(**answer)

    def _order(self, order: dict[str, float]) -> dict[str, Any]:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@contextmanager
def serving(conduct: Conduct) -> Iterator[JobServer]:
    """Give a server on the last processor."""
    with subprocess.Popen(
        [sys.executable, PROGRAM, json.dumps(asdict(conduct))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        os.sched_setaffinity(process.pid, {PROCESSORS[-1]})
        try:
            yield JobServer(process, conduct.certificate is not None)
        finally:
            assert process.stdin
            process.stdin.close()
