"""What is left behind by the waits, in the database and in files, while they go on and at their end."""

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
#: Since Airflow 3.4 each try has a row of its own, and the last one of a task is marked.
_LAST_TRY = "and ti.working_set" if AIRFLOW >= (3, 4) else ""
_TASKS = f"""
select task_id, state, try_number, extract(epoch from start_date)::float, extract(epoch from end_date)::float
from task_instance ti where dag_id like 'waits%' {_LAST_TRY}
"""  # noqa: S608  # constants
_ON_WORKERS = "select task_id from task_instance where dag_id like 'waits%' and coalesce(hostname, '') <> ''"
#: Likewise, an XCom belongs to the row of a try.
_RETURNED = (
    f"""
select ti.task_id, x.value from xcom_v2 x join task_instance ti on ti.id = x.task_instance_id
where ti.dag_id like 'waits%' and x.key = 'return_value' {_LAST_TRY}
"""  # noqa: S608  # constants
    if AIRFLOW >= (3, 4)
    else "select task_id, value from xcom where dag_id like 'waits%' and key = 'return_value'"
)
_TOLD = """
select a.name, e.extra, extract(epoch from e.timestamp)::float from asset_event e join asset a on a.id = e.asset_id
order by e.id
"""
_WATCHED = """
select a.name, s.value from asset_state_store s join asset a on a.id = s.asset_id where s.key like 'hwstatus%'
"""


@dataclass(frozen=True)
class Told:
    """
    An end that a watcher told.

    :param subject: The batch's or the request's id.
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
    A task instance as it stands.

    :param began: Seconds since 1970; likewise *ended*.
    """

    task_id: str
    state: str | None
    try_number: int
    began: float | None
    ended: float | None


@dataclass
class Evidence:
    """
    All that is known about the waits.

    :param dsn: Address of Airflow's database.
    :param folder: Airflow's home.
    :param key: Airflow's Fernet key.
    """

    dsn: str
    folder: Path
    key: str
    #: By task, the deadlines, triggers and triggerers that it was seen with.
    deadlines: dict[str, set[float]] = field(default_factory=lambda: defaultdict(set))
    triggers: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    triggerers: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    #: What the rows of the triggers held, decrypted.
    arguments: set[str] = field(default_factory=set)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows."""
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
        """Return the processes that run tasks now, by task."""
        return dict(self.query("select task_id, pid from task_instance where state = 'running' and pid is not null"))

    def sample(self) -> None:
        """Look at the triggers that wait now."""
        for trigger, triggerer, kwargs, task_id, timeout in self.query(_TRIGGERS):
            text = kwargs if kwargs.startswith("{") else Fernet(self.key).decrypt(kwargs.encode()).decode()
            self.arguments.add(text)
            self.triggers[task_id].add(trigger)
            found = re.findall(r'"deadline": ([\d.]+)', text) or [timeout - BACKSTOP]
            self.deadlines[task_id] |= set(map(float, found))
            if triggerer is not None:
                self.triggerers[task_id].add(triggerer)

    def returned(self) -> dict[str, Any]:
        """Return what the tasks returned, by name."""
        values = dict(self.query(_RETURNED))
        return {task_id: _decoded(value) for task_id, value in values.items()}

    def told(self) -> list[Told]:
        """Return what the watchers told, in order."""
        found = []
        for asset, extra, time in self.query(_TOLD):
            payload = _decoded(extra)["payload"]
            status = payload.get("status") or payload["statuses"][0]
            subject, outcome = payload.get("request_id") or status["job_id"], payload.get("outcome")
            found.append(Told(asset, subject, status["state"], outcome or status["outcome"], time))
        return found

    def watched(self) -> set[tuple[str, str]]:
        """Return the batches in progress that each watcher has stored: the asset, and the batch's id."""
        return {(asset, job_id) for asset, mark in self.query(_WATCHED) for job_id in _decoded(mark).get("going", ())}

    def begun_on_workers(self) -> set[str]:
        """Return the tasks that have been on a worker: it logs, and it leaves its name."""
        named = {task_id for (task_id,) in self.query(_ON_WORKERS)}
        return named | {
            part.removeprefix("task_id=")
            for file in (self.folder / "logs").rglob("attempt=*.log")
            if ".trigger." not in file.name
            for part in file.parts
            if part.startswith("task_id=")
        }

    def ends(self) -> dict[str, list[dict[str, Any]]]:
        """Return the verdicts that Airflow called back with, by task."""
        ends = defaultdict(list)
        for end in self._lines("ends.jsonl"):
            ends[end["task_id"]].append(end)
        return ends

    def polls(self) -> dict[str, list[tuple[float, int | None, str | None]]]:
        """Return when each job was asked about, and the HTTP status and state that were told."""
        polls = defaultdict(list)
        for time, job_id, status, state in self._lines("polls.jsonl"):
            polls[job_id].append((time, status, state))
        return polls

    def secrets(self) -> set[str]:
        """Return all that opens the cloud, or ever did."""
        return {secret for (secret,) in self._lines("secrets.jsonl")}

    def log(self, task_id: str) -> str:
        """Return what a task logged, in all tries."""
        files = [file for file in (self.folder / "logs").rglob("*") if file.is_file() and self._is_of(file, task_id)]
        return "\n".join(file.read_text() for file in files)

    @staticmethod
    def _is_of(file: Path, task_id: str) -> bool:
        return any(part == f"task_id={task_id}" for part in file.parts)

    def _lines(self, name: str) -> list[Any]:
        file = self.folder / name
        lines = file.read_text().splitlines() if file.exists() else []
        return [json.loads(line) for line in lines if line.endswith(("}", "]"))]  # a killed writer's last is half


def _decoded(value: Any) -> Any:
    while isinstance(value, str | bytes | memoryview):
        value = json.loads(bytes(value) if isinstance(value, memoryview) else value)
    return value
