"""``python -m airflow_provider_hwstatus.testing`` serves a fake Huawei Cloud for a real Airflow."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event
from types import FrameType
from typing import Any

from airflow_provider_hwstatus.kinds import KINDS
from airflow_provider_hwstatus.testing.cloud import FakeHuaweiCloud
from airflow_provider_hwstatus.testing.dli import check_id
from airflow_provider_hwstatus.testing.script import check_step
from airflow_provider_hwstatus.testing.wire import Fault, Record, Step

_EPILOG = """
STATES is one state per poll, such as starting,running,success, or states by seconds since the first poll, such as
0=starting,30=success. A number of 200 or more is an HTTP status. reset, half, hang and drip are broken replies.
"""

_LAST_PORT = 65535


@dataclass(frozen=True)
class JobScript:
    """
    A job of the command line. Either *steps* or *seconds* is set.

    :param steps: One step per poll. The last one stays.
    :param seconds: Steps by seconds since the first poll.
    :param fields: Further fields of the job's replies.
    """

    kind: str
    job_id: str
    steps: tuple[Step, ...] = ()
    seconds: Mapping[float, Step] | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)


DEFAULT_JOBS = (
    JobScript(
        "dli_batch", "0a324461-d9d9-45da-a52a-3b3c7a3d809e", seconds={0: "starting", 5: "running", 20: "success"}
    ),
    JobScript(
        "dli_batch",
        "46a8f0b7-3e5c-4d12-9f68-c7b1d2e09a35",
        seconds={0: "starting", 5: "running", 10: "dead"},
        fields={"log": ["stdout: ", "stderr: ", "java.lang.OutOfMemoryError: Java heap space"]},
    ),
    JobScript("dli_session_ready", "session-good", seconds={0: "not_started", 5: "starting", 15: "idle"}),
    JobScript("dli_session_ready", "session-bad", seconds={0: "not_started", 5: "starting", 10: "error"}),
    JobScript("dli_session_stopped", "session-stops", seconds={0: "busy", 10: "shutting_down", 15: "success"}),
    JobScript("dli_session_stopped", "session-dies", seconds={0: "busy", 10: "dead"}),
    JobScript("cph_job", "cph-good", seconds={0: 1, 15: 2}, fields={"execute_msg": "done"}),
    JobScript(
        "cph_job",
        "cph-bad",
        seconds={0: 1, 10: -1},
        fields={"error_code": "CPS.0005", "error_msg": "The phone is not running."},
    ),
)


def parse_job(text: str) -> JobScript:
    """
    Parse the value of ``--job``, ``KIND:ID:STATES``.

    :raises argparse.ArgumentTypeError: *text* does not have this form.
    """
    kind, _, rest = text.partition(":")
    job_id, _, states = rest.partition(":")
    if kind not in KINDS or not job_id or not states:
        raise argparse.ArgumentTypeError(f"{text!r} is not KIND:ID:STATES with KIND from {', '.join(KINDS)}")
    parts = states.split(",")
    try:
        check_id(KINDS[kind], job_id)
        if "=" not in states:
            return JobScript(kind, job_id, steps=tuple(_step(part) for part in parts))
        pairs = [part.split("=", 1) for part in parts]
        return JobScript(kind, job_id, seconds={float(second): _step(step) for second, step in pairs})
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"{text!r}: {exc}") from exc


def _step(text: str) -> Step:
    """
    Parse a state, an HTTP status or a fault.

    :raises ValueError: *text* is none of these.
    """
    if text in list(Fault):
        return Fault(text)
    if not text:
        raise ValueError("a state is empty")
    step = int(text) if text.lstrip("-").isdigit() else text
    check_step(step)
    return step


def parse_port(text: str) -> int:
    """
    Parse the value of ``--port``.

    :raises argparse.ArgumentTypeError: *text* is not the number of a port.
    """
    if not text.isdecimal() or int(text) > _LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to {_LAST_PORT}")
    return int(text)


def show_connection(cloud: FakeHuaweiCloud) -> str:
    """Return the connection as a shell command and as values of Airflow's connection form."""
    connection = cloud.connection()
    return "\n".join(
        (
            f"A fake Huawei Cloud listens on {cloud.url}. Connect Airflow to it with",
            "",
            f"export AIRFLOW_CONN_HWSTATUS_DEFAULT='{json.dumps(connection)}'",
            "",
            "or with Airflow's connection form:",
            "  Connection Id    hwstatus_default",
            "  Connection Type  hwstatus",
            f"  Login            {connection['login']}",
            f"  Password         {connection['password']}",
            f"  Extra            {json.dumps(connection['extra'])}",
        )
    )


def show_jobs(jobs: Sequence[JobScript]) -> str:
    """Return one line for each job."""
    lines = ["", "Jobs (seconds count from the first poll):"]
    for job in jobs:
        timeline = [f"{second:g}={step}" for second, step in (job.seconds or {}).items()]
        states = ",".join(timeline or (str(step) for step in job.steps))
        lines.append(f"  {job.kind:<20} {job.job_id:<36} {states}")
    return "\n".join([*lines, "", "Press Ctrl-C to stop."])


def show_record(record: Record) -> None:
    """Print a request and its reply."""
    time = datetime.fromtimestamp(record.time, UTC).astimezone().strftime("%H:%M:%S")
    status = record.status or "no reply"
    print(time, record.method, record.path, "->", status, record.state or "", flush=True)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m airflow_provider_hwstatus.testing",
        description="Serve a fake Huawei Cloud on this machine until Ctrl-C.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "--port", type=parse_port, default=8123, help="port to listen on; 0 takes a free port (default: %(default)s)"
    )
    parser.add_argument(
        "--job",
        action="append",
        default=[],
        type=parse_job,
        metavar="KIND:ID:STATES",
        help="add a job; can be repeated",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    arguments = _arguments(argv)
    jobs = (*DEFAULT_JOBS, *arguments.job)
    stopped = Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    cloud = FakeHuaweiCloud(arguments.port)
    try:
        cloud.start()
    except OSError as error:
        sys.exit(f"error: port {arguments.port} cannot be used: {os.strerror(error.errno or 0)}; choose another --port")
    cloud.listeners.append(show_record)
    for job in jobs:
        cloud.job(job.kind, job.job_id, *job.steps, seconds=job.seconds, since_first_call=True, **job.fields)
    with cloud:
        print(show_connection(cloud), show_jobs(jobs), sep="\n", flush=True)
        stopped.wait()


if __name__ == "__main__":
    main()
