"""The fake as tests and demos hold it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Self
from uuid import uuid4

from airflow_provider_hwstatus.core.connection.signing import AccessKey
from airflow_provider_hwstatus.kinds import KINDS
from airflow_provider_hwstatus.kinds.cph import CPH_JOB
from airflow_provider_hwstatus.kinds.job_kind import JobKind
from airflow_provider_hwstatus.testing.account import Account
from airflow_provider_hwstatus.testing.dli import check_id
from airflow_provider_hwstatus.testing.routes import COLLECTIONS, Breakage, Dispatcher
from airflow_provider_hwstatus.testing.script import (
    Job,
    Jobs,
    check_step,
    is_state,
    new_request_id,
    new_script,
)
from airflow_provider_hwstatus.testing.server import HOST, Server
from airflow_provider_hwstatus.testing.wire import Fault, Record, Reply, Step

__all__ = ["FakeHuaweiCloud", "Fault", "Record", "Reply"]


class FakeHuaweiCloud:
    """
    A Huawei Cloud with IAM, DLI and CPH on this machine, for one account.

    .. code-block:: python

        with FakeHuaweiCloud() as cloud:
            batch_id = str(uuid.uuid4())
            cloud.job("dli_batch", batch_id, "starting", 503, "success")  # one step per call; the last stays
            cloud.job("cph_job", "j1", seconds={0: 1, 2.5: -1}, error_code="CPS.0005")
            os.environ["AIRFLOW_CONN_HWSTATUS_DEFAULT"] = json.dumps(cloud.connection())

    Logins and signatures are checked as the real gateway does; nothing turns that off.

    :param port: 0 takes a free one, and keeps it from the first start on.
    :param clock: Returns seconds since 1970. What tokens, signatures and ``seconds=`` go by.
    """

    def __init__(self, port: int = 0, clock: Callable[[], float] = time.time) -> None:
        self._account = Account()
        self._clock = clock
        self._jobs = Jobs()
        self._dispatcher = Dispatcher(self._account, self._jobs)
        self._server = Server(self._dispatcher.answer, clock, port)
        self.region = self._account.region
        self.project_id = self._account.projects[self.region]
        self.access_key = self._account.access_key
        self.secret_key = self._account.secret_key
        self.user = self._account.user
        self.password = self._account.password
        self.domain_name = self._account.domain_name
        #: Ids of the account's projects by name; change it as you like.
        self.projects = self._account.projects
        #: The metadata service of a node with an agency; ``handshake`` and ``agency`` say what it offers.
        self.metadata = self._dispatcher.metadata
        #: How DLI lists batches, e.g. ``batch_list.stale = 30``.
        self.batch_list = self._dispatcher.batch_list
        #: How CPH lists jobs.
        self.cph_job_list = self._dispatcher.cph_job_list
        #: Everything that was asked, oldest first.
        self.requests = self._dispatcher.records
        #: Called with each :class:`Record`, in the server's thread and before the reply is sent.
        self.listeners = self._dispatcher.listeners

    def start(self) -> None:
        """
        Start serving: for the first time, or again on the same port with the same jobs and logins.

        :raises OSError: The port is taken.
        """
        self._server.start()

    def stop(self) -> None:
        """Stop serving, as in an outage: connections are closed, and new ones refused."""
        self._server.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """Where it listens; 0 before the first start, if none was given."""
        return self._server.port

    @property
    def url(self) -> str:
        """The endpoint of every service."""
        return f"http://{HOST}:{self.port}"

    def connection(self, auth: str = "aksk", key: AccessKey | None = None, **extra: object) -> dict[str, object]:
        """
        Return the fields of an Airflow connection to this cloud; as JSON they are what Airflow reads from
        ``AIRFLOW_CONN_HWSTATUS_DEFAULT``.

        :param auth: ``aksk``, ``password``, ``token`` (issues one) or ``agency``. For ``env``, put the key of
            :meth:`temporary_key` or the account's own where the vendor's SDK would find it.
        :param key: Instead of the account's own, e.g. ``connection(key=cloud.temporary_key())``.
        :param extra: Added to the connection's extra, or replacing what is there; None takes it away.
        """
        key = key or AccessKey(self.access_key, self.secret_key)
        logins: dict[str, Callable[[], tuple[str | None, str | None]]] = {
            "aksk": lambda: (key.access_key, key.secret_key),
            "password": lambda: (self.user, self.password),
            "token": lambda: (None, self._account.issue_token(self.project_id, self._clock())[0]),
            "agency": lambda: (None, None),
            "env": lambda: (None, None),
        }
        if auth not in logins:
            raise ValueError(f"auth must be one of {', '.join(logins)}; it is {auth!r}")
        login, password = logins[auth]()
        fields: dict[str, object] = {"conn_type": "hwstatus", "login": login, "password": password}
        everything = self._extra(auth, key) | extra
        fields["extra"] = {name: value for name, value in everything.items() if value is not None}
        return {name: value for name, value in fields.items() if value is not None}

    def _extra(self, auth: str, key: AccessKey) -> dict[str, object]:
        endpoints = {f"{service}_endpoint": self.url for service in ("dli", "cph", "iam")}
        by_auth: dict[str, dict[str, object]] = {
            "aksk": {"project_id": self.project_id, "security_token": key.security_token},
            "password": {"domain_name": self.domain_name},
            "token": {"project_id": self.project_id},
            "agency": {"project_id": self.project_id, "metadata_endpoint": self.url},
            "env": {"project_id": self.project_id},
        }
        return {"auth": auth, "region": self.region} | by_auth[auth] | endpoints

    def job(
        self,
        kind: JobKind | str,
        job_id: str,
        *steps: Step,
        seconds: Mapping[float, Step] | None = None,
        since_first_call: bool = False,
        request_id: str | None = None,
        listed_after: float = 0.0,
        **fields: object,
    ) -> None:
        """
        Add a job, or replace the one of this id. The kinds of DLI sessions share their jobs.

        A step is a state (``"running"``, or CPH's numbers), an HTTP status from 200 on, a :class:`Reply` or a
        :class:`Fault`. Only the job's status endpoint takes one, and a list if it is told to; details, logs and
        lists show where the job stands.

        :param kind: Or its name.
        :param job_id: A batch's is a UUID, as DLI refuses others.
        :param steps: One per call; the last stays.
        :param seconds: Instead of *steps*: what the job does from which second on.
        :param since_first_call: Whether the seconds count from the first call, not from now.
        :param request_id: Of the call that submitted it, by which CPH lists jobs; see also :meth:`submission`.
        :param listed_after: Seconds from now until lists have it; ``math.inf`` for never.
        :param fields: Added to the replies that show more than the state, e.g. ``error_code``, ``queue`` or
            ``log`` (lines). CPH shows ``error_code``, ``error_msg`` and ``execute_msg`` once the job is over.
        :raises ValueError: No steps, both sorts of them, something that is no step, or an id that is none.
        """
        now = self._clock()
        script = new_script(steps, seconds, None if since_first_call else now, now)
        kind = KINDS[kind] if isinstance(kind, str) else kind
        check_id(kind, job_id)
        request_id = request_id or self._jobs.request_of(job_id) or new_request_id()
        self._jobs.add(Job(kind, job_id, script, request_id, now, fields, listed_after))

    def foreign_jobs(
        self,
        kind: JobKind | str,
        count: int,
        state: str | int,
        *,
        age: float = 0.0,
        request_id: str | None = None,
        **fields: object,
    ) -> list[str]:
        """
        Add jobs of other people, which stay in one state. Return their ids.

        :param kind: Or its name.
        :param age: Seconds that have passed since they were submitted, by which DLI sorts them.
        :param request_id: Of the call that submitted all of them; by default each has its own.
        :param fields: As for :meth:`job`; batches have another *owner* unless it is given.
        :raises ValueError: *state* is none.
        """
        check_step(state)
        if not is_state(state):
            raise ValueError(f"{state!r} is no state")
        now = self._clock()
        kind = KINDS[kind] if isinstance(kind, str) else kind
        fields = fields if kind is CPH_JOB else {"owner": "somebody-else"} | fields
        job_ids = [uuid4().hex if kind is CPH_JOB else str(uuid4()) for _ in range(count)]
        for job_id in job_ids:
            script = new_script((state,), None, None, now - age)
            self._jobs.add(Job(kind, job_id, script, request_id or new_request_id(), now - age, fields))
        return job_ids

    def submission(
        self, request_id: str, job_ids: Iterable[str] = (), rejected: Iterable[str] = ()
    ) -> dict[str, object]:
        """
        Say that one call to CPH submitted some jobs. Return what it answered, as the API reference has it.

        :param job_ids: Of jobs that are added by :meth:`job`, before or after this. What is never added is in the
            answer and nowhere else.
        :param rejected: Ids of phones for which no job was made: they are in the answer and in no list.
        """
        items: list[dict[str, object]] = []
        for job_id in job_ids:
            job = self._jobs.submit(job_id, request_id)
            phone = {} if job is None or "phone_id" not in job.fields else {"phone_id": job.fields["phone_id"]}
            items.append(phone | {"job_id": job_id})
        invalid: dict[str, object] = {"error_code": "CPS.0004", "error_msg": "Parameter: phone_id is invalid."}
        items += [{"phone_id": phone_id} | invalid for phone_id in rejected]
        return {"request_id": request_id, "jobs": items}

    def break_with(
        self, step: int | Reply | Fault, calls: int = 1, path_contains: str = "", path_ends: str = ""
    ) -> None:
        """
        Answer the next requests with *step*, whatever they ask and whoever does.

        :param step: An HTTP status, a :class:`Reply` or a :class:`Fault`.
        :param calls: How many requests.
        :param path_contains: Only those whose path has this in it.
        :param path_ends: Only those whose path ends so: ``/batches`` or ``/jobs`` is a list.
        """
        check_step(step)
        if is_state(step):
            raise ValueError(f"{step!r} is a state, which only a job can have")
        self._dispatcher.breakages.append(Breakage(step, calls, path_contains, path_ends))

    def unpublish(self, collection: str) -> None:
        """
        Answer ``APIGW.0101`` on the paths of *collection*, as a region does that does not have it.

        :param collection: ``batches``, ``sessions``, ``jobs``, ``projects``, or ``log`` for the logs alone.
        """
        if collection not in COLLECTIONS:
            known = ", ".join(sorted(COLLECTIONS))
            raise ValueError(f"collection must be one of {known}; it is {collection!r}")
        self._dispatcher.unpublished.add(collection)

    @property
    def token_lifetime(self) -> float:
        """Seconds for which tokens and temporary keys are good that are issued from now on."""
        return self._account.lifetime

    @token_lifetime.setter
    def token_lifetime(self, seconds: float) -> None:
        self._account.lifetime = seconds

    @property
    def token_length(self) -> int:
        """Characters of tokens that are issued from now on; those of a user with many roles have many thousand."""
        return self._account.token_length

    @token_length.setter
    def token_length(self, characters: int) -> None:
        self._account.token_length = characters

    def expire_tokens(self) -> None:
        """End the life of all tokens and temporary keys issued so far."""
        self._account.expire(self._clock())

    def temporary_key(self) -> AccessKey:
        """Return a new AK/SK whose signatures are only accepted together with its security token."""
        return self._account.issue_temporary_key(self._clock())

    def polls(self, job_id: str) -> int:
        """Return how often the job's status endpoint was called, whatever it answered."""
        return self._dispatcher.polls[job_id]

    @property
    def logins(self) -> int:
        """How many tokens were issued over HTTP."""
        return self._dispatcher.iam.logins

    @property
    def connections(self) -> int:
        """How many TCP connections were accepted."""
        return self._server.connections
