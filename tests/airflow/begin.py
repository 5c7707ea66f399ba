"""
What Airflow 3.3's scheduler does when tasks can start, without a scheduler, a worker or an API server.

``begin.py begin DAG_ID OUTPUTS`` makes a DAG run whose tasks called ``submit…`` have ended, with these XComs, and
starts the others. ``begin.py show DAG_ID`` prints a line of JSON for each task. ``begin.py load`` only loads the DAGs,
and ``begin.py events`` prints a line of JSON for each asset event.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.models.asset import AssetEvent
from airflow.models.dagbag import DBDagBag
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.sdk.serde import deserialize
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import select


def load() -> None:
    """Load the DAGs."""
    DagBundlesManager().sync_bundles_to_db()
    bag = DagBag()
    if bag.import_errors:
        raise ImportError(str(bag.import_errors))
    sync_bag_to_db(bag, "dags-folder", None)


def begin(dag_id: str, outputs: dict[str, Any]) -> None:
    """Start what can start."""
    load()
    with create_session() as session:
        dag: Any = DBDagBag().get_latest_version_of_dag(dag_id, session=session)
        run = dag.create_dagrun(
            run_id="r",
            run_after=dag.start_date,
            run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.TEST,
            state=DagRunState.RUNNING,
            session=session,
        )
        run.dag = dag
        for ti in run.get_task_instances(session=session):
            if ti.task_id.startswith("submit"):
                ti.set_state(TaskInstanceState.SUCCESS, session=session)
                place = {"dag_id": dag_id, "task_id": ti.task_id, "run_id": "r", "session": session}
                for key, value in outputs[ti.task_id].items():
                    XComModel.set(key=key, value=value, serialize=False, **place)
        session.flush()
        ready = run.task_instance_scheduling_decisions(session=session).schedulable_tis
        run.schedule_tis(ready, session=session)


def show(dag_id: str) -> None:
    """Print where the tasks stand."""
    with create_session() as session:
        run = session.scalars(select(DagRun).where(DagRun.dag_id == dag_id)).one()
        values = {
            (row.task_id, row.key): row.value
            for row in session.scalars(select(XComModel).where(XComModel.dag_run_id == run.id))
        }
        for ti in session.scalars(select(TaskInstance).where(TaskInstance.dag_id == dag_id)):
            line = {"task": ti.task_id, "state": ti.state, "method": ti.next_method, "kwargs": None}
            if ti.state == TaskInstanceState.SCHEDULED and ti.next_kwargs:
                line["kwargs"] = deserialize(ti.next_kwargs)
            line |= {"try_number": ti.try_number, "value": values.get((ti.task_id, "return_value"))}
            print(json.dumps(line, default=str))  # noqa: T201  # it is a program


def events() -> None:
    """Print what assets were told."""
    with create_session() as session:
        for event in session.scalars(select(AssetEvent).order_by(AssetEvent.id)):
            print(json.dumps({"task": None, "asset": event.asset.name, "extra": event.extra}))  # noqa: T201  # likewise


if __name__ == "__main__":
    commands = {
        "begin": lambda dag_id, outputs: begin(dag_id, json.loads(outputs)),
        "show": show,
        "load": lambda: [load(), load()],  # the first makes assets known, and only then they can have watchers
        "events": events,
    }
    commands[sys.argv[1]](*sys.argv[2:])
