"""
Where the vendor's SDK finds an access key: environment variables, then a profile file.

Source: huaweicloud-sdk-python-v3, README section 2.4.
"""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from airflow_provider_hwstatus.errors import ConfigurationError

#: The section that the SDK reads for services of a region.
DEFAULT_PROFILE = "basic"

_PREFIX = "HUAWEICLOUD_SDK_"


@dataclass(frozen=True)
class Profile:
    """An access key and, maybe, its project."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)
    project_id: str | None = None


def read_profile(environ: Mapping[str, str], section: str) -> Profile:
    """
    Return what the SDK would find.

    :param section: Of the profile file.
    :raises ConfigurationError: It would find nothing; the message says where it was looked for.
    """
    found = {name: environ.get(_PREFIX + name.upper()) for name in ("ak", "sk", "security_token", "project_id")}
    if not (found["ak"] and found["sk"]):
        found |= _from_file(_file(environ), section)
    return Profile(found["ak"] or "", found["sk"] or "", found["security_token"] or None, found["project_id"] or None)


def _file(environ: Mapping[str, str]) -> Path:
    named = environ.get(_PREFIX + "CREDENTIALS_FILE")
    return Path(named) if named else Path(environ.get("HOME") or "/") / ".huaweicloud" / "credentials"


def _from_file(file: Path, section: str) -> dict[str, str | None]:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(file.read_text("utf-8"))
        found = {
            name: parser.get(section, name, fallback=None) for name in ("ak", "sk", "security_token", "project_id")
        }
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        # The parser's own message quotes the line, which may be a key.
        raise _nothing(file, section, f"it cannot be read ({type(error).__name__})") from None
    if not (found["ak"] and found["sk"]):
        raise _nothing(file, section, "it has no ak and sk there")
    return found


def _nothing(file: Path, section: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"auth=env: set {_PREFIX}AK and {_PREFIX}SK, or put ak and sk into section [{section}] of {file}: {why}"
    )
