"""Airflow loads the example DAGs. ``test_demo.py`` runs them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_hwstatus.demo import scenario
from airflow_provider_hwstatus.demo.airflow_home import AIRFLOW_3, AirflowHome
from airflow_provider_hwstatus.operators.cph import CphPhonesOperator
from airflow_provider_hwstatus.operators.dli import DliBatchOperator, DliSqlJobOperator
from airflow_provider_hwstatus.operators.submit import SubmitOperator
from airflow_provider_hwstatus.sensors.base import JobStatusSensor

#: The only id without a job in the fake cloud.
UNKNOWN = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def bag() -> Iterator[Any]:
    """Load the example DAGs."""
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # Airflow before 3.2
        from airflow.models.dagbag import DagBag
    with AirflowHome(poke_interval=30) as home:
        yield DagBag(home.dags)


def test_dag_files_are_imported_without_a_warning(bag: Any) -> None:
    """Airflow imports every file without an error or a warning."""
    assert {} == bag.import_errors
    assert {} == dict(bag.captured_warnings)
    expected = scenario.DAGS + (scenario.WATCHING_DAGS if AIRFLOW_3 else ())
    assert sorted(expected) == sorted(bag.dag_ids)


def test_demo_has_a_job_for_every_id(bag: Any) -> None:
    """The default ids in the DAGs are exactly the ids of the demo's jobs."""
    params = [param for dag in bag.dags.values() for param in dag.params.dump().items()]
    ids = {value for name, value in params if name.endswith("_id")}
    jobs = [job for job in scenario.JOBS if job.request_id != scenario.WATCHED_REQUEST]

    assert ids - {UNKNOWN} == {job.job_id for job in jobs}


def test_demo_rejects_the_phone_of_an_example(bag: Any) -> None:
    """The phone that the demo's cloud rejects is in the body of the task that fails for it."""
    task = bag.dags["example_failures"].get_task("rejected_phone")

    assert scenario.REJECTED_PHONE in task.body["phone_ids"]


def test_demo_has_steps_for_every_operator(bag: Any) -> None:
    """The examples have every operator that submits, and the demo's cloud knows how their jobs proceed."""
    classes = {task.operator_class for dag in bag.dags.values() for task in dag.tasks}

    assert {DliBatchOperator, DliSqlJobOperator, CphPhonesOperator} <= classes
    assert {"dli_batch", "dli_sql_job", "cph_job"} == set(scenario.SUBMITTED_STEPS)


@pytest.mark.skipif(not AIRFLOW_3, reason="Airflow 2 has no asset watchers")
def test_demo_has_jobs_for_the_watchers(bag: Any) -> None:
    """The demo has the jobs that the watcher DAGs wait for."""
    source = Path(bag.dags["example_request_ended"].fileloc).read_text()

    assert scenario.WATCHED_REQUEST in source
    assert 2 == sum(job.request_id == scenario.WATCHED_REQUEST for job in scenario.JOBS)
    assert any(str(job.fields.get("name")).startswith("nightly_") for job in scenario.JOBS)


def test_unsuccessful_tasks_exist(bag: Any) -> None:
    """Every task with an expected failure exists."""
    tasks = {(dag.dag_id, task.task_id) for dag in bag.dags.values() for task in dag.tasks}

    assert set(scenario.UNSUCCESSFUL_TASKS) <= tasks


def test_examples_cover_every_mode(bag: Any) -> None:
    """There is an example of each mode of a sensor, and of each way in which an operator waits."""
    tasks = [task for dag in bag.dags.values() for task in dag.tasks if isinstance(task, JobStatusSensor)]
    modes = {isinstance(task, SubmitOperator): set[str]() for task in tasks}
    for task in tasks:
        mode = "deferrable" if task.deferrable else task.mode
        modes[isinstance(task, SubmitOperator)].add(mode if getattr(task, "wait", True) else "none")

    assert {False: {"deferrable", "poke", "reschedule"}, True: {"deferrable", "poke", "none"}} == modes
