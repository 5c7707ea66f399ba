"""
Poke many times in one wait, as a sensor in ``poke`` mode does, and print figures as one line of JSON.

The bare one is a request over a kept ``requests.Session``, unsigned.
"""

from __future__ import annotations

import json
import logging
import os
import ssl
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests
from job_server import Conduct, job_id
from serving import JobServer, serving

_NEVER = 9_999.0

#: Asks for a job that is not over.
Poke = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class Work:
    """
    What to do.

    :param ours: Whether it is ours, or the bare one.
    :param count: How many pokes are measured in each round.
    :param rounds: How many rounds.
    :param pause: Seconds between two.
    :param conduct: The server's.
    """

    ours: bool
    count: int
    rounds: int
    pause: float
    conduct: dict[str, Any]


def bare(server: JobServer) -> Poke:
    """Return the least that a poke can be."""
    from airflow.sdk import BaseSensorOperator  # noqa: F401  # ours has it loaded, and the garbage collector looks at all

    session, url = requests.Session(), f"{server.url}/v2.0/p0/batches/{job_id(1, _NEVER)}/state"
    session.headers["Authorization"] = "SDK-HMAC-SHA256 none"

    def poke() -> None:
        reply = session.get(url, timeout=30)
        reply.raise_for_status()
        assert reply.json()["state"] == "running"

    return poke


def ours(server: JobServer) -> Poke:
    """Return a sensor's poke."""
    from airflow_provider_hwstatus.sensors.dli import DliBatchSensor

    logging.disable(logging.INFO)
    extra = {"region": "cn-north-4", "project_id": "p0", "dli_endpoint": server.url}
    connection = {"conn_type": "hwstatus", "login": "access-key", "password": "secret-key", "extra": extra}
    os.environ["AIRFLOW_CONN_HWSTATUS_DEFAULT"] = json.dumps(connection)
    sensor = DliBatchSensor(task_id="wait", batch_id=job_id(1, _NEVER))

    def poke() -> None:
        assert not sensor.poke({})

    return poke


class Contexts:
    """Counts the TLS settings that are made, by anybody."""

    def __init__(self) -> None:
        self.made = 0
        make = ssl.SSLContext.__new__

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.made += 1
            return make(*args, **kwargs)

        ssl.SSLContext.__new__ = counted  # type: ignore[method-assign]


def measure(work: Work, poke: Poke, server: JobServer) -> dict[str, float]:
    """Poke, and return the figures."""
    contexts = Contexts()
    server.begin(time.monotonic())
    for _ in range(2):  # after which all that is imported and made once is there
        poke()
        time.sleep(work.pause)
    made, rounds = contexts.made, []
    for _ in range(work.rounds):
        cpu = time.process_time()
        for _ in range(work.count):
            poke()
            if work.pause:
                time.sleep(work.pause)
        rounds.append((time.process_time() - cpu) * 1000 / work.count)
    return {
        "cpu_ms": statistics.median(rounds),
        "connections": server.counts().connections,
        "contexts": contexts.made - made,
    }


def main() -> None:
    """Do the work that the argument describes."""
    work = Work(**json.loads(sys.argv[1]))
    with serving(Conduct(**work.conduct)) as server:
        print(json.dumps(measure(work, (ours if work.ours else bare)(server), server)))


if __name__ == "__main__":
    main()
