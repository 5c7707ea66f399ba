"""
Kill components of Airflow and the fake cloud, and check that no wait is lost.

A real Airflow (LocalExecutor, PostgreSQL) waits for many jobs of the fake cloud at once. When all tasks wait, the jobs
begin to end, and components are killed. Prints a report. Exits with 1 if a check fails.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import checks
import logins
import postgres
import report
import waits
from evidence import ENDED, Evidence
from stack import AIRFLOW, HERE, Stack, keep_files, settings

from airflow_provider_hwstatus.demo.airflow_home import AirflowHome, free_port
from airflow_provider_hwstatus.testing.cloud import FakeHuaweiCloud


@dataclass(frozen=True, kw_only=True)
class Plan:
    """
    The plan of a run.

    :param count: Number of waits.
    :param modes: Modes of the waits, in turn.
    :param span: Seconds from the first job's end to the last.
    :param timeout: Time-out in seconds of the waits whose jobs never end.
    :param parallelism: Maximum number of tasks that run at the same time.
    :param events: Action and component by second since the epoch.
    :param scheduler_lost: Seconds without a heartbeat after which a scheduler counts as dead. A busy one may send none
        for half a minute.
    :param aftermath: Seconds after the last end in which a second end of a task would be detected.
    """

    count: int
    modes: tuple[str, ...]
    span: float
    timeout: float
    parallelism: int
    events: dict[float, tuple[str, str]]
    scheduler_lost: int = 45
    aftermath: float = 10.0


#: Kills each component and one task process once, within two minutes.
SMALL = Plan(
    count=20,
    modes=("deferrable", "start_from_trigger" if AIRFLOW >= (3, 3) else "reschedule", "deferrable", "poke"),
    span=35,
    timeout=60,
    parallelism=8,
    scheduler_lost=20,
    aftermath=5.0,
    events={
        1: ("kill", "worker"),
        5: ("kill", "scheduler"),
        6: ("start", "scheduler"),
        10: ("kill", "triggerer 1"),
        11: ("start", "triggerer 1"),
        18: ("kill", "cloud"),
        23: ("start", "cloud"),
        **({28: ("kill", "api-server"), 29: ("start", "api-server")} if AIRFLOW >= (3, 0) else {}),
    },
)

NEWEST = Plan(
    count=200,
    modes=("deferrable", "deferrable", "start_from_trigger"),
    span=150,
    timeout=110,
    parallelism=4,
    events={
        10: ("kill", "triggerer 1"),
        14: ("start", "triggerer 1"),
        40: ("kill", "cloud"),
        50: ("kill", "scheduler"),
        54: ("start", "scheduler"),
        70: ("start", "cloud"),
        90: ("kill", "triggerer 1"),
        92: ("start", "triggerer 1"),
        115: ("start", "triggerer 2"),
        130: ("stop", "triggerer 1"),
    },
)

LOWEST = Plan(
    count=30,
    modes=("deferrable", "reschedule", "poke"),
    span=80,
    timeout=90,
    parallelism=16,
    events={
        10: ("kill", "triggerer 1"),
        12: ("start", "triggerer 1"),
        30: ("kill", "scheduler"),
        34: ("start", "scheduler"),
        50: ("kill", "cloud"),
        65: ("start", "cloud"),
    },
)

#: Number of waits in a DAG.
SHARE = 20

#: Maximum seconds until all tasks wait, and until all have ended.
BEGIN_TIMEOUT, END_TIMEOUT = 600.0, 600.0


@dataclass
class Run:
    """One run."""

    plan: Plan
    stack: Stack
    evidence: Evidence
    waits: list[waits.Wait]
    loads: list[float] = field(default_factory=list)
    watched: bool = AIRFLOW >= (3, 3)

    def prepare(self, components: tuple[str, ...]) -> None:
        """Start Airflow and the fake cloud."""
        waits.save(self.waits, self.stack.home.path / "waits.json")
        for example in self.stack.home.dags.iterdir():
            example.unlink()
        (self.stack.home.path / "config/airflow_local_settings.py").unlink()  # it replaces every poke_interval
        for number in range(math.ceil(len(self.waits) / SHARE)):
            shutil.copy(HERE / "waits_dag.py", self.stack.home.dags / f"waits_{number}.py")
        if self.watched:
            shutil.copy(HERE / "watched_dag.py", self.stack.home.dags)
        self.stack.start("cloud")
        self.stack.log("create the database")
        self.stack.airflow("db", "migrate")
        connections = self.stack.home.path / "connections.json"  # Airflow would log it if it were an argument
        connections.write_text(json.dumps(logins.connections(FakeHuaweiCloud(self.stack.cloud_port))))
        self.stack.airflow("connections", "import", str(connections))
        for name in components:
            self.stack.start(name)

    def wait_until(self, event: str, done: Callable[[], bool], timeout: float) -> None:
        """
        Take samples until *done* returns true.

        :raises TimeoutError: It does not within *timeout* seconds.
        """
        deadline = time.monotonic() + timeout
        while not done():
            self.stack.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{event}: not within {timeout:g} s")
            time.sleep(1.0)
            self.sample()
        self.stack.log(event)

    def sample(self) -> None:
        """Record the current triggers and the machine's load."""
        self.evidence.sample()
        self.loads.append(os.getloadavg()[0])

    def all_wait(self) -> bool:
        """Return whether each job was polled, each deferrable wait is deferred, and all batches are watched."""
        deferrable = {wait.task_id for wait in self.waits if wait.mode in waits.MODES}
        asked = len(self.evidence.polls()) == len(self.waits)
        return asked and self.evidence.triggers.keys() >= deferrable and self.unwatched() == set()

    def unwatched(self) -> set[tuple[str, str]]:
        """Return the batches that a watcher has not seen yet. It reports no end that comes before its first poll."""
        if not self.watched:
            return set()
        batches = [wait for wait in self.waits if wait.kind == "dli_batch"]
        return {key for wait in batches for key in wait.watched_by} - self.evidence.watched()

    def all_ended(self) -> bool:
        """Return whether each task has its final state and watchers have reported all ends."""
        tasks = self.evidence.tasks()
        ended = len(tasks) == len(self.waits) and all(task.state in ENDED for task in tasks.values())
        return ended and self.missing_reports() == set()

    def missing_reports(self) -> set[tuple[str, str]]:
        """Return the ends that watchers have not reported yet."""
        if not self.watched:
            return set()
        return {key for wait in self.waits for key in wait.watched_by} - {
            (report.asset, report.subject) for report in self.evidence.reported_ends()
        }

    def execute_events(self, epoch: float) -> None:
        """Execute the plan's events at their times."""
        for second, (action, name) in self.plan.events.items():
            while time.time() < epoch + second:
                time.sleep(0.5)
                self.sample()
            if name == "worker":
                self.kill_worker()
            else:
                getattr(self.stack, action)(name)

    def kill_worker(self) -> None:
        """Kill the process of a task in mode "poke": the one whose job ends last."""
        due = {wait.task_id: wait.ends_at or 0.0 for wait in self.waits if wait.mode == "poke"}
        running = {task_id: pid for task_id, pid in self.evidence.running().items() if task_id in due}
        task_id = max(running, key=lambda task: due[task])
        self.stack.kill_worker(task_id, running[task_id])

    def go(self) -> checks.Outcome:
        """Wait until all tasks wait, execute the plan, and return the outcome."""
        self.wait_until(f"all {len(self.waits)} tasks wait", self.all_wait, BEGIN_TIMEOUT)
        epoch = time.time()
        file = self.stack.home.path / "epoch"
        file.with_suffix(".new").write_text(str(epoch))
        file.with_suffix(".new").rename(file)
        self.execute_events(epoch)
        self.wait_until("all have ended", self.all_ended, END_TIMEOUT)
        time.sleep(self.plan.aftermath)
        self.sample()
        return checks.Outcome(self.waits, self.evidence, epoch, self.evidence.tasks(), self.watched, self.stack)


def all_secrets(evidence: Evidence) -> set[str]:
    """Return all secrets that the cloud ever issued or accepted."""
    cloud = FakeHuaweiCloud()
    logins.accept_logins(cloud)
    return logins.secrets(cloud) | evidence.secrets()


def run(plan: Plan) -> list[str]:
    """Execute a plan, print the report, and return one line per violation."""
    started_at = time.time()
    made = waits.make_waits(plan.count, plan.modes, plan.span, plan.timeout)
    with postgres.serving(free_port()) as database, AirflowHome(poke_interval=10.0) as home:
        airflow = settings(database.dsn, plan.parallelism, plan.scheduler_lost)
        stack = Stack(home, airflow, free_port(), started_at)
        this = Run(plan, stack, Evidence(database.dsn, home.path, home.fernet_key), made)
        try:
            components = ("dag-processor", "api-server") if AIRFLOW >= (3, 0) else ()
            this.prepare(("triggerer 1", *components, "scheduler"))
            outcome = this.go()
            wrong = [line for check in checks.ALL for line in check(outcome)]
            secrets, texts = (
                all_secrets(this.evidence),
                checks.stored_texts(this.evidence, database.dump(without="connection")),
            )
            wrong += checks.no_secrets(texts, secrets)
            search = report.SecretSearch(len(secrets), texts)
            print(report.table(outcome, plan.events, search, this.loads, time.time() - started_at))
        except (TimeoutError, ChildProcessError) as error:
            wrong = [str(error), *report.unfinished(made, this.evidence)]
            wrong += [f"not reported: {asset} {subject}" for asset, subject in sorted(this.missing_reports())]
        finally:
            stack.stop_all()
        if wrong:
            keep_files(home)
    return wrong


def main() -> int:
    """Run the plan for the installed Airflow release."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plan", choices=("small", "large"), default="large")
    parser.add_argument("--waits", type=int, help="number of waits, instead of the plan's")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # runs the cleanup
    plan = SMALL if arguments.plan == "small" else NEWEST if AIRFLOW >= (3, 0) else LOWEST
    if arguments.waits:
        plan = Plan(**{**vars(plan), "count": arguments.waits})
    wrong = run(plan)
    for line in wrong:
        print(f"WRONG: {line}")
    print("FAILED" if wrong else "OK: every wait ended exactly once, as its job requires")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
