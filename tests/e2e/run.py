"""
Kill what waits, and see that no wait is lost.

A real Airflow (LocalExecutor, PostgreSQL) waits for jobs of the fake cloud, all of them at once. When all wait, the
jobs begin to end, and meanwhile parts of Airflow and the fake cloud are killed. Ends with a report, and with 1 if
anything is not as it must be.
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
from stack import AIRFLOW, HERE, Stack, settings

from airflow_provider_hwstatus.demo import standalone
from airflow_provider_hwstatus.demo.home import Home
from airflow_provider_hwstatus.testing.cloud import FakeHuaweiCloud


@dataclass(frozen=True, kw_only=True)
class Plan:
    """
    What one run does.

    :param span: Seconds over which jobs end.
    :param timeout: Seconds, for the waits whose jobs do not end.
    :param parallelism: How many tasks run at the same time.
    :param scheduler_lost: Seconds after which a scheduler that says nothing is taken for dead: one that has much to do
        may be silent for half a minute.
    :param aftermath: Seconds to look for what ends twice.
    :param events: What is done, by seconds since all wait.
    """

    count: int
    modes: tuple[str, ...]
    span: float
    timeout: float
    parallelism: int
    events: dict[float, tuple[str, str]]
    scheduler_lost: int = 45
    aftermath: float = 10.0


#: Each part is killed once, a task's process included, within two minutes.
SMALL = Plan(
    count=20,
    modes=("deferrable", "started" if AIRFLOW >= (3, 3) else "reschedule", "deferrable", "poke"),
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
    modes=("deferrable", "deferrable", "started"),
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
        130: ("leave", "triggerer 1"),
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

#: How many waits are in a DAG.
SHARE = 20

#: Seconds for all waits to begin, and for all to end.
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
        """Start everything."""
        waits.save(self.waits, self.stack.home.path / "waits.json")
        for example in self.stack.home.dags.iterdir():
            example.unlink()
        (self.stack.home.path / "config/airflow_local_settings.py").unlink()  # it sets every poke_interval
        for number in range(math.ceil(len(self.waits) / SHARE)):
            shutil.copy(HERE / "waits_dag.py", self.stack.home.dags / f"waits_{number}.py")
        if self.watched:
            shutil.copy(HERE / "watched_dag.py", self.stack.home.dags)
        self.stack.start("cloud")
        self.stack.log("make the database")
        self.stack.airflow("db", "migrate")
        connections = self.stack.home.path / "connections.json"  # in a command, Airflow would log it
        connections.write_text(json.dumps(logins.connections(FakeHuaweiCloud(self.stack.cloud_port))))
        self.stack.airflow("connections", "import", str(connections))
        for name in components:
            self.stack.start(name)

    def until(self, what: str, done: Callable[[], bool], timeout: float) -> None:
        """Look at the triggers again and again until *done*, or raise TimeoutError."""
        deadline = time.monotonic() + timeout
        while not done():
            self.stack.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: not after {timeout:g} s")
            time.sleep(1.0)
            self.sample()
        self.stack.log(what)

    def sample(self) -> None:
        """Look at what waits now, and at how busy the machine is."""
        self.evidence.sample()
        self.loads.append(os.getloadavg()[0])

    def all_wait(self) -> bool:
        """Whether each job was asked about, each wait that can be has been deferred, and all batches are watched."""
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
        """Whether each task has its final state, and all that is watched was told."""
        tasks = self.evidence.tasks()
        ended = len(tasks) == len(self.waits) and all(task.state in ENDED for task in tasks.values())
        return ended and self.untold() == set()

    def untold(self) -> set[tuple[str, str]]:
        """Return which ends watchers have not told yet."""
        if not self.watched:
            return set()
        return {key for wait in self.waits for key in wait.watched_by} - {
            (one.asset, one.subject) for one in self.evidence.told()
        }

    def disturb(self, epoch: float) -> None:
        """Do what the plan says at its times, for as long as it has something to say."""
        for second, (action, name) in self.plan.events.items():
            while time.time() < epoch + second:
                time.sleep(0.5)
                self.sample()
            if name == "worker":
                self.kill_worker()
            else:
                getattr(self.stack, action)(name)

    def kill_worker(self) -> None:
        """Kill the process of a task that holds a worker: of the one whose job ends last."""
        due = {wait.task_id: wait.ends_at or 0.0 for wait in self.waits if wait.mode == "poke"}
        running = {task_id: pid for task_id, pid in self.evidence.running().items() if task_id in due}
        task_id = max(running, key=lambda one: due[one])
        self.stack.kill_worker(task_id, running[task_id])

    def go(self) -> checks.Outcome:
        """Wait, kill, and return what has come of it."""
        self.until(f"all {len(self.waits)} wait", self.all_wait, BEGIN_TIMEOUT)
        epoch = time.time()
        file = self.stack.home.path / "epoch"
        file.with_suffix(".new").write_text(str(epoch))
        file.with_suffix(".new").rename(file)
        self.disturb(epoch)
        self.until("all have ended", self.all_ended, END_TIMEOUT)
        time.sleep(self.plan.aftermath)
        self.sample()
        return checks.Outcome(self.waits, self.evidence, epoch, self.evidence.tasks(), self.watched, self.stack)


def known(evidence: Evidence) -> set[str]:
    """Return all that opens the cloud or ever did."""
    cloud = FakeHuaweiCloud()
    logins.admit(cloud)
    return logins.secrets(cloud) | evidence.secrets()


def keep(home: Home) -> None:
    """Keep what a failed run leaves behind."""
    print(f"Airflow's output is kept in {home.keep_log()}")
    if folder := os.environ.get("HWSTATUS_E2E_KEEP"):
        shutil.move(home.path, folder)


def run(plan: Plan) -> list[str]:
    """Do it all, print the report, and return a line for whatever is not as it must be."""
    started = time.time()
    made = waits.make_waits(plan.count, plan.modes, plan.span, plan.timeout)
    with postgres.serving(standalone._free_port()) as database, Home(poke_interval=10.0) as home:
        airflow = settings(database.dsn, plan.parallelism, plan.scheduler_lost)
        stack = Stack(home, airflow, standalone._free_port(), started)
        this = Run(plan, stack, Evidence(database.dsn, home.path, home._fernet_key), made)
        try:
            components = ("dag-processor", "api-server") if AIRFLOW >= (3, 0) else ()
            this.prepare(("triggerer 1", *components, "scheduler"))
            outcome = this.go()
            wrong = [line for check in checks.ALL for line in check(outcome)]
            words, texts = known(this.evidence), checks.texts(this.evidence, database.dump(without="connection"))
            wrong += checks.secrets(texts, words)
            looks = report.Search(len(words), texts)
            print(report.table(outcome, plan.events, looks, this.loads, time.time() - started))
        except (TimeoutError, ChildProcessError) as error:
            wrong = [str(error), *report.unfinished(made, this.evidence)]
            wrong += [f"not told: {asset} {subject}" for asset, subject in sorted(this.untold())]
        finally:
            stack.stop()
        if wrong:
            keep(home)
    return wrong


def main() -> int:
    """Run the plan for the Airflow that is installed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plan", choices=("small", "large"), default="large")
    parser.add_argument("--waits", type=int, help="how many, instead of the plan's")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and clean up on the way
    plan = SMALL if arguments.plan == "small" else NEWEST if AIRFLOW >= (3, 0) else LOWEST
    if arguments.waits:
        plan = Plan(**{**vars(plan), "count": arguments.waits})
    wrong = run(plan)
    for line in wrong:
        print(f"WRONG: {line}")
    print("FAILED" if wrong else "OK: every wait ended with its job's verdict, exactly once")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
