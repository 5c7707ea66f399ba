"""The Airflow installation directory of the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


def test_settings_point_to_the_temporary_home(airflow_home: Path) -> None:
    """Airflow's DAGs folder and database are in the temporary directory of the tests."""
    from airflow.configuration import conf

    assert str(airflow_home / "dags") == conf.get("core", "dags_folder")
    assert f"sqlite:///{airflow_home}/airflow.db" == conf.get("database", "sql_alchemy_conn")


@pytest.mark.usefixtures("airflow_db")
def test_database_exists() -> None:
    """A test that uses ``airflow_db`` can query the database."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    with create_session() as session:
        assert 0 == session.query(DagRun).filter_by(run_id="nobody's").count()
