"""How the demo looks: what each wait sees, live, and a table of how the tasks ended."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from threading import Lock

from airflow_provider_hwstatus.demo.home import Home
from airflow_provider_hwstatus.demo.scenario import expected_state
from airflow_provider_hwstatus.kinds import KINDS
from airflow_provider_hwstatus.testing.wire import Record

_COLOURS = {"success": 32, "failed": 31, "skipped": 33, "dim": 2, "bold": 1}
#: How a kind of job is called, by the collection in the path of its API.
_TITLES = {kind.path.partition("/{job_id}")[0].rpartition("/")[2]: kind.title for kind in KINDS.values()}

_COLUMNS = ("dag", "task", "mode", "state")
_MAX_WIDTH = 100


def _colourful() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def colour(text: str, name: str) -> str:
    """Return *text* in a colour, if standard output is a terminal that has any."""
    return f"\x1b[{_COLOURS[name]}m{text}\x1b[0m" if name in _COLOURS and _colourful() else text


def say(text: str = "") -> None:
    """Print a line at once, into a pipe, too."""
    print(text, flush=True)


class Live:
    """Prints each change that the waits see. Called from the thread of the fake cloud, and from the main one."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._seen: dict[str, str] = {}
        self._lock = Lock()

    def step(self, text: str) -> None:
        """Print what is done now."""
        with self._lock:
            say(f"{self._clock()}  {colour(text, 'bold')}")

    def on_poll(self, record: Record) -> None:
        """Print what a poll was answered, unless the last one of this job was answered the same."""
        job_id = record.job_id or ""
        told = record.state or ("" if record.status == 200 else f"HTTP {record.status}")  # details have no state
        with self._lock:
            if job_id and told and self._seen.get(job_id) != told:
                self._seen[job_id] = told
                say(f"{self._clock()}    {_title(record.path):<12} {job_id[:8]}…  {_explained(told)}")

    def _clock(self) -> str:
        return colour(f"{time.monotonic() - self._began:6.1f} s", "dim")


def _title(path: str) -> str:
    return next((title for collection, title in _TITLES.items() if f"/{collection}/" in path), path)


def _explained(told: str) -> str:
    # CPH has numbers for states.
    return {"1": "1 (running)", "2": "2 (done)", "-1": "-1 (failed)"}.get(told, told)


def table(results: Sequence[Mapping[str, str]]) -> str:
    """Return how each task ended, with the message of those that did not end well."""
    rows = [_COLUMNS, *([result[column] for column in _COLUMNS] for result in results)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(_COLUMNS))]
    heading, *lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    text = [colour(heading.rstrip(), "bold"), colour("  ".join("-" * width for width in widths), "dim")]
    for line, result in zip(lines, results, strict=True):
        text.append(_row(line.rstrip(), result))
        text.extend(_wrapped(result["message"]))
    return "\n".join(text)


def failure(home: Home, lines: int = 40) -> str:
    """Return what to say when Airflow did not do as it should: where its output is, and the last *lines* of it."""
    log = home.keep_log()
    tail = log.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join((*tail, "", f"Something went wrong. Above is the end of Airflow's output; all of it is in {log}"))


def _row(line: str, result: Mapping[str, str]) -> str:
    state, expected = result["state"], expected_state(result["dag"], result["task"])
    shown = line.removesuffix(state) + colour(state, state)
    if state != expected:
        return f"{shown}, but should be {expected}"
    return shown if state == "success" else f"{shown}, as it should"


def _wrapped(message: str) -> list[str]:
    width = min(shutil.get_terminal_size().columns, _MAX_WIDTH)
    lines = []
    for paragraph in message.splitlines():
        indent = "    " + " " * (len(paragraph) - len(paragraph.lstrip()))
        lines += textwrap.wrap(
            paragraph.strip(),
            width,
            initial_indent=indent,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,  # ids stay in one piece
        )
    return lines
