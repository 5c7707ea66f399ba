"""Evidence that the waits leave in the database and in files."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
from cryptography.fernet import Fernet
from stack import AIRFLOW

from airflow_provider_hwstatus.sensors.base import BACKSTOP

#: States of a task that has ended.
ENDED = {"success", "failed", "skipped", "upstream_failed", "removed"}

_TRIGGERS = """
select t.id, t.triggerer_id, t.kwargs, ti.task_id, extract(epoch from ti.trigger_timeout)::float
from trigger t join task_instance ti on ti.trigger_id = t.id where ti.dag_id like 'waits%'
"""
#: In Airflow 3.4 each try has a row. This selects the last one of a task.
_LAST_TRY = "and ti.working_set" if AIRFLOW >= (3, 4) else ""
_TASKS = f"""
select task_id, state, try_number, extract(epoch from start_date)::float, extract(epoch from end_date)::float
from task_instance ti where dag_id like 'waits%' {_LAST_TRY}
"""  # noqa: S608  # constants
_ON_WORKERS = "select task_id from task_instance where dag_id like 'waits%' and coalesce(hostname, '') <> ''"
#: In Airflow 3.4 an XCom also belongs to the row of a try.
_RETURN_VALUES = (
    f"""
select ti.task_id, x.value from xcom_v2 x join task_instance ti on ti.id = x.task_instance_id
where ti.dag_id like 'waits%' and x.key = 'return_value' {_LAST_TRY}
"""  # noqa: S608  # constants
    if AIRFLOW >= (3, 4)
    else "select task_id, value from xcom where dag_id like 'waits%' and key = 'return_value'"
)
_REPORTED_ENDS = """
select a.name, e.extra, extract(epoch from e.timestamp)::float from asset_event e join asset a on a.id = e.asset_id
order by e.id
"""
_WATCHED = """
select a.name, s.value from asset_state_store s join asset a on a.id = s.asset_id where s.key like 'hwstatus%'
"""


@dataclass(frozen=True)
class ReportedEnd:
    """
    An end that a watcher reported.

    :param subject: Id of the batch or the request.
    :param time: Seconds since 1970.
    """

    asset: str
    subject: str
    state: str
    outcome: str
    time: float


@dataclass(frozen=True)
class Task:
    """
    The current state of a task instance.

    :param began_at: Seconds since 1970.
    :param ended_at: Seconds since 1970.
    """

    task_id: str
    state: str | None
    try_number: int
    began_at: float | None
    ended_at: float | None


@dataclass
class Evidence:
    """
    Reads the evidence of a run.

    :param dsn: URL of Airflow's database.
    :param folder: AIRFLOW_HOME.
    :param key: Airflow's Fernet key.
    """

    dsn: str
    folder: Path
    key: str
    #: Deadlines, triggers and triggerers in the samples, by task.
    deadlines: dict[str, set[float]] = field(default_factory=lambda: defaultdict(set))
    triggers: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    triggerers: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    #: Decrypted arguments of the triggers.
    arguments: set[str] = field(default_factory=set)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        connection = psycopg2.connect(self.dsn)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(sql)
                return list(cursor.fetchall())
        finally:
            connection.close()

    def tasks(self) -> dict[str, Task]:
        """Return the task instances by name."""
        return {row[0]: Task(*row) for row in self.query(_TASKS)}

    def running(self) -> dict[str, int]:
        """Return the process ids of running tasks, by task."""
        return dict(self.query("select task_id, pid from task_instance where state = 'running' and pid is not null"))

    def sample(self) -> None:
        """Record the current triggers."""
        for trigger, triggerer, kwargs, task_id, timeout in self.query(_TRIGGERS):
            text = kwargs if kwargs.startswith("{") else Fernet(self.key).decrypt(kwargs.encode()).decode()
            self.arguments.add(text)
            self.triggers[task_id].add(trigger)
            found = re.findall(r'"deadline": ([\d.]+)', text) or [timeout - BACKSTOP]
            self.deadlines[task_id] |= set(map(float, found))
            if triggerer is not None:
                self.triggerers[task_id].add(triggerer)

    def return_values(self) -> dict[str, Any]:
        """Return the return values of the tasks, by task."""
        values = dict(self.query(_RETURN_VALUES))
        return {task_id: _decoded(value) for task_id, value in values.items()}

    def reported_ends(self) -> list[ReportedEnd]:
        """Return the ends that watchers reported, in order."""
        found = []
        for asset, extra, time in self.query(_REPORTED_ENDS):
            payload = _decoded(extra)["payload"]
            status = payload.get("status") or payload["statuses"][0]
            subject, outcome = payload.get("request_id") or status["job_id"], payload.get("outcome")
            found.append(ReportedEnd(asset, subject, status["state"], outcome or status["outcome"], time))
        return found

    def watched(self) -> set[tuple[str, str]]:
        """Return the batches in progress that each watcher has stored: the asset, and the batch's id."""
        return {
            (asset, job_id)
            for asset, checkpoint in self.query(_WATCHED)
            for job_id in _decoded(checkpoint).get("running", ())
        }

    def tasks_on_workers(self) -> set[str]:
        """Return the tasks that ran on a worker. A worker writes a log and stores its host name."""
        with_hostname = {task_id for (task_id,) in self.query(_ON_WORKERS)}
        return with_hostname | {
            part.removeprefix("task_id=")
            for file in (self.folder / "logs").rglob("attempt=*.log")
            if ".trigger." not in file.name
            for part in file.parts
            if part.startswith("task_id=")
        }

    def ends(self) -> dict[str, list[dict[str, Any]]]:
        """Return the ends that callbacks recorded, by task."""
        ends = defaultdict(list)
        for end in self._lines("ends.jsonl"):
            ends[end["task_id"]].append(end)
        return ends

    def polls(self) -> dict[str, list[tuple[float, int | None, str | None]]]:
        """Return the time, HTTP status and state of each poll, by job."""
        polls = defaultdict(list)
        for time, job_id, status, state in self._lines("polls.jsonl"):
            polls[job_id].append((time, status, state))
        return polls

    def logs(self) -> list[Path]:
        """Return the files of Airflow's logs."""
        files = [*(self.folder / "logs").rglob("*"), self.folder / "airflow.log"]
        return [file for file in files if file.is_file()]

    def secrets(self) -> set[str]:
        """Return all secrets that the cloud ever issued or accepted."""
        return {secret for (secret,) in self._lines("secrets.jsonl")}

    def log(self, task_id: str) -> str:
        """Return the log of all tries of a task."""
        files = [file for file in (self.folder / "logs").rglob("*") if file.is_file() and self._is_of(file, task_id)]
        return "\n".join(file.read_text() for file in files)

    @staticmethod
    def _is_of(file: Path, task_id: str) -> bool:
        return any(part == f"task_id={task_id}" for part in file.parts)

    def _lines(self, name: str) -> list[Any]:
        file = self.folder / name
        lines = file.read_text().splitlines() if file.exists() else []
        return [
            json.loads(line) for line in lines if line.endswith(("}", "]"))
        ]  # a killed process may leave a partial last line


def _decoded(value: Any) -> Any:
    while isinstance(value, str | bytes | memoryview):
        value = json.loads(bytes(value) if isinstance(value, memoryview) else value)
    return value
