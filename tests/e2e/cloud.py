"""
The fake cloud in a process that can be killed and started again with the same jobs.

``python cloud.py PORT FOLDER`` serves the jobs of ``FOLDER/waits.json``. When ``FOLDER/epoch`` exists, the jobs advance
from the time in it. ``FOLDER/polls.jsonl`` gets a line for each poll, and ``FOLDER/secrets.jsonl`` a line for each
secret before the cloud issues it.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

import logins
import waits

from airflow_provider_hwstatus.testing.cloud import FakeHuaweiCloud, Record

#: Further fields of a failed CPH job.
CPH_ERROR = {"error_code": "CPS.0005", "error_msg": "The phone is not running."}


class Clock:
    """The current time, except in the thread that adds the jobs: there, the epoch."""

    def __init__(self) -> None:
        self.pinned = threading.local()

    def __call__(self) -> float:
        """Return seconds since 1970."""
        time_: float = getattr(self.pinned, "time", time.time())
        return time_


def add_jobs(cloud: FakeHuaweiCloud, clock: Clock, folder: Path) -> None:
    """Add the jobs in their first state. When the epoch is known, let them advance."""
    jobs = waits.load(folder / "waits.json")
    epoch = folder / "epoch"
    if not epoch.exists():
        for wait in jobs:
            cloud.job(wait.kind, wait.job_id, wait.steps()[0], request_id=wait.request_id)
    while not epoch.exists():
        time.sleep(0.1)
    clock.pinned.time = float(epoch.read_text())
    for wait in jobs:
        fields = CPH_ERROR if wait.kind == "cph_job" and wait.verdict != "success" else {}
        cloud.job(wait.kind, wait.job_id, seconds=wait.steps(), request_id=wait.request_id, **fields)
    del clock.pinned.time


def main(port: int, folder: Path) -> None:
    """Serve until killed."""
    clock = Clock()
    cloud = FakeHuaweiCloud(port, clock)
    logins.accept_logins(cloud)
    cloud.reply_filters.append(logins.echo_request)
    known_secrets: set[str] = set()
    with (
        (folder / "polls.jsonl").open("a", buffering=1) as polls,
        (folder / "secrets.jsonl").open("a", buffering=1) as secrets,
    ):

        def on_request(record: Record) -> None:
            for secret in logins.secrets(cloud) - known_secrets:
                known_secrets.add(secret)
                secrets.write(json.dumps([secret]) + "\n")
            if record.job_id:
                polls.write(json.dumps([record.time, record.job_id, record.status, record.state]) + "\n")

        cloud.listeners.append(on_request)
        if (folder / "epoch").exists():
            add_jobs(cloud, clock, folder)
        cloud.start()
        add_jobs(cloud, clock, folder)
        threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
