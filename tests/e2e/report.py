"""The report of a run as text."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version

import allowances
import checks
import waits
from checks import Outcome
from evidence import ENDED, Evidence


@dataclass(frozen=True)
class SecretSearch:
    """
    The search for secrets.

    :param secrets: Number of secrets.
    :param texts: Searched text by place.
    """

    secrets: int
    texts: Mapping[str, str]


def table(
    outcome: Outcome, events: dict[float, tuple[str, str]], search: SecretSearch, loads: list[float], wall_time: float
) -> str:
    """
    Return the report.

    :param events: Kills, starts and stops by second.
    :param loads: Samples of the machine's load.
    :param wall_time: Duration of the run in seconds.
    """
    delays, poll_delays = outcome.delays, outcome.poll_delays
    slowest = max(delays, key=lambda name: delays[name])
    seconds = {event: second for second, event in events.items()}
    outage = seconds["start", "cloud"] - seconds["kill", "cloud"]
    rows = {
        "versions": f"Airflow {version('apache-airflow')}, Python {platform.python_version()}",
        "machine": f"{os.cpu_count()} CPUs with a load of {min(loads):.0f} to {max(loads):.0f}",
        "waits": f"{len(outcome.waits)} ({waits.counts(outcome.waits, 'mode')})",
        "kinds": waits.counts(outcome.waits, "kind"),
        "logins": waits.counts(outcome.waits, "login"),
        "verdicts": waits.counts(outcome.waits, "verdict"),
        "killed with -9": ", ".join(
            f"{name} ({_unfinished_at(outcome, time)} unfinished, {second:.0f} s)"
            for name, time in outcome.stack.kills
            for second in [time - outcome.epoch]
        ),
        "stopped": ", ".join(name for action, name in events.values() if action == "stop") or "none",
        "cloud down": f"{outage:g} s",
        "polls": str(sum(map(len, outcome.evidence.polls().values()))),
        "triggers moved": f"{_moved(outcome)} of {_deferred(outcome)} to another triggerer at least once",
        "more than one try": _retried(outcome),
        "never on a worker": f"{_without_worker(outcome)} of {_from_trigger(outcome)} that start in the triggerer",
        "reported by watchers": _reported(outcome),
        "ended before first poll": ", ".join(
            sorted(end["task_id"] for end in allowances.ended_before_first_poll(outcome))
        )
        or "none",
        "killed before callback": ", ".join(allowances.missing_callbacks(outcome)) or "none",
        "schedulers restarted": str(outcome.stack.scheduler_restarts),
        "longest delay": f"{delays[slowest]:.1f} s ({slowest}); median {_median(list(delays.values())):.1f} s",
        "longest delay by verdict": ", ".join(
            f"{verdict} {_longest(outcome, verdict):.1f} s" for verdict in waits.STATES
        ),
        "job end to next poll": f"median {_median(list(poll_delays.values())):.1f} s, "
        f"longest {max(poll_delays.values()):.1f} s",
        "secrets": f"{search.secrets} searched for {_searched_places(search)}",
        "wall time": f"{wall_time:.0f} s",
    }
    return aligned(rows)


def aligned(rows: Mapping[str, str]) -> str:
    """Return the rows of a report as text."""
    width = max(map(len, rows))
    return "\n" + "\n".join(f"{name:{width}}  {value}" for name, value in rows.items()) + "\n"


def unfinished(made: list[waits.Wait], evidence: Evidence) -> Iterator[str]:
    """Yield the tasks that have not ended."""
    tasks = evidence.tasks()
    yield f"states: {dict(Counter(task.state for task in tasks.values()))}"
    for wait in made:
        task = tasks.get(wait.task_id)
        if task is None or task.state not in ENDED:
            yield f"{wait.task_id}: {task}"


def _unfinished_at(outcome: Outcome, time: float) -> int:
    return sum((task.ended_at or 0.0) > time for task in outcome.tasks.values())


def _searched_places(search: SecretSearch) -> str:
    sizes = {place: len(text) / 1e6 for place, text in search.texts.items()}
    files = [size for place, size in sizes.items() if place not in checks.OTHER_PLACES]
    others = ", ".join(f"{place} ({sizes[place]:.1f} MB)" for place in checks.OTHER_PLACES)
    return f"in {others} and {len(files)} logs ({sum(files):.1f} MB)"


def _deferred(outcome: Outcome) -> int:
    return sum(wait.mode in waits.MODES for wait in outcome.waits)


def _moved(outcome: Outcome) -> int:
    return sum(len(found) > 1 for found in outcome.evidence.triggerers.values())


def _from_trigger(outcome: Outcome) -> int:
    return sum(wait.mode == "start_from_trigger" for wait in outcome.waits)


def _without_worker(outcome: Outcome) -> int:
    on_workers = outcome.evidence.tasks_on_workers()
    return sum(wait.mode == "start_from_trigger" and wait.task_id not in on_workers for wait in outcome.waits)


def _reported(outcome: Outcome) -> str:
    if not outcome.watched:
        return "there are no watchers"
    due = {key: outcome.due_at(wait) for wait in outcome.waits for key in wait.watched_by}
    reports = outcome.evidence.reported_ends()
    keys = [(report.asset, report.subject) for report in reports]
    delays = [report.time - due[key] for report, key in zip(reports, keys, strict=True) if key in due]
    repeated = len(keys) - len(set(keys))
    return f"{len(reports)} ends, {repeated} repeated; median {_median(delays):.1f} s, longest {max(delays):.1f} s"


def _retried(outcome: Outcome) -> str:
    found = [task.task_id for task in outcome.tasks.values() if task.try_number > 1]
    return f"{len(found)} {', '.join(found)}"


def _longest(outcome: Outcome, verdict: str) -> float:
    delays = outcome.delays
    return max((delays[wait.task_id] for wait in outcome.waits if wait.verdict == verdict), default=0.0)


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
