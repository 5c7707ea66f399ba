"""The demo's output: live poll results, and a table of how the tasks ended."""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Event, Lock, Thread

from rich.console import Console

from airflow_provider_hwstatus.demo.airflow_home import AirflowHome
from airflow_provider_hwstatus.demo.scenario import expected_state
from airflow_provider_hwstatus.kinds import KINDS
from airflow_provider_hwstatus.kinds.cph import CPH_JOB
from airflow_provider_hwstatus.testing.cloud import FakeHuaweiCloud
from airflow_provider_hwstatus.testing.lists import Row
from airflow_provider_hwstatus.testing.submissions import Submission
from airflow_provider_hwstatus.testing.wire import Record

#: ANSI codes by name. Task states have the name of the state.
_COLOURS = {"success": 32, "failed": 31, "skipped": 33, "dim": 2, "bold": 1}

#: Titles of the kinds of jobs, by a pattern of the path of their API up to the id.
_TITLES = {re.sub(r"\{\w+\}", "[^/]+", kind.path.partition("{job_id}")[0]): kind.title for kind in KINDS.values()}

_COLUMNS = ("dag", "task", "type", "mode", "state")
_MAX_WIDTH = 100

#: Seconds after which a line says that a step still lasts.
_LONGEST_SILENCE = 4.0


def _has_colours() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def colour(text: str, name: str) -> str:
    """Return *text* in a colour if standard output is a terminal with colours."""
    return f"\x1b[{_COLOURS[name]}m{text}\x1b[0m" if name in _COLOURS and _has_colours() else text


def echo(text: str = "") -> None:
    """Print text and flush, so that a pipe gets it at once."""
    print(text, flush=True)


class LiveOutput:
    """
    Prints the steps of the demo, each submission and each change of a job's state.

    While a step lasts, a terminal shows a spinner with the time, and anything else gets a line every few seconds.
    Safe to use from the fake cloud's thread and the main thread.
    """

    def __init__(self) -> None:
        self._started_at = self._printed_at = time.monotonic()
        self._step = "starting"
        self._ended = Event()
        self._spinner = Console().status(self._step) if sys.stdout.isatty() else None
        self._last_results: dict[str, str] = {}
        self._accepted: list[Submission] = []
        self._shown = 0
        self._lock = Lock()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Show in this block that the demo still runs."""
        if self._spinner:
            with self._spinner:
                yield
            return
        thread = Thread(target=self._remind, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _remind(self) -> None:
        while not self._ended.wait(0.5):
            with self._lock:
                if time.monotonic() - self._printed_at >= _LONGEST_SILENCE:
                    self._echo(f"  … {self._step}")

    def watch(self, cloud: FakeHuaweiCloud) -> None:
        """Print what happens in a cloud from now on."""
        self._accepted = cloud.submissions.accepted
        self._shown = len(self._accepted)
        cloud.listeners.append(self._on_request)
        cloud.cph_job_list.edit = self._on_cph_page

    def step(self, text: str) -> None:
        """Print the current step of the demo."""
        with self._lock:
            self._step = text
            if self._spinner:
                self._spinner.update(text)
            self._echo(colour(text, "bold"))

    def _on_request(self, record: Record) -> None:
        """Print new submissions, and the result of a poll if it differs from the job's previous result."""
        result = record.state or ("" if record.status == 200 else f"HTTP {record.status}")  # details have no state
        with self._lock:
            for submission in self._accepted[self._shown :]:
                self._shown += 1
                self._print(_title_of(submission), submission.job_id, "submitted")
            self._print_change(_title(record.path), record.job_id or "", result)

    def _on_cph_page(self, rows: list[Row]) -> list[Row]:
        """Print the changes in a page of CPH's list of jobs."""
        with self._lock:
            for row in rows:
                self._print_change(CPH_JOB.title, str(row["job_id"]), str(row["status"]))
        return rows

    def _print_change(self, title: str, job_id: str, result: str) -> None:
        if job_id and result and self._last_results.get(job_id) != result:
            self._last_results[job_id] = result
            self._print(title, job_id, _explained(result))

    def _print(self, title: str, job_id: str, text: str) -> None:
        self._echo(f"  {title:<12} {job_id[:8]}…  {text}")

    def _echo(self, text: str) -> None:
        self._printed_at = time.monotonic()
        echo(f"{colour(f'{self._printed_at - self._started_at:6.1f} s', 'dim')}  {text}")


def _title(path: str) -> str:
    return next((title for pattern, title in _TITLES.items() if re.match(pattern, path)), path)


def _title_of(submission: Submission) -> str:
    return "CPH request" if submission.kind == CPH_JOB.name else KINDS[submission.kind].title


def _explained(result: str) -> str:
    # The states of CPH are numbers.
    return {"1": "1 (running)", "2": "2 (done)", "-1": "-1 (failed)"}.get(result, result)


def table(results: Sequence[Mapping[str, str]]) -> str:
    """Return a table of the tasks' states. A failed or skipped task has its message below its row."""
    rows = [_COLUMNS, *([result[column] for column in _COLUMNS] for result in results)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(_COLUMNS))]
    heading, *lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    text = [colour(heading.rstrip(), "bold"), colour("  ".join("-" * width for width in widths), "dim")]
    for line, result in zip(lines, results, strict=True):
        text.append(_row(line.rstrip(), result))
        text.extend(_wrapped(result["message"]))
    return "\n".join(text)


def failure_report(home: AirflowHome, lines: int = 40) -> str:
    """
    Keep Airflow's log file. Return its end and its path.

    :param lines: Number of lines to return.
    """
    log = home.keep_log()
    tail = log.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join(
        (*tail, "", f"The demo failed. Above is the end of Airflow's output. The whole output is in {log}")
    )


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
            break_on_hyphens=False,  # keeps ids in one piece
        )
    return lines
