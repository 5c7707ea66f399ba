"""What the documents say is what the code does."""

import inspect
import re
import runpy
from pathlib import Path

import pytest

from airflow_provider_hwstatus.__main__ import parser
from airflow_provider_hwstatus.cli.arguments import COMMANDS as CLI
from airflow_provider_hwstatus.cli.commands import Exit
from airflow_provider_hwstatus.core.connection.login import LOGINS
from airflow_provider_hwstatus.demo.airflow_home import AIRFLOW_3
from airflow_provider_hwstatus.get_provider_info import CONNECTION_FIELDS
from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook
from airflow_provider_hwstatus.kinds.service import DLI
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor

DOCS = Path(__file__).parents[2] / "docs"
PAGES = runpy.run_path(str(DOCS / "generate.py"))["PAGES"]


def test_every_connection_field_is_documented():
    """No field can be found only in the code."""
    page = (DOCS / "connect.md").read_text()

    assert [] == [name for name in CONNECTION_FIELDS if f"`{name}`" not in page]


@pytest.mark.parametrize("page", PAGES)
def test_generated_page_is_what_the_code_says(page):
    """A page that is made from the code was made from this code: else run ``python docs/generate.py``."""
    if page == "reference.md" and not AIRFLOW_3:
        pytest.skip("Airflow 2 cannot import the watchers")
    assert PAGES[page]() == (DOCS / page).read_text()


COMMANDS = re.findall(
    r"^(?:airflow hwstatus|python -m airflow_provider_hwstatus) (.*)$", (DOCS / "cli.md").read_text(), re.MULTILINE
)


@pytest.mark.parametrize("line", COMMANDS)
def test_documented_command_is_one(line):
    """Each command line is one that the program takes."""
    assert parser().parse_args(line.split()).command == line.split()[0]


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
    for page in (DOCS / "connect.md", DOCS.parent / "README.md")
    for line in re.findall(r"AIRFLOW_CONN_HWSTATUS_DEFAULT='(.*)'", page.read_text())
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
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "testing.md").read_text(), re.DOTALL)
    namespace = {"DliBatchSensor": DliBatchSensor}

    exec(code, namespace)  # noqa: S102  # our own document
    namespace["test_my_wait_survives_a_503"](huaweicloud)


def test_code_of_the_many_jobs_page_is_the_examples():
    """What the page shows is what an example DAG runs."""
    example = " ".join((DOCS.parent / "example_dags" / "example_many_jobs.py").read_text().split())
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "many-jobs.md").read_text(), re.DOTALL)

    assert 2 == len(blocks)
    assert [] == [block for block in blocks if " ".join(block.split()) not in example]


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    """A link between documents points at a file that is there."""
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())

    assert [] == [link for link in links if not (page.parent / link).exists()]
