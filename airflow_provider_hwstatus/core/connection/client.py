"""Authenticated requests of one connection, shared by all waits on that connection in a process."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Generic

from airflow_provider_hwstatus.core.connection.credentials import CredentialRecords
from airflow_provider_hwstatus.core.connection.login import login_for
from airflow_provider_hwstatus.core.connection.settings import Settings, check_project_id
from airflow_provider_hwstatus.core.protocol.advice import NEXT
from airflow_provider_hwstatus.core.protocol.effects import (
    AcquireSlot,
    Count,
    Exclusive,
    Flow,
    ReleaseSlot,
    Request,
    Response,
    T,
    encode,
)
from airflow_provider_hwstatus.core.protocol.redaction import Redactor
from airflow_provider_hwstatus.core.protocol.responses import json_or_raise, shown
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget, retry
from airflow_provider_hwstatus.core.protocol.throttle import Clock, Throttle
from airflow_provider_hwstatus.errors import (
    ApiError,
    ConfigurationError,
    HwStatusError,
    MalformedResponseError,
    RetryableError,
    ServerError,
    ThrottledError,
    UnclearSubmissionError,
    is_refused_login,
)
from airflow_provider_hwstatus.kinds.service import IAM, Service


@dataclass(frozen=True, slots=True)
class Call:
    """
    A request to a service.

    :param path: Percent-encoded path and query; ``{project_id}`` stands for the connection's project.
    :param headers: Further headers, which are signed, too.
    :param body: May hold secrets, so it is not in the ``repr``.
    :param once: Whether it must not arrive twice.
    """

    method: str
    service: Service
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    once: bool = False


class Client:
    """
    Sends authenticated requests with the connection's login and project, at the rate that the services allow.

    :param settings: The connection.
    :param clock: Returns seconds since 1970.
    :param monotonic: Returns seconds of a clock that is never set, for times that matter in this process only.
    :param records: What this process knows of keys and passwords.
    :raises ConfigurationError: A field that the login method needs is missing.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        monotonic: Clock | None = None,
        records: CredentialRecords | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.monotonic = monotonic or clock
        self.redact = Redactor()
        self.redact.add_url(settings.proxy)
        self.throttles: defaultdict[str, Throttle] = defaultdict(Throttle)
        #: Whether the login was ever accepted.
        self.accepted = False
        self._login = login_for(settings, clock, self.redact, records)
        self._project_id = settings.project_id
        self._endpoints: dict[Service, str] = {}

    def get(
        self,
        service: Service,
        path: str,
        budget: RetryBudget,
        read: Callable[[Response], T],
        kind: str,
        headers: Mapping[str, str] | None = None,
    ) -> Flow[T]:
        """
        Send an authenticated GET request, and repeat it during an outage.

        :param service: The service whose endpoint the request goes to.
        :param path: Percent-encoded path and query; ``{project_id}`` stands for the connection's project.
        :param budget: For how long to retry.
        :param read: Returns the result, or raises what the response means.
        :param kind: The kind by which metrics count each attempt.
        :param headers: Further headers, which are signed, too.
        :raises HwStatusError: There was no usable answer.
        """
        call = Call("GET", service, path, headers=headers or {})
        return (yield from self.send(call, budget, read, kind))

    def send(self, call: Call, budget: RetryBudget, read: Callable[[Response], T], kind: str) -> Flow[T]:
        """
        Send an authenticated request, and repeat it during an outage.

        A request that must not arrive twice is repeated only if the service cannot have accepted it: because it was
        not sent, or the gateway refused it.

        :param budget: For how long to retry.
        :param read: Returns the result, or raises what the response means.
        :param kind: The kind by which metrics count each attempt.
        :raises UnclearSubmissionError: Such a request may have been accepted, and there was no clear answer.
        :raises HwStatusError: There was no usable answer.
        """
        attempt = _Attempt(self, call, budget, read, kind)
        try:
            return (yield from attempt.send())
        except RetryableError as error:
            failure = error
        return (yield from retry(attempt, failure))  # not above: the failure would be the context of later errors

    def endpoint(self, service: Service) -> str:
        """
        Return the URL of a service, without a slash at its end.

        :raises ConfigurationError: Neither the endpoint nor the region is set.
        """
        if service not in self._endpoints:
            self._endpoints[service] = self.settings.endpoint(service)
        return self._endpoints[service]

    def exchange(self, request: Request) -> Flow[Response]:
        """
        Send *request* with the login's credentials.

        :raises HwStatusError: The login was refused.
        """
        response = yield from self._login.exchange(request)
        self.accepted = self.accepted or response.status < 300
        return response

    def project_id(self) -> Flow[str]:
        """
        Return the connection's project; one that is not configured is looked up by the region's name.

        :raises ConfigurationError: No project or several have that name, or there is no region.
        """
        if self._project_id is None:
            yield from self._login.ensure()
            self._project_id = self._login.project_id or (yield Exclusive("project", self._look_up_project))
        return self._project_id

    @property
    def known_project_id(self) -> str | None:
        """The project, if it is known without a request."""
        return self._project_id

    @property
    def identity(self) -> str:
        """The user, key or agency that sends the requests, without secrets."""
        return self._login.identity

    def list_projects(self) -> Flow[list[tuple[str, str]]]:
        """
        Return name and id of the projects that have the region's name; of all projects if there is no region.

        :raises HwStatusError: IAM did not answer.
        """
        region = self.settings.region
        url = f"{self.settings.endpoint(IAM)}/v3/projects" + (f"?name={encode(region)}" if region else "")
        response = yield from self._login.exchange(Request("GET", url, {"Content-Type": "application/json"}))
        listed = json_or_raise(response, self.redact, self.clock()).get("projects")
        if not isinstance(listed, list):
            raise MalformedResponseError("IAM's list of projects has no field projects")
        projects = [project for project in listed if isinstance(project, dict) and project.get("id")]
        return [(str(project.get("name")), str(project["id"])) for project in projects]

    def _look_up_project(self) -> Flow[str]:
        if self._project_id is not None:  # another wait was first
            return self._project_id
        region = self.settings.region
        if not region:
            raise ConfigurationError("project_id is not set, and without region it cannot be looked up")
        projects = yield from self.list_projects()
        ids = [project_id for name, project_id in projects if name == region]
        if len(ids) != 1:
            found = ", ".join(f"{name} ({project_id})" for name, project_id in projects[:20]) or "none"
            raise ConfigurationError(
                "project_id is not set, and IAM lists these projects by the name of region "
                f"{region}: {shown(found, self.redact)}. "
                "Set project_id to the one that the jobs are in"
            )
        self._project_id = check_project_id(ids[0])
        return self._project_id


class _Attempt(Generic[T]):
    """One request that is sent, and repeated by :func:`~airflow_provider_hwstatus.core.protocol.retry.retry`."""

    def __init__(
        self, client: Client, call: Call, budget: RetryBudget, read: Callable[[Response], T], kind: str
    ) -> None:
        ahead = 0.0 if client.monotonic is client.clock else client.monotonic() - client.clock()
        self.clock = client.monotonic
        self.budget = budget
        self.deadline = math.inf if budget.deadline is None else budget.deadline + ahead
        self._until = budget.end + ahead
        self.throttle = client.throttles[call.service.label]
        self.queued_at = 0.0
        self.sent_at: float | None = None
        self._client = client
        self._call = call
        self._read = read
        self._kind = kind

    def send(self) -> Flow[T]:
        """
        Wait for a slot and for the throttle, send the request, and return what its response means.

        :raises UnclearSubmissionError: The service may have accepted a request that must not arrive twice.
        :raises HwStatusError: There was no usable answer.
        """
        service = self._call.service.label
        self.queued_at, self.sent_at = self.clock(), None
        sending = _Sending()
        try:
            yield AcquireSlot(service, self.deadline, self._until)
            if self.throttle.active:
                yield from self.throttle.turn(self.deadline, self.clock)
            self.sent_at = self.clock()
            yield Count("polls", self._kind)
            request = yield from self._request()
            exchange = self._client.exchange(request)
            result = self._read((yield from sending.watch(exchange, request) if self._call.once else exchange))
        except HwStatusError as error:
            yield ReleaseSlot(error, service)
            if self._call.once and sending.may_be_accepted(error):
                raise _unclear(error) from error
            if self.sent_at is not None and (metric := _metric_of(error)):
                yield Count(metric, self._kind)
            raise
        yield ReleaseSlot(None, service)
        return result

    def _request(self) -> Flow[Request]:
        client, call = self._client, self._call
        # A project id is letters and digits, so it needs no encoding.
        project_id = client.known_project_id or (yield from client.project_id())
        url = client.endpoint(call.service) + call.path.replace("{project_id}", project_id)
        headers = {"Content-Type": "application/json", "X-Project-Id": project_id, **call.headers}
        return Request(call.method, url, headers, call.body)


class _Sending:
    """Whether the service may have accepted a request."""

    def __init__(self) -> None:
        self._sent = False

    def watch(self, exchange: Flow[Response], request: Request) -> Flow[Response]:
        """Run a flow that sends *request*, after requests of its own for the login, and note when it does."""
        result: object = None
        error: BaseException | None = None
        while True:
            try:
                effect = exchange.send(result) if error is None else exchange.throw(error)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # a Response
            if isinstance(effect, Request):
                self._sent = self._sent or (effect.method, effect.url) == (request.method, request.url)
            if isinstance(effect, Exclusive):
                effect = Exclusive(effect.name, partial(self._watch_inside, effect.flow, request))
            result, error = None, None
            try:
                result = yield effect
                if isinstance(effect, Request) and isinstance(result, Response) and result.status == 401:
                    self._sent = False  # the gateway refused it, and it may be sent again with a new login
            except GeneratorExit:
                exchange.close()
                raise
            except BaseException as thrown:  # noqa: BLE001  # every exception goes into the flow
                error = thrown

    def _watch_inside(self, flow: Callable[[], Flow[Response]], request: Request) -> Flow[Response]:
        return self.watch(flow(), request)

    def may_be_accepted(self, error: HwStatusError) -> bool:
        """
        Return whether the service may have accepted the request, although it ended with *error*.

        A response of 4xx is a refusal, except for what the service reports about itself with such a status.
        """
        if not self._sent or error.unsent:
            return False
        refused = isinstance(error, ApiError) and not isinstance(error, ServerError)
        return not refused


def _metric_of(error: HwStatusError) -> str | None:
    """Return the metric that counts an error of a request; None if only the end of the wait is counted."""
    if isinstance(error, ThrottledError):
        return "throttles"
    if isinstance(error, RetryableError):
        return "transient_errors"
    return "refused_logins" if is_refused_login(error) else None


def _unclear(error: HwStatusError) -> UnclearSubmissionError:
    return UnclearSubmissionError(
        f"the service may have accepted the request, or not: {str(error).partition(NEXT)[0]}",
        http_status=error.http_status,
        code=error.code,
        request_id=error.request_id,
    )
