"""
A temporary PostgreSQL server, from Debian's package.

``python postgres.py`` installs the package if it is missing. If that is not possible, it prints the reason and exits
with 1.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import debian


@dataclass(frozen=True)
class Postgres:
    """A running server with an empty database ``airflow``."""

    programs: Path
    port: int
    password: str

    @property
    def dsn(self) -> str:
        """The URL of the database, for libpq."""
        return f"postgresql://airflow:{self.password}@127.0.0.1:{self.port}/airflow"

    def dump(self, without: str) -> str:
        """
        Return the database as text.

        :param without: Name of a table to leave out.
        """
        command = [self.programs / "pg_dump", "--inserts", f"--exclude-table={without}", self.dsn]
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout


def find_programs() -> Path:
    """
    Return the directory of PostgreSQL's programs. Install them if they are missing.

    :raises debian.MissingError: They are missing and cannot be installed.
    """
    found = debian.find("PostgreSQL", "postgresql", _installed)
    if os.geteuid() == 0:
        _postgres_user()
    return found


def _installed() -> Path | None:
    packaged = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    others = [Path(path).parent for path in [shutil.which("initdb")] if path]
    return next(iter([*sorted(packaged, reverse=True), *others]), None)


def _run_as_prefix(folder: Path) -> list[str]:
    """Return the command prefix that runs the server. Root cannot, so the user postgres gets *folder* and runs it."""
    if os.geteuid():
        return []
    user = _postgres_user()
    for path in (folder, *folder.iterdir()):
        os.chown(path, user.pw_uid, user.pw_gid)
    return ["runuser", "-u", "postgres", "--"]


def _postgres_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError as error:
        raise debian.MissingError("root cannot run PostgreSQL, and there is no user postgres") from error


@contextmanager
def serving(port: int) -> Iterator[Postgres]:
    """Run a server on *port* of 127.0.0.1 until the end of the block."""
    programs, password = find_programs(), secrets.token_hex(16)
    folder = Path(tempfile.mkdtemp(prefix="hwstatus-postgres-"))
    (folder / "password").write_text(password)
    (folder / "password").chmod(0o600)
    prefix = [*_run_as_prefix(folder), str(programs / "pg_ctl"), f"--pgdata={folder / 'data'}", "--silent"]
    initdb_options = f"--username=airflow --auth=scram-sha-256 --pwfile={folder / 'password'} --no-sync --encoding=UTF8"
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c max_connections=200 -c fsync=off -k ''"
    try:
        _run([*prefix, "initdb", f"--options={initdb_options}"], folder)
        _run([*prefix, "start", f"--options={options}", f"--log={folder / 'log'}"], folder)
        server = Postgres(programs, port, password)
        _run([str(programs / "createdb"), f"--maintenance-db={server.dsn[:-7]}postgres", "airflow"], folder)
        yield server
    finally:
        subprocess.run([*prefix, "stop", "--mode=immediate"], cwd=folder, capture_output=True, check=False)
        shutil.rmtree(folder)


def _run(command: list[str], folder: Path) -> None:
    # Pipes would stay open as long as the server runs.
    with (folder / "output").open("a+") as output:
        done = subprocess.run(command, cwd=folder, stdout=output, stderr=output, check=False)
        output.seek(0)
        assert done.returncode == 0, f"{command}: {output.read()}"


if __name__ == "__main__":
    sys.exit(debian.main(find_programs))
