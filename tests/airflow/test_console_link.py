"""The button that leads to the console."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_hwstatus.core.reporting import console
from airflow_provider_hwstatus.sensors.cph import CphJobSensor
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor, DliSessionSensor

#: What a project's DAG file would be, but for the first line: the fake's endpoint is not the region's own.
DAG = """
import airflow_provider_hwstatus.core.reporting.console as console; console._is_public = lambda *args: True
from datetime import datetime
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor, DliSessionSensor

with DAG("links", start_date=datetime(2026, 1, 1), schedule=None):
    DliBatchSensor(task_id="poke", batch_id="b1", poke_interval=0.1, timeout=20)
    DliBatchSensor(task_id="deferred", batch_id="b2", poke_interval=0.1, timeout=20, deferrable=True)
    DliBatchSensor(task_id="failed", batch_id="b3", poke_interval=0.1, timeout=20, deferrable=True)
    DliSessionSensor(task_id="session", session_id="s1", poke_interval=0.1, timeout=20)
    DliSessionSensor(task_id="deferred_session", session_id="s2", poke_interval=0.1, timeout=20, deferrable=True)
    DliBatchSensor(task_id="nothing", batch_id=[], on_empty="succeed")
    DliBatchSensor(task_id="no_id", batch_id="[1")
"""

#: Runs it, and prints for each task what Airflow's own code for its web interface has for the button.
RUN = """
import json
try:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.serialization.serialized_objects import DagSerialization as Serialized
except ImportError:
    from airflow.models.dagbag import DagBag
    from airflow.serialization.serialized_objects import SerializedDAG as Serialized
dag = DagBag().dags["links"]
tis = dag.test().get_task_instances()
stored = Serialized.from_dict(json.loads(json.dumps(Serialized.to_dict(dag))))
links = {}
for ti in tis:
    task = stored.get_task(ti.task_id)
    link = task.get_extra_links(ti, "Huawei Cloud console") or ""
    links[ti.task_id] = [str(ti.state), sorted(task.extra_links), link]
print("LINKS" + json.dumps(links))
"""


@pytest.fixture
def dag_file(airflow_db):
    """The DAG, where Airflow looks for DAGs."""
    path = airflow_db / "dags" / "links_dag.py"
    path.write_text(DAG)
    yield
    path.unlink()


@pytest.mark.usefixtures("dag_file")
@pytest.mark.long
@pytest.mark.timeout(600)
def test_airflow_shows_the_button(huaweicloud, monkeypatch):
    """
    What the web interface finds, on real Airflow, after a wait that ended well and one that did not.

    Airflow 3's worker asks for the page whenever a task ends or defers, and logs an error if it has to be read, and is
    not there.
    """
    monkeypatch.setenv("AIRFLOW_CONN_HWSTATUS_DEFAULT", json.dumps(huaweicloud.connection()))
    for job_id, end in (("b1", "success"), ("b2", "success"), ("b3", "dead")):
        huaweicloud.job("dli_batch", job_id, "running", end)
    for session_id in ("s1", "s2"):
        huaweicloud.job("dli_session_ready", session_id, "starting", "idle")

    done = subprocess.run([sys.executable, "-c", RUN], capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout[-3000:] + done.stderr[-5000:]
    links = json.loads(done.stdout.split("LINKS")[1].splitlines()[0])  # Airflow 3.4 says more at its end
    page = "https://console.huaweicloud.com/dli/?region=cn-north-4#/main/jobs/spark/submitLog/{}?type=RUN"
    name = ["Huawei Cloud console"]
    assert {
        "poke": ["success", name, page.format("b1")],
        "deferred": ["success", name, page.format("b2")],
        "failed": ["failed", name, page.format("b3")],
        "session": ["success", name, ""],
        "deferred_session": ["success", name, ""],
        "nothing": ["success", name, ""],
        "no_id": ["failed", name, ""],
    } == links
    assert "XCom not found" not in done.stdout + done.stderr


class Instance(SimpleNamespace):
    """Notes how many requests there had been when the link was left."""

    def xcom_push(self, key, value):
        self.pushed.append((key, value, len(self.cloud.requests)))


@pytest.fixture
def own_endpoints(monkeypatch):
    """The fake's endpoint is taken for the region's own."""
    monkeypatch.setattr(console, "_is_public", lambda *args: True)


@pytest.mark.usefixtures("own_endpoints")
@pytest.mark.parametrize(
    ("cls", "job", "page"),
    [
        (DliBatchSensor, {"batch_id": "b1"}, "/dli/?region=cn-north-4#/main/jobs/spark/submitLog/b1?type=RUN"),
        (CphJobSensor, {"job_id": "c1"}, "/cph/?region=cn-north-4"),
        (DliSessionSensor, {"session_id": "s1"}, None),
    ],
)
def test_button_is_there_before_the_wait(huaweicloud, cls, job, page):
    """It can be pressed while the task waits: it is left before the first question."""
    for kind, job_id, state in (
        ("dli_batch", "b1", "running"),
        ("cph_job", "c1", 1),
        ("dli_session_ready", "s1", "starting"),
    ):
        huaweicloud.job(kind, job_id, state)
    ti = Instance(pushed=[], cloud=huaweicloud)
    with pytest.raises(TaskDeferred):
        cls(task_id="t", deferrable=True, **job).execute({"ti": ti})

    url = f"https://console.huaweicloud.com{page}"
    assert ([("hwstatus_console_link", url, 0)] if page else []) == ti.pushed


@pytest.mark.usefixtures("own_endpoints")
def test_wait_does_not_need_the_button(huaweicloud):
    """Where Airflow cannot store it, the task goes on."""
    huaweicloud.job("dli_batch", "b1", "success")

    class Broken:
        def xcom_push(self, **kwargs):
            raise RuntimeError("no database")

    assert "success" == DliBatchSensor(task_id="t", batch_id="b1", deferrable=True).execute({"ti": Broken()})["state"]


def test_message_of_a_failure_has_the_page(huaweicloud, own_endpoints, run_sensor, mode):
    """Who reads the message need not look for the button."""
    huaweicloud.job("dli_batch", "b1", "running", "dead")

    end = run_sensor(DliBatchSensor, mode, batch_id="b1", poke_interval=0.1)
    page = "https://console.huaweicloud.com/dli/?region=cn-north-4#/main/jobs/spark/submitLog/b1?type=RUN"
    assert f"next: open {page} for the driver's log" in str(end.error)
