"""One connection's questions. It is shared by all waits on that connection in a process."""

from __future__ import annotations

from airflow_provider_hwstatus.core.auth import login_for
from airflow_provider_hwstatus.core.errors import ConfigurationError, HwStatusError, MalformedResponseError
from airflow_provider_hwstatus.core.flow import Clock, Patience, Throttle, persist
from airflow_provider_hwstatus.core.jobs import JobKind
from airflow_provider_hwstatus.core.messages import Exclusive, Flow, Request, Response, encode
from airflow_provider_hwstatus.core.redaction import Redactor
from airflow_provider_hwstatus.core.replies import promised
from airflow_provider_hwstatus.core.settings import Settings, check_job_id, check_project_id
from airflow_provider_hwstatus.core.status import JobStatus, read_status, status_request

#: Seconds that a question at the deadline, or after it, may take.
_LAST_LOOK = 5.0


class Client:
    """
    Asks as one connection says: with its login, its project and what it was told about asking too often.

    :param settings: The connection.
    :param clock: Returns seconds since 1970.
    :raises ConfigurationError: A field that the way to log in needs is missing.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.redact = Redactor()
        self.redact.add_url(settings.proxy)
        self.throttle = Throttle()
        self._login = login_for(settings, clock, self.redact)
        self._project_id = settings.project_id

    def get_status(self, kind: JobKind, job_id: str, patience: Patience) -> Flow[JobStatus]:
        """
        Ask for the state of a job, and go on asking through an outage.

        :raises HwStatusError: The question could not be answered.
        """
        check_job_id(kind.id_name, job_id)
        try:
            return (yield from persist(lambda: self._ask(kind, job_id, patience), patience, self.throttle, self.clock))
        except HwStatusError as error:
            raise error.about(f"{kind.title} {job_id}")  # noqa: B904  # the same error, with its subject

    def project_id(self) -> Flow[str]:
        """
        Return the connection's project, looked up by the region's name if it is not configured.

        :raises ConfigurationError: No project or several have that name, or there is no region to look up.
        """
        if self._project_id is None:
            yield from self._login.ensure()
            self._project_id = self._login.project_id or (yield Exclusive("project", self._look_up_project))
        return self._project_id

    def _ask(self, kind: JobKind, job_id: str, patience: Patience) -> Flow[JobStatus]:
        project_id = yield from self.project_id()
        timeout = None
        if patience.deadline is not None:
            left = max(patience.deadline - self.clock(), _LAST_LOOK)
            timeout = left if left < self.settings.request_timeout else None
        request = status_request(kind, self.settings.endpoint(kind.service), project_id, job_id, timeout)
        response: Response = yield from self._login.exchange(request)
        return read_status(kind, job_id, response, self.redact, self.clock())

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
        listed = promised(response, self.redact, self.clock()).get("projects")
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
                f"project_id is not set, and IAM lists these projects by the name of region {region}: {found}. "
                "Set project_id to the one that the jobs are in"
            )
        self._project_id = check_project_id(ids[0])
        return self._project_id
