"""
A temporary Redis server, from Debian's package.

``python redis_server.py`` installs the package if it is missing. If that is not possible, it prints the reason and
exits with 1.
"""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import debian

#: Maximum seconds until the server listens.
START_TIMEOUT = 30.0


@dataclass(frozen=True)
class Redis:
    """A running server."""

    port: int
    password: str = field(repr=False)

    @property
    def url(self) -> str:
        """The URL of the database 0."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"


def find_program() -> str:
    """
    Return the path of the server's program. Install it if it is missing.

    :raises debian.MissingError: It is missing and cannot be installed.
    """
    return debian.find("Redis", "redis-server", lambda: shutil.which("redis-server"))


@contextmanager
def serving(port: int) -> Iterator[Redis]:
    """Run a server on *port* of 127.0.0.1 until the end of the block. It stores nothing on disk."""
    program, server = find_program(), Redis(port, secrets.token_hex(16))
    folder = Path(tempfile.mkdtemp(prefix="hwstatus-redis-"))
    settings = f'bind 127.0.0.1\nport {port}\nrequirepass {server.password}\nsave ""\nappendonly no\ndir {folder}\n'
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([program, "-"], stdin=subprocess.PIPE, stdout=log, stderr=log, text=True)
        try:
            assert process.stdin
            process.stdin.write(settings)  # not an argument, which other users could read
            process.stdin.close()
            _until_listening(process, server, folder)
            yield server
        finally:
            process.terminate()
            process.wait()
            shutil.rmtree(folder)


def _until_listening(process: subprocess.Popen[str], server: Redis, folder: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", server.port), timeout=5):
            return
        time.sleep(0.1)
    raise RuntimeError(f"Redis does not listen: {(folder / 'log').read_text()}")


if __name__ == "__main__":
    sys.exit(debian.main(find_program))
