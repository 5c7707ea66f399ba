"""
The access key that the vendor's SDK would use: from environment variables, or else from a profile file.

Source: huaweicloud-sdk-python-v3, README section 2.4.
"""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from airflow_provider_hwstatus.errors import ConfigurationError

#: The section that the SDK reads for regional services.
DEFAULT_PROFILE = "basic"

_PREFIX = "HUAWEICLOUD_SDK_"


@dataclass(frozen=True)
class Profile:
    """An access key, with its project id if there is one."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)
    project_id: str | None = None


def read_profile(environ: Mapping[str, str], section: str) -> Profile:
    """
    Return the access key that the SDK would use.

    :param environ: The environment variables.
    :param section: The section of the profile file.
    :raises ConfigurationError: There is no access key. The message names the variables and the file.
    """
    found = {name: environ.get(_PREFIX + name.upper()) for name in ("ak", "sk", "security_token", "project_id")}
    if not (found["ak"] and found["sk"]):
        found |= _from_file(_profile_file(environ), section)
    return Profile(found["ak"] or "", found["sk"] or "", found["security_token"] or None, found["project_id"] or None)


def _profile_file(environ: Mapping[str, str]) -> Path:
    path = environ.get(_PREFIX + "CREDENTIALS_FILE")
    return Path(path) if path else Path(environ.get("HOME") or "/") / ".huaweicloud" / "credentials"


def _from_file(file: Path, section: str) -> dict[str, str | None]:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(file.read_text("utf-8"))
        found = {
            name: parser.get(section, name, fallback=None) for name in ("ak", "sk", "security_token", "project_id")
        }
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        # The parser's own message quotes the line, which can contain a key.
        raise _no_key(file, section, f"it cannot be read ({type(error).__name__})") from None
    if not (found["ak"] and found["sk"]):
        raise _no_key(file, section, "there is no ak and sk")
    return found


def _no_key(file: Path, section: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"auth=env: there is no access key in the environment variables or in section [{section}] of {file}: {why}"
        f"\n  next: set {_PREFIX}AK and {_PREFIX}SK, or put ak and sk into that section"
    )
