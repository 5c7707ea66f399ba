"""Checks of the outcome. Each yields one line per violation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import allowances
from evidence import Evidence, ReportedEnd, Task
from stack import Stack
from waits import LISTED, MODES, Wait

#: Maximum seconds between the start of the first poll on a worker, which sets the deadline, and its arrival.
FIRST_POLL_SECONDS = 20.0

#: Maximum seconds between the creation of a trigger without a worker, which sets the deadline, and its first poll.
FIRST_TRIGGER_POLL_SECONDS = 120.0

#: From this number of waits on one connection, the list of batches must be used. Some wait in another triggerer.
MANY_BATCHES = 30

#: Number of characters of a secret to search for. The rest may be cut off.
SECRET_PREFIX = 24

#: Places to search for secrets, besides the logs.
OTHER_PLACES = ("the database", "the triggers' arguments")


@dataclass(frozen=True)
class Outcome:
    """
    The outcome of a run.

    :param epoch: Time at which the jobs began to advance, in seconds since 1970.
    :param tasks: Tasks at the end of the run, by name.
    :param watched: Whether there are watchers.
    :param stack: Airflow and the fake cloud, with all kills and stops.
    """

    waits: list[Wait]
    evidence: Evidence
    epoch: float
    tasks: dict[str, Task]
    watched: bool
    stack: Stack

    @property
    def triggerer_ends(self) -> list[float]:
        """Times at which a triggerer was killed or stopped."""
        return [time for name, time in [*self.stack.kills, *self.stack.stops] if name.startswith("triggerer")]

    def due_at(self, wait: Wait) -> float:
        """Return the earliest time at which a wait may end: the end of its job, or its deadline."""
        if wait.ends_at is not None:
            return self.epoch + wait.ends_at
        if wait.mode == "start_from_trigger":  # the deadline is set before the first poll
            return min(self.evidence.deadlines[wait.task_id])
        return self.first_polls[wait.job_id] + wait.timeout

    @cached_property
    def first_polls(self) -> dict[str, float]:
        """Time of the first poll of each job."""
        return {job_id: polls[0][0] for job_id, polls in self.evidence.polls().items()}

    @cached_property
    def delays(self) -> dict[str, float]:
        """Seconds between the earliest possible end and the end of each task."""
        return {wait.task_id: (self.tasks[wait.task_id].ended_at or 0.0) - self.due_at(wait) for wait in self.waits}

    @cached_property
    def poll_delays(self) -> dict[str, float]:
        """Seconds between the end of a job and the next poll of it, by task."""
        ends = {wait.job_id: (wait, self.due_at(wait)) for wait in self.waits if wait.ends_at is not None}
        polls = self.evidence.polls()
        next_polls = {
            job_id: next((poll[0] for poll in polls[job_id] if poll[0] >= end), None)
            for job_id, (_, end) in ends.items()
        }
        return {
            ends[job_id][0].task_id: time - ends[job_id][1] for job_id, time in next_polls.items() if time is not None
        }

    def answered_after_deadline(self, wait: Wait) -> bool:
        """Return whether a poll after the deadline got a state. The cloud may be down then."""
        deadline = min(self.evidence.deadlines.get(wait.task_id) or {self.due_at(wait)})
        return any(time >= deadline and status == 200 for time, status, _ in self.evidence.polls()[wait.job_id])


def task_states(outcome: Outcome) -> Iterator[str]:
    """Every task ends in the state that its job requires."""
    for wait in outcome.waits:
        task = outcome.tasks.get(wait.task_id)
        if task is None or task.state != wait.state:
            yield f"{wait.task_id} is {task.state if task else 'lost'}, not {wait.state}"


def callbacks(outcome: Outcome) -> Iterator[str]:
    """Every wait has one callback and no retry. A wait that ends without a worker has no callback."""
    states, missing = allowances.callback_states(outcome), allowances.missing_callbacks(outcome)
    for wait in outcome.waits:
        has_none = wait.without_worker or wait.task_id in missing
        actual, expected = states.get(wait.task_id, []), [] if has_none else [wait.state]
        if actual != expected:
            yield f"{wait.task_id} has callbacks for {actual}, not {expected}"


def return_values(outcome: Outcome) -> Iterator[str]:
    """A successful wait returns the last status of its job. No other wait returns a value."""
    values = outcome.evidence.return_values()
    for wait in outcome.waits:
        value = values.get(wait.task_id)
        actual = value and (value["kind"], value["job_id"], value["state"], value["outcome"])
        expected = (wait.kind, wait.job_id, wait.job_state, "success") if wait.verdict == "success" else None
        if actual != expected:
            yield f"{wait.task_id} returned {value}"


def messages(outcome: Outcome) -> Iterator[str]:
    """The log of an unsuccessful wait contains the job's id and how the wait ended."""
    for wait in outcome.waits:
        if wait.verdict == "success":
            continue
        words = [wait.job_id, "" if wait.verdict == "timeout" else wait.job_state]
        if wait.verdict == "never_fail":
            words.append("***")  # replaces the credentials that the cloud echoes
        log = outcome.evidence.log(wait.task_id)
        timed_out, unanswered = f"timed out after {wait.timeout:g} s", "the deadline passed without an answer"
        if wait.verdict == "timeout" and (outcome.answered_after_deadline(wait) or unanswered not in log):
            words.append(timed_out)
        if missing := [word for word in words if word not in log]:
            yield f"the log of {wait.task_id} lacks {missing}"


def not_too_early(outcome: Outcome) -> Iterator[str]:
    """No wait ends before its job or its deadline."""
    for wait in outcome.waits:
        delay = outcome.delays[wait.task_id]
        is_exact = wait.ends_at is not None or wait.mode == "start_from_trigger"
        if delay < (0.0 if is_exact else -FIRST_POLL_SECONDS):
            yield f"{wait.task_id} ended {-delay:.1f} s too early"


def deadlines(outcome: Outcome) -> Iterator[str]:
    """
    A trigger's deadline is ``timeout`` after the first poll of its job and never changes.

    If the wait starts in the triggerer, the deadline counts from the creation of the trigger, before the first poll.
    """
    for wait in outcome.waits:
        if wait.mode not in MODES:
            continue
        found = outcome.evidence.deadlines[wait.task_id]
        expected = outcome.first_polls[wait.job_id] + wait.timeout
        earlier = FIRST_TRIGGER_POLL_SECONDS if wait.mode == "start_from_trigger" else FIRST_POLL_SECONDS
        maximum = allowances.max_deadlines(outcome.tasks[wait.task_id])
        if not 1 <= len(found) <= maximum or not -earlier <= min(found) - expected <= FIRST_POLL_SECONDS:
            yield f"{wait.task_id} has the deadlines {sorted(found)}, not {expected}"


def no_triggers_left(outcome: Outcome) -> Iterator[str]:
    """The database contains no trigger except watchers."""
    for (count,) in outcome.evidence.query("select count(*) from trigger where classpath not like '%Watcher'"):
        if count:
            yield f"{count} triggers are left"


def without_worker(outcome: Outcome) -> Iterator[str]:
    """A wait that starts in the triggerer and succeeds never runs on a worker. Every other wait does."""
    on_workers = outcome.evidence.tasks_on_workers()
    for wait in outcome.waits:
        if wait.without_worker == (wait.task_id in on_workers):
            yield f"{wait.task_id} ran {'' if wait.without_worker else 'never '}on a worker"


def watcher_reports(outcome: Outcome) -> Iterator[str]:
    """Watchers report each end once and not too early. They may repeat it if a triggerer ended right after it."""
    if not outcome.watched:
        return
    reports = defaultdict[tuple[str, str], list[ReportedEnd]](list)
    for report in outcome.evidence.reported_ends():
        reports[report.asset, report.subject].append(report)
    expected = {key: wait for wait in outcome.waits for key in wait.watched_by}
    for key in expected.keys() | reports.keys():
        first, *repeated = reports[key] or [None]
        wait = expected.get(key)
        if wait is None or first is None:
            yield f"{key} was {'not reported' if wait else 'reported'}"
        elif (first.outcome, first.state) != (wait.outcome, wait.job_state):
            yield f"{key} was reported as {first.outcome}, {first.state}, not as {wait.outcome}, {wait.job_state}"
        elif first.time < outcome.due_at(wait):
            yield f"{key} was reported {outcome.due_at(wait) - first.time:.1f} s too early"
        elif repeated and not allowances.may_report_again(outcome, first.time):
            yield f"{key} was reported {1 + len(repeated)} times, first after {first.time - outcome.epoch:.1f} s"


def no_state_mismatch(outcome: Outcome) -> Iterator[str]:
    """Airflow fails no deferred wait because a worker's exit after the deferral arrives late."""
    deferred = {wait.task_id for wait in outcome.waits if wait.mode in MODES}
    for task_id, text in outcome.evidence.query("select task_id, extra from log where event = 'state mismatch'"):
        if task_id in deferred and "finished with state success" in text:
            yield f"state mismatch: {text}"


def no_missing_link(outcome: Outcome) -> Iterator[str]:
    """Airflow logs no error about a missing XCom for the console link."""
    for wait in outcome.waits:
        if "XCom not found" in outcome.evidence.log(wait.task_id):
            yield f"the log of {wait.task_id} has an error: XCom not found"


def list_of_batches(outcome: Outcome) -> Iterator[str]:
    """Waits for many batches on one connection are polled by their list."""
    listed = [wait for wait in outcome.waits if (wait.kind, wait.mode) == LISTED]
    logs = (file.read_text(errors="replace") for file in outcome.evidence.logs())
    if len(listed) >= MANY_BATCHES and not any("Polling DLI batches by their list" in log for log in logs):
        yield f"the list of batches answered none of {len(listed)} waits"


ALL = (
    task_states,
    callbacks,
    return_values,
    messages,
    not_too_early,
    deadlines,
    no_triggers_left,
    without_worker,
    watcher_reports,
    no_state_mismatch,
    no_missing_link,
    list_of_batches,
)


def stored_texts(evidence: Evidence, dump: str) -> dict[str, str]:
    """
    Return all text that the waits stored, by place.

    :param dump: Dump of the database.
    """
    places = {str(file.relative_to(evidence.folder)): file.read_text(errors="replace") for file in evidence.logs()}
    return dict(zip(OTHER_PLACES, (dump, "\n".join(evidence.arguments)), strict=True)) | places


def no_secrets(texts: Mapping[str, str], secrets: set[str]) -> Iterator[str]:
    """No key, token or password is stored outside its connection: not in another table, a trigger or a log."""
    forms = {
        form: secret for secret in secrets for form in (secret[:SECRET_PREFIX], secret[:SECRET_PREFIX].encode().hex())
    }  # hex: as in binary columns
    for place, text in texts.items():
        if found := {forms[form] for form in forms if form in text}:
            yield f"{len(found)} secrets are in {place}; one begins with {min(found)[:4]}"
