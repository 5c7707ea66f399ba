"""Kinds that a user declares work as those of this package do: in every mode, in the hook and on the command line."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_hwstatus.__main__ import main
from airflow_provider_hwstatus.errors import AuthenticationError, ConfigurationError, JobNotFoundError
from airflow_provider_hwstatus.hooks import metrics
from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook
from airflow_provider_hwstatus.kinds import KINDS, JobKind
from airflow_provider_hwstatus.sensors.job import JobSensor
from airflow_provider_hwstatus.sensors.start_from_trigger import AIRFLOW_3_3
from airflow_provider_hwstatus.testing import Reply
from airflow_provider_hwstatus.triggers.job_status import JobStatusTrigger
from airflow_provider_hwstatus.triggers.start_from_trigger import StartedTrigger

try:
    from airflow.serialization.serialized_objects import DagSerialization
except ImportError:  # Airflow before 3.2
    from airflow.serialization.serialized_objects import SerializedDAG as DagSerialization

ACME = JobKind(
    name="acme_job",
    title="Acme job",
    service="acme-jobs",
    path="/v1/{project_id}/pools/{pool}/jobs/{job_id}?region={zone}",
    parameters=["pool", "zone"],
    optional_parameters=["workspace"],
    headers={"workspace": "{workspace}"},
    id="job.id",
    state="job.status.phase",
    guard=("job.ok", False),
    begin="job.began",
    end="job.ended",
    job_name="job.name",
    queue="job.pool",
    error_code="job.error.code",
    error_message="job.error.text",
    log="job.output",
    extra_fields={"node": "job.node"},
    permission="acme:jobs:get",
    in_progress={"Queued", "Running"},
    success={"Done"},
    failure={"Broken"},
    advice="ask the Acme team, and see {console}",
)

ACME_URN = JobKind(
    name="acme_run",
    title="Acme run",
    service="acme-jobs",
    path="/v2/{project_id}/runs/{job_id}",
    id_name="run_urn",
    id_characters=":",
    id="urn",
    state="state",
    in_progress={1},
    success={2},
    failure={3},
)

ACME_BACKUP = JobKind(
    name="acme_backup",
    title="Acme backup",
    service="acme-jobs",
    path="/v1/{project_id}/backups",
    id_name="backup_id",
    id="backups[?id==job_id].id",
    state="backups[?id==job_id].state",
    in_progress={"new"},
    success={"stored"},
    failure={"lost"},
)

URN = "urn:acme:cn-north-4:run-7"
FAST = {"poke_interval": 0.1, "timeout": 30}
PARAMETERS: dict[str, Any] = {"pool": "p/1", "zone": "a&b", "workspace": "w-1"}
only_3_3 = pytest.mark.skipif(not AIRFLOW_3_3, reason="Airflow 3.3 is the first that can")


@pytest.fixture(scope="module")
def own_module() -> Iterator[str]:
    """Put the kind where a module of the user's would have it. Return its name."""
    module = ModuleType("acme_kinds")
    vars(module).update(ACME=ACME, NO_KIND="dli_batch")
    with mock.patch.dict(sys.modules, {"acme_kinds": module}):
        yield module.__name__


def test_job_succeeds(huaweicloud: Any, run_sensor: Any, mode: str) -> None:
    """A nested state, parameters in path, query and header, and the fields of the reply."""
    fields = {"job_name": "nightly", "queue": "big", "node": "n1", "output": "ignored"}
    huaweicloud.job(ACME, "j1", "Queued", 503, "Running", "DONE", parameters=PARAMETERS, **fields)

    end = run_sensor(JobSensor, mode, kind=ACME, job_id="j1", parameters=PARAMETERS, **FAST)

    assert "success" == end.verdict
    expected = {"kind": "acme_job", "job_id": "j1", "state": "DONE", "name": "nightly", "queue": "big", "node": "n1"}
    assert expected == {name: end.value[name] for name in expected}
    assert end.value["begin_time"]
    assert end.value["end_time"]
    (request, *_) = [record for record in huaweicloud.requests if record.job_id == "j1"]
    assert request.path.endswith("/pools/p%2F1/jobs/j1")
    assert "a%26b" in str(request.query)
    assert "w-1" == request.headers["workspace"]


def test_header_is_left_out(huaweicloud: Any, run_sensor: Any, mode: str) -> None:
    """Without its optional parameter, the header is not sent."""
    huaweicloud.job(ACME, "j1", "Running", "Done")

    assert (
        "success"
        == run_sensor(JobSensor, mode, kind=ACME, job_id="j1", parameters={"pool": 1, "zone": "z"}, **FAST).verdict
    )
    assert all("workspace" not in record.headers for record in huaweicloud.requests)


def test_job_fails(huaweicloud: Any, run_sensor: Any, mode: str) -> None:
    """The message has the service's code and text, the name and queue, and the kind's own advice."""
    fields = {"error_code": "ACME.7", "error_message": "disk full", "job_name": "nightly", "queue": "big"}
    huaweicloud.job(ACME, "j1", "Running", "Broken", **fields, log=["one", "two"])

    end = run_sensor(JobSensor, mode, kind=ACME, job_id="j1", parameters=PARAMETERS, **FAST)

    assert "AirflowFailException" == end.verdict
    message = str(end.error)
    assert message.startswith("Acme job j1")
    for part in ("Broken", "ACME.7", "disk full", "nightly", "big", "two", "next: ask the Acme team, and see the ACME"):
        assert part in message


def test_several_jobs(huaweicloud: Any, run_sensor: Any, mode: str) -> None:
    """A list of ids returns a list in the same order, and names the jobs that failed."""
    huaweicloud.job(ACME, "j1", "Running", "Done")
    huaweicloud.job(ACME, "j2", "Done")
    huaweicloud.job(ACME, "j3", "Running", "Running", "Broken", error_message="disk full")
    wait = {"kind": ACME, "parameters": PARAMETERS, **FAST}

    assert ["j2", "j1", "j2"] == [
        one["job_id"] for one in run_sensor(JobSensor, mode, job_id=["j2", "j1", "j2"], **wait).value
    ]
    end = run_sensor(JobSensor, mode, job_id=["j1", "j3"], **wait)
    assert "AirflowFailException" == end.verdict
    assert "j3" in str(end.error)
    assert "disk full" in str(end.error)


@pytest.mark.parametrize("given", [7, "7"])
def test_integer_id(huaweicloud: Any, run_sensor: Any, mode: str, given: Any) -> None:
    """An id that is a number in the reply and in the XCom is the same job."""
    huaweicloud.job(ACME, 7, "Running", "Done")

    end = run_sensor(JobSensor, mode, kind=ACME, job_id=given, parameters=PARAMETERS, **FAST)
    assert ("7", "Done") == (end.value["job_id"], end.value["state"])


def test_urn(huaweicloud: Any, run_sensor: Any, mode: str) -> None:
    """An id with the kind's own characters, and states that are numbers."""
    huaweicloud.job(ACME_URN, URN, 1, 1, 2)

    assert (URN, "2") == tuple(
        run_sensor(JobSensor, mode, kind=ACME_URN, job_id=URN, **FAST).value[name] for name in ("job_id", "state")
    )
    end = run_sensor(JobSensor, mode, kind=ACME, job_id=URN, parameters=PARAMETERS, **FAST)
    assert "ConfigurationError" == end.verdict
    assert "job_id must be" in str(end.error)


def test_job_of_a_list(huaweicloud: Any, run_sensor: Any, mode: str) -> None:
    """The state is that of the element with the job's id."""
    huaweicloud.job(ACME_BACKUP, "other", "lost")
    huaweicloud.job(ACME_BACKUP, "b1", "new", "new", "stored")

    assert "stored" == run_sensor(JobSensor, mode, kind=ACME_BACKUP, job_id="b1", **FAST).value["state"]
    assert "AirflowFailException" == run_sensor(JobSensor, mode, kind=ACME_BACKUP, job_id="other", **FAST).verdict


def test_job_that_is_not_listed(huaweicloud: Any, run_sensor: Any, mode: str) -> None:
    """A list without the job is a JobNotFoundError, which ``not_found_grace`` tolerates, and never a success."""
    huaweicloud.job(ACME_BACKUP, "other", "stored")
    wait = {"kind": ACME_BACKUP, "job_id": "b1"}

    assert "JobNotFoundError" == run_sensor(JobSensor, mode, **wait, **FAST).verdict
    end = run_sensor(JobSensor, mode, **wait, poke_interval=5, timeout=600, not_found_grace=60)
    assert "JobNotFoundError" == end.verdict
    assert huaweicloud.polls("other") > 5

    missing = Reply(body={"backups": []})
    huaweicloud.job(ACME_BACKUP, "b1", missing, missing, "new", "stored")
    assert "success" == run_sensor(JobSensor, mode, **wait, **FAST | {"not_found_grace": 60}).verdict


@pytest.mark.parametrize("body", [{}, {"job": None}, {"job": {"status": {}}}, {"job": {"status": {"phase": None}}}])
def test_missing_state(huaweicloud: Any, run_sensor: Any, mode: str, body: Any) -> None:
    """A reply without the state is an unknown state: waited on, or an error."""
    huaweicloud.job(ACME, "j1", Reply(body=body), "Done")
    wait = {"kind": ACME, "job_id": "j1", "parameters": PARAMETERS, **FAST}

    assert "UnknownStateError" == run_sensor(JobSensor, mode, **wait, on_unknown_state="fail").verdict
    huaweicloud.job(ACME, "j1", Reply(body=body), "Done")
    assert "success" == run_sensor(JobSensor, mode, **wait).verdict


@pytest.mark.parametrize("body", [{"job": {"status": {"phase": ["Done"]}}}, {"job": {"status": {"phase": True}}}, []])
def test_malformed_state(huaweicloud: Any, run_sensor: Any, mode: str, body: Any) -> None:
    """A state that is no text or number, and a reply that is no object, are malformed."""
    huaweicloud.job(ACME, "j1", Reply(body=body))

    end = run_sensor(JobSensor, mode, kind=ACME, job_id="j1", parameters=PARAMETERS, **FAST)
    assert "MalformedResponseError" == end.verdict


def test_guard(huaweicloud: Any, run_sensor: Any, mode: str) -> None:
    """A reply that refuses the question is an error with the service's text, not a failure of the job."""
    body = {"job": {"ok": False, "status": {"phase": "Broken"}, "error": {"text": "the pool is being moved"}}}
    huaweicloud.job(ACME, "j1", Reply(body=body))

    end = run_sensor(JobSensor, mode, kind=ACME, job_id="j1", parameters=PARAMETERS, **FAST)
    assert "ApiError" == end.verdict
    assert "the pool is being moved" in str(end.error)


def test_no_permission(huaweicloud: Any, run_sensor: Any, mode: str) -> None:
    """A 403 names the permission that the kind declares."""
    huaweicloud.job(ACME, "j1", 403)

    end = run_sensor(JobSensor, mode, kind=ACME, job_id="j1", parameters=PARAMETERS, **FAST)
    assert isinstance(end.error, AuthenticationError)
    assert "acme:jobs:get" in str(end.error)


def test_reply_about_another_job(huaweicloud: Any, run_sensor: Any, mode: str) -> None:
    """A reply with another id is malformed, and never this job's success."""
    huaweicloud.job(ACME, "j1", Reply(body={"job": {"id": "j2", "status": {"phase": "Done"}}}))

    end = run_sensor(JobSensor, mode, kind=ACME, job_id="j1", parameters=PARAMETERS, **FAST)
    assert "MalformedResponseError" == end.verdict


def test_metrics(huaweicloud: Any, run_sensor: Any, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Metrics have the kind's name as a tag, and in a second name."""
    stats = mock.Mock()
    for where in ("_stats_of_worker", "_stats_of_triggerer"):
        monkeypatch.setattr(metrics, where, lambda: stats)
    huaweicloud.job(ACME, "j1", "Running", "Done")
    run_sensor(JobSensor, mode, kind=ACME, job_id="j1", parameters=PARAMETERS, **FAST)

    assert 2 == stats.incr.call_args_list.count(mock.call("hwstatus.polls", tags={"kind": "acme_job"}))
    assert 2 == stats.incr.call_args_list.count(mock.call("hwstatus.acme_job.polls", tags={}))
    assert "hwstatus.acme_job.wait" == stats.timing.call_args.args[0]


def test_row_needs_no_code_of_the_dag(huaweicloud: Any) -> None:
    """The trigger's row carries the declaration; a row about a kind of this package has its name only."""
    target = JobSensor(task_id="t", kind=ACME, job_id="j1", parameters=PARAMETERS).wait_target.to_dict()
    assert ACME == JobKind.from_dict(json.loads(json.dumps(target))["kind"])
    assert PARAMETERS == target["parameters"]

    shipped = JobSensor(task_id="t", kind="mrs_job", job_id="j1", parameters={"cluster_id": "c"})
    assert "mrs_job" == shipped.wait_target.to_dict()["kind"]
    assert "acme_job" not in KINDS


def test_replaced_states(huaweicloud: Any, run_sensor: Any, mode: str) -> None:
    """The states of a user's kind can be replaced for one wait, too."""
    huaweicloud.job(ACME, "j1", "Queued", "Running", "Done")

    end = run_sensor(JobSensor, mode, kind=ACME, job_id="j1", parameters=PARAMETERS, success_states=["RUNNING"], **FAST)
    assert "Running" == end.value["state"]


class TestErrorsOfTheDagFile:
    """What is wrong with the arguments is an error where the DAG is parsed."""

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"kind": "acme_job"}, "kind must be a JobKind or one of dli_batch, .*it is 'acme_job'"),
            ({"kind": None}, "kind must be a JobKind or one of dli_batch"),
            ({"kind": "mrs_job"}, "parameters: cluster_id is missing; mrs_job needs cluster_id"),
            ({"kind": ACME}, "parameters: pool is missing; acme_job needs pool, zone"),
            ({"kind": ACME, "parameters": {"pool": 1}}, "parameters: zone is missing"),
            (
                {"kind": ACME, "parameters": PARAMETERS | {"polo": 1}},
                "acme_job has no 'polo'; it takes: pool, zone, workspace",
            ),
            ({"kind": ACME_URN, "parameters": {"pool": 1}}, "acme_run has no 'pool'; it takes: none"),
            ({"kind": ACME, "parameters": ["pool"]}, "parameters must be a mapping by name"),
            ({"kind": ACME, "parameters": "{{ params.all }}"}, "parameters must be a mapping by name"),
        ],
    )
    def test_arguments(self, arguments: dict[str, Any], message: str) -> None:
        """The message names the argument, and lists what is allowed."""
        with pytest.raises(ValueError, match=message):
            JobSensor(task_id="t", job_id="j1", **arguments)

    def test_value_that_a_template_made(self, huaweicloud: Any, run_sensor: Any, mode: str) -> None:
        """A value is known only when the task runs, and is an error of the task then."""
        for value in (None, "", "None", "..", "{job_id}", ["p"]):
            end = run_sensor(JobSensor, mode, kind=ACME, job_id="j1", parameters=PARAMETERS | {"pool": value}, **FAST)
            assert "ConfigurationError" == end.verdict
            assert "parameters: pool" in str(end.error)
        assert [] == huaweicloud.requests


def test_templates(huaweicloud: Any) -> None:
    """The id and the parameters are templates, also within lists and mappings."""
    with DAG("d", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None):
        sensor = JobSensor(
            task_id="t", kind=ACME, job_id=["{{ one }}", "j2"], parameters={"pool": "{{ pool }}", "zone": "z"}
        )
    sensor.render_template_fields({"one": "j1", "pool": "p1"})

    assert ["j1", "j2"] == sensor.job_id
    assert {"pool": "p1", "zone": "z"} == sensor.parameters


def test_dag_is_serialized(huaweicloud: Any) -> None:
    """Airflow stores and reads DAGs with such tasks, mapped ones included."""
    with DAG("d", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None) as dag:
        JobSensor(task_id="own", kind=ACME, job_id="{{ params.id }}", parameters=PARAMETERS, deferrable=True)
        JobSensor(task_id="list", kind=ACME_BACKUP, job_id=["b1", "b2"])
        JobSensor.partial(task_id="mapped", kind=ACME, parameters=PARAMETERS, deferrable=True).expand(
            job_id=["j1", "j2"]
        )
        JobSensor.partial(task_id="shipped", kind="mrs_job", deferrable=True).expand_kwargs(
            [{"job_id": "j1", "parameters": {"cluster_id": "c"}}]
        )
    stored = json.dumps(DagSerialization.to_dict(dag), sort_keys=True)
    again = json.dumps(DagSerialization.to_dict(dag), sort_keys=True)
    read: Any = DagSerialization.from_dict(json.loads(stored))

    assert stored == again
    assert " object at 0x" not in stored
    assert {"own", "list", "mapped", "shipped"} == set(read.task_dict)
    assert PARAMETERS == read.get_task("own").parameters


def test_representation_is_the_same_in_each_process() -> None:
    """Airflow stores it with a mapped sensor: a set's order in it would make a new version of the DAG in each parse."""
    states = [f"state-{number}" for number in range(20)]
    one = replace(ACME, in_progress=states, failure=["x", "y", "z"])
    other = replace(ACME, in_progress=states[::-1], failure=["z", "y", "x"])

    assert repr(one) == repr(other)
    assert "frozenset" not in repr(one)
    assert one == eval(repr(one))  # noqa: S307  # our own representation


def test_mapped_task_waits(huaweicloud: Any, clock: Any) -> None:
    """Each task that ``expand`` makes is a wait of its own."""
    for job_id in ("j1", "j2"):
        huaweicloud.job(ACME, job_id, "Running", "Done", parameters=PARAMETERS)
    with DAG("d", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None):
        mapped = JobSensor.partial(task_id="mapped", kind=ACME, parameters=PARAMETERS, **FAST).expand(
            job_id=["j1", "j2"]
        )
    for job_id in ("j1", "j2"):
        sensor = mapped.unmap({"job_id": job_id})
        assert "Done" == sensor.execute({"ti": SimpleNamespace(xcom_push=lambda **_: None)})["state"]


@only_3_3
def test_wait_begins_in_the_triggerer(huaweicloud: Any) -> None:
    """The row of ``start_from_trigger`` has the declaration and the parameters."""
    how: dict[str, Any] = {"deferrable": True, "start_from_trigger": True, "poke_interval": 0.1, "do_xcom_push": False}
    huaweicloud.job(ACME, "j1", "Running", "Done", parameters=PARAMETERS)
    sensor: Any = JobSensor(task_id="t", kind=ACME, job_id="j1", parameters=PARAMETERS, **how)
    row = json.loads(json.dumps(sensor.start_trigger_args.trigger_kwargs))
    trigger = StartedTrigger(**row)
    trigger._task_instance = SimpleNamespace(task=SimpleNamespace(iter_mapped_dependants=lambda: iter(())))

    async def run() -> list[Any]:
        return [event async for event in trigger.run()]

    (event,) = asyncio.run(run())
    assert "TaskSuccessEvent" == type(event).__name__
    assert 2 == huaweicloud.polls("j1")
    with DAG("d", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None) as dag:
        JobSensor(task_id="t", kind=ACME, job_id="j1", parameters=PARAMETERS, **how)
    read: Any = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
    assert ACME.path in json.dumps(read.get_task("t").start_trigger_args.trigger_kwargs)


@only_3_3
def test_outputs_of_tasks_as_parameters(huaweicloud: Any) -> None:
    """The triggerer evaluates the output of a task that is the value of a parameter."""
    how: dict[str, Any] = {"deferrable": True, "start_from_trigger": True, "poke_interval": 0.1}
    huaweicloud.job(ACME, "j1", "Done", parameters={"pool": "p1", "zone": "z"})
    with DAG("d", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None):
        make = JobSensor(task_id="make", kind=ACME_URN, job_id="r")
        sensor: Any = JobSensor(
            task_id="t", kind=ACME, job_id="j1", parameters={"pool": make.output, "zone": "z"}, **how
        )
    assert {"make"} == sensor.upstream_task_ids
    row = json.loads(json.dumps(sensor.start_trigger_args.trigger_kwargs))
    (template,) = row["parameters"]["pool"].values()
    assert "xcom_pull" in template
    row["parameters"]["pool"] = dict.fromkeys(row["parameters"]["pool"], '"p1"')  # as Airflow renders it

    async def run() -> list[Any]:
        return [event.payload async for event in StartedTrigger(**row).run()]

    (event,) = asyncio.run(run())
    assert "Done" == event["status"]["state"]


class TestHook:
    """The hook polls a user's kind once."""

    def test_status(self, huaweicloud: Any) -> None:
        """Sync and async, with parameters."""
        huaweicloud.job(ACME, "j1", "Running", parameters=PARAMETERS)
        hook = HwStatusHook()

        assert "Running" == hook.get_status(ACME, "j1", parameters=PARAMETERS).state
        assert "Running" == asyncio.run(hook.aget_status(ACME, "j1", parameters=PARAMETERS)).state

    def test_wrong_arguments(self, huaweicloud: Any) -> None:
        """An error of the configuration."""
        for kind, parameters in ((ACME, {}), (ACME, {"pool": None, "zone": 1}), ("acme_job", {})):
            with pytest.raises(ConfigurationError, match=r"parameters: |kind must be"):
                HwStatusHook().get_status(kind, "j1", parameters=parameters)

    def test_not_found(self, huaweicloud: Any) -> None:
        """A 404 and an empty list are the same error."""
        huaweicloud.job(ACME_BACKUP, "other", "stored")
        with pytest.raises(JobNotFoundError, match="Acme backup b1"):
            HwStatusHook().get_status(ACME_BACKUP, "b1")
        huaweicloud.job(ACME, "other", "Done")
        with pytest.raises(JobNotFoundError, match="Acme job j1"):
            HwStatusHook().get_status(ACME, "j1", parameters=PARAMETERS)

    @pytest.mark.parametrize(
        ("extra", "host"),
        [
            ({"endpoints": None}, "https://acme-jobs.cn-north-4.myhuaweicloud.com"),
            ({"endpoints": None, "region": "eu-de"}, "https://acme-jobs.eu-de.otc.t-systems.com"),
            ({"endpoints": {"acme-jobs": "https://acme.corp/gw"}}, "https://acme.corp/gw"),
            ({"endpoints": '{"acme-jobs": "https://acme.corp"}'}, "https://acme.corp"),
            ({"endpoints": {"*": "https://{service}.corp"}}, "https://acme-jobs.corp"),
        ],
    )
    def test_endpoint(self, huaweicloud: Any, monkeypatch: pytest.MonkeyPatch, extra: Any, host: str) -> None:
        """The host comes from the connection: its region or its ``endpoints``."""
        connection = huaweicloud.connection(**{"region": "cn-north-4"} | extra)
        monkeypatch.setenv("AIRFLOW_CONN_HWSTATUS_DEFAULT", json.dumps(connection))

        assert host == HwStatusHook().get_conn().client.settings.endpoint(ACME.cloud_service)

    @pytest.mark.parametrize(
        "endpoints", ["{", [], {"Acme": "https://host"}, {"acme-jobs": "host"}, {"*": "https://u@host"}]
    )
    def test_wrong_endpoints(
        self, huaweicloud: Any, run_sensor: Any, mode: str, monkeypatch: pytest.MonkeyPatch, endpoints: Any
    ) -> None:
        """Wrong endpoints are an error of the configuration that names the field, in every mode."""
        connection = huaweicloud.connection(endpoints=endpoints)
        monkeypatch.setenv("AIRFLOW_CONN_HWSTATUS_DEFAULT", json.dumps(connection))

        end = run_sensor(JobSensor, mode, kind=ACME, job_id="j1", parameters=PARAMETERS, **FAST)
        assert "ConfigurationError" == end.verdict
        assert "endpoints" in str(end.error)


class TestCommandLine:
    """The commands take the place of a declaration."""

    @staticmethod
    def run(*argv: str) -> object:
        """Return the exit code of a command."""
        with pytest.raises(SystemExit) as left:
            main(argv)
        return left.value.code

    def test_status(self, huaweicloud: Any, own_module: str, capsys: pytest.CaptureFixture[str]) -> None:
        """With ``module:NAME`` as the kind, and ``--parameter``."""
        huaweicloud.job(ACME, "j1", "Done", parameters=PARAMETERS)
        parameters = [word for name, value in PARAMETERS.items() for word in ("--parameter", f"{name}={value}")]

        code = self.run("status", f"{own_module}:ACME", "j1", *parameters, "--output", "json")
        assert 0 == code
        assert '"Done"' in capsys.readouterr().out

    def test_wait(self, huaweicloud: Any, own_module: str, capsys: pytest.CaptureFixture[str]) -> None:
        """``wait`` ends with the exit code of the verdict."""
        huaweicloud.job(ACME, "j1", "Broken", error_message="disk full")
        arguments = [f"{own_module}:ACME", "--parameter", "pool=p", "--parameter", "zone=z", "j1"]

        assert 1 == self.run("wait", *arguments)
        assert "disk full" in "".join(capsys.readouterr())

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["acme_kinds:MISSING", "j1"], "cannot be imported"),
            (["no_such_module:ACME", "j1"], "cannot be imported"),
            (["acme_kinds:NO_KIND", "j1"], "is a str, not a JobKind"),
            ([":ACME", "j1"], "cannot be imported"),
            (["..:ACME", "j1"], "cannot be imported"),
            (["acme_job", "j1"], "kind must be a JobKind or one of"),
            (["acme_kinds:ACME", "j1"], "parameters: pool is missing"),
            (["acme_kinds:ACME", "--parameter", "pool", "j1"], "--parameter must be NAME=VALUE"),
        ],
    )
    def test_wrong(
        self,
        huaweicloud: Any,
        own_module: str,
        capsys: pytest.CaptureFixture[str],
        arguments: list[str],
        message: str,
    ) -> None:
        """A wrong command line has the exit code 2, and says what is wrong."""
        assert 2 == self.run("status", *arguments)
        assert message in capsys.readouterr().err
        assert [] == huaweicloud.requests


def _nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    return value


#: JSON nested deeper than Python's recursion limit.
DEEP = _nested(50_000)

#: A row's declaration that works, and changes that make it wrong.
ROW = ACME.to_dict()
HOSTILE: list[Any] = [
    ROW | {"path": "//127.0.0.1:1/{job_id}"},
    ROW | {"path": "https://127.0.0.1:1/{job_id}"},
    ROW | {"path": "@127.0.0.1:1/{job_id}"},
    ROW | {"path": "/@127.0.0.1:1/{job_id}"},
    ROW | {"path": "/{project_id.__class__.__init__.__globals__}/{job_id}"},
    ROW | {"path": "/v1/../../{pool}/{zone}/{job_id}"},
    ROW | {"detail_path": "//127.0.0.1:1/"},
    ROW | {"service": "127.0.0.1:1"},
    ROW | {"service": "evil.example.com/"},
    ROW | {"service": {"label": "acme", "hosts": ["evil.example.com"]}},
    ROW | {"service": {"label": "acme", "hosts": ["acme.cn-north-4.myhuaweicloud.com@evil.example.com"]}},
    ROW | {"service": {"label": "acme@evil.example.com"}},
    ROW | {"service": {"label": {"label": "acme"}}},
    ROW | {"service": ["acme"]},
    ROW | {"headers": {"Host": "evil.example.com", "workspace": "{workspace}"}},
    ROW | {"headers": {"X-Auth-Token": "x", "workspace": "{workspace}"}},
    ROW | {"headers": {"workspace": "{workspace}\r\nHost: evil.example.com"}},
    ROW | {"headers": {"workspace": ["{workspace}"]}},
    ROW | {"headers": [["Host", "evil.example.com"]]},
    ROW | {"console": "https://evil.example.com"},
    ROW | {"name": "x" * 10**6},
    ROW | {"name": {"a": 1}},
    ROW | {"title": "x" * 10**6},
    ROW | {"path": "/" + "{" * 10**6},
    ROW | {"path": "/" + "a/" * 10**6 + "{job_id}"},
    ROW | {"state": "a." * 10**6},
    ROW | {"state": "a" * 10**5 + "!"},
    ROW | {"state": [["a"]]},
    ROW | {"state": {"$ref": "x"}},
    ROW | {"guard": "x" * 10**6},
    ROW | {"guard": [None, None]},
    ROW | {"success": "Done"},
    ROW | {"success": [None]},
    ROW | {"success": [["Done"]]},
    ROW | {"success": {"Done": 1}},
    ROW | {"success": 5},
    ROW | {"failure": ["Done"]},
    ROW | {"parameters": {"pool": 1}},
    ROW | {"parameters": [["pool"]]},
    ROW | {"id_characters": ["/"]},
    ROW | {"extra_fields": ["x"]},
    ROW | {"permission": {"a": "b"}},
    ROW | {"advice": "{console.__class__}"},
    ROW | {"source": "x" * 10**6},
    ROW | {"success": _nested(100)},
    ROW | {"path": DEEP},
    ROW | {"success": DEEP},
    ROW | {"guard": DEEP},
    ROW | {"headers": {"workspace": DEEP}},
    ROW | {"service": {"label": DEEP}},
    {name: value for name, value in ROW.items() if name != "path"},
    {},
    {"name": "dli_batch"},
    [ROW],
    [],
    7,
    None,
    "x" * 10**6,
    DEEP,
]


def _event(target: Any) -> dict[str, Any]:
    async def run() -> list[Any]:
        options = {"deadline": datetime.now(UTC).timestamp() + 1, "poke_interval": 0.1}
        return [event.payload async for event in JobStatusTrigger(target=target, options=options).run()]

    (payload,) = asyncio.run(run())
    return dict(payload)


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_row(huaweicloud: Any, number: int) -> None:
    """A row's declaration that is wrong is one error of the configuration with a short message, and no request."""
    event = _event({"kind": HOSTILE[number], "job_id": "j1", "parameters": PARAMETERS})

    assert "ConfigurationError" == event["error"]["type"]
    assert len(json.dumps(event)) < 4000
    assert [] == huaweicloud.requests


@pytest.mark.parametrize(
    "wrong",
    [
        {"parameters": ["pool"]},
        {"parameters": "pool"},
        {"parameters": {}},
        {"parameters": PARAMETERS | {"more": 1}},
        {"parameters": PARAMETERS | {"pool": DEEP}},
        {"parameters": PARAMETERS | {"pool": "x" * 10**6}},
        {"parameters": PARAMETERS | {"pool": "a\r\nHost: evil"}},
        {"parameters": PARAMETERS | {"x" * 10**6: 1}},
        {"job_id": "../../admin"},
        {"job_id": "j1/../../admin"},
        {"job_id": DEEP},
        {"job_id": {"a": 1}},
    ],
    ids=range(12),
)
def test_hostile_values(huaweicloud: Any, wrong: dict[str, Any]) -> None:
    """So are wrong ids and values of parameters."""
    event = _event({"kind": ROW, "job_id": "j1", "parameters": PARAMETERS} | wrong)

    assert "ConfigurationError" == event["error"]["type"]
    assert len(json.dumps(event)) < 4000
    assert [] == huaweicloud.requests


@pytest.mark.parametrize("value", ["//evil.example.com", "a@evil.example.com", "%2e%2e%2f", "x?y#z", "ü", "\\\\evil"])
def test_values_reach_the_cloud_of_the_connection_only(huaweicloud: Any, value: str) -> None:
    """An odd value is one encoded segment of a request to the connection's own endpoint."""
    huaweicloud.job(ACME, "j1", "Done", parameters={"pool": value, "zone": value})
    event = _event({"kind": ROW, "job_id": "j1", "parameters": {"pool": value, "zone": value}})

    assert "Done" == event["status"]["state"]
    assert 1 == len(huaweicloud.requests)
