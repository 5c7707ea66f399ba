"""
Make the pages that are made from the code: ``python docs/generate.py``, or ``nox -s docs``.

A test fails while one of them is not what this makes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from airflow_provider_hwstatus.core.advice import CLASSES, CODES
from airflow_provider_hwstatus.core.jobs import KINDS

DOCS = Path(__file__).parent
_NOTE = "<!-- Made by docs/generate.py from the code: change it there, then run `nox -s docs`. -->"

_SERVICES = {
    "DLI": "Data Lake Insight",
    "CPS": "Cloud Phone",
    "APIG": "the gateway in front of all services (also written `APIGW`)",
    "IAM": "Identity and Access Management",
}


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown."""
    head = list(head)
    lines = [head, ["---"] * len(head), *map(list, rows)]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') or ' ' for cell in line)} |" for line in lines)


def troubleshooting() -> str:
    """Return the page that says what to do about each error."""
    parts = [
        "# Troubleshooting",
        _NOTE,
        "Each error's message ends with what to do next; this is where it comes from.",
        "## Errors of ours",
        "A question that got no answer, by the exception that the task ends with. "
        "Where the service named a code, the tables below say more.",
        table(("error", "when the message has", "what to do"), _classes()),
    ]
    for prefix, service in _SERVICES.items():
        rows = [row for row in CODES if row.code.startswith(prefix)]
        cells = [(f"`{row.code}`", row.http, _meaning(row.meaning, row.text), row.next) for row in rows]
        parts += [f"## `{prefix}`: {service}", table(("code", "HTTP", "what it means", "what to do"), cells)]
    return "\n\n".join(parts) + "\n"


def _classes() -> Iterable[tuple[str, str, str]]:
    for cls, pattern, what in CLASSES:
        words = " or ".join(f"`{word}`" for word in filter(None, pattern.split("|")))
        yield f"`{cls.__name__}`", words, what


def _meaning(meaning: str, text: str) -> str:
    return f"{meaning} (its text has “{text}”)" if text else meaning


def states() -> str:
    """Return the page of what each state means."""
    parts = [
        "# States",
        _NOTE,
        "Which states end a wait, and how. They are compared without regard to letter case. What stands in no table is "
        "[unknown](waiting.md#arguments), and never a success; `success_states` and `failure_states` replace a column.",
    ]
    for kind in KINDS.values():
        columns = {"goes on": kind.in_progress, "success": kind.success, "failure": kind.failure}
        rows = [[f"`{state}`", name] for name, listed in columns.items() for state in sorted(listed)]
        asked = f"{kind.title}: `GET {kind.path}`, field `{kind.state_field}`. Source: {kind.source}"
        parts += [f"## `{kind.name}`", asked, table(("state", "the wait"), rows)]
    return "\n\n".join(parts) + "\n"


#: What makes each page.
PAGES: dict[str, Callable[[], str]] = {"troubleshooting.md": troubleshooting, "states.md": states}


def main() -> None:
    """Write every page."""
    for name, make in PAGES.items():
        (DOCS / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
