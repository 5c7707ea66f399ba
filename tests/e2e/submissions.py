"""
Kill workers, triggerers and the scheduler around submissions, and check that each job is submitted once.

A real Airflow (LocalExecutor, PostgreSQL) runs tasks that submit DLI batches to a fake cloud, whose list lags behind
and finds names that contain the one that is asked for. Workers are killed when the cloud has accepted a job, shortly
after that, and at random; answers are lost; jobs fail. The fake counts what it has accepted. Then tasks are ended by
hand, and triggerers stop and are killed: only the jobs of tasks that somebody ended may be cancelled. Exits with 1 if a
task does not succeed, if a job was submitted twice or never, or if a wrong job was cancelled.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import postgres
from evidence import ENDED, Evidence
from stack import AIRFLOW, Stack, settings

from airflow_provider_hwstatus.demo.airflow_home import AirflowHome, free_port
from airflow_provider_hwstatus.testing.cloud import FakeHuaweiCloud
from airflow_provider_hwstatus.testing.wire import Fault, Incoming, Reply

DAGS = """
from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_hwstatus.operators.dli import DliBatchOperator

arguments = {{"poke_interval": 5, "list_lag": 25, "retries": 8, "retry_delay": timedelta(seconds=1)}}
with DAG(
    "waits_submissions",
    schedule="@once",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_tasks=12,
    default_args=arguments,
):
    for task_id, deferrable in {tasks!r}:
        DliBatchOperator(task_id=task_id, batch={{"file": "obs://acme/etl.jar"}}, deferrable=deferrable)
    same = [{{"file": "obs://acme/etl.jar"}}] * {mapped}
    DliBatchOperator.partial(task_id="mapped", deferrable=True).expand(batch=same)

with DAG(
    "waits_cancellations",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_tasks=12,
    default_args=arguments | {{"retries": 0}},
):
    for task_id in ("marked", "cleared", "moved", "succeeded"):
        DliBatchOperator(task_id=f"{{task_id}}_deferred", batch={{"file": "obs://acme/etl.jar"}}, deferrable=True)
    DliBatchOperator(task_id="marked_in_worker", batch={{"file": "obs://acme/etl.jar"}})
"""

#: The DAG whose tasks are ended by hand.
CANCELLATIONS = "waits_cancellations"

#: What happens to a task, in turn.
CASES = (
    "plain",
    "killed_when_accepted",
    "killed_after_acceptance",
    "killed_at_random",
    "answer_503",
    "answer_reset",
    "answer_0999",
    "answer_lost",
    "job_fails",
)

ANSWERS = {
    "answer_503": Reply(503, {"error_code": "APIGW.0203", "error_msg": "Backend timeout"}),
    "answer_reset": Fault.RESET,
    "answer_lost": Fault.HANG,
    "answer_0999": Reply(400, {"error_code": "DLI.0999", "error_msg": "Server-side errors occur."}),
}

#: Seconds by which the list lags behind.
LAG = 10.0

#: Number of mapped tasks with the same body.
MAPPED = 4

#: Maximum seconds until all tasks have ended.
TIMEOUT = 3600.0


def case_of(name: str) -> str:
    """Return what happens to the task that has a name, or that submitted a job with a name."""
    return next(case for case in CASES if name.startswith(case))


@dataclass
class Chaos:
    """
    Kills workers and spoils answers, as the case of each task says, once for each task.

    :ivar killed: The tasks whose worker was killed.
    """

    cloud: FakeHuaweiCloud
    evidence: Evidence
    stack: Stack
    random: random.Random
    killed: Counter[str] = field(default_factory=Counter)
    _seen: set[str] = field(default_factory=set)

    def on_reply(self, request: Incoming, reply: Reply | Fault) -> Reply | Fault:
        """Act when the cloud has accepted a job, before it answers."""
        if request.method != "POST" or not request.path.endswith("/batches") or not isinstance(reply, Reply):
            return reply
        if reply.status != 200:
            return reply
        task_id = str(json.loads(request.body)["name"]).rsplit("-", 2)[0]
        if task_id in self._seen:
            return reply
        self._seen.add(task_id)
        case = case_of(task_id) if task_id.startswith(CASES) else "plain"
        if case == "killed_when_accepted":
            self._kill(task_id)
        elif case == "killed_after_acceptance":
            threading.Timer(self.random.uniform(0.0, 1.5), self._kill, [task_id]).start()
        elif case == "job_fails":
            job_id = self.cloud.submissions.accepted[-1].job_id
            self.cloud.job("dli_batch", job_id, "dead", listed_after=LAG, name=json.loads(request.body)["name"])
        return ANSWERS.get(case, reply)

    def kill_at_random(self) -> None:
        """Kill the worker of each ``killed_at_random`` task once, soon after it has begun."""
        for task_id in self.evidence.running():
            if task_id.startswith("killed_at_random") and task_id not in self.killed:
                self.killed[task_id] += 1
                threading.Timer(self.random.uniform(0.0, 4.0), self._kill, [task_id]).start()

    def _kill(self, task_id: str) -> None:
        pid = self.evidence.running().get(task_id)
        if pid is not None:
            with suppress(ProcessLookupError):
                self.stack.kill_worker(task_id, pid)
                self.killed[task_id] += 1


@contextmanager
def airflow_with(tasks: list[tuple[str, bool]]) -> Iterator[tuple[Stack, Evidence, FakeHuaweiCloud]]:
    """Run Airflow with the DAGs until the end of the block."""
    with (
        postgres.serving(free_port()) as database,
        FakeHuaweiCloud() as cloud,
        AirflowHome(poke_interval=5) as home,
    ):
        cloud.submissions.seconds["dli_batch"] = {0: "starting", 5: "running", 20: "success"}
        cloud.submissions.listed_after = LAG
        cloud.batch_list.contains = True
        for example in home.dags.iterdir():
            example.unlink()
        (home.dags / "submissions.py").write_text(DAGS.format(tasks=tasks, mapped=MAPPED))
        airflow = settings(database.dsn, parallelism=16, scheduler_lost=30) | {
            "AIRFLOW_CONN_HWSTATUS_DEFAULT": json.dumps(cloud.connection(request_timeout=8)),
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
            "AIRFLOW__SCHEDULER__SCHEDULER_ZOMBIE_TASK_THRESHOLD": "30",
            "AIRFLOW__SCHEDULER__ZOMBIE_DETECTION_INTERVAL": "5",
        }
        stack = Stack(home, airflow, 0)
        try:
            stack.airflow("db", "migrate")
            components = ("dag-processor", "api-server") if AIRFLOW >= (3, 0) else ()
            for name in ("triggerer 1", *components, "scheduler"):
                stack.start(name)
            yield stack, Evidence(database.dsn, home.path, home.fernet_key), cloud
        finally:
            stack.stop_all()


class Api:
    """Airflow's API, or on Airflow 2 its database, to end tasks by hand."""

    def __init__(self, stack: Stack, evidence: Evidence) -> None:
        self._stack = stack
        self._evidence = evidence

    def trigger(self) -> None:
        """Start the DAG of cancellations."""
        self._stack.airflow("dags", "unpause", CANCELLATIONS)
        self._stack.airflow("dags", "trigger", CANCELLATIONS, "--run-id", "by-hand")

    def mark(self, task_id: str, state: str) -> None:
        """Mark a task, as a user does in the UI."""
        if AIRFLOW >= (3, 0):
            path = f"dags/{CANCELLATIONS}/dagRuns/by-hand/taskInstances/{task_id}"
            self._stack.request("PATCH", path, {"new_state": state})
        else:
            where = f"task_id = '{task_id}' and run_id = 'by-hand'"
            self._evidence.query(f"update task_instance set state = '{state}' where {where} returning task_id")  # noqa: S608

    def clear(self, task_id: str) -> None:
        """Clear a task."""
        if AIRFLOW >= (3, 0):
            body = {"dry_run": False, "dag_run_id": "by-hand", "task_ids": [task_id], "only_failed": False}
            self._stack.request("POST", f"dags/{CANCELLATIONS}/clearTaskInstances", body)
        else:
            self._stack.airflow("tasks", "clear", CANCELLATIONS, "-t", f"^{task_id}$", "-y")


def run_submissions(count: int, seed: int) -> list[str]:
    """Run the tasks and the cancellations; return what went wrong."""
    rng = random.Random(seed)  # noqa: S311
    tasks = [(f"{CASES[number % len(CASES)]}_{number:03}", bool(number // len(CASES) % 2)) for number in range(count)]
    with airflow_with(tasks) as (stack, evidence, cloud):
        chaos = Chaos(cloud, evidence, stack, rng)
        cloud.reply_filters.append(chaos.on_reply)
        deadline = time.monotonic() + TIMEOUT

        def states() -> dict[str, str | None]:
            mine = (*CASES, "mapped")
            return {task_id: task.state for task_id, task in evidence.tasks().items() if task_id.startswith(mine)}

        def wait_until(done: Callable[[], bool]) -> None:
            while not done():
                stack.check()
                chaos.kill_at_random()
                if time.monotonic() > deadline:
                    raise TimeoutError(f"not done within {TIMEOUT:g} s: {Counter(states().values())}")
                time.sleep(0.3)

        def over(part: float) -> Callable[[], bool]:
            return lambda: (
                len(states()) > count and sum(state in ENDED for state in states().values()) >= part * (count + 1)
            )

        wait_until(lambda: any(state == "deferred" for state in states().values()))
        for part, component in ((0.2, "triggerer 1"), (0.4, "scheduler"), (0.6, "triggerer 1"), (0.7, "scheduler")):
            wait_until(over(part))
            stack.kill(component)
            time.sleep(rng.uniform(1.0, 4.0))
            stack.start(component)
        wait_until(over(1.0))
        stack.log("all tasks have ended")
        return [*_wrong(evidence, cloud, tasks), *_wrong_cancellations(stack, evidence, cloud, wait_until)]


def _wrong(evidence: Evidence, cloud: FakeHuaweiCloud, tasks: list[tuple[str, bool]]) -> list[str]:
    jobs = Counter(str(each.body["name"]).rsplit("-", 2)[0] for each in cloud.submissions.accepted)
    states = {task_id: task.state for task_id, task in evidence.tasks().items()}
    tries = Counter(task.try_number for task in evidence.tasks().values())
    ended = ", ".join(f"{number} {state}" for state, number in Counter(states.values()).items())
    numbers = ", ".join(f"{number} in try {tried}" for tried, number in sorted(tries.items()))
    print(f"{len(tasks)} tasks: {ended} ({numbers}); {sum(jobs.values())} submissions")
    wrong = [f"{task_id} ended as {states.get(task_id)}" for task_id, _ in tasks if states.get(task_id) != "success"]
    for task_id, _ in tasks:
        expected = 2 if case_of(task_id) == "job_fails" else 1
        if jobs[task_id] != expected:
            wrong.append(f"{task_id}: {jobs[task_id]} jobs were submitted, not {expected}")
    if jobs["mapped"] != MAPPED:
        wrong.append(f"{jobs['mapped']} jobs of {MAPPED} mapped tasks were submitted")
    if cloud.submissions.cancelled:
        wrong.append(f"{len(cloud.submissions.cancelled)} jobs were cancelled")
    return wrong


def _wrong_cancellations(
    stack: Stack, evidence: Evidence, cloud: FakeHuaweiCloud, wait_until: Callable[[Callable[[], bool]], None]
) -> list[str]:
    """End tasks by hand, move a trigger, and return which jobs were cancelled or not by mistake."""
    cloud.submissions.seconds["dli_batch"] = {0: "running"}
    before, api = len(cloud.submissions.accepted), Api(stack, evidence)
    api.trigger()
    names = {"marked_deferred", "cleared_deferred", "moved_deferred", "succeeded_deferred"}

    def state_of(task_id: str) -> str | None:
        task = evidence.tasks().get(task_id)
        return task.state if task else None

    wait_until(lambda: {state_of(name) for name in names} == {"deferred"} and state_of("marked_in_worker") == "running")
    wait_until(lambda: len(cloud.submissions.accepted) >= before + 5)
    jobs = {str(each.body["name"]).rsplit("-", 2)[0]: each.job_id for each in cloud.submissions.accepted[before:]}
    stack.log("moving the triggers: a second triggerer starts, the first one stops, then is killed")
    deferred = [jobs[name] for name in names]

    def wait_until_polled() -> None:  # by the triggerer that runs now
        before = {job_id: cloud.polls(job_id) for job_id in deferred}
        wait_until(lambda: all(cloud.polls(job_id) > count + 1 for job_id, count in before.items()))

    stack.start("triggerer 2")
    time.sleep(5)
    stack.stop("triggerer 1")
    wait_until_polled()
    stack.start("triggerer 1")
    time.sleep(5)
    stack.kill("triggerer 2")
    wait_until_polled()
    moved = list(cloud.submissions.cancelled)
    stack.log("ending tasks by hand")
    for task_id, state in (
        ("marked_deferred", "failed"),
        ("succeeded_deferred", "success"),
        ("marked_in_worker", "failed"),
    ):
        api.mark(task_id, state)
    api.clear("cleared_deferred")
    ended = {jobs[name] for name in jobs if name != "moved_deferred"}
    with suppress(TimeoutError):
        until = time.monotonic() + 90
        wait_until(lambda: ended <= set(cloud.submissions.cancelled) or time.monotonic() > until)
    time.sleep(5)
    found = {name for name, job_id in jobs.items() if job_id in cloud.submissions.cancelled}
    print(f"cancelled after moves: {len(moved)}; after tasks were ended by hand: {sorted(found)}")
    wrong = [f"a job was cancelled when a trigger moved: {moved}"] if moved else []
    wrong += [f"the job of {name} was not cancelled" for name in sorted(set(jobs) - found - {"moved_deferred"})]
    return wrong + (["the job of moved_deferred was cancelled"] if "moved_deferred" in found else [])


def main() -> int:
    """Run, and return 1 if something went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=80)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # runs the cleanup
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    wrong = run_submissions(arguments.tasks, arguments.seed)
    for each in wrong:
        print(f"WRONG: {each}")
    print("OK" if not wrong else f"{len(wrong)} faults")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
