"""
Kill triggerers right after they report ends, and check that each end is processed once.

In a real Airflow (LocalExecutor, PostgreSQL), a watcher of the fake cloud's batches starts a DAG whose first task is
``NewEndsOperator``. The triggerer is killed after each report, so that the next one reports the end again. Prints a
report. Exits with 1 if an end was processed twice or never.
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

from airflow_provider_hwstatus.demo.airflow_home import AirflowHome, free_port
from airflow_provider_hwstatus.testing.cloud import FakeHuaweiCloud

#: Seconds between two bursts of ends, and the number of ends in each.
PAUSE, BURST = 4.0, 3

#: Maximum seconds until Airflow has started, and from the last end to the end of its processing.
BEGIN_TIMEOUT, END_TIMEOUT = 300.0, 3600.0

#: The run is over after this many seconds without a change. It is longer than the replacement of a triggerer takes.
QUIET_SECONDS = 40.0

#: Maximum seconds to wait for that. If Airflow's acknowledgement time-out is too short, changes never stop.
MAX_SETTLE_SECONDS = 150.0


def make_batches(count: int) -> list[waits.Wait]:
    """Return batches that end in bursts. Every fifth fails."""
    return [
        waits.Wait(
            task_id=f"batch_{number:03}",
            kind="dli_batch",
            job_id=str(uuid.uuid5(uuid.NAMESPACE_OID, str(number))),
            mode="watched",
            login="aksk",
            verdict="failure" if number % 5 == 0 else "success",
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

    :param kills: Number of triggerers to kill.
    """

    stack: Stack
    dsn: str
    batches: list[waits.Wait]
    kills: int

    def prepare(self) -> None:
        """Start Airflow and the fake cloud."""
        home = self.stack.home
        waits.save(self.batches, home.path / "waits.json")
        for example in home.dags.iterdir():
            example.unlink()
        shutil.copy(HERE / "ends_dag.py", home.dags)
        self.stack.start("cloud")
        self.stack.airflow("db", "migrate")
        connections = home.path / "connections.json"  # Airflow would log it if it were an argument
        connections.write_text(json.dumps(logins.connections(FakeHuaweiCloud(self.stack.cloud_port))))
        self.stack.airflow("connections", "import", str(connections))
        for name in ("api-server", "dag-processor", "scheduler", "triggerer 1"):
            self.stack.start(name)

    def query(self, sql: str) -> list[tuple[object, ...]]:
        """Return the rows of a query."""
        connection = psycopg2.connect(self.dsn)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(sql)
                return list(cursor.fetchall())
        finally:
            connection.close()

    def reports(self) -> Counter[str]:
        """Return the number of reports of each end."""
        found = Counter[str]()
        for (job_id,) in self.query("select extra::json #>> '{payload,status,job_id}' from asset_event"):
            found[str(job_id)] += 1
        return found

    def processed(self) -> list[list[str]]:
        """Return the batch, state and DAG run of each processed end."""
        file = self.stack.home.path / "work.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def wait_until(self, event: str, done: Callable[[], bool], timeout: float, pause: float = 0.5) -> None:
        """
        Wait until *done* returns true.

        :raises TimeoutError: It does not within *timeout* seconds.
        """
        deadline = time.monotonic() + timeout
        while not done():
            self.stack.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{event}: not within {timeout:g} s")
            time.sleep(pause)
        self.stack.log(event)

    def watched(self) -> bool:
        """Return whether the watcher's checkpoint contains all batches."""
        rows = self.query("select value from asset_state_store where key like 'hwstatus%'")
        return any(len(json.loads(str(value))["running"]) == len(self.batches) for (value,) in rows)

    def go(self) -> None:
        """Let the batches end, and kill a triggerer after each report until enough are killed."""
        self.wait_until("all batches are watched", self.watched, BEGIN_TIMEOUT)
        epoch = self.stack.home.path / "epoch"
        epoch.with_suffix(".new").write_text(str(time.time()))
        epoch.with_suffix(".new").rename(epoch)
        for number in range(1, self.kills + 1):
            before = sum(self.reports().values())
            self.wait_until("an end is reported", lambda: sum(self.reports().values()) > before, 120.0, pause=0.05)  # noqa: B023
            self.stack.kill(f"triggerer {number}")
            self.stack.start(f"triggerer {number + 1}")
        self.wait_until("all ends are reported", lambda: len(self.reports()) == len(self.batches), END_TIMEOUT)
        self.wait_until(
            "all ends are processed",
            lambda: len({job for job, *_ in self.processed()}) == len(self.batches),
            END_TIMEOUT,
        )
        self.settle()

    def settle(self) -> None:
        """Wait until all DAG runs have ended and nothing has changed for a while."""
        began_at = changed_at = time.monotonic()
        last = None
        while time.monotonic() < min(changed_at + QUIET_SECONDS, began_at + MAX_SETTLE_SECONDS):
            state = self.query("select state, count(*) from dag_run group by 1 order by 1"), len(self.processed())
            if state != last or any(name in {"queued", "running"} for name, _ in state[0]):
                changed_at, last = time.monotonic(), state
            time.sleep(1.0)

    def report(self) -> list[str]:
        """Print the report and return one line per violation."""
        reports, processed = self.reports(), self.processed()
        counts = Counter(job_id for job_id, *_ in processed)
        states = {batch.job_id: batch.job_state for batch in self.batches}
        runs = self.query("select state, count(*) from dag_run group by 1 order by 1")
        tasks = self.query("select task_id, state, count(*) from task_instance group by 1, 2 order by 1, 2")
        print(f"Airflow {'.'.join(map(str, AIRFLOW))}, {self.kills} triggerers killed")
        dropped = (self.stack.home.log_path).read_text(errors="replace").count("Ack timeout")
        print(f"{len(states)} ends, {sum(reports.values())} reports, {sum(counts.values())} processed")
        print(f"watchers that Airflow dropped because their events were not stored in time: {dropped}")
        print(f"runs {runs}\ntasks {tasks}")
        wrong = [f"{job_id} was processed {counts[job_id]} times" for job_id in states if counts[job_id] != 1]
        wrong += [f"{job_id} was {state}" for job_id, state, _ in processed if states[job_id] != state]
        wrong += [f"{count} runs failed" for state, count in runs if state == "failed"]
        if sum(reports.values()) == len(states) and self.kills:
            wrong.append("no end was reported twice, so this run proves nothing")
        return wrong


def main() -> int:
    """Run the check on the installed Airflow release."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ends", type=int, default=60, help="number of batches")
    parser.add_argument("--kills", type=int, default=5, help="number of triggerers to kill")
    parser.add_argument("--ack-timeout", type=float, help="Airflow's [triggerer] shared_stream_ack_timeout, in seconds")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # runs the cleanup
    with postgres.serving(free_port()) as database, AirflowHome(poke_interval=10.0) as home:
        options = settings(database.dsn, parallelism=4, scheduler_lost=45)
        if arguments.ack_timeout:
            options["AIRFLOW__TRIGGERER__SHARED_STREAM_ACK_TIMEOUT"] = str(arguments.ack_timeout)
        stack = Stack(home, options, free_port())
        run = Run(stack, database.dsn, make_batches(arguments.ends), arguments.kills)
        try:
            run.prepare()
            run.go()
            wrong = run.report()
        except (TimeoutError, ChildProcessError) as error:
            wrong = [str(error), *run.report()]
        finally:
            stack.stop_all()
        if wrong:
            print(f"Airflow's output is kept in {home.keep_log()}")
    for line in wrong:
        print(f"WRONG: {line}")
    print("FAILED" if wrong else "OK: each end was processed once")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
