"""What the documents say is what the code does."""

import ast
import inspect
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_hwstatus.__main__ import parser
from airflow_provider_hwstatus.cli.arguments import COMMANDS as CLI
from airflow_provider_hwstatus.cli.exits import Exit
from airflow_provider_hwstatus.core.connection.login import LOGINS
from airflow_provider_hwstatus.get_provider_info import CONNECTION_FIELDS
from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook
from airflow_provider_hwstatus.kinds import KINDS
from airflow_provider_hwstatus.kinds.service import CPH, DLI
from airflow_provider_hwstatus.operators.arguments import OperatorArguments
from airflow_provider_hwstatus.operators.cph import CphPhonesOperator
from airflow_provider_hwstatus.operators.dli import DliBatchOperator, DliSqlJobOperator
from airflow_provider_hwstatus.sensors.arguments import SensorArguments
from airflow_provider_hwstatus.sensors.cph import CphJobSensor, CphRequestSensor
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor, DliFlinkJobSensor, DliSessionSensor, DliSqlJobSensor
from airflow_provider_hwstatus.sensors.job import JobSensor
from airflow_provider_hwstatus.sensors.start_from_trigger import AIRFLOW_3_3
from airflow_provider_hwstatus.testing import Reply

SENSORS = (
    *(DliBatchSensor, DliSessionSensor, DliSqlJobSensor, DliFlinkJobSensor),
    *(CphJobSensor, CphRequestSensor, JobSensor),
)
OPERATORS = (DliBatchOperator, DliSqlJobOperator, CphPhonesOperator)

DOCS = Path(__file__).parents[2] / "docs"
PAGES = runpy.run_path(str(DOCS / "generate.py"))["PAGES"]


def test_every_connection_field_is_documented():
    """No field can be found only in the code."""
    page = (DOCS / "connect.md").read_text()

    assert [] == [name for name in CONNECTION_FIELDS if f"`{name}`" not in page]


@pytest.mark.parametrize("page", PAGES)
def test_generated_page_is_what_the_code_says(page):
    """A page that is made from the code was made from this code: else run ``python docs/generate.py``."""
    if page == "reference.md" and not AIRFLOW_3_3:
        pytest.skip("older releases cannot import the watchers or the retry policy")
    assert PAGES[page]() == (DOCS / page).read_text()


def sections():
    """Return the text below each heading of the reference, by class."""
    found = re.split(r"^### `(\w+)`$", (DOCS / "reference.md").read_text(), flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


@pytest.mark.parametrize("cls", [*SENSORS, *OPERATORS], ids=lambda cls: cls.__name__)
def test_every_argument_is_in_the_reference(cls):
    """With its type; those that all sensors or all operators have are in a list of their own."""
    own = inspect.signature(cls.__init__).parameters.keys() - {"self", "kwargs"}

    assert [] == [name for name in own if f"- `{name}` (`" not in sections()[cls.__name__]]
    common = "every sensor" if cls in SENSORS else "every operator that submits"
    assert f"arguments of {common}](#arguments-of-{common.replace(' ', '-')})" in sections()[cls.__name__]


@pytest.mark.parametrize(("heading", "arguments"), [("sensor", SensorArguments), ("operator", OperatorArguments)])
def test_every_common_argument_is_in_the_reference(heading, arguments):
    """Those of this package and of Airflow's sensors with their meaning."""
    page = (DOCS / "reference.md").read_text().split(f"## Arguments of every {heading}")[1].split("\n## ")[0]

    assert [] == [name for name in inspect.get_annotations(arguments) if f"`{name}`" not in page]
    assert {"timeout", "poke_interval", "deferrable"} <= set(re.findall(r"^- `(\w+)` \(`", page, re.MULTILINE))


def test_code_in_the_reference_is_indented():
    """Each block of code is Python."""
    for block in blocks(DOCS / "reference.md"):
        ast.parse(block)


COMMANDS = re.findall(
    r"^(?:airflow hwstatus|python -m airflow_provider_hwstatus) (.*)$", (DOCS / "cli.md").read_text(), re.MULTILINE
)


@pytest.mark.parametrize("line", COMMANDS)
def test_documented_command_is_one(line):
    """Each command line is one that the program takes."""
    assert parser().parse_args(shlex.split(line)).command == line.split()[0]


def test_every_command_argument_and_exit_code_is_documented():
    """What the program can do stands on its page."""
    page = (DOCS / "cli.md").read_text()
    flags = {flag for command in CLI for each in command.arguments for flag in each.flags if flag.startswith("-")}

    assert {command.name for command in CLI} == {line.split()[0] for line in COMMANDS}
    assert [] == [flag for flag in flags if flag not in page]
    assert {(str(code.value), code.name) for code in Exit} == set(
        re.findall(r"^\| (\d+) \| `(\w+)`", page, re.MULTILINE)
    )


def test_index_has_every_page():
    """No page can be found only by who knows its name."""
    pages = {page.name for page in DOCS.glob("*.md")} - {"README.md"}

    assert pages == set(re.findall(r"\]\(([\w-]+\.md)\)", (DOCS / "README.md").read_text()))


LINES = [
    line
    for page in (DOCS / "connect.md", DOCS / "get-started.md", DOCS.parent / "README.md")
    for line in re.findall(r"(?<=HWSTATUS_DEFAULT=').*(?=')|(?<=`)hwstatus://.*(?=`)", page.read_text())
]


@pytest.mark.parametrize("line", LINES)
def test_documented_connection_is_one(line, monkeypatch):
    """Each line to paste is a connection that Airflow reads and the code takes, but for its placeholders."""
    monkeypatch.setenv("AIRFLOW_CONN_HWSTATUS_DEFAULT", re.sub(r"<(\w+)>", r"\1", line))
    for name in ("AK", "SK"):
        monkeypatch.setenv(f"HUAWEICLOUD_SDK_{name}", name)
    region = "eu-de" if "eu-de" in line else "cn-north-4"

    settings = HwStatusHook().get_conn().client.settings
    assert region == settings.region
    assert settings.endpoint(DLI).startswith(f"https://dli.{region}.")
    assert settings.auth == ((re.findall(r'auth(?:=|": ")(\w+)', line)) or ["aksk"])[0]
    assert ("security_token" in line) == bool(settings.security_token)


def test_policies_allow_what_the_code_needs():
    """The policies to paste have the actions that the declarations of DLI and CPH name."""
    page = (DOCS / "connect.md").read_text()
    policies = {
        name: set(json.loads(policy)["Statement"][0]["Action"])
        for name, policy in re.findall(r"^### ([\w ]+)\n\n```json\n(.*?)```", page, re.MULTILINE | re.DOTALL)
    }
    kinds = [kind for kind in KINDS.values() if kind.cloud_service in (DLI, CPH)]
    submissions = [submission for kind in kinds for submission in kind.submissions.values()]

    assert policies.pop("Find the project") == {"iam:projects:listProjects"}
    assert policies == {
        "Wait": {kind.permission for kind in kinds} - {None},
        "List": {each.search.permission for each in submissions if each.search} | {"cph:jobs:list"},
        "Submit": {each.permission for each in submissions} - {None},
        "Cancel": {kind.cancel_permission for kind in kinds} - {None},
    }


def test_login_table_is_the_codes():
    """Each way to log in stands there as the code has it."""
    page = (DOCS / "connect.md").read_text().split("## Ways to log in")[1]
    lines = [line for line in page.splitlines() if line.startswith("| `")][1:]  # the first is the table's head
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]

    def row(name, cls):
        what = inspect.getdoc(cls).split("\n\n")[0].replace("\n", " ")
        others = [f"`{field}`: {meaning}" for field, meaning in cls.needs.items() if field not in ("login", "password")]
        return [f"`{name}`", what, cls.needs.get("login", ""), cls.needs.get("password", ""), ", ".join(others)]

    assert [row(name, cls) for name, cls in LOGINS.items()] == rows


def test_example_of_the_testing_page_works(huaweicloud):
    """The page's own example, as it stands there."""
    code = re.findall(r"```python\n(.*?)```", (DOCS / "testing.md").read_text(), re.DOTALL)[0]
    namespace = {}

    exec(code, namespace)  # noqa: S102  # our own document
    namespace["test_my_wait_survives_a_503"](huaweicloud)


#: Runs the DAGs of the pages, after the tests of the page about testing.
RUN_DAGS = """
import pytest
from airflow.models import DagBag


@pytest.mark.parametrize("dag_id", ["etl", "nightly"])
def test_dag_of_a_page(airflow_db, huaweicloud, dag_id):
    dag = DagBag().dags[dag_id]
    for task in dag.tasks:
        task.poke_interval = 0.1
    huaweicloud.submissions.seconds["dli_sql_job"] = {0: "FINISHED"}

    assert dag.test().state == "success"
"""


@pytest.fixture
def pasted(tmp_path):
    """Paste the pages' DAG files, tests and configuration into a directory."""
    (readme, *_), (submit, *_) = blocks(DOCS.parent / "README.md"), blocks(DOCS / "submit.md")
    _, dag, tests = blocks(DOCS / "testing.md")
    first_job, first_test = blocks(DOCS / "get-started.md")
    (settings,) = re.findall(r"```toml\n(.*?)```", (DOCS / "testing.md").read_text(), re.DOTALL)
    (tmp_path / "pyproject.toml").write_text(settings)
    (tmp_path / "dags").mkdir()
    files = {"etl.py": readme, "nightly.py": submit, "country_etl.py": dag, "first_job.py": first_job}
    for name, code in files.items():
        (tmp_path / "dags" / name).write_text(code)
    (tmp_path / "test_country_etl.py").write_text(tests)
    (tmp_path / "test_first_job.py").write_text(first_test)
    (tmp_path / "test_dags.py").write_text(RUN_DAGS)
    return tmp_path


def blocks(page):
    """Return the Python code of a page, block by block."""
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_pasted_dags_and_tests_work(pasted):
    """The DAGs of the README, submit.md, testing.md and get-started.md run, and the tests of the last two pass."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "huaweicloud", str(pasted)]
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # other plugins take 0.7 s to load
    done = subprocess.run(command, cwd=pasted, env=environment, capture_output=True, text=True, check=False)

    assert 0 == done.returncode, done.stdout[-6000:]
    assert "6 passed" in done.stdout


@pytest.mark.parametrize("page", ["../README.md", "submit.md", "waiting.md", "watchers.md"])
def test_dags_of_a_page_are_complete(page):
    """Each block with a DAG is a file that Airflow can load."""
    if page == "watchers.md" and not AIRFLOW_3_3:
        pytest.skip("older releases cannot import the watchers")
    dags = [block for block in blocks(DOCS / page) if "with DAG(" in block]

    assert dags
    for dag in dags:
        exec(dag, {})  # noqa: S102  # our own document


def test_taskflow_code_of_the_submit_page_works(huaweicloud):
    """The page's two functions, called against the fake."""
    namespace = {}
    exec(blocks(DOCS / "submit.md")[1], namespace)  # noqa: S102  # our own document

    job_id = namespace["submit_etl"].function("2026-11-29")
    assert [job_id] == [submission.job_id for submission in huaweicloud.submissions.accepted]
    assert ["2026-11-29"] == huaweicloud.submissions.accepted[0].body["args"]

    huaweicloud.break_with(Reply(200, {"queues": [{"queue_name": "etl"}]}), path_ends="/queues")
    assert ["etl"] == namespace["list_queues"].function()


@pytest.mark.skipif(not AIRFLOW_3_3, reason="Airflow has retry policies since 3.3")
def test_retry_policy_of_the_submit_page_works():
    """The page's last example is a task with the policy."""
    namespace = {}
    exec(blocks(DOCS / "submit.md")[2], namespace)  # noqa: S102  # our own document

    assert isinstance(namespace["etl"].retry_policy, namespace["HwStatusRetryPolicy"])


def test_code_of_the_many_jobs_page_is_the_examples():
    """What the page shows is what an example DAG runs."""
    example = " ".join((DOCS.parent / "example_dags" / "example_many_jobs.py").read_text().split())
    shown = blocks(DOCS / "many-jobs.md")

    assert 2 == len(shown)
    assert [] == [block for block in shown if " ".join(block.split()) not in example]


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    """A link between documents points at a file that is there."""
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())

    assert [] == [link for link in links if not (page.parent / link).exists()]
