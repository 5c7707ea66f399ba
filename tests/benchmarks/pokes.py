"""
Poke many times in one wait, like a sensor in ``poke`` mode. Print figures as one line of JSON.

The minimal implementation sends an unsigned request over a reused ``requests.Session``.
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
from job_server import ServerOptions, job_id
from serving import JobServer, serving

_NEVER = 9_999.0

#: Polls a job that has not ended.
Poke = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class Work:
    """
    The work of one program.

    :param ours: Whether to use this package or the minimal implementation.
    :param count: Number of pokes per round.
    :param rounds: Number of rounds.
    :param pause: Seconds between two pokes.
    :param server_options: The server's options.
    """

    ours: bool
    count: int
    rounds: int
    pause: float
    server_options: dict[str, Any]


def bare(server: JobServer) -> Poke:
    """Return the poke of the minimal implementation."""
    from airflow.sdk import BaseSensorOperator  # noqa: F401  # the garbage collector then has as much work as with our sensor

    session, url = requests.Session(), f"{server.url}/v2.0/p0/batches/{job_id(1, _NEVER)}/state"
    session.headers["Authorization"] = "SDK-HMAC-SHA256 none"

    def poke() -> None:
        reply = session.get(url, timeout=30)
        reply.raise_for_status()
        assert reply.json()["state"] == "running"

    return poke


def ours(server: JobServer) -> Poke:
    """Return the poke of this package's sensor."""
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
    """Counts all TLS contexts that are created."""

    def __init__(self) -> None:
        self.created = 0
        create = ssl.SSLContext.__new__

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.created += 1
            return create(*args, **kwargs)

        ssl.SSLContext.__new__ = counted  # type: ignore[method-assign]


def measure(work: Work, poke: Poke, server: JobServer) -> dict[str, float]:
    """Poke and return the figures."""
    contexts = Contexts()
    server.begin(time.monotonic())
    for _ in range(2):  # warms up imports and caches
        poke()
        time.sleep(work.pause)
    created_before, rounds = contexts.created, []
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
        "contexts": contexts.created - created_before,
    }


def main() -> None:
    """Do the work in the argument."""
    work = Work(**json.loads(sys.argv[1]))
    with serving(ServerOptions(**work.server_options)) as server:
        print(json.dumps(measure(work, (ours if work.ours else bare)(server), server)))


if __name__ == "__main__":
    main()
