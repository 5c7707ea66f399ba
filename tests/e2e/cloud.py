"""
The fake cloud as a process of its own, which can be killed and started again with the same jobs.

``python cloud.py PORT FOLDER`` serves the jobs of ``FOLDER/waits.json``. They begin to take their steps at the time
that ``FOLDER/epoch`` holds once it is there; ``FOLDER/polls.jsonl`` gets a line for each question about a job, and
``FOLDER/secrets.jsonl`` one for each secret that opens the cloud, before anybody has it.
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

#: What a CPH job adds to its replies once it has failed.
CPH_ERROR = {"error_code": "CPS.0005", "error_msg": "The phone is not running."}


class Clock:
    """The time of day, or for the thread that scripts the jobs the time at which they begin."""

    def __init__(self) -> None:
        self.pinned = threading.local()

    def __call__(self) -> float:
        """Return seconds since 1970."""
        time_: float = getattr(self.pinned, "time", time.time())
        return time_


def add_jobs(cloud: FakeHuaweiCloud, clock: Clock, folder: Path) -> None:
    """Add the jobs, standing still, and let them go once the epoch is known."""
    jobs = waits.load(folder / "waits.json")
    epoch = folder / "epoch"
    if not epoch.exists():
        for wait in jobs:
            cloud.job(wait.kind, wait.job_id, wait.steps()[0], request_id=wait.request_id)
    while not epoch.exists():
        time.sleep(0.1)
    clock.pinned.time = float(epoch.read_text())
    for wait in jobs:
        fields = CPH_ERROR if wait.kind == "cph_job" and wait.verdict != "well" else {}
        cloud.job(wait.kind, wait.job_id, seconds=wait.steps(), request_id=wait.request_id, **fields)
    del clock.pinned.time


def main(port: int, folder: Path) -> None:
    """Serve until killed."""
    clock = Clock()
    cloud = FakeHuaweiCloud(port, clock)
    logins.admit(cloud)
    cloud._dispatcher._ask = logins.echoing(cloud._dispatcher._ask)
    noted: set[str] = set()
    with (
        (folder / "polls.jsonl").open("a", buffering=1) as polls,
        (folder / "secrets.jsonl").open("a", buffering=1) as secrets,
    ):

        def note(record: Record) -> None:
            for secret in logins.secrets(cloud) - noted:
                noted.add(secret)
                secrets.write(json.dumps([secret]) + "\n")
            if record.job_id:
                polls.write(json.dumps([record.time, record.job_id, record.status, record.state]) + "\n")

        cloud.listeners.append(note)
        if (folder / "epoch").exists():
            add_jobs(cloud, clock, folder)
        cloud.start()
        add_jobs(cloud, clock, folder)
        threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
