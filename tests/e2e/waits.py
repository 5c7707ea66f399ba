"""What is waited for: the same list for the fake cloud, the DAG and the checks."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from logins import LOGINS

#: By kind: Airflow's sensor, its arguments, the job's states until its end, the one after a good and after a bad end.
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

#: Ten waits in a row: jobs that end well, badly, badly with ``soft_fail``, and not in time, and questions that are
#: refused, with ``never_fail``: else they would be retried.
VERDICTS = ("well", "badly", "well", "well", "optional", "refused", "badly", "well", "late", "well")

#: Airflow's state of a task, by its verdict.
STATES = {"well": "success", "badly": "failed", "optional": "skipped", "refused": "skipped", "late": "failed"}

#: Arguments of the waits in the triggerer: those that begin on a worker, and those that begin there, too.
MODES = {"deferrable": {"deferrable": True}, "started": {"deferrable": True, "start_from_trigger": True}}

_GOLDEN_RATIO = 0.618034


@dataclass(frozen=True)
class Wait:
    """
    One wait and its job.

    :param login: Which connection it uses.
    :param ends_at: Seconds from the time at which all wait to the job's end; None if it has none.
    :param timeout: Seconds for the whole wait.
    :param poke_interval: Seconds between two questions.
    :param request_id: The CPH request that the job is of, if it is watched.
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
        """Airflow's state of the task at its end."""
        return STATES[self.verdict]

    @property
    def job_state(self) -> str:
        """The job's last state as text, or what the cloud says instead."""
        _, _, running, good, bad = KINDS[self.kind]
        return str({"well": good, "late": running[-1], "refused": "HTTP 403"}.get(self.verdict, bad))

    @property
    def alone(self) -> bool:
        """Whether the wait has nothing to do with a worker."""
        return self.mode == "started" and self.verdict == "well"

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
            "soft_fail": self.verdict == "optional",
            "never_fail": self.verdict == "refused",
            # With it, a wait that began in the triggerer would end on a worker.
            **({"on_success_callback": None} if self.mode == "started" else {}),
            "priority_weight": 1 if self.verdict == "late" else 10,  # those with a deadline begin last
        }

    @property
    def outcome(self) -> str:
        """How the job ends."""
        return "success" if self.verdict == "well" else "failure"

    @property
    def watched_by(self) -> list[tuple[str, str]]:
        """The assets that are told of the job's end, each with what it calls it."""
        if self.verdict in {"late", "refused"}:
            return []
        if self.kind == "dli_batch":
            assets = ["batches"] if self.verdict == "well" else ["batches", "dead_batches"]
            return [(asset, self.job_id) for asset in assets]
        return [("requests", self.request_id)] if self.request_id else []

    def steps(self) -> dict[float, str | int]:
        """Return what the job does from which second on."""
        _, _, (first, second), good, bad = KINDS[self.kind]
        if self.ends_at is None:
            return {0: first, 5: second}
        last = {"well": good, "refused": 403}.get(self.verdict, bad)
        return {0: first, self.ends_at / 2: second, self.ends_at: last}


def make_waits(count: int, modes: Iterable[str], span: float, timeout: float) -> list[Wait]:
    """
    Return *count* waits whose jobs end one after the other.

    :param span: Seconds over which they do.
    :param timeout: Seconds for the waits whose jobs do not end.
    """
    modes = list(modes)
    waits = []
    for number in range(count):
        kind, mode = list(KINDS)[number // 3 % 4], modes[number % len(modes)]
        verdict = VERDICTS[number % 10]
        if verdict == "late" and mode == "poke":  # begins anew, deadline and all, when its worker is killed
            verdict = "well"
        job_id = str(uuid.uuid5(uuid.NAMESPACE_OID, str(number)))
        waits.append(
            Wait(
                task_id=f"{kind}_{mode}_{verdict}_{number:03}",
                kind=kind,
                job_id=job_id,
                mode=mode,
                login=LOGINS[(number + number // 10) % len(LOGINS)],
                verdict=verdict,
                ends_at=None if verdict == "late" else round(5 + number * _GOLDEN_RATIO % 1 * span, 1),
                timeout=timeout if verdict == "late" else 3600.0,
                poke_interval=25.0 if mode == "reschedule" else 10.0,  # a process each time
                request_id=f"r-{job_id}" if kind == "cph_job" and verdict != "refused" else None,
            )
        )
    return waits


def save(waits: Iterable[Wait], file: Path) -> None:
    """Write the list down for the fake cloud and the DAG."""
    sensors = [asdict(wait) | {"sensor": wait.sensor} for wait in waits]
    file.write_text(json.dumps(sensors, indent=1))


def load(file: Path) -> list[Wait]:
    """Return what :func:`save` wrote."""
    names = Wait.__dataclass_fields__
    return [Wait(**{name: item[name] for name in names}) for item in json.loads(file.read_text())]


def counts(waits: Iterable[Wait], name: str) -> str:
    """Return how many waits have each value of a field, as text."""
    found = Counter(getattr(wait, name) for wait in waits)
    return ", ".join(f"{number} {value}" for value, number in found.items())
