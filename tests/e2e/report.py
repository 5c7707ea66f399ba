"""The report, as text."""

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
class Search:
    """
    What was looked through for secrets.

    :param secrets: How many were looked for.
    :param texts: By place.
    """

    secrets: int
    texts: Mapping[str, str]


def table(
    outcome: Outcome, events: dict[float, tuple[str, str]], search: Search, loads: list[float], wall_time: float
) -> str:
    """
    Return the report.

    :param loads: Of the machine, one after the other.
    :param wall_time: Seconds that the whole run took.
    """
    delays, unseen = outcome.delays, outcome.unseen
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
            f"{name} ({_waiting(outcome, time)} unfinished, {second:.0f} s)"
            for name, time in outcome.stack.kills
            for second in [time - outcome.epoch]
        ),
        "left in good order": ", ".join(name for action, name in events.values() if action == "leave") or "none",
        "cloud away": f"{outage:g} s",
        "polls": str(sum(map(len, outcome.evidence.polls().values()))),
        "triggers moved": f"{_moved(outcome)} of {_deferred(outcome)} to another triggerer at least once",
        "started more than once": _again(outcome),
        "never on a worker": f"{_alone(outcome)} of {_begun_there(outcome)} that begin in the triggerer",
        "told by watchers": _told(outcome),
        "ended before asking": ", ".join(sorted(end["task_id"] for end in allowances.unasked(outcome))) or "none",
        "killed before calling back": ", ".join(allowances.not_called_back(outcome)) or "none",
        "schedulers started again": str(outcome.stack.deaths),
        "longest delay": f"{delays[slowest]:.1f} s ({slowest}); median {_median(list(delays.values())):.1f} s",
        "longest delay by verdict": ", ".join(
            f"{verdict} {_longest(outcome, verdict):.1f} s" for verdict in waits.STATES
        ),
        "until seen": f"median {_median(list(unseen.values())):.1f} s, longest {max(unseen.values()):.1f} s "
        "from a job's end to the next question about it",
        "secrets": f"{search.secrets} looked for, {_searched(search)}",
        "wall time": f"{wall_time:.0f} s",
    }
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


def _waiting(outcome: Outcome, time: float) -> int:
    return sum((task.ended or 0.0) > time for task in outcome.tasks.values())


def _searched(search: Search) -> str:
    sizes = {place: len(text) / 1e6 for place, text in search.texts.items()}
    files = [size for place, size in sizes.items() if place not in checks.OTHER_PLACES]
    others = ", ".join(f"{place} ({sizes[place]:.1f} MB)" for place in checks.OTHER_PLACES)
    return f"in {others} and {len(files)} logs ({sum(files):.1f} MB)"


def _deferred(outcome: Outcome) -> int:
    return sum(wait.mode in waits.MODES for wait in outcome.waits)


def _moved(outcome: Outcome) -> int:
    return sum(len(found) > 1 for found in outcome.evidence.triggerers.values())


def _begun_there(outcome: Outcome) -> int:
    return sum(wait.mode == "started" for wait in outcome.waits)


def _alone(outcome: Outcome) -> int:
    begun = outcome.evidence.begun_on_workers()
    return sum(wait.mode == "started" and wait.task_id not in begun for wait in outcome.waits)


def _told(outcome: Outcome) -> str:
    if not outcome.watched:
        return "nothing: there are none"
    due = {key: outcome.due(wait) for wait in outcome.waits for key in wait.watched_by}
    told = outcome.evidence.told()
    delays = [one.time - due[one.asset, one.subject] for one in told if (one.asset, one.subject) in due]
    again = len(told) - len({(one.asset, one.subject) for one in told})
    return f"{len(told)} ends, {again} of them again; median {_median(delays):.1f} s, longest {max(delays):.1f} s"


def _again(outcome: Outcome) -> str:
    found = [task.task_id for task in outcome.tasks.values() if task.try_number > 1]
    return f"{len(found)} {', '.join(found)}"


def _longest(outcome: Outcome, verdict: str) -> float:
    delays = outcome.delays
    return max((delays[wait.task_id] for wait in outcome.waits if wait.verdict == verdict), default=0.0)


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
