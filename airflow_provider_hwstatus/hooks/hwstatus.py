"""Airflow's connection, as a ready client."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook, mask_secret

from airflow_provider_hwstatus.core.connection.endpoints import is_known
from airflow_provider_hwstatus.core.connection.settings import Settings, settings_from
from airflow_provider_hwstatus.core.polling.job_ids import check_job_id
from airflow_provider_hwstatus.core.polling.job_poller import JobPoller
from airflow_provider_hwstatus.core.protocol.responses import clip
from airflow_provider_hwstatus.core.protocol.retry import DEFAULT_OUTAGE_TOLERANCE, RetryBudget
from airflow_provider_hwstatus.core.reporting.connection_check import Checkup, Step, check
from airflow_provider_hwstatus.core.reporting.console import console_url
from airflow_provider_hwstatus.core.reporting.diagnosis import BUDGET, Diagnosis, diagnose
from airflow_provider_hwstatus.errors import ConfigurationError, HwStatusError, without_frames
from airflow_provider_hwstatus.get_provider_info import HIDDEN_FIELDS, RELABELING
from airflow_provider_hwstatus.hooks.connection_cache import connection_cache
from airflow_provider_hwstatus.hooks.metrics import counter_of_triggerer, counter_of_worker
from airflow_provider_hwstatus.hooks.time_limit import within
from airflow_provider_hwstatus.kinds import KINDS
from airflow_provider_hwstatus.kinds.job_kind import JobKind
from airflow_provider_hwstatus.transports.shared_connections import (
    AsyncConnection,
    SyncConnection,
    arun_with_current_login,
    client_for,
    joined,
    run_with_current_login,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_hwstatus.core.connection.client import Client
    from airflow_provider_hwstatus.core.polling.job_status import JobStatus
    from airflow_provider_hwstatus.core.protocol.effects import Flow

T = TypeVar("T")

#: Seconds for all that a test of the connection asks, and for each request of it.
_TEST_TIMEOUT = 14.0
_TEST_REQUEST_TIMEOUT = 6.0


class HwStatusHook(BaseHook):
    """
    Asks Huawei Cloud for the state of jobs.

    A hook that was used before ``os.fork()`` can be used in both processes: they share no network connection.

    :param hwstatus_conn_id: The Airflow connection.
    :param region: Wins over the connection's.
    :param project_id: Wins over the connection's.
    """

    conn_name_attr = "hwstatus_conn_id"
    default_conn_name = "hwstatus_default"
    conn_type = "hwstatus"
    hook_name = "Huawei Cloud job status"

    def __init__(
        self,
        hwstatus_conn_id: str = default_conn_name,
        region: str | None = None,
        project_id: str | None = None,
    ) -> None:
        super().__init__()
        self.hwstatus_conn_id = hwstatus_conn_id
        self.region = region
        self.project_id = project_id
        self._connection: SyncConnection | None = None

    def get_conn(self) -> SyncConnection:
        """
        Return the connection, with a session that this hook keeps until :meth:`close`.

        :raises ConfigurationError: The Airflow connection is missing, or one of its fields is missing or wrong.
        """
        if self._connection is None:
            with _Naming(self.hwstatus_conn_id):
                self._connection = SyncConnection(self._settings(), mask_secret, counter_of_worker())
        return self._connection

    @asynccontextmanager
    async def get_async_conn(self) -> AsyncIterator[AsyncConnection]:
        """
        Give the connection that all waits in this event loop share.

        :raises ConfigurationError: As :meth:`get_conn`.
        """
        settings = await connection_cache().get(self._name, self._asettings)
        async with joined(settings, _amask_secret, counter_of_triggerer()) as connection:
            yield connection

    def run(self, flow_with: Callable[[Client], Flow[T]]) -> T:
        """
        Run a flow over the connection.

        If the login is refused and the Airflow connection has changed since it was read, the flow runs again with the
        new login. If the new login is refused, too, that is final.

        :param flow_with: Makes the flow.
        :raises HwStatusError: The flow raised it.
        """
        return run_with_current_login(flow_with, self.get_conn, self._close_if_changed)

    def arun(self, flow_with: Callable[[AsyncConnection], Flow[T]]) -> Coroutine[Any, Any, T]:
        """Run a flow as :meth:`run` does, without blocking the event loop."""
        return arun_with_current_login(flow_with, self.get_async_conn, self._ahas_changed)

    def _close_if_changed(self, used: Settings) -> bool:
        """Return whether the Airflow connection has changed since it was read; if it cannot be read, it has not."""
        try:
            changed = self._settings() != used
        except (AirflowNotFoundException, ConfigurationError):
            return False
        if changed:
            self.close()
        return changed

    async def _ahas_changed(self, used: Settings) -> bool:
        try:
            return await connection_cache().get_changed(self._name, self._asettings, used) is not None
        except ConfigurationError:
            return False

    def get_status(
        self, kind: JobKind | str, job_id: str, outage_tolerance: float = DEFAULT_OUTAGE_TOLERANCE
    ) -> JobStatus:
        """
        Ask for the state of a job.

        :param kind: One of :data:`~airflow_provider_hwstatus.kinds.job_kind.KINDS`, or its name.
        :param outage_tolerance: Seconds to go on without an answer; 0 to ask only once.
        :raises HwStatusError: The question could not be answered.
        """
        return self.run(
            lambda client: JobPoller(client, kind_of(kind), job_id).fetch_status(RetryBudget(outage_tolerance))
        )

    async def aget_status(
        self, kind: JobKind | str, job_id: str, outage_tolerance: float = DEFAULT_OUTAGE_TOLERANCE
    ) -> JobStatus:
        """Ask as :meth:`get_status` does, without blocking the event loop."""
        budget = RetryBudget(outage_tolerance)
        return await self.arun(
            lambda connection: JobPoller(connection.client, kind_of(kind), job_id).fetch_status(budget)
        )

    def get_dli_batch_status(self, batch_id: str) -> JobStatus:
        """Ask for the state of a DLI batch."""
        return self.get_status("dli_batch", batch_id)

    def get_dli_session_status(self, session_id: str, wait_for: str = "ready") -> JobStatus:
        """
        Ask for the state of a DLI session.

        :param wait_for: ``ready`` or ``stopped``: which of the two is its success.
        """
        return self.get_status(f"dli_session_{wait_for}", session_id)

    def get_cph_job_status(self, job_id: str) -> JobStatus:
        """Ask for the state of a CPH job."""
        return self.get_status("cph_job", job_id)

    def diagnose(self, kind: JobKind | str, status: JobStatus, seconds: float = BUDGET) -> Diagnosis:
        """
        Ask why a job failed: for its name, queue, times and log, where the service tells.

        What cannot be found out is no error, whatever keeps it.

        :param seconds: That it may take in all.
        """
        try:
            connection = self.get_conn()
            flow = diagnose(connection.client, kind_of(kind), status, seconds)
            return within(seconds, lambda: connection.run(flow))
        except TimeoutError:
            return Diagnosis(status, f"no answer within {seconds:g} s")
        except HwStatusError as error:
            return Diagnosis(status, clip(str(error), 200))
        except Exception as error:  # noqa: BLE001  # the job has failed, and nothing may hide that
            self.log.warning("It could not be asked why %s failed: %s", status.job_id, type(error).__name__)
            return Diagnosis(status, type(error).__name__)

    def console_url(self, kind: JobKind | str, job_id: str) -> str | None:
        """Return the page of a job in the cloud's web console, or of its service; None where that is not known."""
        try:
            kind = kind_of(kind)
            return console_url(kind, self.get_conn().client.settings, check_job_id(kind.id_name, job_id))
        except HwStatusError:
            return None

    def test_connection(self) -> tuple[bool, str]:
        """
        Ask IAM, DLI and CPH once; return whether the connection works, and who is logged in where or what to change.

        It answers within 15 seconds, whatever happens, and needs no more rights than waiting does.
        """
        try:
            with _Naming(self.hwstatus_conn_id):
                settings = self._settings()
                settings = replace(settings, request_timeout=min(settings.request_timeout, _TEST_REQUEST_TIMEOUT))
                return True, within(_TEST_TIMEOUT, lambda: _check(settings))
        except TimeoutError:
            return False, f"No answer within {_TEST_TIMEOUT:g} s: check the endpoints, the proxy and the network"
        except HwStatusError as error:
            return False, str(error)

    def checkup(self, tell: Callable[[Step], object]) -> list[Step]:
        """
        Look into the connection step by step: what :meth:`test_connection` says in one sentence.

        :param tell: Called with each step as it is done.
        :raises ConfigurationError: The Airflow connection is missing, or one of its fields is missing or wrong.
        """
        with _Naming(self.hwstatus_conn_id):
            settings = self._settings()
            settings = replace(settings, request_timeout=min(settings.request_timeout, _TEST_REQUEST_TIMEOUT))
            connection = SyncConnection(settings, mask_secret)
        try:
            return connection.run(Checkup(connection.client, tell).run())
        finally:
            connection.close()

    def close(self) -> None:
        """Close the session, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def _name(self) -> tuple[str | None, ...]:
        return self.hwstatus_conn_id, self.region, self.project_id

    def _settings(self) -> Settings:
        return self._settings_of(self.get_connection(self.hwstatus_conn_id))

    def _settings_of(self, connection: Connection, extra: object = None) -> Settings:
        extra = connection.extra_dejson if extra is None else extra
        # Airflow reads an extra that is no JSON as an empty one.
        if not isinstance(extra, Mapping) or (not extra and (connection.extra or "").strip(" {}\n\t")):
            raise ConfigurationError("extra must be a JSON object")
        settings = settings_from(connection.login, connection.password, extra, self.region, self.project_id)
        if settings.region and not is_known(settings.region):
            _warn_of_region(settings.region)
        return settings

    async def _asettings(self) -> Settings:
        with _Naming(self.hwstatus_conn_id):
            settings = self._settings_of(*await _look_up(self.hwstatus_conn_id))
            client_for(settings)  # which knows what fields its way to log in needs
            return settings

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form as Airflow 2.11 to 3.1 read it."""
        from airflow_provider_hwstatus.hooks.connection_form import widgets

        return widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return what Airflow 2.11 to 3.1 do with the form's usual fields."""
        return {"hidden_fields": HIDDEN_FIELDS, "relabeling": RELABELING, "placeholders": {}}


class _Naming:
    """
    Name the Airflow connection in an error, and drop the frames that have its fields in their local variables.

    A class, as ``contextmanager`` puts the frames back.
    """

    def __init__(self, conn_id: str) -> None:
        self._subject = f"connection {conn_id!r}"

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if isinstance(error, AirflowNotFoundException):
            raise ConfigurationError(f"{self._subject}: it is not defined, or Airflow cannot read it") from error
        if isinstance(error, ConfigurationError):
            raise without_frames(error.about(self._subject))


def kind_of(kind: JobKind | str) -> JobKind:
    """
    Return a kind by its name.

    :raises ConfigurationError: There is none of that name.
    """
    if isinstance(kind, JobKind):
        return kind
    if not isinstance(kind, str) or kind not in KINDS:
        raise ConfigurationError(f"kind must be one of {', '.join(KINDS)}; it is {str(kind)[:64]!r}")
    return KINDS[kind]


async def _look_up(conn_id: str) -> tuple[Connection, dict[str, Any]]:
    from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson

    try:
        connection = await get_async_connection(conn_id)
    except AirflowNotFoundException:
        # Airflow 3.3's dag.test() cannot look a connection up asynchronously, and says that there is none.
        from asgiref.sync import sync_to_async

        connection = await sync_to_async(BaseHook.get_connection)(conn_id)
    return connection, await get_async_extra_dejson(connection)


async def _amask_secret(secret: str) -> None:
    try:
        from airflow.sdk.log import amask_secret
    except ImportError:  # before Airflow 3.3
        from asgiref.sync import sync_to_async

        amask_secret = sync_to_async(mask_secret)
    await amask_secret(secret)


def _check(settings: Settings) -> str:
    connection = SyncConnection(settings, mask_secret)
    try:
        return connection.run(check(connection.client))
    finally:
        connection.close()


@lru_cache(maxsize=64)  # once
def _warn_of_region(region: str) -> None:
    logging.getLogger(__name__).warning(
        "Region %s is not one that this release knows; its endpoints are taken to be like the others'. "
        "If they are not, set dli_endpoint, cph_endpoint and iam_endpoint in the connection.",
        region,
    )
