"""A service that takes jobs and lists them, with a lag, and a worker that can be killed at each of its steps."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_hwstatus.core.submitting.marker import Attempt
from airflow_provider_hwstatus.core.submitting.once import Once
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH


class Killed(BaseException):
    """The worker was killed."""


class Dli:
    """
    DLI, as far as a submission needs it.

    :param lag: Seconds until the list shows a batch.
    :param contains: Whether ``job_name`` finds all names that contain it.
    :param ignores_filters: Whether the list ignores its parameters.
    :ivar jobs: Every batch that was accepted: id, name, state and time of creation.
    :ivar answers: What the next submissions are answered with, after they were accepted.
    """

    def __init__(self, machine, lag=0.0, contains=False, ignores_filters=False):
        self._machine = machine
        self._lag = lag
        self._contains = contains
        self._ignores_filters = ignores_filters
        self.jobs = []
        self.answers = []

    def submit(self, request):
        body = json.loads(request.body)
        job = {
            "id": f"job-{len(self.jobs) + 1}",
            "name": body["name"],
            "state": "running",
            "create_time": int(self._machine.now * 1000),
        }
        self.jobs.append(job)
        return self.answers.pop(0) if self.answers else job

    def listed(self, request):
        query = parse_qs(urlsplit(request.url).query)
        name = query["job_name"][0]
        shown = [job for job in self.jobs if self._machine.now * 1000 >= job["create_time"] + self._lag * 1000]
        if not self._ignores_filters:
            matches = (lambda job: name in job["name"]) if self._contains else (lambda job: name == job["name"])
            shown = [job for job in shown if matches(job) and job["create_time"] >= int(query["start"][0])]
        first = int(query["from"][0])
        return {"sessions": [*reversed(shown)][first : first + 100], "total": len(shown)}

    def state(self, request):
        job_id = request.url.split("/")[-2]
        job = next(job for job in self.jobs if job["id"] == job_id)
        return {"id": job_id, "state": job["state"]}


class Memory:
    """A record that outlives tries, as Airflow 3.3 keeps it; or none, as before."""

    def __init__(self, is_kept):
        self.is_kept = is_kept
        self.kept = None

    def read(self):
        return self.kept

    def write(self, kept):
        if self.is_kept:
            self.kept = kept


class Worker:
    """
    Runs the tries of a task against a stub cloud.

    :ivar kill_at: Which of its effects and records the next try does not survive, counted from 1; None for none.
    """

    def __init__(self, cloud, record, kind=DLI_BATCH, body=None, action=None, **options):
        self.cloud = cloud
        self.record = record
        self.kind = kind
        self.submission = kind.submission(action)
        self.body = {"file": "obs://a/b.jar"} if body is None else body
        self.options = {"list_lag": 30.0, "resubmit": False, "outage_tolerance": 0.0} | options
        self.kill_at = None
        self.steps = 0
        self.number = 0

    def _step(self):
        self.steps += 1
        if self.steps == self.kill_at:
            raise Killed

    def run(self, flow_with):
        client = self.cloud.client()

        def watched(flow):
            result = None
            try:
                effect = flow.send(result)
                while True:
                    self._step()  # before the effect
                    try:
                        result = yield effect
                    except Exception as error:  # noqa: BLE001  # every exception goes into the flow
                        self._step()
                        effect = flow.throw(error)
                    else:
                        self._step()  # after it
                        effect = flow.send(result)
            except StopIteration as end:
                return end.value

        return self.cloud.run(watched(flow_with(client)))

    def read(self):
        return self.record.read()

    def write(self, kept):
        self._step()
        self.record.write(kept)
        self._step()

    @property
    def is_kept(self):
        return self.record.is_kept

    def attempt(self, number=None, max_tries=3, retries=3):
        """Make the next try, or the one with a number; return the job. Clearing raises *max_tries*."""
        self.number = self.number + 1 if number is None else number
        self.steps = 0
        ids = {"dag_id": "d", "task_id": "t", "run_id": "r", "map_index": -1}
        return Once(
            run=self.run,
            clock=self.cloud.clock,
            kind=self.kind,
            submission=self.submission,
            body=self.body,
            attempt=Attempt(
                **ids, max_tries=max_tries, number=self.number, is_first=self.number <= max_tries - retries + 1
            ),
            record=self,
            since=self.cloud.began - 60,
            **self.options,
        ).submitted()


@pytest.fixture
def killed():
    """Return the exception of a worker that was killed."""
    return Killed


@pytest.fixture
def worker_with(stub_cloud):
    """Return a function that returns a worker and the DLI that it uses."""

    def make(is_kept=True, options=None, **behaviour):
        cloud = stub_cloud()
        dli = Dli(cloud, **behaviour)
        cloud.replies = {
            "POST https://dli/v2.0/p1/batches": dli.submit,
            "GET https://dli/v2.0/p1/batches?": dli.listed,
            "/state": dli.state,
        }
        return Worker(cloud, Memory(is_kept), **(options or {})), dli

    return make
