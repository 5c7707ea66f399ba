"""One connection's questions. It is shared by all waits on that connection in a process."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from airflow_provider_hwstatus.core.connection.credentials import CredentialRecords
from airflow_provider_hwstatus.core.connection.login import login_for
from airflow_provider_hwstatus.core.connection.settings import Settings, check_project_id
from airflow_provider_hwstatus.core.polling.batch_coalescer import BatchCoalescer
from airflow_provider_hwstatus.core.protocol.effects import Exclusive, Flow, Request, Response, T, encode
from airflow_provider_hwstatus.core.protocol.redaction import Redactor
from airflow_provider_hwstatus.core.protocol.responses import json_or_raise, shown
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget, retry
from airflow_provider_hwstatus.core.protocol.throttle import Clock, Throttle
from airflow_provider_hwstatus.errors import (
    ConfigurationError,
    HwStatusError,
    MalformedResponseError,
)


class Client:
    """
    Asks as one connection says: with its login, its project and what it was told about asking too often.

    :param settings: The connection.
    :param clock: Returns seconds since 1970.
    :param monotonic: Returns seconds by a clock that is never set, for what is measured in this process alone.
    :param standings: What this process knows of keys and passwords.
    :raises ConfigurationError: A field that the way to log in needs is missing.
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
        self._throttles: defaultdict[str, Throttle] = defaultdict(Throttle)
        self.coalescer = BatchCoalescer(self) if settings.coalesce else None
        #: Told of each attempt: what was asked about, and what kept it from an answer, if anything did.
        self.count: Callable[[str, HwStatusError | None], object] = lambda kind, error: None
        #: Whether the login was ever accepted.
        self.accepted = False
        self._login = login_for(settings, clock, self.redact, records)
        self._project_id = settings.project_id

    def retry(self, attempt: Callable[[], Flow[T]], budget: RetryBudget, service: str, kind: str) -> Flow[T]:
        """
        Run *attempt* as :func:`~airflow_provider_hwstatus.core.protocol.retry.persist` does, at this connection's pace.

        :param kind: What :attr:`count` is told.
        """

        def counted() -> Flow[T]:
            try:
                result = yield from attempt()
            except HwStatusError as error:
                self.count(kind, error)
                raise
            self.count(kind, None)
            return result

        budget = budget.shifted(self.monotonic() - self.clock() if self.monotonic is not self.clock else 0.0)
        timeout = self.settings.request_timeout
        return (yield from retry(counted, budget, self._throttles[service], self.monotonic, service, timeout))

    def exchange(self, request: Request) -> Flow[Response]:
        """
        Send *request* as the one who is logged in.

        :raises HwStatusError: It was refused, or the login was.
        """
        response = yield from self._login.exchange(request)
        self.accepted = self.accepted or response.status < 300
        return response

    def project_id(self) -> Flow[str]:
        """
        Return the connection's project, looked up by the region's name if it is not configured.

        :raises ConfigurationError: No project or several have that name, or there is no region to look up.
        """
        if self._project_id is None:
            yield from self._login.ensure()
            self._project_id = self._login.project_id or (yield Exclusive("project", self._look_up_project))
        return self._project_id

    @property
    def who(self) -> str:
        """Who is logged in, without anything secret."""
        return self._login.who

    def list_projects(self) -> Flow[list[tuple[str, str]]]:
        """
        Return name and id of the projects that have the region's name; all of them if there is no region.

        :raises HwStatusError: IAM does not say.
        """
        region = self.settings.region
        url = f"{self.settings.endpoint('iam')}/v3/projects" + (f"?name={encode(region)}" if region else "")
        response = yield from self._login.exchange(Request("GET", url, {"Content-Type": "application/json"}))
        listed = json_or_raise(response, self.redact, self.clock()).get("projects")
        if not isinstance(listed, list):
            raise MalformedResponseError("IAM's list of projects has no projects in it")
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
