"""
What Airflow itself does after a kill, and what is therefore no failure. Whatever no rule here names is one.

``UNRECORDED``
    A worker records a task's end in the database and calls back with it, one after the other. Killed in between, it
    leaves one of the two undone: an end that is recorded is never called back with, and one that was called back with
    is reached again by the next worker, which calls back again. No task can do anything about that.
``UNMARKED``
    A watcher stores what it has reported once Airflow says that the events are stored, and Airflow says so with a
    delay. A triggerer that ends in between leaves it to the next one to report the same end again.
``unasked``
    A worker on a busy machine gives up on an API server that does not answer yet, before it has a task to run. Airflow
    retries the task, which has asked for nothing so far.
``of_killed``
    A task whose process is killed is retried, and who calls back with that differs by release, or nobody does.
``UNREACHED``
    A worker that does not reach the API server, because it was killed, gives up its try some seconds later, or calls
    back with an end that it cannot record.
``begun_again``
    A worker that is killed in the middle of a try takes the deadline with it: the next try begins a wait of its own.
``KNOWN_FAULTS``
    A scheduler with this in its log runs no loop any more, and is killed and started again: it is a fault of that
    release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from checks import Outcome
    from evidence import Task

#: Seconds that a worker takes at most between a task's end in the database and Airflow's callback, whichever is first.
UNRECORDED = 5.0

#: Seconds before a triggerer's end in which it may not come to know any more that an event is stored.
UNMARKED = 20.0

#: Seconds after an API server is there again in which a worker may still give up.
UNREACHED = 30.0

#: By Airflow's line, what is in the log of a scheduler that has ended its loop through no fault of a wait.
KNOWN_FAULTS = {
    # 3.4.0b2: it makes a second current row for a task that has one, after a worker could not reach the API server.
    (3, 4): "task_instance_current_key",
}

#: How often that may be.
MOST_DEATHS = 3

End = dict[str, Any]


def has_known_fault(airflow: tuple[int, ...], log: str) -> bool:
    """Return whether a scheduler that says so has a known fault."""
    words = KNOWN_FAULTS.get(airflow)
    return words is not None and words in log


def unasked(outcome: Outcome) -> list[End]:
    """Return the tries that ended before their job was asked about for the first time, and were repeated."""
    jobs = {wait.task_id: wait.job_id for wait in outcome.waits}
    ends = (end for ends in outcome.evidence.ends().values() for end in ends)
    first = outcome.asked_at
    return [end for end in ends if end["state"] == "retry" and end["time"] < first.get(jobs[end["task_id"]], 0.0)]


def of_killed(outcome: Outcome, end: End) -> bool:
    """Return whether it is the end of a try whose process was killed."""
    return end["state"] == "retry" and any(
        kill == f"worker of {end['task_id']}" and time <= end["time"] for kill, time in outcome.stack.kills
    )


def of_unreached(outcome: Outcome, end: End) -> bool:
    """Return whether it is the end of a try that may not have reached the API server."""
    return any(gone - UNRECORDED <= end["time"] < back + UNREACHED for gone, back in outcome.stack.api_away)


def worker_killed_after(outcome: Outcome, time: float) -> bool:
    """Return whether a worker was killed that may have been about to record an end or to call back with it."""
    kills = [kill for name, kill in outcome.stack.kills if name == "scheduler"]  # its workers die with it
    return any(0 <= kill - time < UNRECORDED for kill in kills)


def counted(outcome: Outcome) -> dict[str, list[str]]:
    """Return the states that Airflow called back with, without those that a kill explains; the last one counts."""
    ends, never = outcome.evidence.ends(), unasked(outcome)

    def explained(end: End) -> bool:
        rules = (of_killed(outcome, end), of_unreached(outcome, end), worker_killed_after(outcome, end["time"]))
        return end in never or any(rules)

    return {task: [end["state"] for end in ends[task] if end is ends[task][-1] or not explained(end)] for task in ends}


def not_called_back(outcome: Outcome) -> list[str]:
    """Return the tasks whose end a killed worker recorded, but could not call back with any more."""
    called = outcome.evidence.ends()
    return [
        wait.task_id
        for wait in outcome.waits
        if not (wait.alone or called.get(wait.task_id))
        and worker_killed_after(outcome, outcome.tasks[wait.task_id].ended or 0.0)
    ]


def may_report_again(outcome: Outcome, time: float) -> bool:
    """Return whether an end that a watcher reported may be reported again."""
    return any(0 <= end - time < UNMARKED for end in outcome.triggerers_ended)


def begun_again(task: Task) -> int:
    """Return how many deadlines a task may have had: one for each try."""
    return task.try_number
