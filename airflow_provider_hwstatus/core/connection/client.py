"""Authenticated requests of one connection, shared by all waits on that connection in a process."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Generic

from airflow_provider_hwstatus.core.connection.credentials import CredentialRecords
from airflow_provider_hwstatus.core.connection.login import login_for
from airflow_provider_hwstatus.core.connection.settings import Settings, check_project_id
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
    ConfigurationError,
    HwStatusError,
    MalformedResponseError,
    RetryableError,
    ThrottledError,
)
from airflow_provider_hwstatus.kinds.service import IAM, Service


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
        metric: str,
        headers: Mapping[str, str] | None = None,
    ) -> Flow[T]:
        """
        Send an authenticated GET request, and repeat it during an outage.

        :param service: The service whose endpoint the request goes to.
        :param path: Percent-encoded path and query; ``{project_id}`` stands for the connection's project.
        :param budget: For how long to retry.
        :param read: Returns the result, or raises what the response means.
        :param metric: The metric ``hwstatus.<metric>.polls`` counts each attempt.
        :param headers: Further headers, which are signed, too.
        :raises HwStatusError: There was no usable answer.
        """
        attempt = _Attempt(self, service, path, budget, read, metric, headers or {})
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
        self,
        client: Client,
        service: Service,
        path: str,
        budget: RetryBudget,
        read: Callable[[Response], T],
        metric: str,
        headers: Mapping[str, str],
    ) -> None:
        ahead = 0.0 if client.monotonic is client.clock else client.monotonic() - client.clock()
        self.clock = client.monotonic
        self.budget = budget
        self.deadline = math.inf if budget.deadline is None else budget.deadline + ahead
        self._until = budget.end + ahead
        self.throttle = client.throttles[service.label]
        self.queued_at = 0.0
        self.sent_at: float | None = None
        self._client = client
        self._service = service
        self._path = path
        self._read = read
        self._metric = metric
        self._headers = headers

    def send(self) -> Flow[T]:
        """
        Wait for a slot and for the throttle, send the request, and return what its response means.

        :raises HwStatusError: There was no usable answer.
        """
        service = self._service.label
        self.queued_at, self.sent_at = self.clock(), None
        try:
            yield AcquireSlot(service, self.deadline, self._until)
            if self.throttle.active:
                yield from self.throttle.turn(self.deadline, self.clock)
            self.sent_at = self.clock()
            yield Count(f"hwstatus.{self._metric}.polls")
            result = self._read((yield from self._client.exchange((yield from self._request()))))
        except HwStatusError as error:
            yield ReleaseSlot(error, service)
            if self.sent_at is not None and isinstance(error, RetryableError):
                kind = "throttles" if isinstance(error, ThrottledError) else "transient_errors"
                yield Count(f"hwstatus.{self._metric}.{kind}")
            raise
        yield ReleaseSlot(None, service)
        return result

    def _request(self) -> Flow[Request]:
        client = self._client
        # A project id is letters and digits, so it needs no encoding.
        project_id = client.known_project_id or (yield from client.project_id())
        url = client.endpoint(self._service) + self._path.replace("{project_id}", project_id)
        return Request("GET", url, {"Content-Type": "application/json", "X-Project-Id": project_id, **self._headers})
