"""The example DAGs, as Airflow loads them; ``test_demo.py`` runs them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_hwstatus.demo.home import AIRFLOW_3, Home
from airflow_provider_hwstatus.testing import scenario

#: The only id of which the fake cloud must know nothing.
UNKNOWN = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def bag() -> Iterator[Any]:
    """Return Airflow's bag of the example DAGs."""
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # before Airflow 3.2
        from airflow.models.dagbag import DagBag
    with Home(poke_interval=30) as home:
        yield DagBag(home.dags)


def test_dag_files_are_imported_without_a_warning(bag: Any) -> None:
    """Airflow imports every file, and none of them makes it warn."""
    assert {} == bag.import_errors
    assert {} == dict(bag.captured_warnings)
    there = scenario.DAGS + (scenario.WATCHING_DAGS if AIRFLOW_3 else ())
    assert sorted(there) == sorted(bag.dag_ids)


def test_demo_has_a_job_for_every_id(bag: Any) -> None:
    """What a wait asks about by default is what the demo plays, and nothing else."""
    given = [value for dag in bag.dags.values() for value in dag.params.dump().values()]
    target = {one for value in given for one in (value if isinstance(value, list) else [value])}
    parts = [part for part in scenario.PARTS if part.request_id != scenario.WATCHED_REQUEST]
    requests = {part.request_id for part in parts if part.request_id}

    assert target - {UNKNOWN} == {part.job_id for part in parts} | requests


@pytest.mark.skipif(not AIRFLOW_3, reason="Airflow 2 has no asset watchers")
def test_demo_has_jobs_for_the_watchers(bag: Any) -> None:
    """What the watching DAGs watch is played, too."""
    watched = Path(bag.dags["example_request_ended"].fileloc).read_text()

    assert scenario.WATCHED_REQUEST in watched
    assert 2 == sum(part.request_id == scenario.WATCHED_REQUEST for part in scenario.PARTS)
    assert any(str(part.fields.get("name")).startswith("nightly_") for part in scenario.PARTS)


def test_bad_ends_are_those_of_tasks_that_exist(bag: Any) -> None:
    """No task is expected to fail that is not there."""
    tasks = {(dag.dag_id, task.task_id) for dag in bag.dags.values() for task in dag.tasks}

    assert set(scenario.BAD_ENDS) <= tasks


def test_every_mode_is_shown(bag: Any) -> None:
    """There is an example of each way to wait."""
    sensors = [task for task in bag.dags["example_dli_batch"].tasks if hasattr(task, "poke_interval")]

    assert {"deferrable", "poke", "reschedule"} == {
        "deferrable" if sensor.deferrable else sensor.mode for sensor in sensors
    }
