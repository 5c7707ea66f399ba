"""Templates of paths and headers: ``{name}`` is replaced literally, and nothing is evaluated."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")

#: The most characters of a path.
LONGEST_PATH = 1024

#: Characters of a path and query, and of a console page's fragment. No backslash and no ``@``: it must not change the
#: host.
_PATH = re.compile(r"/(?!/)[A-Za-z0-9._~!$&'()*+,;=:/?%{}#-]{0,1023}")


#: An encoded dot, which an HTTP library may decode.
_DOT = re.compile("%2e", re.IGNORECASE)


def fill(template: str, value_of: Callable[[str], str]) -> str:
    """Replace each placeholder by its value, once: braces in a value stay."""
    return _PLACEHOLDER.sub(lambda match: value_of(match[1]), template)


def placeholders(template: str) -> set[str]:
    """Return the names in braces."""
    return set(_PLACEHOLDER.findall(template))


def check_template(field: str, template: str, allowed: Collection[str]) -> None:
    """:raises ValueError: A placeholder is not allowed, or there is a brace without its pair."""
    if unknown := sorted(placeholders(template) - set(allowed)):
        raise ValueError(f"{field}: unknown placeholder {{{unknown[0]}}}; allowed are {', '.join(sorted(allowed))}")
    if {"{", "}"} & set(_PLACEHOLDER.sub("", template)):
        raise ValueError(f"{field}: a brace has no pair: {template!r}")


def check_path(field: str, path: object, allowed: Collection[str]) -> None:
    """
    Check the template of a path, which may end in a query.

    :raises ValueError: It names a host, or is no path, or has a placeholder that is not *allowed*.
    """
    if not isinstance(path, str) or not _PATH.fullmatch(path) or ("#" in path and field != "console"):
        raise ValueError(
            f"{field} must be a path such as /v1/{{project_id}}/jobs/{{job_id}}, without a host; it is {path!r}"
        )
    if {".", ".."} & set(_DOT.sub(".", path.partition("?")[0]).split("/")):
        raise ValueError(f"{field} must have no . or .. as a part; it is {path!r}")
    check_template(field, path, allowed)


def check_text(field: str, text: object, optional: bool = False) -> None:
    """:raises ValueError: *text* is no text of 1 to 300 printable characters."""
    if text is None and optional:
        return
    if not isinstance(text, str) or not 0 < len(text) <= 300 or not text.isprintable():
        raise ValueError(f"{field} must be a text of 1 to 300 printable characters; it is {text!r}")
