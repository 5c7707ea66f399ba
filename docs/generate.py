"""
Make the pages that are made from the code: ``python docs/generate.py``, or ``nox -s docs``.

A test fails while one of them is not what this makes.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from enum import EnumType
from importlib import import_module
from pathlib import Path

from airflow_provider_hwstatus.core.protocol.advice import CLASSES, CODES
from airflow_provider_hwstatus.kinds import KINDS

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
        "What a service or the network refuses ends the message with what to do next; this is where it comes from. "
        "[`airflow hwstatus check`](cli.md#check) finds out which step of a connection fails.",
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
        "`killed` and `error` are not documented for DLI batches; DLI's API descends from Livy's, which has them. "
        "DLI's sessions left Huawei Cloud's documentation in December 2020; where the API is gone, the error says so. "
        "A session that is `success` was stopped: bad for who waits until it is ready.",
    ]
    for kind in KINDS.values():
        columns = {"goes on": kind.in_progress, "success": kind.success, "failure": kind.failure}
        rows = [[f"`{state}`", name] for name, listed in columns.items() for state in sorted(listed)]
        asked = f"{kind.title}: `GET {kind.path}`, field `{kind.state_field}`. Source: {kind.source}"
        parts += [f"## `{kind.name}`", asked, table(("state", "the wait"), rows)]
    return "\n\n".join(parts) + "\n"


#: What the reference shows: a module, and the names of it that are meant to be used.
REFERENCE = {
    "sensors.dli": ("DliBatchSensor", "DliSessionSensor"),
    "sensors.cph": ("CphJobSensor", "CphRequestSensor"),
    "triggers.job_status": ("JobStatusTrigger",),
    "triggers.watchers": ("DliBatchWatcher", "CphRequestWatcher"),
    "operators.new_ends": ("NewEndsOperator",),
    "hooks.hwstatus": ("HwStatusHook",),
    "core.polling.job_status": ("JobStatus",),
    "core.reporting.diagnosis": ("Diagnosis",),
    "kinds.job_kind": ("Outcome",),
    "errors": ("HwStatusError",),
    "testing": ("FakeHuaweiCloud", "Reply", "Fault"),
}


def reference() -> str:
    """Return the page that is made from docstrings."""
    parts = [
        "# Reference",
        _NOTE,
        "Below `airflow_provider_hwstatus`, by module. Made from the docstrings. What all sensors have in common is in "
        "[How a wait behaves](waiting.md#arguments) and [Many jobs](many-jobs.md).",
    ]
    for name, members in REFERENCE.items():
        module = import_module(f"airflow_provider_hwstatus.{name}")
        parts.append(f"## `{name}`")
        for member in members:
            parts += _class(getattr(module, member))
    errors = inspect.getdoc(import_module("airflow_provider_hwstatus.errors")) or ""
    parts += ["## The tree of errors", f"```text\n{errors}\n```"]
    return "\n\n".join(parts) + "\n"


def _class(cls: type) -> Iterable[str]:
    yield f"### `{cls.__name__}`"
    yield prose(inspect.getdoc(cls) or "")
    if isinstance(cls, EnumType):
        yield "Values: " + ", ".join(f"`{value.value}`" for value in cls) + "."
        return
    own = {name: value for name, value in vars(cls).items() if not name.startswith("_")}
    for name, value in own.items():
        function = value.__func__ if isinstance(value, classmethod) else value
        function = function.fget if isinstance(function, property) else function
        if inspect.isfunction(function) and function.__doc__:
            arguments = "" if isinstance(value, property) else _arguments(function)
            yield f"#### `{cls.__name__}.{name}{arguments}`"
            yield prose(inspect.getdoc(function) or "")


def _arguments(function: Callable[..., object]) -> str:
    """Return the arguments by name, with their defaults; types are in the code."""
    parameters = [each for name, each in inspect.signature(function).parameters.items() if name not in {"self", "cls"}]
    plain = [each.replace(annotation=inspect.Parameter.empty) for each in parameters]
    return str(inspect.Signature(plain)).replace(" = ", "=")


def prose(docstring: str) -> str:
    """Return a docstring in reST, as far as ours use it, in Markdown."""
    text = re.sub(r"``(.+?)``", r"`\1`", docstring)
    text = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", text)
    text = re.sub(r"\n\.\. code-block:: python\n\n((?:    .*\n|\n)+)", _code, text)
    text, marker, fields = text.partition("\n:") if not text.startswith(":") else ("", ":", text[1:])
    if not marker:
        return text
    listed = re.split(r"\n:(?=\w)", fields)
    return "\n".join([text.rstrip(), "", *(_field(" ".join(field.split())) for field in listed)]).strip()


def _field(field: str) -> str:
    head, _, what = field.partition(": ")
    role, _, name = head.partition(" ")
    shown = {"param": f"`{name}`", "raises": f"raises `{name}`", "return": "returns"}[role]
    return f"- {shown}: {what}"


def _code(match: re.Match[str]) -> str:
    return f"\n```python\n{inspect.cleandoc(match[1])}\n```\n\n"


#: What makes each page.
PAGES: dict[str, Callable[[], str]] = {
    "troubleshooting.md": troubleshooting,
    "states.md": states,
    "reference.md": reference,
}


def main() -> None:
    """Write every page."""
    for name, make in PAGES.items():
        (DOCS / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
