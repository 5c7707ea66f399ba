"""What OpenLineage reports about a task's jobs, as Airflow's provider for OpenLineage asks for it."""

import json
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, TaskDeferred

from airflow_provider_hwstatus.operators.dli import DliBatchOperator
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor
from airflow_provider_hwstatus.sensors.job import JobSensor

pytest.importorskip("airflow.providers.openlineage")

from airflow.providers.openlineage.extractors.base import DefaultExtractor
from airflow.providers.openlineage.extractors.manager import ExtractorManager
from openlineage.client.serde import Serde


def facets_of(task, failed=False):
    """Return the run facets of a task that has ended, as they are sent."""
    extractor = ExtractorManager()._get_extractor(task)
    assert isinstance(extractor, DefaultExtractor)
    lineage = (extractor.extract_on_failure if failed else extractor.extract_on_complete)(None)
    facets = {name: json.loads(Serde.to_json(facet)) for name, facet in lineage.run_facets.items()}
    return {
        facet: {name: value for name, value in values.items() if not name.startswith("_")}
        for facet, values in facets.items()
    }


def context():
    ti = SimpleNamespace(
        dag_id="d", task_id="t", run_id="r", map_index=-1, try_number=1, max_tries=0, xcom_push=lambda **given: None
    )
    return {"ti": ti}


def resumed(task, event):
    """Defer a task, and return a new one that has resumed with an event."""
    with pytest.raises(TaskDeferred):
        task().execute(context())
    after = task()
    after.execute_complete(context(), event)
    return after


def test_job_of_a_wait(huaweicloud):
    """Its id, state and queue; its name, output and arguments may hold secrets."""
    huaweicloud.job("dli_batch", "b1", "running", "success", name="password=1", queue="etl")
    sensor = DliBatchSensor(task_id="t", batch_id="b1", poke_interval=0.1)
    sensor.execute(context())

    facets = facets_of(sensor)
    (job,) = facets["hwstatus"].pop("jobs")
    assert {"job_id": "b1", "state": "success", "outcome": "success"}.items() <= job.items()
    assert job.keys() <= {"job_id", "state", "outcome", "queue", "begin_time", "end_time"}
    settings = sensor.hook.get_conn().client.settings
    assert facets == {
        "hwstatus": {"kind": "dli_batch", "region": settings.region, "project_id": settings.project_id},
        "externalQuery": {"externalQueryId": "b1", "source": "dli"},
    }


def test_link_to_the_console(huaweicloud, monkeypatch):
    """It is the source of the job where it is known."""
    monkeypatch.setattr(DliBatchSensor, "console_page", "https://console.huaweicloud.com/dli/")
    huaweicloud.job("dli_batch", "b1", "success")
    sensor = DliBatchSensor(task_id="t", batch_id="b1")
    sensor.execute(context())

    facets = facets_of(sensor)
    assert "https://console.huaweicloud.com/dli/" == facets["hwstatus"]["console_url"]
    assert "https://console.huaweicloud.com/dli/" == facets["externalQuery"]["source"]


def test_failed_job(huaweicloud):
    """A failure has the same facets."""
    huaweicloud.job("dli_batch", "b1", "dead")
    sensor = DliBatchSensor(task_id="t", batch_id="b1")
    with pytest.raises(AirflowFailException):
        sensor.execute(context())

    assert "failure" == facets_of(sensor, failed=True)["hwstatus"]["jobs"][0]["outcome"]


def test_deferred_wait(huaweicloud):
    """The task that resumes knows the job from the trigger's event."""
    huaweicloud.job("dli_batch", "b1", "running")

    def task():
        return DliBatchSensor(task_id="t", batch_id="b1", deferrable=True)

    status = {"kind": "dli_batch", "job_id": "b1", "state": "success", "outcome": "success", "queue": "etl"}
    (job,) = facets_of(resumed(task, {"status": status}))["hwstatus"]["jobs"]
    assert ("b1", "success", "etl") == (job["job_id"], job["state"], job["queue"])


def test_many_jobs(huaweicloud):
    """An event stays small."""
    ids = [f"j{number}" for number in range(150)]
    for job_id in ids:
        huaweicloud.job("cph_job", job_id, 2)
    sensor = JobSensor(task_id="t", kind="cph_job", job_id=ids)
    sensor.execute(context())

    facets = facets_of(sensor)
    assert ids[:100] == [job["job_id"] for job in facets["hwstatus"]["jobs"]]
    assert "j0" == facets["externalQuery"]["externalQueryId"]


def test_submitted_job(huaweicloud):
    """Without the body of the submission."""
    body = {"file": "obs://acme/etl.jar", "queue": "etl", "args": ["secret-argument"]}
    operator = DliBatchOperator(task_id="t", batch=body, poke_interval=0.1)
    operator.execute(context())

    facets = facets_of(operator)
    (submission,) = huaweicloud.submissions.accepted
    assert submission.job_id == facets["hwstatus"]["jobs"][0]["job_id"]
    assert "secret-argument" not in json.dumps(facets)


def test_task_without_a_job(huaweicloud):
    """A task that submitted nothing has no facets."""
    assert {} == facets_of(DliBatchOperator(task_id="t", batch={"file": "obs://acme/etl.jar", "queue": "etl"}))
    assert {} == facets_of(DliBatchSensor(task_id="t", batch_id=[]))


def test_task_that_failed_before_its_id_was_rendered(huaweicloud):
    """An output of another task that was not read yet is no id, and no error."""
    with DAG("d", schedule=None):
        operator = DliBatchOperator(task_id="submit", batch={"file": "obs://acme/etl.jar", "queue": "etl"})
        sensor = DliBatchSensor(task_id="t", batch_id=operator.output["batch_id"])

    assert {} == facets_of(sensor, failed=True)
