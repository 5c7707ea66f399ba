"""The waits of a run. The fake cloud, the DAG and the checks use the same list."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from logins import LOGINS

#: By kind: the sensor, its arguments, two states in progress, the state after success and the state after failure.
KINDS: dict[str, tuple[str, dict[str, str], tuple[str | int, ...], str | int, str | int]] = {
    "dli_batch": ("DliBatchSensor", {"batch_id": "{id}"}, ("starting", "running"), "success", "dead"),
    "dli_session_ready": ("DliSessionSensor", {"session_id": "{id}"}, ("not_started", "starting"), "idle", "dead"),
    "dli_session_stopped": (
        "DliSessionSensor",
        {"session_id": "{id}", "wait_for": "stopped"},
        ("idle", "shutting_down"),
        "success",
        "error",
    ),
    "cph_job": ("CphJobSensor", {"job_id": "{id}"}, (1, 1), 2, -1),
}

#: Verdicts of ten consecutive waits: success, failure, failure with ``soft_fail``, time-out, and a refused poll (HTTP
#: 403) with ``never_fail``. Without ``never_fail``, Airflow would retry it.
VERDICTS = (
    "success",
    "failure",
    "success",
    "success",
    "soft_fail",
    "never_fail",
    "failure",
    "success",
    "timeout",
    "success",
)

#: Airflow's task state for each verdict.
STATES = {
    "success": "success",
    "failure": "failed",
    "soft_fail": "skipped",
    "never_fail": "skipped",
    "timeout": "failed",
}

#: Arguments of the modes that wait in the triggerer.
MODES = {"deferrable": {"deferrable": True}, "start_from_trigger": {"deferrable": True, "start_from_trigger": True}}

#: The kind and mode of the waits that share one connection.
LISTED = ("dli_batch", "deferrable")

_GOLDEN_RATIO = 0.618034


@dataclass(frozen=True)
class Wait:
    """
    One wait and its job.

    :param login: Login method, which selects the connection.
    :param ends_at: Seconds from the epoch to the job's end. None if the job never ends.
    :param timeout: Seconds for the whole wait.
    :param poke_interval: Seconds between two polls.
    :param request_id: Id of the job's CPH request, if a watcher watches it.
    """

    task_id: str
    kind: str
    job_id: str
    mode: str
    login: str
    verdict: str
    ends_at: float | None
    timeout: float
    poke_interval: float
    request_id: str | None = None

    @property
    def state(self) -> str:
        """Airflow's final state of the task."""
        return STATES[self.verdict]

    @property
    def job_state(self) -> str:
        """The job's last state as text, or the HTTP error of a poll."""
        _, _, in_progress, success, failure = KINDS[self.kind]
        states = {"success": success, "timeout": in_progress[-1], "never_fail": "HTTP 403"}
        return str(states.get(self.verdict, failure))

    @property
    def without_worker(self) -> bool:
        """Whether the wait never runs on a worker."""
        return self.mode == "start_from_trigger" and self.verdict == "success"

    @property
    def sensor(self) -> tuple[str, dict[str, object]]:
        """The sensor's class and arguments."""
        name, arguments, *_ = KINDS[self.kind]
        modes = MODES.get(self.mode, {"deferrable": False, "mode": self.mode})
        return name, {
            "task_id": self.task_id,
            **{key: value.format(id=self.job_id) for key, value in arguments.items()},
            **modes,
            "hwstatus_conn_id": f"hwstatus_{self.login}",
            "timeout": self.timeout,
            "poke_interval": self.poke_interval,
            "soft_fail": self.verdict == "soft_fail",
            "never_fail": self.verdict == "never_fail",
            # With a success callback, a wait that starts in the triggerer would end on a worker.
            **({"on_success_callback": None} if self.mode == "start_from_trigger" else {}),
            "priority_weight": 1 if self.verdict == "timeout" else 10,  # waits that time out start last
        }

    @property
    def outcome(self) -> str:
        """The outcome of the job."""
        return "success" if self.verdict == "success" else "failure"

    @property
    def watched_by(self) -> list[tuple[str, str]]:
        """The assets whose watchers report the job's end, each with the reported id."""
        if self.verdict in {"timeout", "never_fail"}:
            return []
        if self.kind == "dli_batch":
            assets = ["batches"] if self.verdict == "success" else ["batches", "dead_batches"]
            return [(asset, self.job_id) for asset in assets]
        return [("requests", self.request_id)] if self.request_id else []

    def steps(self) -> dict[float, str | int]:
        """Return the job's steps by second."""
        _, _, (first, second), success, failure = KINDS[self.kind]
        if self.ends_at is None:
            return {0: first, 5: second}
        last = {"success": success, "never_fail": 403}.get(self.verdict, failure)
        return {0: first, self.ends_at / 2: second, self.ends_at: last}


def make_waits(count: int, modes: Iterable[str], span: float, timeout: float) -> list[Wait]:
    """
    Return *count* waits whose jobs end one after the other.

    :param span: Seconds from the first end to the last.
    :param timeout: Time-out in seconds of the waits whose jobs never end.
    """
    modes = list(modes)
    waits = []
    for number in range(count):
        kind, mode = list(KINDS)[number // 3 % 4], modes[number % len(modes)]
        verdict = VERDICTS[number % 10]
        if verdict == "timeout" and mode == "poke":  # a retry after a killed worker gets a new deadline
            verdict = "success"
        job_id = str(uuid.uuid5(uuid.NAMESPACE_OID, str(number)))
        waits.append(
            Wait(
                task_id=f"{kind}_{mode}_{verdict}_{number:03}",
                kind=kind,
                job_id=job_id,
                mode=mode,
                # In a large run, these are enough to be polled by their list.
                login="aksk" if (kind, mode) == LISTED else LOGINS[(number + number // 10) % len(LOGINS)],
                verdict=verdict,
                ends_at=None if verdict == "timeout" else round(5 + number * _GOLDEN_RATIO % 1 * span, 1),
                timeout=timeout if verdict == "timeout" else 3600.0,
                poke_interval=25.0 if mode == "reschedule" else 10.0,  # each poll starts a process
                request_id=f"r-{job_id}" if kind == "cph_job" and verdict != "never_fail" else None,
            )
        )
    return waits


def save(waits: Iterable[Wait], file: Path) -> None:
    """Write the waits to a file for the fake cloud and the DAG."""
    sensors = [asdict(wait) | {"sensor": wait.sensor} for wait in waits]
    file.write_text(json.dumps(sensors, indent=1))


def load(file: Path) -> list[Wait]:
    """Read the waits that :func:`save` wrote."""
    names = Wait.__dataclass_fields__
    return [Wait(**{name: item[name] for name in names}) for item in json.loads(file.read_text())]


def counts(waits: Iterable[Wait], name: str) -> str:
    """Return the number of waits for each value of a field, as text."""
    found = Counter(getattr(wait, name) for wait in waits)
    return ", ".join(f"{number} {value}" for value, number in found.items())
