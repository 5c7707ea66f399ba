"""
The page about apache-airflow-providers-huawei is complete, and its examples work.

``huawei_provider_1_7_0.json`` has the operators and sensors of that package and their arguments. Its release 1.7.0 is
final, and cannot be imported on Airflow 3. This program made the file from the wheel of the package index:

.. code-block:: python

    classes = {}
    for name in sorted(wheel.namelist()):  # wheel = zipfile.ZipFile("apache_airflow_providers_huawei-1.7.0-….whl")
        if "/cloud/operators/" in name or "/cloud/sensors/" in name:
            for node in ast.parse(wheel.read(name)).body:
                if isinstance(node, ast.ClassDef):
                    init = next(each for each in node.body if getattr(each, "name", "") == "__init__").args
                    classes[node.name] = [arg.arg for arg in (*init.args, *init.kwonlyargs) if arg.arg != "self"]
"""

import ast
import json
import re
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook
from airflow_provider_hwstatus.operators.arguments import OperatorArguments
from airflow_provider_hwstatus.operators.dli import DliBatchOperator, DliSqlJobOperator
from airflow_provider_hwstatus.operators.submit import SubmitOperator
from airflow_provider_hwstatus.sensors.arguments import BaseTaskArguments, SensorArguments
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor, DliSqlJobSensor
from airflow_provider_hwstatus.sensors.job import JobSensor
from airflow_provider_hwstatus.testing import Reply

OLD = json.loads(Path(__file__).with_name("huawei_provider_1_7_0.json").read_text())
PAGE = (Path(__file__).parents[2] / "docs" / "migrate.md").read_text()
BLOCKS = dict(re.findall(r"<!-- (\w+) -->\n```python\n(.*?)```", PAGE, re.DOTALL))

#: Arguments that the section "Arguments of all operators and sensors" covers.
EVERYWHERE = {"huaweicloud_conn_id", "region", "project_id"}


def table(heading):
    """Return the rows of the first table after a heading, as texts of cells."""
    rows = PAGE.split(f"\n{heading}\n")[1].split("\n|---")[1].split("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


REPLACED = table("## Operators and sensors with a replacement")
REQUESTS = table("## Operators without a replacement")
WITHOUT = re.findall(r"`(\w+)`", " ".join(row[0] for row in table("### No replacement at all")))
FIELDS = {"batch": table("### Fields of a batch"), "job": table("### Fields of a SQL job")}


def quoted(text):
    return re.findall(r"`([^`]+)`", text)


def names_of(rows):
    return [quoted(row[0])[0] for row in rows]


@pytest.fixture(scope="module")
def kinds():
    """The kinds that the page declares."""
    namespace = {}
    exec(BLOCKS["kinds"], namespace)  # noqa: S102  # our own document
    return {name: kind for name, kind in namespace.items() if name.isupper()}


def test_every_old_operator_and_sensor_is_there_once():
    """None is missing, none is invented."""
    assert sorted(OLD) == sorted([*names_of(REPLACED), *names_of(REQUESTS), *WITHOUT])


def replacement(call, namespace):
    """Return the task that a cell such as ``DliBatchSensor(batch_id=…)`` describes."""
    classes = (DliBatchOperator, DliSqlJobOperator, DliBatchSensor, DliSqlJobSensor, JobSensor)
    tasks = {cls.__name__: partial(cls, task_id="t") for cls in classes}
    for argument, body in {"batch": '{"file": "obs://a"}', "job": '{"sql": "SELECT 1"}'}.items():
        call = call.replace(f"{argument}=…", f"{argument}={body}")
    return eval(call.replace("…", "'id-1'"), {**namespace, **tasks})  # noqa: S307  # our own document


@pytest.mark.parametrize("row", REPLACED, ids=names_of(REPLACED))
def test_replacement_takes_the_arguments(row, kinds):
    """The new class can be made as the page says; each old argument has a new one, which the new class takes."""
    (old, *_), (call, *_), arguments = quoted(row[0]), quoted(row[1]), row[2]
    task = replacement(call, kinds)
    pairs = dict(re.findall(r"`(\w+)` → `(\w+)`", arguments))
    fields = {name for body in re.findall(r"fields of `(\w+)`", arguments) for name in names_of(FIELDS[body])}

    known = OperatorArguments if isinstance(task, SubmitOperator) else SensorArguments
    assert set(OLD[old]) - EVERYWHERE == pairs.keys() | fields
    assert set(pairs.values()) <= set(re.findall(r"(\w+)=", call)) | known.__annotations__.keys()


@pytest.mark.parametrize("argument", FIELDS)
def test_fields_have_each_argument_once(argument):
    """The tables of fields name arguments of the old operator."""
    old = {"batch": "DLISparkCreateBatchJobOperator", "job": "DLIRunSqlJobOperator"}[argument]
    names = names_of(FIELDS[argument])

    assert len(names) == len(set(names))
    assert set(OLD[old]) - EVERYWHERE - {"poll_interval", "deferrable"} == set(names)


def test_arguments_of_all_exist():
    """The arguments that the page promises of all operators and sensors."""
    both = OperatorArguments.__annotations__.keys() & SensorArguments.__annotations__.keys()

    assert {"hwstatus_conn_id", "region", "project_id", "deferrable"} <= both
    assert {"poke_interval", "timeout", "soft_fail"} <= BaseTaskArguments.__annotations__.keys()
    assert {"hwstatus_conn_id", "region", "project_id"} <= set(JobSensor.template_fields)


def test_requests_can_be_sent(huaweicloud):
    """The hook sends what each row says."""
    hook = HwStatusHook()
    for row in REQUESTS:
        method, service, path = (quoted(cell)[0] for cell in row[1:])
        sent = re.sub("<[^>]+>", "urn%3Ax", path)
        huaweicloud.break_with(Reply(200, {"from": path}), path_ends=sent.partition("?")[0].rpartition("}")[2])
        assert {"from": path} == hook.request(method, service, sent, json={})


def test_declared_kinds_wait(huaweicloud, kinds):
    """Each declared kind succeeds in its success states, and fails in its failure states."""
    for kind in kinds.values():
        parameters = dict.fromkeys(kind.parameters, "p-1")
        for number, state in enumerate((*kind.success, *kind.failure)):
            huaweicloud.job(kind, f"id-{number}", *[*kind.in_progress][:1], state, parameters=parameters)
            job = {"kind": kind, "job_id": f"id-{number}", "parameters": parameters}
            sensor = JobSensor(task_id="t", **job, poke_interval=0.01, timeout=20, outage_tolerance=0)
            if state in kind.success:
                assert state == sensor.execute({})["state"]
            else:
                with pytest.raises(Exception, match=state):
                    sensor.execute({})


@pytest.mark.parametrize("state", ["running", "success"])
def test_states_of_a_running_batch_are_a_success(huaweicloud, state):
    """The example of ``success_states`` waits until a batch runs, or has ended."""
    (states,) = re.findall(r"success_states=(\[.*?\])", PAGE)
    batch_id = "0a324461-d9d9-45da-a52a-3b3c7a3d809e"
    huaweicloud.job("dli_batch", batch_id, "starting", state)

    sensor = DliBatchSensor(task_id="t", batch_id=batch_id, success_states=json.loads(states), poke_interval=0.01)
    assert state == sensor.execute({})["state"]


def test_every_declared_kind_is_used(kinds):
    """The page declares what its table needs."""
    assert kinds.keys() == set(re.findall(r"kind=([A-Z_]+)", " ".join(row[1] for row in REPLACED)))


def calls_in(code):
    """Return the names of classes that are called with capital letters, and their arguments."""
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    return [(call.func.id, [each.arg for each in call.keywords]) for call in calls if isinstance(call.func, ast.Name)]


def test_example_before_is_of_the_old_provider():
    """The old example names classes and arguments of the old provider."""
    old = [(name, arguments) for name, arguments in calls_in(BLOCKS["before"]) if name in OLD]

    assert {"DLISparkCreateBatchJobOperator", "DLISparkShowBatchStateSensor"} == {name for name, _ in old}
    assert [] == [
        argument
        for name, arguments in old
        for argument in arguments
        if argument not in [*OLD[name], "task_id", "mode", "poke_interval", "timeout"]
    ]


def task_of(block, task_id):
    """Return a task of an example, and the names that the example defines."""
    namespace = {}
    exec(BLOCKS[block], namespace)  # noqa: S102  # our own document
    task = namespace[task_id]
    task.deferrable, task.poke_interval = False, 0.01
    return task, namespace


def test_example_after_does_the_same(huaweicloud):
    """The new example submits what the old one names, and waits until it ends."""
    task, _ = task_of("after", "sales")
    ti = SimpleNamespace(dag_id="sales", task_id="sales", run_id="r", map_index=-1, try_number=1, max_tries=2)
    ti.xcom_push = lambda key, value: None
    task.render_template_fields({"ds": "2026-11-29"})

    status = task.execute({"ti": ti, "dag_run": SimpleNamespace(run_after=datetime.now(UTC))})
    (submitted,) = huaweicloud.submissions.accepted
    old = next(call for call in ast.walk(ast.parse(BLOCKS["before"])) if "file" in calls_arguments(call))
    fields = {quoted(row[0])[0]: quoted(row[1])[0] for row in FIELDS["batch"]}
    named = {fields[name]: value for name, value in calls_arguments(old).items() if name in fields}
    assert (submitted.job_id, "success") == (status["job_id"], status["state"])
    assert {**named, "args": ["2026-11-29"]} == {name: submitted.body[name] for name in named}
    assert ["2026-11-29"] == submitted.body["args"]


def calls_arguments(node):
    """Return the constant arguments of a call; empty for anything else."""
    if not isinstance(node, ast.Call):
        return {}
    constant = ast.Constant | ast.List | ast.Dict
    return {each.arg: ast.literal_eval(each.value) for each in node.keywords if isinstance(each.value, constant)}


def test_example_with_a_request_works(huaweicloud):
    """The example submits an MRS job with the hook, and waits for it."""
    task, namespace = task_of("request", "wait")
    huaweicloud.break_with(Reply(200, {"job_submit_result": {"job_id": "job-1"}}), path_ends="/job-executions")
    huaweicloud.job("mrs_job", "job-1", "RUNNING", "SUCCEEDED", parameters={"cluster_id": namespace["CLUSTER"]})

    task.job_id = namespace["submit"].function(job_name="sales", job_type="SparkSubmit")
    assert "SUCCEEDED" == task.execute({})["state"]


def test_script_converts_connections(tmp_path, monkeypatch):
    """The script converts the old connections, and leaves the others alone."""
    extra = json.dumps({"region": "ap-southeast-3", "project_id": "0a1b2c", "obs_bucket": "b"})
    old = {"conn_type": "huaweicloud", "login": "AK1", "password": "SK1", "extra": extra}
    exported = {"huaweicloud_default": old, "huaweicloud_b": {**old, "extra": None}, "db": {"conn_type": "postgres"}}
    (tmp_path / "old.json").write_text(json.dumps(exported))
    monkeypatch.chdir(tmp_path)
    exec(BLOCKS["convert"], {})  # noqa: S102  # our own document

    new = json.loads((tmp_path / "new.json").read_text())
    monkeypatch.setenv("AIRFLOW_CONN_HWSTATUS_DEFAULT", json.dumps(new["hwstatus_default"]))
    settings = HwStatusHook().get_conn().client.settings
    assert ["hwstatus_default", "hwstatus_b"] == [*new]
    assert ("ap-southeast-3", "0a1b2c") == (settings.region, settings.project_id)
    assert ("AK1", "SK1") == (new["hwstatus_default"]["login"], new["hwstatus_default"]["password"])
