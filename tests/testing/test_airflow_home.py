"""The option and the fixture that give the tests of users a temporary Airflow home, in a pytest of their own."""

import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

OPTION = '[tool.pytest.ini_options]\nhwstatus_dags_folder = "dags"\n'

#: Shows the environment of a test. The plugin must not have imported Airflow.
SHOW = """
import os, sys

def test_environment():
    for name, value in os.environ.items():
        print(f"{name}={value}")
    assert "airflow" not in sys.modules
"""


@pytest.fixture
def run_pytest(tmp_path):
    """Return a function that runs pytest in a user's directory. It returns the exit code and the output."""

    def run(settings, test, *arguments, **variables):
        (tmp_path / "pyproject.toml").write_text(settings)
        (tmp_path / "test_user.py").write_text(test)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "HWSTATUS"))}
        command = [sys.executable, "-m", "pytest", "-q", "-rP", "-p", "no:cacheprovider", "-p", "huaweicloud"]
        done = subprocess.run(
            [*command, *arguments],
            cwd=tmp_path,
            env=inherited | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} | variables,  # other plugins take 0.7 s to load
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n1")], ids=["one-process", "xdist"])
def test_home_is_temporary(run_pytest, tmp_path, workers):
    """All paths of Airflow lead to it, whatever the user has set; it is gone at the end."""
    users = dict.fromkeys(("AIRFLOW_HOME", "AIRFLOW_CONFIG"), "/never/used")
    users |= {f"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN{suffix}": "sqlite:////never/used.db" for suffix in ("", "_ASYNC")}
    code, output = run_pytest(OPTION, SHOW, *workers, **users, AIRFLOW__CORE__DAGS_FOLDER="/never/used")

    assert (0, False) == (code, "/never/used" in output)
    shown = dict(re.findall(r"^(AIRFLOW_\w+)=(.*)$", output, re.MULTILINE))
    home = shown["AIRFLOW_HOME"]
    assert f"sqlite:///{home}/airflow.db" == shown["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    assert str(tmp_path / "dags") == shown["AIRFLOW__CORE__DAGS_FOLDER"]
    assert not Path(home).exists()


def test_connections_of_the_user_stay(run_pytest):
    """So do settings that have nothing to do with the home directory."""
    users = {"AIRFLOW_CONN_MINE": "http://127.0.0.1", "AIRFLOW__CORE__PARALLELISM": "3"}
    _, output = run_pytest(OPTION, SHOW, **users)

    assert "AIRFLOW_CONN_MINE=http://127.0.0.1" in output
    assert "AIRFLOW__CORE__PARALLELISM=3" in output


def test_nothing_changes_without_the_option(run_pytest):
    """Users with their own way to test DAGs keep it."""
    code, output = run_pytest("", SHOW, AIRFLOW_HOME="/mine")

    assert (0, True) == (code, "AIRFLOW_HOME=/mine\n" in output)


def test_airflow_that_is_imported_too_early(run_pytest, tmp_path):
    """It would use the user's own home directory, so no test runs."""
    (tmp_path / "early.py").write_text("import sys, types\nsys.modules['airflow'] = types.ModuleType('airflow')\n")
    code, output = run_pytest(OPTION, SHOW, "-p", "early", PYTHONPATH=f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")

    assert pytest.ExitCode.USAGE_ERROR == code
    assert "hwstatus_dags_folder: a pytest plugin imported airflow before" in output


def test_fixture_without_the_option(run_pytest):
    """It says what is missing."""
    code, output = run_pytest("", "def test_dag(airflow_db):\n    pass\n")

    assert pytest.ExitCode.TESTS_FAILED == code
    assert "airflow_db needs the option hwstatus_dags_folder in pytest's configuration" in output


@pytest.mark.parametrize("name", ["AIRFLOW_HOME", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
def test_home_that_a_conftest_replaces(run_pytest, tmp_path, name):
    """The fixture would overwrite the database there, or Airflow would use it, so the fixture fails."""
    database = tmp_path / "airflow.db"
    with closing(sqlite3.connect(database)) as mine:
        mine.execute("CREATE TABLE mine (id INT)")
    before = database.read_bytes()
    value = tmp_path if name == "AIRFLOW_HOME" else f"sqlite:///{database}"
    (tmp_path / "conftest.py").write_text(f"import os\nos.environ[{name!r}] = {str(value)!r}\n")
    code, output = run_pytest(OPTION, "def test_dag(airflow_db):\n    pass\n")

    assert (pytest.ExitCode.TESTS_FAILED, before) == (code, database.read_bytes())
    assert f"{name} has been changed since hwstatus_dags_folder set it" in output


def test_folder_is_relative_to_the_configuration(run_pytest, tmp_path):
    """The option ``--rootdir`` does not change that."""
    (tmp_path / "elsewhere").mkdir()
    _, output = run_pytest(OPTION, SHOW, "--rootdir=elsewhere", "-c", "pyproject.toml")

    assert f"AIRFLOW__CORE__DAGS_FOLDER={tmp_path}/dags\n" in output
