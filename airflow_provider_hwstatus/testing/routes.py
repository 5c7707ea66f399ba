"""Which path is answered by whom, and what happens to a request on its way there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from airflow_provider_hwstatus.kinds.cph import CPH_JOB
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH, DLI_SESSION_READY
from airflow_provider_hwstatus.testing.account import Account
from airflow_provider_hwstatus.testing.cph import Cph
from airflow_provider_hwstatus.testing.dli import Dli, DliBatches
from airflow_provider_hwstatus.testing.gateway import Gateway
from airflow_provider_hwstatus.testing.iam import Iam
from airflow_provider_hwstatus.testing.lists import BatchList, CphJobList, JobList
from airflow_provider_hwstatus.testing.metadata import Metadata
from airflow_provider_hwstatus.testing.replies import Refused, error, not_published
from airflow_provider_hwstatus.testing.script import Jobs
from airflow_provider_hwstatus.testing.wire import Answer, Fault, Incoming, Record, Reply

#: What can be taken offline, as a region does that does not have it.
COLLECTIONS = frozenset({"batches", "sessions", "jobs", "projects", "log"})


@dataclass(frozen=True)
class Route:
    """
    One call of an API.

    :param path: With ``{project_id}`` and ``{job_id}``, both optional.
    :param view: Takes the request and, where the path has one, the job's id.
    :param counts: Whether a call is a poll.
    :param open: Whether it needs no login.
    :param listing: How it behaves, if it lists jobs.
    """

    method: str
    path: str
    view: Callable[..., Answer]
    counts: bool = False
    open: bool = False
    listing: JobList | None = None

    def match(self, request: Incoming) -> dict[str, str] | None:
        """Return what *request* has in place of the braces; None if it wants something else."""
        parts = self.path.split("/")[1:]
        if request.method != self.method or len(parts) != len(request.segments):
            return None
        pairs = list(zip(parts, request.segments, strict=True))
        if any(part != segment for part, segment in pairs if not part.startswith("{")):
            return None
        return {part.strip("{}"): segment for part, segment in pairs if part.startswith("{")}


@dataclass
class Breakage:
    """A step that the next *calls* requests get whose path contains a text and ends with another."""

    step: int | Reply | Fault
    calls: int
    path_contains: str
    path_ends: str

    def take(self, request: Incoming) -> bool:
        """Whether *request* is one of them."""
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
        yield Route("GET", kind.path, dli.show_state, counts=True)
        yield Route("GET", detail, dli.show)
        yield Route("GET", f"{detail}/log", dli.show_log)
    path = DLI_BATCH.path.removesuffix("/{job_id}/state")
    yield Route("GET", path, batches.list_batches, listing=batch_list)
    cph = Cph(jobs, cph_job_list)
    yield Route("GET", CPH_JOB.path, cph.show_job, counts=True)
    yield Route("GET", CPH_JOB.path.removesuffix("/{job_id}"), cph.list_jobs, listing=cph_job_list)


class Dispatcher:
    """
    Answers requests and keeps a record of them. Runs in the server's thread; others only read, or append.

    :param account: Whose cloud this is.
    :param jobs: What it knows about.
    """

    def __init__(self, account: Account, jobs: Jobs) -> None:
        self.iam = Iam(account)
        self.metadata = Metadata(account)
        self.batch_list = BatchList()
        self.cph_job_list = CphJobList()
        self.records: list[Record] = []
        self.listeners: list[Callable[[Record], None]] = []
        self.breakages: list[Breakage] = []
        self.unpublished: set[str] = set()
        self.polls: Counter[str] = Counter()
        self._gateway = Gateway(account)
        self._routes = list(_routes(self.iam, self.metadata, jobs, self.batch_list, self.cph_job_list))

    def answer(self, request: Incoming) -> Reply | Fault:
        """Return the answer to *request*, recorded already: whoever has the reply finds its record."""
        route, names = self._find(request)
        job_id = names.get("job_id")
        if route and route.counts and job_id:
            self.polls[job_id] += 1
        if route and route.listing:
            route.listing.calls += 1
        answer = self._broken(request) or self._ask(request, route, names)
        self._keep(request, answer, job_id)
        return answer.reply

    def _find(self, request: Incoming) -> tuple[Route | None, dict[str, str]]:
        for route in self._routes:
            names = route.match(request)
            if names is not None:
                return route, names
        return None, {}

    def _ask(self, request: Incoming, route: Route | None, names: dict[str, str]) -> Answer:
        if route is None or self.unpublished.intersection(route.path.split("/")):
            return Answer(not_published(request))
        try:
            if not route.open:
                self._gateway.check(request, names.get("project_id"))
            if route.listing and route.listing.answer is not None:
                return _forced(request, route.listing.answer)
            return route.view(request, names["job_id"]) if "job_id" in names else route.view(request)
        except Refused as refused:
            return Answer(refused.reply)

    def _broken(self, request: Incoming) -> Answer | None:
        for breakage in self.breakages:
            if breakage.take(request):
                return _forced(request, breakage.step)
        return None

    def _keep(self, request: Incoming, answer: Answer, job_id: str | None) -> None:
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
    """Return the HTTP status that the client sees; None if it sees none."""
    if isinstance(reply, Reply):
        return reply.status
    return 200 if reply in (Fault.HALF, Fault.DRIP) else None
