"""The public interface of the fake cloud."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Self
from uuid import uuid4

from airflow_provider_hwstatus.core.connection.signing import AccessKey
from airflow_provider_hwstatus.kinds import kind_of
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
    A fake Huawei Cloud with IAM, DLI and CPH for one account, on 127.0.0.1.

    .. code-block:: python

        with FakeHuaweiCloud() as cloud:
            batch_id = str(uuid.uuid4())
            cloud.job("dli_batch", batch_id, "starting", 503, "success")  # one step per poll; the last one stays
            cloud.job("cph_job", "j1", seconds={0: 1, 2.5: -1}, error_code="CPS.0005")
            os.environ["AIRFLOW_CONN_HWSTATUS_DEFAULT"] = json.dumps(cloud.connection())

    Logins and signatures are always checked, as the real gateway does.

    :param port: Port to listen on. 0 takes a free one at the first start and keeps it.
    :param clock: Returns seconds since 1970. Tokens, signatures and ``seconds=`` use it.
    """

    def __init__(self, port: int = 0, clock: Callable[[], float] = time.time) -> None:
        #: The account: its credentials, and the tokens and temporary keys that were issued.
        self.account = Account()
        #: Returns seconds since 1970. Can be replaced while the fake runs.
        self.clock = clock
        self._jobs = Jobs()
        self._dispatcher = Dispatcher(self.account, self._jobs)
        self._server = Server(self._dispatcher.answer, lambda: self.clock(), port)  # noqa: PLW0108  # can be replaced
        self.region = self.account.region
        self.project_id = self.account.projects[self.region]
        self.access_key = self.account.access_key
        self.secret_key = self.account.secret_key
        self.user = self.account.user
        self.password = self.account.password
        self.domain_name = self.account.domain_name
        #: Ids of the account's projects by name. Can be changed.
        self.projects = self.account.projects
        #: The metadata service of a node with an agency. ``handshake`` and ``agency`` say what it offers.
        self.metadata = self._dispatcher.metadata
        #: How DLI lists batches, e.g. ``batch_list.stale = 30``.
        self.batch_list = self._dispatcher.batch_list
        #: How CPH lists jobs.
        self.cph_job_list = self._dispatcher.cph_job_list
        #: How submissions are taken, and every one that was accepted.
        self.submissions = self._dispatcher.submissions
        #: A :class:`Record` of every request, oldest first.
        self.requests = self._dispatcher.records
        #: Each is called with every :class:`Record`, in the server's thread, before the reply is sent.
        self.listeners = self._dispatcher.listeners
        #: Each is called in the server's thread with every request and its reply, and returns the reply to send.
        self.reply_filters = self._dispatcher.reply_filters

    def start(self) -> None:
        """
        Start serving. After :meth:`stop`, serve again on the same port with the same jobs and logins.

        :raises OSError: The port is in use.
        """
        self._server.start()

    def stop(self) -> None:
        """Stop serving, as in an outage: close all connections and refuse new ones."""
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
        """The port. 0 before the first start if no port was given."""
        return self._server.port

    @property
    def url(self) -> str:
        """The URL of every service."""
        return f"http://{HOST}:{self.port}"

    def connection(self, auth: str = "aksk", key: AccessKey | None = None, **extra: object) -> dict[str, object]:
        """
        Return the fields of an Airflow connection to this cloud.

        As JSON they are a value for ``AIRFLOW_CONN_HWSTATUS_DEFAULT``.

        :param auth: ``aksk``, ``password``, ``token`` (issues a token), ``agency`` or ``env``. For ``env``, put a key
            where the vendor's SDK finds it: the account's key or one of :meth:`temporary_key`.
        :param key: Key to use instead of the account's, e.g. ``connection(key=cloud.temporary_key())``.
        :param extra: Fields to set in the connection's extra. None removes a field.
        :raises ValueError: *auth* is unknown.
        """
        key = key or AccessKey(self.access_key, self.secret_key)
        logins: dict[str, Callable[[], tuple[str | None, str | None]]] = {
            "aksk": lambda: (key.access_key, key.secret_key),
            "password": lambda: (self.user, self.password),
            "token": lambda: (None, self.account.issue_token(self.project_id, self.clock())[0]),
            "agency": lambda: (None, None),
            "env": lambda: (None, None),
        }
        if auth not in logins:
            raise ValueError(f"auth must be one of {', '.join(logins)}, not {auth!r}")
        login, password = logins[auth]()
        fields: dict[str, object] = {"conn_type": "hwstatus", "login": login, "password": password}
        merged = self._extra(auth, key) | extra
        fields["extra"] = {name: value for name, value in merged.items() if value is not None}
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
        # Airflow warns about each value with fewer than five characters, and "aksk" is the default.
        login = {} if auth == "aksk" else {"auth": auth}
        return login | {"region": self.region} | by_auth[auth] | endpoints | {"endpoints": {"*": self.url}}

    def job(
        self,
        kind: JobKind | str,
        job_id: str | int,
        *steps: Step,
        seconds: Mapping[float, Step] | None = None,
        since_first_call: bool = False,
        request_id: str | None = None,
        listed_after: float = 0.0,
        parameters: Mapping[str, object] | None = None,
        **fields: object,
    ) -> None:
        """
        Add a job, or replace the job with this id. The kinds of DLI sessions share their jobs.

        A step is a state (``"running"``, or one of CPH's numbers), an HTTP status of 200 or more, a :class:`Reply` or
        a :class:`Fault`. A request to the job's status endpoint takes one step. A list takes steps only if its
        ``takes_steps`` is set. Details, logs and lists show the current state.

        :param kind: The name of a kind, or a kind of your own: its replies are made from its declaration.
        :param job_id: The job's id; replies have an integer as a number. DLI's batch ids are UUIDs: another id is
            accepted here, with a warning. A request with an id that is neither a UUID nor one of these is refused.
        :param steps: One step per poll. The last one stays.
        :param seconds: Instead of *steps*: steps by the second at which they begin.
        :param since_first_call: Whether the seconds count from the first poll instead of from now.
        :param request_id: Id of the request that submitted the job. CPH lists jobs by it; see :meth:`submission`.
        :param listed_after: Seconds from now until lists show the job. ``math.inf`` means never.
        :param parameters: What a request needs beside the id, such as ``{"cluster_id": "…"}``: with other values there
            is no such job. By default any values do.
        :param fields: Fields of the replies that show more than the state, e.g. ``error_code``, ``queue`` or ``log``
            (lines). CPH shows ``error_code``, ``error_msg`` and ``execute_msg`` when the job has ended. For all kinds
            but DLI batches, DLI sessions and CPH jobs, they are named like the paths of the kind, such as
            ``error_message``.
        :raises ValueError: There is no such kind; there are no steps, or both *steps* and *seconds*; a step is invalid.
        """
        now = self.clock()
        script = new_script(steps, seconds, None if since_first_call else now, now)
        kind, integer_id, job_id = kind_of(kind), isinstance(job_id, int), str(job_id)
        self._dispatcher.serve(kind)
        try:
            check_id(kind, job_id)
        except ValueError as error:
            warnings.warn(f"{error}; the real service refuses it with HTTP 400", UserWarning, stacklevel=2)
        request_id = request_id or self._jobs.request_of(job_id) or new_request_id()
        job = Job(kind, job_id, script, request_id, now, fields, listed_after, parameters or {}, integer_id)
        self._jobs.add(job)

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
        Add jobs of other users that stay in one state. Return their ids.

        :param kind: The kind or its name.
        :param age: Seconds since the jobs were submitted. DLI sorts by it.
        :param request_id: Id of the request that submitted all of them. By default each job has its own.
        :param fields: As for :meth:`job`. The default *owner* of batches is another user.
        :raises ValueError: *state* is not a state.
        """
        check_step(state)
        if not is_state(state):
            raise ValueError(f"{state!r} is not a state")
        now = self.clock()
        kind = kind_of(kind)
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
        Assign jobs to one CPH request. Return the response to that request, as in the API reference.

        :param request_id: Id of the request.
        :param job_ids: Jobs that :meth:`job` adds, before or after this call. A job that is never added is only in the
            response.
        :param rejected: Ids of phones that CPH rejects. They have no job: they are in the response and in no list.
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
        Answer the next requests with *step*, without checking their credentials.

        :param step: An HTTP status, a :class:`Reply` or a :class:`Fault`.
        :param calls: Number of requests.
        :param path_contains: Only requests whose path contains this text.
        :param path_ends: Only requests whose path ends with this text. ``/batches`` and ``/jobs`` are lists.
        :raises ValueError: *step* is invalid or a job's state.
        """
        check_step(step)
        if is_state(step):
            raise ValueError(f"{step!r} is the state of a job, not a reply")
        self._dispatcher.breakages.append(Breakage(step, calls, path_contains, path_ends))

    def unpublish(self, collection: str) -> None:
        """
        Answer ``APIGW.0101`` on the paths of *collection*, as in a region without this API.

        :param collection: ``batches``, ``sessions``, ``jobs``, ``projects``, or ``log`` for the logs alone.
        :raises ValueError: *collection* is unknown.
        """
        if collection not in COLLECTIONS:
            known = ", ".join(sorted(COLLECTIONS))
            raise ValueError(f"collection must be one of {known}, not {collection!r}")
        self._dispatcher.unpublished.add(collection)

    @property
    def token_lifetime(self) -> float:
        """Seconds for which new tokens and temporary keys are valid."""
        return self.account.lifetime

    @token_lifetime.setter
    def token_lifetime(self, seconds: float) -> None:
        self.account.lifetime = seconds

    @property
    def token_length(self) -> int:
        """Characters of new tokens. A user with many roles has tokens of several KB."""
        return self.account.token_length

    @token_length.setter
    def token_length(self, characters: int) -> None:
        self.account.token_length = characters

    def expire_tokens(self) -> None:
        """Expire all tokens and temporary keys issued so far."""
        self.account.expire(self.clock())

    def temporary_key(self) -> AccessKey:
        """Issue a temporary key. Its signatures are accepted only together with its security token."""
        return self.account.issue_temporary_key(self.clock())

    def polls(self, job_id: str) -> int:
        """Return the number of requests to the job's status endpoint, failed ones included."""
        return self._dispatcher.polls[job_id]

    @property
    def logins(self) -> int:
        """Number of tokens issued over HTTP."""
        return self._dispatcher.iam.logins

    @property
    def connections(self) -> int:
        """Number of TCP connections accepted."""
        return self._server.connections
