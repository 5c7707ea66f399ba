"""The report, as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version

import waits
from checks import Outcome
from evidence import ENDED, Evidence


def table(outcome: Outcome, events: dict[float, tuple[str, str]], wall_time: float) -> str:
    """
    Return the report.

    :param wall_time: Seconds that the whole run took.
    """
    delays = outcome.delays
    slowest = max(delays, key=lambda name: delays[name])
    seconds = {event: second for second, event in events.items()}
    outage = seconds["start", "cloud"] - seconds["kill", "cloud"]
    rows = {
        "Airflow": version("apache-airflow"),
        "waits": f"{len(outcome.waits)} ({waits.counts(outcome.waits, 'mode')})",
        "kinds": waits.counts(outcome.waits, "kind"),
        "verdicts": waits.counts(outcome.waits, "verdict"),
        "killed with -9": ", ".join(
            f"{name} ({_waiting(outcome, time)} unfinished, {second:.0f} s)"
            for name, time in outcome.kills
            for second in [time - outcome.epoch]
        ),
        "left in good order": ", ".join(name for action, name in events.values() if action == "leave") or "none",
        "cloud away": f"{outage:g} s",
        "polls": str(sum(map(len, outcome.evidence.polls().values()))),
        "triggers moved": f"{_moved(outcome)} to another triggerer at least once",
        "started more than once": _again(outcome),
        "longest delay": f"{delays[slowest]:.1f} s ({slowest}); median {_median(list(delays.values())):.1f} s",
        "longest delay by verdict": ", ".join(
            f"{verdict} {_longest(outcome, verdict):.1f} s" for verdict in waits.STATES
        ),
        "longest until seen": f"{max(outcome.unseen.values()):.1f} s from a job's end to the next question about it",
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


def _moved(outcome: Outcome) -> int:
    return sum(len(found) > 1 for found in outcome.evidence.triggerers.values())


def _again(outcome: Outcome) -> str:
    found = [task.task_id for task in outcome.tasks.values() if task.try_number > 1]
    return f"{len(found)} {', '.join(found)}"


def _longest(outcome: Outcome, verdict: str) -> float:
    delays = outcome.delays
    return max((delays[wait.task_id] for wait in outcome.waits if wait.verdict == verdict), default=0.0)


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
