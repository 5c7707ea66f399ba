"""Servers from Debian's packages. Root installs a package that is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: Maximum seconds for the installation of a package.
INSTALL_TIMEOUT = 240

_INSTALL = 'apt-get update && apt-get -o DPkg::Lock::Timeout=60 install -y --no-install-recommends "$0"'


class MissingError(Exception):
    """A server is missing and cannot be installed."""


def find(name: str, package: str, installed: Callable[[], T | None]) -> T:
    """
    Return what *installed* finds. Install the package if it finds nothing.

    :param name: Name of the server, for the message.
    :raises MissingError: The server is missing and cannot be installed.
    """
    can_install = os.geteuid() == 0 and shutil.which("apt-get")
    if not (found := installed()) and can_install:
        subprocess.run(
            ["timeout", str(INSTALL_TIMEOUT), "sh", "-c", _INSTALL, package],
            env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        found = installed()
    if not found:
        reason = "apt-get could not install it" if can_install else "only root on Debian can install it"
        raise MissingError(f"{name} is missing, and {reason} (package {package})")
    return found


def main(find_programs: Callable[[], object]) -> int:
    """Install a server if it is missing. If that is not possible, print the reason and return 1."""
    try:
        find_programs()
    except MissingError as error:
        print(error)
        return 1
    return 0
