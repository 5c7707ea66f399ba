"""The contestants: this package, minimal implementations, and other providers' triggers. All wait for the same jobs."""

from __future__ import annotations

import asyncio
import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger
    from serving import JobServer

#: The server checks only that there is a signature, so this one costs no time.
_SIGNATURE = {"Authorization": "SDK-HMAC-SHA256 none"}


class Contestant:
    """
    An implementation of waiting.

    :param server: Server of the jobs.
    :param interval: Seconds between two polls.
    :raises ImportError: Its package is not installed.
    """

    def __init__(self, server: JobServer, interval: float) -> None:
        self.server = server
        self.interval = interval
        self.prepare()

    def prepare(self) -> None:
        """Initialise what exists once per process."""

    async def open(self) -> None:
        """Initialise what exists once per event loop."""

    async def close(self) -> None:
        """Close what :meth:`open` opened."""

    def connect(self, name: str, **fields: object) -> None:
        """Define an Airflow connection. *fields* replace the server's address."""
        scheme = "https" if self.server.tls else "http"
        address = {"conn_type": name, "host": "127.0.0.1", "port": self.server.port, "schema": scheme}
        os.environ[f"AIRFLOW_CONN_{name.upper()}_BENCHMARK"] = json.dumps(address | fields)


class Bare(Contestant):
    """The minimal implementation: one loop per job and a shared aiohttp session."""

    async def open(self) -> None:
        self.session = aiohttp.ClientSession(headers=_SIGNATURE)

    async def close(self) -> None:
        await self.session.close()

    async def wait(self, job_id: str) -> str:
        """Wait for a job and return its last state."""
        url = f"{self.server.url}/v2.0/p0/batches/{job_id}/state"
        while True:
            async with self.session.get(url) as reply:
                reply.raise_for_status()
                state: str = (await reply.json())["state"]
            if state in {"success", "dead"}:
                return state
            await asyncio.sleep(self.interval)


class Triggers(Contestant, ABC):
    """A trigger class."""

    _trigger: Callable[..., BaseTrigger]

    @abstractmethod
    def trigger(self, job_id: str) -> BaseTrigger:
        """Return a trigger that waits for a job."""

    @abstractmethod
    def is_success(self, payload: Any) -> bool:
        """Return whether a trigger's event reports success."""


class BareTrigger(Triggers, Bare):
    """The minimal implementation as an Airflow trigger."""

    def prepare(self) -> None:
        from airflow.triggers.base import BaseTrigger, TriggerEvent

        class Trigger(BaseTrigger):
            def __init__(self, bare: Bare, job_id: str) -> None:
                super().__init__()  # type: ignore[no-untyped-call]  # Airflow's
                self.bare = bare
                self.job_id = job_id

            def serialize(self) -> tuple[str, dict[str, Any]]:
                return "never stored", {}

            async def run(self) -> AsyncIterator[TriggerEvent]:
                yield TriggerEvent(await self.bare.wait(self.job_id))

        self._trigger = Trigger

    def trigger(self, job_id: str) -> BaseTrigger:
        return self._trigger(self, job_id)

    def is_success(self, payload: Any) -> bool:
        return bool(payload == "success")


class HwStatus(Triggers):
    """The trigger of a deferred ``DliBatchSensor``, with an access key. Every job is polled."""

    coalesce = False

    def prepare(self) -> None:
        from airflow_provider_hwstatus.triggers.job_status import JobStatusTrigger

        self._trigger = JobStatusTrigger
        extra = {"region": "cn-north-4", "project_id": "p0", "dli_endpoint": self.server.url}
        extra |= {"coalesce": self.coalesce}
        self.connect(
            "hwstatus", host=None, port=None, schema=None, login="access-key", password="secret-key", extra=extra
        )

    def trigger(self, job_id: str) -> BaseTrigger:
        now = time.time()
        return self._trigger(
            {"kind": "dli_batch", "job_id": job_id},
            {"poke_interval": self.interval, "began": now, "deadline": now + 86_400},
            hwstatus_conn_id="hwstatus_benchmark",
        )

    def is_success(self, payload: Any) -> bool:
        return bool(payload.get("status", {}).get("outcome") == "success")


class HwStatusByList(HwStatus):
    """The same with the default of a connection: the list of batches replaces most polls."""

    coalesce = True


class Livy(Triggers):
    """``LivyTrigger``, which also waits for Spark batches."""

    def prepare(self) -> None:
        from airflow.providers.apache.livy.triggers.livy import LivyTrigger

        self._trigger = LivyTrigger
        self.connect("livy")

    def trigger(self, job_id: str) -> BaseTrigger:
        return self._trigger(
            batch_id=job_id, spark_params={}, livy_conn_id="livy_benchmark", polling_interval=self.interval
        )

    def is_success(self, payload: Any) -> bool:
        return bool(payload["status"] == "success")


class Http(Triggers):
    """``HttpSensorTrigger``, which waits until the response is not 404."""

    def prepare(self) -> None:
        from airflow.providers.http.triggers.http import HttpSensorTrigger

        self._trigger = HttpSensorTrigger
        self.connect("http")

    def trigger(self, job_id: str) -> BaseTrigger:
        return self._trigger(endpoint=f"ready/{job_id}", http_conn_id="http_benchmark", poke_interval=self.interval)

    def is_success(self, payload: Any) -> bool:
        return payload is True


class Databricks(Triggers):
    """``DatabricksExecutionTrigger``."""

    def prepare(self) -> None:
        from airflow.providers.databricks.hooks.databricks_base import BaseDatabricksHook
        from airflow.providers.databricks.triggers.databricks import DatabricksExecutionTrigger

        # Otherwise the hook loads all providers to compute it.
        BaseDatabricksHook.user_agent_value = "benchmark"  # type: ignore[assignment,method-assign]
        self._trigger = DatabricksExecutionTrigger
        self.connect("databricks", password="token")

    def trigger(self, job_id: str) -> BaseTrigger:
        return self._trigger(
            run_id=int(job_id), databricks_conn_id="databricks_benchmark", polling_period_seconds=self.interval
        )

    def is_success(self, payload: Any) -> bool:
        return bool(json.loads(payload["run_state"])["result_state"] == "SUCCESS")


#: Contestants by their name in tables. Only PEERS may be missing.
CONTESTANTS: dict[str, type[Contestant]] = {
    "bare": Bare,
    "bare_trigger": BareTrigger,
    "ours": HwStatus,
    "ours, by list": HwStatusByList,
    "Livy": Livy,
    "HTTP": Http,
    "Databricks": Databricks,
}
PEERS = ("Livy", "HTTP", "Databricks")
