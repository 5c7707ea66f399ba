"""One connection's questions. It is shared by all waits on that connection in a process."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from airflow_provider_hwstatus.core.auth import login_for
from airflow_provider_hwstatus.core.errors import (
    ConfigurationError,
    HwStatusError,
    MalformedResponseError,
    UnknownStateError,
)
from airflow_provider_hwstatus.core.flow import Clock, Patience, Throttle, persist
from airflow_provider_hwstatus.core.hints import LONGEST_READ, Hints
from airflow_provider_hwstatus.core.jobs import JobKind, Outcome
from airflow_provider_hwstatus.core.messages import Exclusive, Flow, Request, Response, T, encode
from airflow_provider_hwstatus.core.plan import Plan
from airflow_provider_hwstatus.core.redaction import Redactor
from airflow_provider_hwstatus.core.renewal import Standings
from airflow_provider_hwstatus.core.replies import promised, shown
from airflow_provider_hwstatus.core.settings import Settings, check_job_id, check_project_id
from airflow_provider_hwstatus.core.status import JobStatus, read_status, status_request

#: Bytes of a reply that are kept to compare the next one with.
_SHORT = 1024


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
        standings: Standings | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.monotonic = monotonic or clock
        self.redact = Redactor()
        self.redact.add_url(settings.proxy)
        self._throttles: defaultdict[str, Throttle] = defaultdict(Throttle)
        self.hints = Hints(self) if settings.coalesce else None
        #: Told of each attempt: what was asked about, and what kept it from an answer, if anything did.
        self.count: Callable[[str, HwStatusError | None], object] = lambda kind, error: None
        #: Whether the login was ever accepted.
        self.accepted = False
        self._login = login_for(settings, clock, self.redact, standings)
        self._project_id = settings.project_id

    def get_status(self, kind: JobKind, job_id: str, patience: Patience) -> Flow[JobStatus]:
        """
        Ask for the state of a job, and go on asking through an outage.

        :raises HwStatusError: The question could not be answered.
        """
        return (yield from Question(self, kind, job_id).ask(patience))

    def persist(self, attempt: Callable[[], Flow[T]], patience: Patience, service: str, kind: str) -> Flow[T]:
        """
        Run *attempt* as :func:`~airflow_provider_hwstatus.core.flow.persist` does, at this connection's pace.

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

        patience = patience.shifted(self.monotonic() - self.clock() if self.monotonic is not self.clock else 0.0)
        timeout = self.settings.request_timeout
        return (yield from persist(counted, patience, self._throttles[service], self.monotonic, service, timeout))

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
                "project_id is not set, and IAM lists these projects by the name of region "
                f"{region}: {shown(found, self.redact)}. "
                "Set project_id to the one that the jobs are in"
            )
        self._project_id = check_project_id(ids[0])
        return self._project_id


class Question:
    """
    How a job is, asked as often as need be. What is the same each time is worked out once.

    :raises ConfigurationError: *job_id* cannot be one.
    """

    def __init__(self, client: Client, kind: JobKind, job_id: str) -> None:
        self.client = client
        self.kind = kind
        self.job_id = check_job_id(kind.id_name, job_id)
        self._request: Request | None = None
        self._body: bytes | None = None
        self._status: JobStatus | None = None
        if client.hints:
            client.hints.watch(self)

    def move_to(self, client: Client) -> None:
        """Use another connection from now on."""
        self.client, self._request = client, None
        if client.hints:
            client.hints.watch(self)

    @property
    def subject(self) -> str:
        """What the question is about, as messages call it."""
        return f"{self.kind.title} {self.job_id}"

    def ask(self, patience: Patience) -> Flow[JobStatus]:
        """
        Ask, and go on asking through an outage.

        :raises HwStatusError: The question could not be answered.
        """
        try:
            return (yield from self.client.persist(self._ask, patience, self.kind.service, self.kind.name))
        except HwStatusError as error:
            raise error.about(self.subject)  # noqa: B904  # the same error, with its subject

    def look(self, plan: Plan) -> Flow[JobStatus]:
        """
        Ask as *plan* says, or have the list of jobs say that it goes on.

        :raises UnknownStateError: The state is unknown, and the plan is to fail then.
        :raises HwStatusError: The question could not be answered.
        """
        hints = self.client.hints
        # A list can take as long as LONGEST_READ, so a wait that has less does without.
        hurried = plan.deadline is not None and self.client.clock() + LONGEST_READ >= plan.deadline
        if hints and not hurried and (state := (yield from hints.about(self))):
            return JobStatus(kind=self.kind.name, job_id=self.job_id, state=state, outcome=Outcome.IN_PROGRESS)
        status = yield from self.ask(plan.patience)
        if hints:
            hints.asked(self, status.state, status.over)
        check_known(self.subject, status, plan)
        return status

    def _ask(self) -> Flow[JobStatus]:
        client = self.client
        response: Response = yield from client.exchange(self._request or (yield from self._build()))
        if response.body == self._body and response.status == 200 and self._status:
            return self._status
        status = read_status(self.kind, self.job_id, response, client.redact, client.clock())
        if status.outcome is Outcome.IN_PROGRESS and len(response.body) < _SHORT:
            self._body, self._status = response.body, status
        return status

    def _build(self) -> Flow[Request]:
        project_id = yield from self.client.project_id()
        endpoint = self.client.settings.endpoint(self.kind.service)
        self._request = status_request(self.kind, endpoint, project_id, self.job_id)
        return self._request


def check_known(subject: str, status: JobStatus, plan: Plan) -> None:
    """
    Raise where a state is unknown and *plan* is to fail then.

    :raises UnknownStateError: So it is.
    """
    if status.outcome is Outcome.UNKNOWN and plan.on_unknown_state == "fail":
        raise UnknownStateError(
            f"{subject}: its state {status.state!r} is in no table, and on_unknown_state is 'fail'",
            request_id=status.request_id,
        )
