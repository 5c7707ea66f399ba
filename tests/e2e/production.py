"""
Kill, stop and restart workers and triggerers of CeleryExecutor, rotate a key, and check that nothing is lost.

A real Airflow (CeleryExecutor, Redis, PostgreSQL) with two workers and two triggerers submits batches to a fake cloud
and waits for them in all modes. A worker and a triggerer are killed, the connection's key is replaced, and the other
worker and triggerer stop as in a Kubernetes rollout. Two tasks get SIGTERM as at the end of a pod that runs one task.
The jobs end only after that. Prints a report. Exits with 1 if a check fails.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from importlib.metadata import version

import allowances
import checks
import logins
import postgres
import psutil
import redis_server
import report
from evidence import ENDED, Evidence, Task
from stack import HERE, Stack, keep_files, settings

from airflow_provider_hwstatus.core.connection.signing import AccessKey
from airflow_provider_hwstatus.demo.airflow_home import AirflowHome, free_port
from airflow_provider_hwstatus.testing.cloud import FakeHuaweiCloud

#: Number of tasks that a worker runs at once. Six tasks wait in a worker, so each of the two workers has at least two.
CONCURRENCY = 4

#: Seconds until Redis delivers a task again that no worker has confirmed. Waits in a worker take longer.
VISIBILITY_TIMEOUT = 60

#: Seconds without a heartbeat after which a try has failed.
HEARTBEAT_TIMEOUT = 30

#: Maximum seconds for one step of the run.
TIMEOUT = 600.0

#: Seconds after the last end in which a second end of a task would be detected.
AFTERMATH = 10.0

_IN_WORKER: dict[str, object] = {"deferrable": False, "poke_interval": 5}
_DEFERRED: dict[str, object] = {"deferrable": True, "poke_interval": 15}

#: Class and arguments of the tasks, by the start of their names.
MODES: dict[str, tuple[str, dict[str, object]]] = {
    "submit_in_worker": ("operator", _IN_WORKER),
    "submit_deferred": ("operator", _DEFERRED),
    "submit_evicted": ("operator", _IN_WORKER),
    "submit_evicted_kept": ("operator", _IN_WORKER | {"cancel_on_kill": False}),
    "wait_poke": ("sensor", _IN_WORKER),
    "wait_reschedule": ("sensor", {"deferrable": False, "mode": "reschedule", "poke_interval": 20}),
    "wait_deferred": ("sensor", _DEFERRED),
    "wait_from_trigger": ("sensor", _DEFERRED | {"start_from_trigger": True, "on_success_callback": None}),
}

#: The tasks. Those whose name ends with "dead" wait for a batch that fails.
TASKS = [
    *(f"submit_in_worker_{number}" for number in range(2)),
    *(f"submit_deferred_{number}" for number in range(4)),
    "submit_evicted_0",
    "submit_evicted_kept_0",
    *(f"wait_{mode}_{end}" for mode in ("poke", "reschedule", "deferred", "from_trigger") for end in ("0", "dead")),
]

#: The tasks whose supervisor gets SIGTERM, and the one of them whose job Airflow cancels.
EVICTED, CANCELLED = frozenset({"submit_evicted_0", "submit_evicted_kept_0"}), "submit_evicted_0"


def mode_of(task_id: str) -> str:
    """Return the mode of a task."""
    return task_id.rpartition("_")[0]


def is_deferred(task_id: str) -> bool:
    """Return whether a task waits in the triggerer."""
    return mode_of(task_id).endswith(("deferred", "from_trigger"))


def is_in_worker(task_id: str) -> bool:
    """Return whether a task waits in a worker all the time."""
    arguments = MODES[mode_of(task_id)][1]
    return not arguments["deferrable"] and "mode" not in arguments


def batch_of(sensor: str) -> str:
    """Return the id of the batch that a sensor waits for."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, sensor))


def arguments_of(task_id: str) -> tuple[str, str, dict[str, object]]:
    """Return a task's id, class and arguments."""
    name, arguments = MODES[mode_of(task_id)]
    job: dict[str, object] = (
        {"batch_id": batch_of(task_id)}
        if name == "sensor"
        else {"batch": {"file": "obs://acme/etl.jar"}, "list_lag": 10}
    )
    return task_id, name, arguments | job


@dataclass
class Run:
    """
    One run.

    :ivar killed: The tasks that the killed worker ran.
    :ivar drained: The tasks that the other worker ran when it was stopped.
    :ivar new_key: The key that replaces the first one.
    :ivar rotated_at: Seconds since 1970.
    """

    cloud: FakeHuaweiCloud
    stack: Stack
    evidence: Evidence
    killed: AbstractSet[str] = frozenset()
    drained: AbstractSet[str] = frozenset()
    new_key: AccessKey = field(
        default_factory=lambda: AccessKey("HWSTATUSFAKEACCESS02", f"anotherSecretKey{uuid.uuid4().hex}")
    )
    rotated_at: float = 0.0
    #: Seconds that the stopped worker took to finish its tasks, and its exit code.
    drain: tuple[float, int] = (0.0, 0)
    _ended_jobs: set[str] = field(default_factory=set)

    def prepare(self) -> None:
        """Start Airflow."""
        home = self.stack.home
        for example in home.dags.iterdir():
            example.unlink()
        (home.path / "config/airflow_local_settings.py").unlink()  # it replaces every poke_interval
        shutil.copy(HERE / "production_dag.py", home.dags)
        (home.path / "tasks.json").write_text(json.dumps([arguments_of(task_id) for task_id in TASKS]))
        for task_id in TASKS:
            if task_id.startswith("wait"):
                self.cloud.job("dli_batch", batch_of(task_id), "running")
        self.stack.log("create the database")
        self.stack.airflow("db", "migrate")
        connections = home.path / "connections.json"  # Airflow would log it if it were an argument
        connections.write_text(json.dumps({"hwstatus_default": self.cloud.connection()}))
        self.stack.airflow("connections", "import", str(connections))
        for name in ("dag-processor", "triggerer 1", "triggerer 2", "worker 1", "worker 2", "api-server", "scheduler"):
            self.stack.start(name)

    def jobs(self) -> dict[str, list[str]]:
        """Return the ids of the jobs of each task: those that it submitted, or the one that it waits for."""
        found = {task_id: [batch_of(task_id)] if task_id.startswith("wait") else [] for task_id in TASKS}
        for each in self.cloud.submissions.accepted:
            found[str(each.body["name"]).rsplit("-", 2)[0]].append(each.job_id)
        return found

    def polled(self, tasks: AbstractSet[str], since: float, access_key: str = "") -> bool:
        """Return whether the last job of each task was polled successfully since a time, with a key."""
        ids = {
            record.job_id
            for record in list(self.cloud.requests)
            if record.time > since and record.status == 200 and access_key in record.headers.get("authorization", "")
        }
        jobs = self.jobs()
        return all(ids.intersection(jobs[task_id][-1:]) for task_id in tasks)

    def wait_until(self, event: str, done: Callable[[], bool]) -> None:
        """
        Take samples until *done* returns true.

        :raises TimeoutError: It does not within ``TIMEOUT``.
        """
        deadline = time.monotonic() + TIMEOUT
        while not done():
            self.stack.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{event}: not within {TIMEOUT:g} s")
            time.sleep(1.0)
            self.evidence.sample()
        self.stack.log(event)

    def tasks_of(self, worker: str) -> frozenset[str]:
        """Return the tasks that a worker runs."""
        processes = psutil.Process(self.stack.processes[worker].pid).children(recursive=True)
        pids = {process.pid for process in processes}
        return frozenset(task_id for task_id, pid in self.evidence.running().items() if pid in pids)

    def end_jobs(self, tasks: AbstractSet[str]) -> None:
        """Let the jobs of tasks end."""
        jobs = self.jobs()
        for task_id in tasks:
            names = {each.job_id: each.body["name"] for each in self.cloud.submissions.accepted}
            for job_id in set(jobs[task_id]) - self._ended_jobs:
                state = "dead" if task_id.endswith("dead") else "success"
                named = {"name": names[job_id]} if job_id in names else {}
                self.cloud.job("dli_batch", job_id, state, **named)
                self._ended_jobs.add(job_id)

    def go(self) -> None:
        """Execute the run."""
        every = frozenset(TASKS)
        deferred = {task_id for task_id in TASKS if is_deferred(task_id)}
        self.wait_until(
            f"all {len(TASKS)} tasks wait",
            lambda: self.polled(every, 0.0) and self.evidence.triggers.keys() >= deferred,
        )
        self.kill_worker_and_triggerer(every, deferred)
        self.rotate(every - self.killed)
        self.wait_until(
            "the killed tasks wait again",
            lambda: self.polled(self.killed, self.rotated_at, self.new_key.access_key),
        )
        self.evict()
        self.stop_worker()
        self.stop_triggerer(deferred)
        self.end_jobs(every)
        self.wait_until(
            "all have ended",
            lambda: all(task.state in ENDED for task in self.tasks().values()) and len(self.tasks()) == len(TASKS),
        )
        time.sleep(AFTERMATH)
        self.evidence.sample()

    def kill_worker_and_triggerer(self, every: AbstractSet[str], deferred: AbstractSet[str]) -> None:
        """Kill a worker with its tasks, and a triggerer."""
        self.killed = self.tasks_of("worker 1")
        self.stack.kill("worker 1")
        self.stack.kill("triggerer 1")
        since = time.time()
        self.wait_until("the other triggerer polls all deferred waits", lambda: self.polled(deferred, since))
        self.stack.start("triggerer 1")
        self.stack.start("worker 1")  # the other one may be full
        self.wait_until("all other waits are polled", lambda: self.polled(every - self.killed, since))

    def rotate(self, waiting: AbstractSet[str]) -> None:
        """Replace the key of the connection, and then revoke the old one."""
        account, key = self.cloud.account, self.new_key
        new = self.cloud.connection(key=key)
        body = new | {"connection_id": "hwstatus_default", "extra": json.dumps(new["extra"])}
        self.stack.request("PATCH", "connections/hwstatus_default", body)
        account.access_key, account.secret_key = key.access_key, key.secret_key
        self.rotated_at = time.time()
        self.stack.log("the key is replaced, and the old one is revoked")
        self.wait_until("all waits use the new key", lambda: self.polled(waiting, self.rotated_at, key.access_key))

    def evict(self) -> None:
        """Send SIGTERM to the supervisors of two tasks, as the end of a pod with one task does."""
        running, before = self.evidence.running(), self.jobs()[CANCELLED]
        for task_id in EVICTED:
            self.stack.log(f"SIGTERM to the supervisor of {task_id}")
            os.kill(psutil.Process(running[task_id]).ppid(), signal.SIGTERM)
        self.wait_until("the cancelled job is submitted again", lambda: len(self.jobs()[CANCELLED]) > len(before))
        since = time.time()
        self.wait_until("the evicted tasks wait", lambda: self.polled(EVICTED, since))

    def stop_worker(self) -> None:
        """Stop the other worker while tasks wait in it, let their jobs end, and start it again."""
        self.drained = set(filter(is_in_worker, self.tasks_of("worker 2")))
        process, began = self.stack.terminate("worker 2"), time.time()
        self.wait_until("the stopping worker polls on", lambda: self.polled(self.drained, began + 5))
        self.end_jobs(self.drained)
        self.wait_until("the worker has stopped", lambda: process.poll() is not None)
        self.drain = time.time() - began, process.returncode
        self.stack.start("worker 2")

    def stop_triggerer(self, deferred: AbstractSet[str]) -> None:
        """Stop the other triggerer."""
        process, since = self.stack.terminate("triggerer 2"), time.time()
        self.wait_until("the triggerer has stopped", lambda: process.poll() is not None)
        self.wait_until("the other triggerer polls all deferred waits", lambda: self.polled(deferred, since))
        self.stack.start("triggerer 2")

    def tasks(self) -> dict[str, Task]:
        """Return the task instances by name."""
        return self.evidence.tasks()


def expected_state(task_id: str) -> str:
    """Return the state in which a task must end."""
    return "failed" if task_id.endswith("dead") else "success"


def wrong_tasks(run: Run) -> Iterator[str]:
    """Every task ends as its job requires, with one callback. Only the tasks of the killed worker are retried."""
    tasks, ends = run.tasks(), run.evidence.ends()
    for task_id in TASKS:
        task, expected = tasks.get(task_id), expected_state(task_id)
        if task is None or task.state != expected:
            yield f"{task_id} is {task.state if task else 'lost'}, not {expected}"
            continue
        callbacks = [end["state"] for end in ends[task_id]]
        has_none = mode_of(task_id) == "wait_from_trigger" and expected == "success"
        if callbacks != ([] if has_none else [expected]):
            yield f"{task_id} has callbacks for {callbacks}"
        if task.try_number > allowances.max_tries(task_id in run.killed) + (task_id == CANCELLED):
            yield f"{task_id} needed {task.try_number} tries"


def wrong_jobs(run: Run) -> Iterator[str]:
    """Every operator submits one job. Only the job of one evicted task is cancelled, and its retry submits another."""
    jobs, cancelled = run.jobs(), run.cloud.submissions.cancelled
    for task_id, found in jobs.items():
        if len(found) != 1 + (task_id == CANCELLED):
            yield f"{task_id} has {len(found)} jobs"
    if cancelled != jobs[CANCELLED][:1]:
        yield f"{len(cancelled)} jobs were cancelled"


def wrong_ends(run: Run) -> Iterator[str]:
    """The killed worker had tasks, the stopped one finished its tasks, and no trigger is left."""
    if not run.killed or not run.drained:
        yield f"the workers ran {sorted(run.killed)} and {sorted(run.drained)} when they were killed and stopped"
    if run.drain[1]:
        yield f"the stopped worker exited with {run.drain[1]}"
    for (count,) in run.evidence.query("select count(*) from trigger"):
        if count:
            yield f"{count} triggers are left"
    for task_id, text in run.evidence.query("select task_id, extra from log where event = 'state mismatch'"):
        if not allowances.may_mismatch(task_id in run.killed):
            yield f"state mismatch: {text}"


def wrong_secrets(run: Run, texts: Mapping[str, str], passwords: set[str]) -> Iterator[str]:
    """No key or password is in a log, a trigger or another table than that of the connections."""
    secrets = passwords | logins.secrets(run.cloud) | logins.secrets(FakeHuaweiCloud())
    yield from checks.no_secrets(texts, secrets - allowances.audited(run.new_key))


def table(run: Run, seconds: float) -> str:
    """Return the report as text."""
    tries = Counter(task.try_number for task in run.tasks().values())
    ignored = (run.evidence.folder / "airflow.log").read_text(errors="replace").count("ignoring redelivered message")
    moved = sum(len(found) > 1 for found in run.evidence.triggerers.values())
    names = ("apache-airflow", "apache-airflow-providers-celery", "celery", "redis")
    rows = {
        "versions": ", ".join(f"{name} {version(name)}" for name in names) + f", Python {platform.python_version()}",
        "machine": f"{os.cpu_count()} CPUs with a load of {os.getloadavg()[2]:.0f}",
        "tasks": ", ".join(f"{count} {mode}" for mode, count in Counter(map(mode_of, TASKS)).items()),
        "tries": ", ".join(f"{count} tasks needed {number}" for number, count in sorted(tries.items())),
        "killed with the worker": ", ".join(sorted(run.killed)),
        "finished while the worker stopped": ", ".join(sorted(run.drained)),
        "the worker stopped within": f"{run.drain[0]:.0f} s",
        "delivered again and ignored": str(ignored),
        "triggers moved": f"{moved} of {len(run.evidence.triggerers)} to another triggerer at least once",
        "submissions, cancelled": f"{len(run.cloud.submissions.accepted)}, {len(run.cloud.submissions.cancelled)}",
        "polls refused": str(sum(record.status == 401 for record in run.cloud.requests)),
        "wall time": f"{seconds:.0f} s",
    }
    return report.aligned(rows)


def run_production() -> list[str]:
    """Execute the run, print the report, and return one line per violation."""
    with (
        postgres.serving(free_port()) as database,
        redis_server.serving(free_port()) as redis,
        FakeHuaweiCloud() as cloud,
        AirflowHome(poke_interval=5) as home,
    ):
        cloud.submissions.seconds["dli_batch"] = {0: "starting", 5: "running"}
        cloud.reply_filters.append(logins.echo_request)
        airflow = settings(database.dsn, parallelism=16, scheduler_lost=30) | {
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CELERY__BROKER_URL": redis.url,
            "AIRFLOW__CELERY__WORKER_CONCURRENCY": str(CONCURRENCY),
            "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": str(VISIBILITY_TIMEOUT),
            "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__UNACKED_RESTORE_THROTTLE": "1",  # every 10 s, not 100
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(HEARTBEAT_TIMEOUT),
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
        }
        stack = Stack(home, airflow, cloud.port)
        run = Run(cloud, stack, Evidence(database.dsn, home.path, home.fernet_key))
        try:
            run.prepare()
            run.go()
            wrong = [line for check in (wrong_tasks, wrong_jobs, wrong_ends) for line in check(run)]
            texts = checks.stored_texts(run.evidence, database.dump(without="connection"))
            wrong += wrong_secrets(run, texts, {redis.password, database.password})
            print(table(run, time.time() - stack.started_at))
        except (TimeoutError, ChildProcessError) as error:
            wrong = [str(error), *(str(task) for task in run.tasks().values() if task.state not in ENDED)]
        finally:
            stack.stop_all()
        if wrong:
            keep_files(home)
    return wrong


def main() -> int:
    """Run, and return 1 if a check fails."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # runs the cleanup
    wrong = run_production()
    for line in wrong:
        print(f"WRONG: {line}")
    print("FAILED" if wrong else "OK: each job was submitted once, and every task ended as its job requires")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
