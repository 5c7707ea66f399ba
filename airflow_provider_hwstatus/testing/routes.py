"""The routes of the fake's APIs, and the dispatcher that answers and records requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from airflow_provider_hwstatus.kinds import KINDS
from airflow_provider_hwstatus.kinds.cph import ACTIONS, CPH_JOB
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH, DLI_SESSION_READY
from airflow_provider_hwstatus.kinds.job_kind import JobKind
from airflow_provider_hwstatus.testing.account import Account
from airflow_provider_hwstatus.testing.cph import Cph
from airflow_provider_hwstatus.testing.declared import DeclaredJobs
from airflow_provider_hwstatus.testing.dli import Dli, DliBatches
from airflow_provider_hwstatus.testing.gateway import Gateway
from airflow_provider_hwstatus.testing.iam import Iam
from airflow_provider_hwstatus.testing.lists import BatchList, CphJobList, JobList
from airflow_provider_hwstatus.testing.metadata import Metadata
from airflow_provider_hwstatus.testing.replies import RefusedError, error, not_published
from airflow_provider_hwstatus.testing.script import Jobs
from airflow_provider_hwstatus.testing.submissions import Submissions, SubmitApi
from airflow_provider_hwstatus.testing.wire import Answer, Fault, Incoming, Record, Reply

#: Collections that can be unpublished, as in a region without this API.
COLLECTIONS = frozenset({"batches", "sessions", "jobs", "projects", "log"})


@dataclass(frozen=True)
class Route:
    """
    One endpoint of an API.

    :param path: Path template. It can contain names in braces, and end in a query whose values it compares or names.
    :param view: Takes the request and, if the path has one, the job's id; for declared kinds all names in the path.
    :param is_poll: Whether a request counts as a poll.
    :param declared: The jobs of a declared kind, if the endpoint returns their status.
    :param open: Whether the endpoint needs no login.
    :param listing: How the list behaves, if the endpoint is one.
    """

    method: str
    path: str
    view: Callable[..., Answer]
    is_poll: bool = False
    open: bool = False
    listing: JobList | None = None
    declared: DeclaredJobs | None = None

    def match(self, request: Incoming) -> dict[str, str] | None:
        """Return the values of the path's parameters, or None if *request* is for another endpoint."""
        path, _, query = self.path.partition("?")
        parts = path.split("/")[1:]
        if request.method != self.method or len(parts) != len(request.segments):
            return None
        pairs = list(zip(parts, request.segments, strict=True))
        for name, _, wanted in (pair.partition("=") for pair in query.split("&") if pair):
            pairs.append((wanted, request.parameters.get(name, "")))
        if any(part != segment for part, segment in pairs if not part.startswith("{")):
            return None
        return {part.strip("{}"): segment for part, segment in pairs if part.startswith("{")}


@dataclass
class Breakage:
    """A forced reply to the next *calls* requests with a matching path."""

    step: int | Reply | Fault
    calls: int
    path_contains: str
    path_ends: str

    def take(self, request: Incoming) -> bool:
        """Return whether *request* gets the forced reply. If so, count it."""
        path = request.path
        if self.calls <= 0 or self.path_contains not in path or not path.endswith(self.path_ends):
            return False
        self.calls -= 1
        return True


def _routes(
    iam: Iam, metadata: Metadata, jobs: Jobs, batch_list: BatchList, cph_job_list: CphJobList
) -> Iterator[Route]:
    yield Route("PUT", "/meta-data/latest/api/token", metadata.create_token, open=True)
    yield Route("GET", "/openstack/latest/securitykey", metadata.show_security_key, open=True)
    yield Route("POST", "/v3/auth/tokens", iam.create_token, open=True)
    yield Route("GET", "/v3/auth/domains", iam.list_domains)
    yield Route("GET", "/v3/projects", iam.list_projects)
    batches = DliBatches(jobs, DLI_BATCH, (400, "DLI.0002", "The batch {} does not exist."), batch_list)
    sessions = Dli(jobs, DLI_SESSION_READY, (404, "DLI.0023", "The session {} is not found."))
    for kind, dli in ((DLI_BATCH, batches), (DLI_SESSION_READY, sessions)):
        detail = kind.path.removesuffix("/state")
        yield Route("GET", kind.path, dli.show_state, is_poll=True)
        yield Route("GET", detail, dli.show)
        yield Route("GET", f"{detail}/log", dli.show_log)
    path = DLI_BATCH.path.removesuffix("/{job_id}/state")
    yield Route("GET", path, batches.list_batches, listing=batch_list)
    cph = Cph(jobs, cph_job_list)
    yield Route("GET", CPH_JOB.path, cph.show_job, is_poll=True)
    yield Route("GET", CPH_JOB.path.removesuffix("/{job_id}"), cph.list_jobs, listing=cph_job_list)


def _submit_routes(api: SubmitApi) -> Iterator[Route]:
    yield Route("POST", "/v2.0/{project_id}/batches", api.create_batch)
    yield Route("DELETE", "/v2.0/{project_id}/batches/{job_id}", api.cancel_batch)
    yield Route("POST", "/v1.0/{project_id}/jobs/submit-job", api.create_sql_job)
    yield Route("GET", "/v1.0/{project_id}/jobs", api.list_sql_jobs)
    yield Route("DELETE", "/v1.0/{project_id}/jobs/{job_id}", api.cancel_sql_job)
    for path in dict.fromkeys(action.path for action in ACTIONS.values()):
        yield Route("POST", path, api.phones)


class Dispatcher:
    """
    Answers requests and records them. Runs in the server's thread. Other threads only read its lists or append to them.

    :param account: The account of the cloud.
    :param jobs: The jobs of the cloud.
    """

    def __init__(self, account: Account, jobs: Jobs) -> None:
        self.iam = Iam(account)
        self.metadata = Metadata(account)
        self.batch_list = BatchList()
        self.cph_job_list = CphJobList()
        self.records: list[Record] = []
        self.listeners: list[Callable[[Record], None]] = []
        self.reply_filters: list[Callable[[Incoming, Reply | Fault], Reply | Fault]] = []
        self.breakages: list[Breakage] = []
        self.unpublished: set[str] = set()
        self.polls: Counter[str] = Counter()
        self._gateway = Gateway(account)
        self.submissions = Submissions()
        self._jobs = jobs
        self._routes = list(_routes(self.iam, self.metadata, jobs, self.batch_list, self.cph_job_list))
        self._routes += _submit_routes(SubmitApi(jobs, self.submissions))
        for kind in KINDS.values():
            self.serve(kind)

    def serve(self, kind: JobKind) -> None:
        """Serve the status of jobs of *kind*, from its declaration, unless its path is served already."""
        if not any(route.path == kind.path for route in self._routes):
            declared = DeclaredJobs(self._jobs, kind)
            self._routes.append(Route("GET", kind.path, declared.show, is_poll=True, declared=declared))

    def answer(self, request: Incoming) -> Reply | Fault:
        """Record a request and return the reply. A client that has a reply always finds its record."""
        route, names = self._find(request)
        job_id = names.get("job_id")
        if route and route.is_poll:
            self.polls.update(route.declared.polled(names) if route.declared else [names["job_id"]])
        if route and route.listing:
            route.listing.calls += 1
        answer = self._forced_answer(request) or self._view_answer(request, route, names)
        for edit in self.reply_filters:
            answer = replace(answer, reply=edit(request, answer.reply))
        self._record(request, answer, job_id)
        return answer.reply

    def _find(self, request: Incoming) -> tuple[Route | None, dict[str, str]]:
        for route in self._routes:
            names = route.match(request)
            if names is not None:
                return route, names
        return None, {}

    def _view_answer(self, request: Incoming, route: Route | None, names: dict[str, str]) -> Answer:
        if route is None or self.unpublished.intersection(route.path.partition("?")[0].split("/")):
            return Answer(not_published(request))
        try:
            if not route.open:
                self._gateway.check(request, names.get("project_id"))
            if route.listing and route.listing.answer is not None:
                return _forced(request, route.listing.answer)
            if route.declared:
                return route.view(request, names)
            return route.view(request, names["job_id"]) if "job_id" in names else route.view(request)
        except RefusedError as refused:
            return Answer(refused.reply)

    def _forced_answer(self, request: Incoming) -> Answer | None:
        for breakage in self.breakages:
            if breakage.take(request):
                return _forced(request, breakage.step)
        return None

    def _record(self, request: Incoming, answer: Answer, job_id: str | None) -> None:
        record = Record(
            request.time,
            request.method,
            request.path,
            request.query,
            status=_status(answer.reply),
            job_id=job_id,
            state=answer.state,
            request_id=request.request_id,
            headers=request.headers,
        )
        self.records.append(record)
        for listener in list(self.listeners):
            listener(record)


def _forced(request: Incoming, step: int | Reply | Fault) -> Answer:
    return Answer(error(request, step) if isinstance(step, int) else step)


def _status(reply: Reply | Fault) -> int | None:
    """Return the HTTP status that the client receives, or None if it receives none."""
    if isinstance(reply, Reply):
        return reply.status
    return 200 if reply in (Fault.HALF, Fault.DRIP) else None
