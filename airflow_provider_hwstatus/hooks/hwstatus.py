"""The hook: runs flows over an Airflow connection."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import lru_cache
from json import dumps
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook, mask_secret

from airflow_provider_hwstatus.core.connection.client import Call
from airflow_provider_hwstatus.core.connection.endpoints import is_known
from airflow_provider_hwstatus.core.connection.settings import Settings, settings_from
from airflow_provider_hwstatus.core.polling.job_ids import check_job_id
from airflow_provider_hwstatus.core.polling.job_poller import JobPoller
from airflow_provider_hwstatus.core.protocol.responses import clip, json_or_raise
from airflow_provider_hwstatus.core.protocol.retry import DEFAULT_OUTAGE_TOLERANCE, RetryBudget
from airflow_provider_hwstatus.core.reporting.connection_check import Checkup, Step, check
from airflow_provider_hwstatus.core.reporting.console import console_url
from airflow_provider_hwstatus.core.reporting.diagnosis import BUDGET, Diagnosis, diagnose
from airflow_provider_hwstatus.core.submitting.cancel import cancel
from airflow_provider_hwstatus.core.submitting.marker import check_body, encoded
from airflow_provider_hwstatus.core.submitting.submit import Submitted, submit
from airflow_provider_hwstatus.errors import ConfigurationError, HwStatusError, without_frames
from airflow_provider_hwstatus.get_provider_info import HIDDEN_FIELDS, RELABELING
from airflow_provider_hwstatus.hooks.connection_cache import connection_cache
from airflow_provider_hwstatus.hooks.metrics import counter_of_triggerer, counter_of_worker
from airflow_provider_hwstatus.hooks.time_limit import within
from airflow_provider_hwstatus.kinds import kind_of
from airflow_provider_hwstatus.kinds.job_kind import JobKind
from airflow_provider_hwstatus.kinds.service import service_of
from airflow_provider_hwstatus.kinds.template import check_path
from airflow_provider_hwstatus.transports.shared_connections import (
    AsyncConnection,
    SyncConnection,
    arun_with_current_login,
    client_for,
    run_with_current_login,
    shared_connection,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_hwstatus.core.connection.client import Client
    from airflow_provider_hwstatus.core.polling.job_status import JobStatus
    from airflow_provider_hwstatus.core.protocol.effects import Flow, Response

T = TypeVar("T")

#: Seconds for a whole test of a connection, and for each of its requests.
_TEST_TIMEOUT = 14.0
_TEST_REQUEST_TIMEOUT = 6.0


class HwStatusHook(BaseHook):
    """
    Requests the status of Huawei Cloud jobs.

    A hook can be used on both sides of an ``os.fork()``: the processes do not share a network connection.

    :param hwstatus_conn_id: Id of the Airflow connection.
    :param region: Region to use instead of the connection's.
    :param project_id: Project to use instead of the connection's.
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
        Return the connection. Its session stays open until :meth:`close`.

        :raises ConfigurationError: The Airflow connection is missing, or one of its fields is missing or invalid.
        """
        if self._connection is None:
            with _ConnectionNamed(self.hwstatus_conn_id):
                self._connection = SyncConnection(self._settings(), mask_secret, counter_of_worker())
        return self._connection

    @asynccontextmanager
    async def get_async_conn(self) -> AsyncIterator[AsyncConnection]:
        """
        Return the connection that all waits in this event loop share, as an asynchronous context manager.

        :raises ConfigurationError: The Airflow connection is missing, or one of its fields is missing or invalid.
        """
        settings = await connection_cache().get(self._cache_key, self._asettings)
        async with shared_connection(settings, _amask_secret, counter_of_triggerer()) as connection:
            yield connection

    def run(self, flow_with: Callable[[Client], Flow[T]]) -> T:
        """
        Run a flow over the connection, and return its result.

        If the login is refused and the Airflow connection has changed since it was read, the flow runs again with the
        new credentials. If these are refused, too, the error is final.

        :param flow_with: Creates the flow for a client.
        :raises HwStatusError: The flow raised it.
        """
        return run_with_current_login(flow_with, self.get_conn, self._close_if_changed)

    def arun(self, flow_with: Callable[[AsyncConnection], Flow[T]]) -> Coroutine[Any, Any, T]:
        """Do the same as :meth:`run`, without blocking the event loop."""
        return arun_with_current_login(flow_with, self.get_async_conn, self._ahas_changed)

    def _close_if_changed(self, used: Settings) -> bool:
        """Return whether the Airflow connection can be read and has changed. If so, the next request uses it."""
        try:
            changed = self._settings() != used
        except (AirflowNotFoundException, ConfigurationError):
            return False
        if changed:
            self.close()
        return changed

    async def _ahas_changed(self, used: Settings) -> bool:
        try:
            return await connection_cache().get_changed(self._cache_key, self._asettings, used) is not None
        except ConfigurationError:
            return False

    def get_status(
        self,
        kind: JobKind | str,
        job_id: str,
        outage_tolerance: float = DEFAULT_OUTAGE_TOLERANCE,
        parameters: Mapping[str, object] | None = None,
    ) -> JobStatus:
        """
        Request the status of a job.

        :param kind: A kind, also of your own, or the name of one in :data:`~airflow_provider_hwstatus.kinds.KINDS`.
        :param job_id: Id of the job.
        :param outage_tolerance: Seconds to retry during an outage; 0 to send one request only.
        :param parameters: What the kind needs beside the id, such as ``{"cluster_id": "…"}`` for ``mrs_job``.
        :raises ConfigurationError: *kind* or *job_id* is invalid, or the Airflow connection is.
        :raises HwStatusError: The status could not be determined.
        """
        polled, budget = _polled(kind, parameters), RetryBudget(outage_tolerance)
        return self.run(lambda client: JobPoller(client, polled, job_id).fetch_status(budget))

    async def aget_status(
        self,
        kind: JobKind | str,
        job_id: str,
        outage_tolerance: float = DEFAULT_OUTAGE_TOLERANCE,
        parameters: Mapping[str, object] | None = None,
    ) -> JobStatus:
        """Do the same as :meth:`get_status`, without blocking the event loop."""
        polled, budget = _polled(kind, parameters), RetryBudget(outage_tolerance)
        return await self.arun(lambda connection: JobPoller(connection.client, polled, job_id).fetch_status(budget))

    def get_dli_batch_status(self, batch_id: str) -> JobStatus:
        """Request the status of a DLI batch."""
        return self.get_status("dli_batch", batch_id)

    def get_dli_session_status(self, session_id: str, wait_for: str = "ready") -> JobStatus:
        """
        Request the status of a DLI session.

        :param wait_for: ``ready`` or ``stopped``: which of them counts as success.
        """
        return self.get_status(f"dli_session_{wait_for}", session_id)

    def get_cph_job_status(self, job_id: str) -> JobStatus:
        """Request the status of a CPH job."""
        return self.get_status("cph_job", job_id)

    def submit(
        self, kind: JobKind | str, body: Mapping[str, Any], *, action: str | None = None, outage_tolerance: float = 0.0
    ) -> dict[str, Any]:
        """
        Submit a job, at most once, and return the service's answer.

        The request is repeated only if the service cannot have accepted it. :class:`DliBatchOperator` and the other
        operators do more: they also find a job again that an earlier try of the task submitted.

        :param kind: A kind that can be submitted: ``dli_batch``, ``dli_sql_job`` or ``cph_job``, or one of your own.
        :param body: The body of the request, as the API reference has it.
        :param action: For ``cph_job``: what to do, such as ``restart``.
        :param outage_tolerance: Seconds to repeat the request while the service cannot be reached, or refuses it for
            the number of requests.
        :raises ConfigurationError: *kind*, *action* or *body* is invalid.
        :raises UnclearSubmissionError: The service may have accepted the job, and there was no clear answer.
        :raises HwStatusError: The service did not accept it.
        """
        return dict(self.run(_submission_of(kind, body, action, outage_tolerance)).answer)

    async def asubmit(
        self, kind: JobKind | str, body: Mapping[str, Any], *, action: str | None = None, outage_tolerance: float = 0.0
    ) -> dict[str, Any]:
        """Do the same as :meth:`submit`, without blocking the event loop."""
        flow_with = _submission_of(kind, body, action, outage_tolerance)
        return dict((await self.arun(lambda connection: flow_with(connection.client))).answer)

    def cancel(
        self,
        kind: JobKind | str,
        job_id: str,
        *,
        seconds: float = 60.0,
        parameters: Mapping[str, object] | None = None,
    ) -> JobStatus:
        """
        Cancel a job, and wait until it has ended. That it has ended already is no error.

        :param seconds: For how long to wait for the end.
        :param parameters: As for :meth:`get_status`.
        :return: The last status. A cancelled job can still succeed; a cancelled DLI batch is most likely ``dead``.
        :raises ConfigurationError: Such a job cannot be cancelled.
        :raises HwStatusError: The service refused, or did not answer.
        """
        polled = _polled(kind, parameters)
        return self.run(lambda client: cancel(client, polled, job_id, RetryBudget(seconds), seconds))

    async def acancel(
        self,
        kind: JobKind | str,
        job_id: str,
        *,
        seconds: float = 60.0,
        parameters: Mapping[str, object] | None = None,
    ) -> JobStatus:
        """Do the same as :meth:`cancel`, without blocking the event loop."""
        polled = _polled(kind, parameters)
        return await self.arun(
            lambda connection: cancel(connection.client, polled, job_id, RetryBudget(seconds), seconds)
        )

    def request(
        self,
        method: str,
        service: str,
        path: str,
        json: object = None,
        outage_tolerance: float = DEFAULT_OUTAGE_TOLERANCE,
    ) -> dict[str, Any]:
        """
        Send one authenticated request to the connection's project, for what has no method of its own.

        :param method: ``GET``, ``POST``, ``PUT`` or ``DELETE``. A POST is repeated only if the service cannot have
            accepted it.
        :param service: The first label of the service's host name, such as ``dli``.
        :param path: Percent-encoded path and query, in which ``{project_id}`` stands for the connection's project.
        :param json: The body, as JSON has it.
        :return: The JSON object of the response; empty for a response without a body.
        :raises ConfigurationError: An argument is invalid.
        :raises HwStatusError: There was no usable answer.
        """
        return self.run(_request_of(method, service, path, json, RetryBudget(outage_tolerance)))

    def diagnose(
        self,
        kind: JobKind | str,
        status: JobStatus,
        seconds: float = BUDGET,
        parameters: Mapping[str, object] | None = None,
    ) -> Diagnosis:
        """
        Request what explains the failure of a job: its name, queue, times and log, if the service has them.

        Does not raise if the requests fail. The result then says what is missing.

        :param kind: The kind of the job, or its name.
        :param status: The status of the failed job.
        :param seconds: Seconds for all requests together.
        :param parameters: As for :meth:`get_status`.
        """
        try:
            connection = self.get_conn()
            flow = diagnose(connection.client, _polled(kind, parameters), status, seconds)
            return within(seconds, lambda: connection.run(flow))
        except TimeoutError:
            return Diagnosis(status, f"no answer within {seconds:g} s")
        except HwStatusError as error:
            return Diagnosis(status, clip(str(error), 200))
        except Exception as error:  # noqa: BLE001  # no error here may hide that the job failed
            self.log.warning(
                "The details of the failed job %s could not be requested: %s", status.job_id, type(error).__name__
            )
            return Diagnosis(status, type(error).__name__)

    def console_url(self, kind: JobKind | str, job_id: str) -> str | None:
        """Return the URL of a job, or else of its service, in the cloud's web console; None if it is not known."""
        try:
            kind = kind_of(kind)
            checked = check_job_id(kind.id_name, job_id, kind.id_characters)
            return console_url(kind, self.get_conn().client.settings, checked)
        except (HwStatusError, ValueError):
            return None

    def test_connection(self) -> tuple[bool, str]:
        """
        Send one request each to IAM, DLI and CPH.

        Takes at most 15 seconds, and needs no more permissions than waiting does.

        :return: Whether the connection works; and who is authenticated in which project, or what to correct.
        """
        try:
            with _ConnectionNamed(self.hwstatus_conn_id):
                settings = self._test_settings()
                return True, within(_TEST_TIMEOUT, lambda: _run_once(settings, check))
        except TimeoutError:
            return False, f"No answer within {_TEST_TIMEOUT:g} s: check the endpoints, the proxy and the network"
        except HwStatusError as error:
            return False, str(error)

    def checkup(self, on_step: Callable[[Step], object]) -> list[Step]:
        """
        Check the connection step by step, in more detail than :meth:`test_connection`.

        :param on_step: Called with each step after it is done.
        :return: All steps.
        :raises ConfigurationError: The Airflow connection is missing, or one of its fields is missing or invalid.
        """
        with _ConnectionNamed(self.hwstatus_conn_id):
            return _run_once(self._test_settings(), lambda client: Checkup(client, on_step).run())

    def close(self) -> None:
        """Close the session, if it is open."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def _cache_key(self) -> tuple[str | None, ...]:
        return self.hwstatus_conn_id, self.region, self.project_id

    def _settings(self) -> Settings:
        return self._settings_of(self.get_connection(self.hwstatus_conn_id))

    def _test_settings(self) -> Settings:
        settings = self._settings()
        return replace(settings, request_timeout=min(settings.request_timeout, _TEST_REQUEST_TIMEOUT))

    def _settings_of(self, connection: Connection, extra: object = None) -> Settings:
        extra = connection.extra_dejson if extra is None else extra
        # Airflow returns an empty object for an extra that is not JSON.
        if not isinstance(extra, Mapping) or (not extra and (connection.extra or "").strip(" {}\n\t")):
            raise ConfigurationError("extra must be a JSON object")
        settings = settings_from(connection.login, connection.password, extra, self.region, self.project_id)
        if settings.region and not is_known(settings.region):
            _warn_of_region(settings.region)
        return settings

    async def _asettings(self) -> Settings:
        with _ConnectionNamed(self.hwstatus_conn_id):
            settings = self._settings_of(*await _look_up(self.hwstatus_conn_id))
            client_for(settings)  # validates the fields that the method of authentication needs
            return settings

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the fields of the connection form, for Airflow 2.11 to 3.1."""
        from airflow_provider_hwstatus.hooks.connection_form import widgets

        return widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return the labels of the form's standard fields, and which are hidden, for Airflow 2.11 to 3.1."""
        return {"hidden_fields": HIDDEN_FIELDS, "relabeling": RELABELING, "placeholders": {}}


class _ConnectionNamed:
    """
    Names the Airflow connection in each error, and removes the traceback, whose local variables hold its fields.

    It is a class, because ``contextlib.contextmanager`` restores the traceback.
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


def _submission_of(
    kind: JobKind | str, body: Mapping[str, Any], action: str | None, outage_tolerance: float
) -> Callable[[Client], Flow[Submitted]]:
    try:
        declared = kind_of(kind)
        submission = declared.submission(action)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    content = encoded({**submission.fixed, **check_body(submission, body)})
    budget = RetryBudget(outage_tolerance)
    return lambda client: submit(client, declared, submission, content, budget)


def _request_of(
    method: str, service: str, path: str, body: object, budget: RetryBudget
) -> Callable[[Client], Flow[dict[str, Any]]]:
    if method not in ("GET", "POST", "PUT", "DELETE"):
        raise ConfigurationError(f"method must be GET, POST, PUT or DELETE; it is {str(method)[:64]!r}")
    try:
        check_path("path", path, {"project_id"})
        called = service_of(service)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    content = b"" if body is None else dumps(body).encode()
    call = Call(method, called, path, body=content, once=method == "POST")

    def flow_with(client: Client) -> Flow[dict[str, Any]]:
        def read(response: Response) -> dict[str, Any]:
            if not response.body and 200 <= response.status < 300:
                return {}
            return dict(json_or_raise(response, client.redact, client.clock()))

        return client.send(call, budget, read, f"{called.label}_request")

    return flow_with


def _polled(kind: JobKind | str, parameters: Mapping[str, object] | None = None) -> JobKind:
    """
    Return a kind with the values of its parameters.

    :raises ConfigurationError: There is no kind with that name, or a parameter is missing, superfluous or invalid.
    """
    try:
        return kind_of(kind).with_parameters(parameters or {})
    except ValueError as error:
        raise ConfigurationError(str(error)) from None


async def _look_up(conn_id: str) -> tuple[Connection, dict[str, Any]]:
    from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson

    try:
        connection = await get_async_connection(conn_id)
    except AirflowNotFoundException:
        # In dag.test(), Airflow 3.3 cannot look up a connection asynchronously, and raises this error.
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


def _run_once(settings: Settings, flow_with: Callable[[Client], Flow[T]]) -> T:
    """Run a flow over a connection of its own."""
    connection = SyncConnection(settings, mask_secret)
    try:
        return connection.run(flow_with(connection.client))
    finally:
        connection.close()


@lru_cache(maxsize=64)  # one warning per region
def _warn_of_region(region: str) -> None:
    logging.getLogger(__name__).warning(
        "This release does not know region %s, and assumes the usual host names for its endpoints; next: if they are "
        "different, set dli_endpoint, cph_endpoint, iam_endpoint or endpoints in the connection",
        region,
    )
