"""What must be true at the end. Each check yields a line for whatever is not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import allowances
from evidence import Evidence, Task, Told
from stack import Stack
from waits import MODES, Wait

#: Seconds between the worker that first asked, which sets the deadline, and the fake that saw it asking.
FIRST_POLL_SLACK = 20.0

#: Seconds between Airflow, which gives a task to a triggerer, and the fake that saw it asking.
FIRST_TRIGGER_SLACK = 120.0

#: Characters of a secret that are looked for: it may have been cut.
BEGIN = 24

#: What is looked through for secrets besides the logs.
OTHER_PLACES = ("the database", "the triggers' arguments")


@dataclass(frozen=True)
class Outcome:
    """
    What was found.

    :param epoch: Seconds since 1970 at which the jobs began to take their steps.
    :param tasks: At the end.
    :param watched: Whether there are watchers.
    :param stack: What ran, was killed and left.
    """

    waits: list[Wait]
    evidence: Evidence
    epoch: float
    tasks: dict[str, Task]
    watched: bool
    stack: Stack

    @property
    def triggerers_ended(self) -> list[float]:
        """When a triggerer was killed or left."""
        return [time for name, time in [*self.stack.kills, *self.stack.left] if name.startswith("triggerer")]

    def due(self, wait: Wait) -> float:
        """Return when a wait must end at the earliest: with its job, or at the deadline that it began with."""
        if wait.ends_at is not None:
            return self.epoch + wait.ends_at
        if wait.mode == "started":  # it has a deadline before there is a triggerer that asks
            return min(self.evidence.deadlines[wait.task_id])
        return self.asked_at[wait.job_id] + wait.timeout

    @cached_property
    def asked_at(self) -> dict[str, float]:
        """When each job was first asked about."""
        return {job_id: polls[0][0] for job_id, polls in self.evidence.polls().items()}

    @cached_property
    def delays(self) -> dict[str, float]:
        """How many seconds after that each task ended."""
        return {wait.task_id: (self.tasks[wait.task_id].ended or 0.0) - self.due(wait) for wait in self.waits}

    @cached_property
    def unseen(self) -> dict[str, float]:
        """How many seconds after a job's end the fake was first asked about it, by task."""
        ends = {wait.job_id: (wait, self.due(wait)) for wait in self.waits if wait.ends_at is not None}
        polls = self.evidence.polls()
        seen = {
            job_id: next((poll[0] for poll in polls[job_id] if poll[0] >= end), None)
            for job_id, (_, end) in ends.items()
        }
        return {ends[job_id][0].task_id: time - ends[job_id][1] for job_id, time in seen.items() if time is not None}

    def answered_late(self, wait: Wait) -> bool:
        """Return whether the cloud told a job's state after the deadline: it may be away then."""
        deadline = min(self.evidence.deadlines.get(wait.task_id) or {self.due(wait)})
        return any(time >= deadline and status == 200 for time, status, _ in self.evidence.polls()[wait.job_id])


def verdicts(outcome: Outcome) -> Iterator[str]:
    """Every wait ends with its job's verdict."""
    for wait in outcome.waits:
        task = outcome.tasks.get(wait.task_id)
        if task is None or task.state != wait.state:
            yield f"{wait.task_id} is {task.state if task else 'lost'}, not {wait.state}"


def once(outcome: Outcome) -> Iterator[str]:
    """Every wait has one end, and no retry; Airflow calls back with it on a worker, where one has to do with it."""
    ends, not_called_back = allowances.counted(outcome), allowances.not_called_back(outcome)
    for wait in outcome.waits:
        untold = wait.alone or wait.task_id in not_called_back
        found, wanted = ends.get(wait.task_id, []), [] if untold else [wait.state]
        if found != wanted:
            yield f"{wait.task_id} was called back with {found}, not {wanted}"


def returned(outcome: Outcome) -> Iterator[str]:
    """A wait that succeeds returns its job's last status, and no other returns anything."""
    values = outcome.evidence.returned()
    for wait in outcome.waits:
        value = values.get(wait.task_id)
        found = value and (value["kind"], value["job_id"], value["state"], value["outcome"])
        wanted = (wait.kind, wait.job_id, wait.job_state, "success") if wait.verdict == "well" else None
        if found != wanted:
            yield f"{wait.task_id} returned {value}"


def messages(outcome: Outcome) -> Iterator[str]:
    """The log of a wait that does not succeed names the job, and says how it ended."""
    for wait in outcome.waits:
        if wait.verdict == "well":
            continue
        words = [wait.job_id, "" if wait.verdict == "late" else wait.job_state]
        if wait.verdict == "refused":
            words.append("***")  # the cloud's echo of the login
        log = outcome.evidence.log(wait.task_id)
        timed_out, unanswered = f"timed out after {wait.timeout:g} s", "the deadline passed without an answer"
        if wait.verdict == "late" and (outcome.answered_late(wait) or unanswered not in log):
            words.append(timed_out)
        if missing := [word for word in words if word not in log]:
            yield f"the log of {wait.task_id} lacks {missing}"


def punctual(outcome: Outcome) -> Iterator[str]:
    """No wait ends before its job does, or before the deadline that it began with."""
    for wait in outcome.waits:
        delay = outcome.delays[wait.task_id]
        if delay < (0.0 if wait.ends_at is not None or wait.mode == "started" else -FIRST_POLL_SLACK):
            yield f"{wait.task_id} ended {-delay:.1f} s too early"


def deadlines(outcome: Outcome) -> Iterator[str]:
    """
    A trigger's deadline is ``timeout`` after the first question about its job, and never another.

    That of a wait that began in the triggerer is as much after Airflow gave it away, which is before.
    """
    for wait in outcome.waits:
        if wait.mode not in MODES:
            continue
        found = outcome.evidence.deadlines[wait.task_id]
        wanted = outcome.asked_at[wait.job_id] + wait.timeout
        before = FIRST_TRIGGER_SLACK if wait.mode == "started" else FIRST_POLL_SLACK
        most = allowances.begun_again(outcome.tasks[wait.task_id])
        if not 1 <= len(found) <= most or not -before <= min(found) - wanted <= FIRST_POLL_SLACK:
            yield f"{wait.task_id} has the deadlines {sorted(found)}, and not {wanted}"


def nothing_left(outcome: Outcome) -> Iterator[str]:
    """No trigger is left."""
    for (count,) in outcome.evidence.query("select count(*) from trigger where classpath not like '%Watcher'"):
        if count:
            yield f"{count} triggers are left"


def without_worker(outcome: Outcome) -> Iterator[str]:
    """A wait that begins in the triggerer and ends well has never been on a worker; all others have."""
    begun = outcome.evidence.begun_on_workers()
    for wait in outcome.waits:
        if wait.alone == (wait.task_id in begun):
            yield f"{wait.task_id} has {'' if wait.alone else 'not '}been on a worker"


def watched(outcome: Outcome) -> Iterator[str]:
    """Watchers tell each end, not before it, and once; again at most if a triggerer ended right after it."""
    if not outcome.watched:
        return
    told = defaultdict[tuple[str, str], list[Told]](list)
    for one in outcome.evidence.told():
        told[one.asset, one.subject].append(one)
    wanted = {key: wait for wait in outcome.waits for key in wait.watched_by}
    for key in wanted.keys() | told.keys():
        first, *again = told[key] or [None]
        wait = wanted.get(key)
        if wait is None or first is None:
            yield f"{key} was {'not told' if wait else 'told'}"
        elif (first.outcome, first.state) != (wait.outcome, wait.job_state):
            yield f"{key} was told as {first.outcome} and {first.state}, not as {wait.outcome} and {wait.job_state}"
        elif first.time < outcome.due(wait):
            yield f"{key} was told {outcome.due(wait) - first.time:.1f} s too early"
        elif again and not allowances.may_report_again(outcome, first.time):
            yield f"{key} was told {1 + len(again)} times, from {first.time - outcome.epoch:.1f} s on"


def no_stale_exit(outcome: Outcome) -> Iterator[str]:
    """Airflow took no worker's exit after a deferral for the end of the run that the event began."""
    deferred = {wait.task_id for wait in outcome.waits if wait.mode in MODES}
    for task_id, text in outcome.evidence.query("select task_id, extra from log where event = 'state mismatch'"):
        if task_id in deferred and "finished with state success" in text:
            yield f"state mismatch: {text}"


def quiet(outcome: Outcome) -> Iterator[str]:
    """Airflow looked for no page of the console that is not there, which it would log as an error."""
    for wait in outcome.waits:
        if "XCom not found" in outcome.evidence.log(wait.task_id):
            yield f"the log of {wait.task_id} has an error: XCom not found"


ALL = (
    *(verdicts, once, returned, messages, punctual, deadlines, nothing_left, without_worker, watched),
    *(no_stale_exit, quiet),
)


def texts(evidence: Evidence, dump: str) -> dict[str, str]:
    """Return all that the waits left behind, by where it is."""
    logs = [
        file for file in [*(evidence.folder / "logs").rglob("*"), evidence.folder / "airflow.log"] if file.is_file()
    ]
    places = {str(file.relative_to(evidence.folder)): file.read_text(errors="replace") for file in logs}
    return dict(zip(OTHER_PLACES, (dump, "\n".join(evidence.arguments)), strict=True)) | places


def secrets(texts: Mapping[str, str], words: set[str]) -> Iterator[str]:
    """No key, token or password is anywhere but in its connection: not in another table, in a trigger or in a log."""
    forms = {
        form: word for word in words for form in (word[:BEGIN], word[:BEGIN].encode().hex())
    }  # hex: of binary columns
    for place, text in texts.items():
        if found := {forms[form] for form in forms if form in text}:
            yield f"{len(found)} secrets are in {place}; one begins with {min(found)[:4]}"
