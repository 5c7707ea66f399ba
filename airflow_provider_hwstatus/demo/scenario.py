"""
The jobs of the demo and the expected end of each task.

The example DAGs submit most jobs. The others exist from the start, and their ids are the defaults in the DAGs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Timer
from typing import Any

from airflow_provider_hwstatus.kinds.cph import CPH_JOB
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH, DLI_SESSION_READY
from airflow_provider_hwstatus.kinds.job_kind import JobKind
from airflow_provider_hwstatus.kinds.mrs import MRS_JOB
from airflow_provider_hwstatus.testing.cloud import FakeHuaweiCloud
from airflow_provider_hwstatus.testing.wire import Record, Step

#: Example DAGs that the demo runs, in this order.
DAGS = (
    "example_dli_batch",
    "example_dli_sql",
    "example_dli_session",
    "example_cph_job",
    "example_mrs_job",
    "example_many_jobs",
    "example_no_worker",
    "example_failures",
)

#: Example DAGs that start when a job ends. They need Airflow 3.
WATCHING_DAGS = ("example_batch_ended", "example_request_ended")

#: CPH request that one of these DAGs watches.
WATCHED_REQUEST = "5d0f7b3a9c124e6ab8f1c27e46d09b35"

#: Expected states of the tasks that do not succeed, by DAG and task.
UNSUCCESSFUL_TASKS = {
    ("example_failures", "dead_batch"): "failed",
    ("example_failures", "dead_session"): "failed",
    ("example_failures", "failed_job"): "failed",
    ("example_failures", "optional_batch"): "skipped",
    ("example_failures", "rejected_phone"): "failed",
    ("example_failures", "unknown_batch"): "failed",
}

#: DAGs with tasks that should fail. A retry would only delay that.
FAILING_DAGS = tuple(dict.fromkeys(dag_id for dag_id, _ in UNSUCCESSFUL_TASKS))

#: How submitted jobs proceed, by the name of their kind.
SUBMITTED_STEPS: Mapping[str, tuple[Step, ...]] = {
    "dli_batch": ("starting", "running", "success"),
    "dli_sql_job": ("LAUNCHING", "RUNNING", "FINISHED"),
    "cph_job": (1, 1, 2),
}

#: Phone that CPH rejects.
REJECTED_PHONE = "00000000000000000000000000000000"

#: Seconds per step if jobs advance with time. Long enough to see each state in a browser.
STEP_SECONDS = 8.0

#: Seconds for which a job stays in its final state before it starts again.
FINAL_STATE_SECONDS = 30.0

_OUT_OF_MEMORY = (
    "26/11/03 02:14:07 INFO TaskSetManager: Starting task 11.0 in stage 3.0 (TID 74)",
    "26/11/03 02:14:52 ERROR Executor: Exception in task 11.0 in stage 3.0 (TID 74)",
    "java.lang.OutOfMemoryError: Java heap space",
)


@dataclass(frozen=True)
class DemoJob:
    """
    A job that exists from the start.

    :param steps: Its steps, as in :meth:`FakeHuaweiCloud.job`.
    :param fields: Fields of the replies that show more than the state.
    :param request_id: Id of the CPH request that submitted it.
    """

    kind: JobKind
    job_id: str
    steps: tuple[Step, ...]
    fields: Mapping[str, Any] = field(default_factory=dict)
    request_id: str | None = None


JOBS = (
    DemoJob(DLI_BATCH, "0a324461-d9d9-45da-a52a-3b3c7a3d809e", ("starting", 503, "running", "success")),
    DemoJob(
        DLI_SESSION_READY,
        "e47c2f90-6b1d-4c58-a3d2-90f7b6e4d215",
        ("not_started", "starting", "idle", "busy", 503, "shutting_down", "success"),
    ),
    DemoJob(MRS_JOB, "4c7e9d1b-52f0-4a68-b3d7-91e06f8a2c45", ("ACCEPTED", "RUNNING", "SUCCEEDED")),
    DemoJob(DLI_BATCH, "c3a7e5f1-0d29-4b86-8e14-7f2b9d6a5c01", ("starting", "running", "success")),
    DemoJob(CPH_JOB, "7c1e9a02272511ea962b0242ac110011", (1, 2), request_id=WATCHED_REQUEST),
    DemoJob(CPH_JOB, "7c1e9a02272511ea962b0242ac110012", (1, 1, -1), request_id=WATCHED_REQUEST),
    DemoJob(
        DLI_BATCH,
        "d2f6c8e1-94ab-4f07-b5c3-6a7e80d91f24",
        ("starting", "running", "dead"),
        {"name": "nightly_etl", "queue": "etl", "log": _OUT_OF_MEMORY},
    ),
    DemoJob(DLI_SESSION_READY, "97b3e5d0-1c48-4a9f-8e26-f05d7c3b6a81", ("not_started", "starting", "dead")),
    DemoJob(
        CPH_JOB,
        "3d9e5a10272511ea962b0242ac110003",
        (1, 1, -1),
        {
            "error_code": "CPS.0005",
            "error_msg": "The phone is not running.",
            "execute_msg": "phone 7 of 24: device offline",
        },
    ),
    DemoJob(DLI_BATCH, "46a8f0b7-3e5c-4d12-9f68-c7b1d2e09a35", ("starting", 503, "dead")),
)


def expected_state(dag_id: str, task_id: str) -> str:
    """Return the state in which a task must end."""
    return UNSUCCESSFUL_TASKS.get((dag_id, task_id), "success")


def add_jobs_by_polls(cloud: FakeHuaweiCloud) -> None:
    """Add the jobs, and take submissions. Each poll of a job takes its next step."""
    cloud.cph_job_list.takes_steps = True
    cloud.submissions.steps = dict(SUBMITTED_STEPS)
    cloud.submissions.seconds = {}
    cloud.submissions.rejected = {REJECTED_PHONE}
    for job in JOBS:
        cloud.job(job.kind, job.job_id, *job.steps, request_id=job.request_id, **job.fields)


def _timeline(steps: tuple[Step, ...]) -> dict[float, Step]:
    return {index * STEP_SECONDS: step for index, step in enumerate(steps)}


class RepeatingJobs:
    """
    Adds the jobs, and takes submissions. Each job that exists from the start advances with time from its first poll on,
    and starts again some time after its end. Submitted jobs advance from their submission on.

    So a DAG can run repeatedly. A job that is only listed, never polled by its id, runs once.
    """

    def __init__(self, cloud: FakeHuaweiCloud) -> None:
        cloud.cph_job_list.takes_steps = True
        cloud.submissions.seconds = {kind: _timeline(steps) for kind, steps in SUBMITTED_STEPS.items()}
        cloud.submissions.rejected = {REJECTED_PHONE}
        self._cloud = cloud
        self._jobs = {job.job_id: job for job in JOBS}
        self._ended: set[str] = set()
        for job in JOBS:
            self._start(job)
        cloud.listeners.append(self._on_request)

    def _start(self, job: DemoJob) -> None:
        self._ended.discard(job.job_id)
        self._cloud.job(
            job.kind,
            job.job_id,
            seconds=_timeline(job.steps),
            since_first_call=True,
            request_id=job.request_id,
            **job.fields,
        )

    def _on_request(self, record: Record) -> None:
        job = self._jobs.get(record.job_id or "")
        if job is None or record.state != str(job.steps[-1]) or job.job_id in self._ended:
            return
        self._ended.add(job.job_id)
        timer = Timer(FINAL_STATE_SECONDS, self._start, (job,))
        timer.daemon = True
        timer.start()
