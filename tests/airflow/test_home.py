"""Tests of the Airflow that the other tests here run on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


def test_settings_are_thrown_away(airflow_home: Path) -> None:
    """Airflow looks for DAGs and for its database nowhere but in the directory that the tests throw away."""
    from airflow.configuration import conf

    assert str(airflow_home / "dags") == conf.get("core", "dags_folder")
    assert f"sqlite:///{airflow_home}/airflow.db" == conf.get("database", "sql_alchemy_conn")


@pytest.mark.usefixtures("airflow_db")
def test_database_is_there() -> None:
    """A test that takes ``airflow_db`` can use the database."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    with create_session() as session:
        assert 0 == session.query(DagRun).filter_by(run_id="nobody's").count()
