"""``python -m airflow_provider_hwstatus.testing``: a fake Huawei Cloud to point a real Airflow at."""

from __future__ import annotations

import argparse
import json
import signal
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
STATES is one per call, such as starting,running,success, or by seconds since the first call, such as
0=starting,30=success. A number from 200 on is an HTTP status, and reset, half, hang or drip a broken reply.
"""


@dataclass(frozen=True)
class WaitOptions:
    """A job as the command line names it; either *steps* or *seconds*, which count from the first call."""

    kind: str
    job_id: str
    steps: tuple[Step, ...] = ()
    seconds: Mapping[float, Step] | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)


READY_MADE = (
    WaitOptions(
        "dli_batch", "0a324461-d9d9-45da-a52a-3b3c7a3d809e", seconds={0: "starting", 5: "running", 20: "success"}
    ),
    WaitOptions(
        "dli_batch",
        "46a8f0b7-3e5c-4d12-9f68-c7b1d2e09a35",
        seconds={0: "starting", 5: "running", 10: "dead"},
        fields={"log": ["stdout: ", "stderr: ", "java.lang.OutOfMemoryError: Java heap space"]},
    ),
    WaitOptions("dli_session_ready", "session-good", seconds={0: "not_started", 5: "starting", 15: "idle"}),
    WaitOptions("dli_session_ready", "session-bad", seconds={0: "not_started", 5: "starting", 10: "error"}),
    WaitOptions("dli_session_stopped", "session-stops", seconds={0: "busy", 10: "shutting_down", 15: "success"}),
    WaitOptions("dli_session_stopped", "session-dies", seconds={0: "busy", 10: "dead"}),
    WaitOptions("cph_job", "cph-good", seconds={0: 1, 15: 2}, fields={"execute_msg": "done"}),
    WaitOptions(
        "cph_job",
        "cph-bad",
        seconds={0: 1, 10: -1},
        fields={"error_code": "CPS.0005", "error_msg": "The phone is not running."},
    ),
)


def parse_plan(text: str) -> WaitOptions:
    """
    Return the job of ``--job KIND:ID:STATES``.

    :raises argparse.ArgumentTypeError: *text* is none.
    """
    kind, _, rest = text.partition(":")
    job_id, _, states = rest.partition(":")
    if kind not in KINDS or not job_id or not states:
        raise argparse.ArgumentTypeError(f"{text!r} is not KIND:ID:STATES with KIND from {', '.join(KINDS)}")
    parts = states.split(",")
    try:
        check_id(KINDS[kind], job_id)
        if "=" not in states:
            return WaitOptions(kind, job_id, steps=tuple(_step(part) for part in parts))
        pairs = [part.split("=", 1) for part in parts]
        return WaitOptions(kind, job_id, seconds={float(second): _step(step) for second, step in pairs})
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"{text!r}: {exc}") from exc


def _step(text: str) -> Step:
    """:raises ValueError: *text* is no step."""
    if text in list(Fault):
        return Fault(text)
    if not text:
        raise ValueError("a state is empty")
    step = int(text) if text.lstrip("-").isdigit() else text
    check_step(step)
    return step


def show_connection(cloud: FakeHuaweiCloud) -> str:
    """Return what to paste into a shell or into Airflow's connection form."""
    connection = cloud.connection()
    return "\n".join(
        (
            f"A fake Huawei Cloud listens on {cloud.url}. Point Airflow at it with",
            "",
            f"export AIRFLOW_CONN_HWSTATUS_DEFAULT='{json.dumps(connection)}'",
            "",
            "or fill in Airflow's connection form:",
            "  Connection Id    hwstatus_default",
            "  Connection Type  hwstatus",
            f"  Login            {connection['login']}",
            f"  Password         {connection['password']}",
            f"  Extra            {json.dumps(connection['extra'])}",
        )
    )


def show_plans(plans: Sequence[WaitOptions]) -> str:
    """Return one line for each job."""
    lines = ["", "Jobs (seconds count from the first call):"]
    for options in plans:
        timeline = [f"{second:g}={step}" for second, step in (options.seconds or {}).items()]
        states = ",".join(timeline or (str(step) for step in options.steps))
        lines.append(f"  {options.kind:<20} {options.job_id:<36} {states}")
    return "\n".join([*lines, "", "Ctrl-C stops it."])


def show_record(record: Record) -> None:
    """Print what was answered to one request."""
    when = datetime.fromtimestamp(record.time, UTC).astimezone().strftime("%H:%M:%S")
    status = record.status or "no reply"
    print(when, record.method, record.path, "->", status, record.state or "", flush=True)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m airflow_provider_hwstatus.testing",
        description="Serve a fake Huawei Cloud on this machine until Ctrl-C.",
        epilog=_EPILOG,
    )
    parser.add_argument("--port", type=int, default=8123, help="where to listen; 0 takes a free port (%(default)s)")
    parser.add_argument(
        "--job", action="append", default=[], type=parse_plan, metavar="KIND:ID:STATES", help="a further job"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    arguments = _arguments(argv)
    plans = (*READY_MADE, *arguments.job)
    done = Event()

    def stop(number: int, frame: FrameType | None) -> None:
        done.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    cloud = FakeHuaweiCloud(arguments.port)
    cloud.listeners.append(show_record)
    for options in plans:
        cloud.job(
            options.kind,
            options.job_id,
            *options.steps,
            seconds=options.seconds,
            since_first_call=True,
            **options.fields,
        )
    with cloud:
        print(show_connection(cloud), show_plans(plans), sep="\n", flush=True)
        done.wait()


if __name__ == "__main__":
    main()
