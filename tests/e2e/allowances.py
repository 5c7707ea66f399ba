"""
Effects of kills that Airflow itself causes. The checks tolerate them, and nothing else.

``CALLBACK_SECONDS``
    A worker stores a task's end in the database and runs its callback, in either order. If it is killed in between,
    one of the two is missing: a stored end never gets its callback, or the next worker reaches the end again and runs
    the callback twice. A task cannot prevent that.
``ACKNOWLEDGE_SECONDS``
    A watcher saves its checkpoint when Airflow confirms that the events are stored. Airflow confirms with a delay. If
    the triggerer ends in between, the next one reports the same end again.
``ended_before_first_poll``
    On a busy machine a worker gives up if the API server does not answer, before it runs the task. Airflow retries the
    task, which has not polled its job yet.
``is_killed_try``
    Airflow retries a task whose process was killed. Whether a callback runs, and where, depends on the release.
``RECONNECT_SECONDS``
    A worker that cannot reach the killed API server gives up its try some seconds later, or runs a callback for an end
    that it cannot store.
``max_deadlines``
    A killed worker loses its deadline: the next try starts a new wait.
``max_tries`` and ``may_mismatch``
    If a Celery worker is killed, its tasks send no heartbeat. After ``[scheduler] task_instance_heartbeat_timeout`` the
    scheduler fails the try and logs a state mismatch, and the task's retries apply. Redis delivers the message again
    after ``visibility_timeout``. The API server refuses a try that already runs or has ended, so this starts nothing.
``audited``
    Airflow's audit log stores the login of a connection that is changed through the API. Here, this is the id of the
    access key. It masks the secret key.
``KNOWN_FAULTS``
    A scheduler whose log contains this text has stopped its loop, because of a bug of this Airflow release. It is
    killed and started again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from checks import Outcome
    from evidence import Task

    from airflow_provider_hwstatus.core.connection.signing import AccessKey

#: Maximum seconds in a worker between storing a task's end and running its callback, in either order.
CALLBACK_SECONDS = 5.0

#: Seconds before the end of a triggerer in which it may miss the confirmation that an event is stored.
ACKNOWLEDGE_SECONDS = 20.0

#: Seconds after the restart of an API server in which a worker may still give up.
RECONNECT_SECONDS = 30.0

#: Text in the log of a scheduler that has stopped its loop, by Airflow release.
KNOWN_FAULTS = {
    # 3.4.0b2 adds a second current row for a task after a worker could not reach the API server.
    (3, 4): "task_instance_current_key",
}

#: Maximum number of scheduler restarts because of a known fault.
MAX_SCHEDULER_RESTARTS = 3

End = dict[str, Any]


def has_known_fault(airflow: tuple[int, ...], log: str) -> bool:
    """Return whether a scheduler's log shows a known fault of the Airflow release."""
    text = KNOWN_FAULTS.get(airflow)
    return text is not None and text in log


def ended_before_first_poll(outcome: Outcome) -> list[End]:
    """Return the retried tries that ended before the first poll of their job."""
    job_ids = {wait.task_id: wait.job_id for wait in outcome.waits}
    ends = (end for ends in outcome.evidence.ends().values() for end in ends)
    first_polls = outcome.first_polls
    return [
        end for end in ends if end["state"] == "retry" and end["time"] < first_polls.get(job_ids[end["task_id"]], 0.0)
    ]


def is_killed_try(outcome: Outcome, end: End) -> bool:
    """Return whether *end* belongs to a try whose process was killed."""
    return end["state"] == "retry" and any(
        kill == f"worker of {end['task_id']}" and time <= end["time"] for kill, time in outcome.stack.kills
    )


def is_disconnected_try(outcome: Outcome, end: End) -> bool:
    """Return whether *end* belongs to a try that possibly could not reach the API server."""
    return any(
        killed_at - CALLBACK_SECONDS <= end["time"] < restarted_at + RECONNECT_SECONDS
        for killed_at, restarted_at in outcome.stack.api_outages
    )


def worker_killed_after(outcome: Outcome, time: float) -> bool:
    """Return whether a worker was killed while it possibly stored an end or ran a callback."""
    kills = [kill for name, kill in outcome.stack.kills if name == "scheduler"]  # its workers are killed with it
    return any(0 <= kill - time < CALLBACK_SECONDS for kill in kills)


def callback_states(outcome: Outcome) -> dict[str, list[str]]:
    """Return the states in callbacks by task, except those that a kill explains. The last one always counts."""
    ends, early_ends = outcome.evidence.ends(), ended_before_first_poll(outcome)

    def is_explained(end: End) -> bool:
        rules = (
            is_killed_try(outcome, end),
            is_disconnected_try(outcome, end),
            worker_killed_after(outcome, end["time"]),
        )
        return end in early_ends or any(rules)

    return {
        task: [end["state"] for end in ends[task] if end is ends[task][-1] or not is_explained(end)] for task in ends
    }


def missing_callbacks(outcome: Outcome) -> list[str]:
    """Return the tasks whose end a worker stored before it was killed, without running the callback."""
    ends = outcome.evidence.ends()
    return [
        wait.task_id
        for wait in outcome.waits
        if not (wait.without_worker or ends.get(wait.task_id))
        and worker_killed_after(outcome, outcome.tasks[wait.task_id].ended_at or 0.0)
    ]


def may_report_again(outcome: Outcome, time: float) -> bool:
    """Return whether a watcher may report an end twice that it first reported at *time*."""
    return any(0 <= end - time < ACKNOWLEDGE_SECONDS for end in outcome.triggerer_ends)


def max_tries(was_killed: bool) -> int:
    """Return the maximum number of tries of a task on a Celery worker, of which at most one was killed."""
    return 2 if was_killed else 1


def may_mismatch(was_killed: bool) -> bool:
    """Return whether the scheduler may log a state mismatch of a task on a Celery worker."""
    return was_killed


def audited(key: AccessKey) -> set[str]:
    """Return the part of a key that the audit log stores."""
    return {key.access_key}


def max_deadlines(task: Task) -> int:
    """Return the maximum number of deadlines of a task: one per try."""
    return task.try_number
