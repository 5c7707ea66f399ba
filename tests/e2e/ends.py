"""
Kill triggerers right after they have reported ends, and see that the work behind each end is done once.

A real Airflow (LocalExecutor, PostgreSQL) has a DAG that a watcher of the fake cloud's batches starts, with
``NewEndsOperator`` as its first task. Whenever an end has been reported, the triggerer is killed, so that the next one
reports it again. Ends with a report, and with 1 if the work for an end was done twice or not at all.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import logins
import postgres
import psycopg2
import waits
from stack import AIRFLOW, HERE, Stack, settings

from airflow_provider_hwstatus.demo import standalone
from airflow_provider_hwstatus.demo.home import Home
from airflow_provider_hwstatus.testing.cloud import FakeHuaweiCloud

#: Seconds between two bursts of ends, and how many ends are in each.
PAUSE, BURST = 4.0, 3

#: Seconds for Airflow to come up, and from the last end to the last piece of work.
BEGIN_TIMEOUT, END_TIMEOUT = 300.0, 3600.0

#: Seconds without anything new after which nothing comes any more: longer than a triggerer takes to replace another.
#: With an acknowledgement time-out that is too short for Airflow, there is always something new.
QUIET, LONGEST_QUIET = 40.0, 150.0


def make_batches(count: int) -> list[waits.Wait]:
    """Return batches that end in bursts; every fifth fails."""
    return [
        waits.Wait(
            task_id=f"batch_{number:03}",
            kind="dli_batch",
            job_id=str(uuid.uuid5(uuid.NAMESPACE_OID, str(number))),
            mode="watched",
            login="aksk",
            verdict="badly" if number % 5 == 0 else "well",
            ends_at=10.0 + number // BURST * PAUSE,
            timeout=3600.0,
            poke_interval=2.0,
        )
        for number in range(count)
    ]


@dataclass
class Run:
    """
    One run.

    :param kills: How often a triggerer is killed.
    """

    stack: Stack
    dsn: str
    batches: list[waits.Wait]
    kills: int

    def prepare(self) -> None:
        """Start everything but the triggerer."""
        home = self.stack.home
        waits.save(self.batches, home.path / "waits.json")
        for example in home.dags.iterdir():
            example.unlink()
        shutil.copy(HERE / "ends_dag.py", home.dags)
        self.stack.start("cloud")
        self.stack.airflow("db", "migrate")
        connections = home.path / "connections.json"  # in a command, Airflow would log it
        connections.write_text(json.dumps(logins.connections(FakeHuaweiCloud(self.stack.cloud_port))))
        self.stack.airflow("connections", "import", str(connections))
        for name in ("api-server", "dag-processor", "scheduler", "triggerer 1"):
            self.stack.start(name)

    def query(self, sql: str) -> list[tuple[object, ...]]:
        """Return the rows."""
        connection = psycopg2.connect(self.dsn)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(sql)
                return list(cursor.fetchall())
        finally:
            connection.close()

    def reported(self) -> Counter[str]:
        """Return how often each end was reported."""
        found = Counter[str]()
        for (job_id,) in self.query("select extra::json #>> '{payload,status,job_id}' from asset_event"):
            found[str(job_id)] += 1
        return found

    def worked(self) -> list[list[str]]:
        """Return what was done: the batch, its state and the run."""
        file = self.stack.home.path / "work.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def until(self, what: str, done: Callable[[], bool], timeout: float, pause: float = 0.5) -> None:
        """:raises TimeoutError: It has not happened."""
        deadline = time.monotonic() + timeout
        while not done():
            if died := self.stack.died():
                raise ChildProcessError(f"{', '.join(died)} ended by itself")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: not after {timeout:g} s")
            time.sleep(pause)
        self.stack.log(what)

    def watched(self) -> bool:
        """Return whether the watcher has stored all running batches."""
        rows = self.query("select value from asset_state_store where key like 'hwstatus%'")
        return any(len(json.loads(str(value))["running"]) == len(self.batches) for (value,) in rows)

    def go(self) -> None:
        """Let the batches end, and kill a triggerer after each report until it has been often enough."""
        self.until("all batches are watched", self.watched, BEGIN_TIMEOUT)
        epoch = self.stack.home.path / "epoch"
        epoch.with_suffix(".new").write_text(str(time.time()))
        epoch.with_suffix(".new").rename(epoch)
        for number in range(1, self.kills + 1):
            before = sum(self.reported().values())
            self.until("an end is reported", lambda: sum(self.reported().values()) > before, 120.0, pause=0.05)  # noqa: B023
            self.stack.kill(f"triggerer {number}")
            self.stack.start(f"triggerer {number + 1}")
        self.until("all ends are reported", lambda: len(self.reported()) == len(self.batches), END_TIMEOUT)
        self.until(
            "all work is done", lambda: len({job for job, *_ in self.worked()}) == len(self.batches), END_TIMEOUT
        )
        self.settle()

    def settle(self) -> None:
        """Pause until all runs are over and nothing has come for a while."""
        began = quiet = time.monotonic()
        last = None
        while time.monotonic() < min(quiet + QUIET, began + LONGEST_QUIET):
            state = self.query("select state, count(*) from dag_run group by 1 order by 1"), len(self.worked())
            if state != last or any(name in {"queued", "running"} for name, _ in state[0]):
                quiet, last = time.monotonic(), state
            time.sleep(1.0)

    def wrong(self) -> list[str]:
        """Print the report; return a line for whatever is not as it must be."""
        reported, worked = self.reported(), self.worked()
        done = Counter(job_id for job_id, *_ in worked)
        states = {batch.job_id: batch.job_state for batch in self.batches}
        runs = self.query("select state, count(*) from dag_run group by 1 order by 1")
        tasks = self.query("select task_id, state, count(*) from task_instance group by 1, 2 order by 1, 2")
        print(f"Airflow {'.'.join(map(str, AIRFLOW))}, {self.kills} triggerers killed")
        shut_out = (self.stack.home.log_path).read_text(errors="replace").count("Ack timeout")
        print(f"ends {len(states)}, reported {sum(reported.values())}, worked {sum(done.values())} times")
        print(f"watchers that Airflow shut out because their events were not stored in time: {shut_out}")
        print(f"runs {runs}\ntasks {tasks}")
        wrong = [f"{job_id} was worked on {done[job_id]} times" for job_id in states if done[job_id] != 1]
        wrong += [f"{job_id} was {state}" for job_id, state, _ in worked if states[job_id] != state]
        wrong += [f"{count} runs failed" for state, count in runs if state == "failed"]
        if sum(reported.values()) == len(states) and self.kills:
            wrong.append("no end was reported twice: this run shows nothing")
        return wrong


def main() -> int:
    """Run it for the Airflow that is installed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ends", type=int, default=60, help="how many batches end")
    parser.add_argument("--kills", type=int, default=5, help="how often a triggerer is killed")
    parser.add_argument("--ack-timeout", type=float, help="Airflow's [triggerer] shared_stream_ack_timeout, in seconds")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and clean up on the way
    with postgres.serving(standalone._free_port()) as database, Home(poke_interval=10.0) as home:
        options = settings(database.dsn, parallelism=4)
        if arguments.ack_timeout:
            options["AIRFLOW__TRIGGERER__SHARED_STREAM_ACK_TIMEOUT"] = str(arguments.ack_timeout)
        stack = Stack(home, options, standalone._free_port())
        run = Run(stack, database.dsn, make_batches(arguments.ends), arguments.kills)
        try:
            run.prepare()
            run.go()
            wrong = run.wrong()
        except (TimeoutError, ChildProcessError) as error:
            wrong = [str(error), *run.wrong()]
        finally:
            stack.stop()
        if wrong:
            print(f"Airflow's output is kept in {home.keep_log()}")
    for line in wrong:
        print(f"WRONG: {line}")
    print("FAILED" if wrong else "OK: the work behind each end was done once")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
