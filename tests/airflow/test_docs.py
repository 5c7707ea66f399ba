"""What the documents say is what the code does."""

import json
import re
import time
from pathlib import Path

import pytest

from airflow_provider_hwstatus.core.auth import login_for
from airflow_provider_hwstatus.core.jobs import KINDS
from airflow_provider_hwstatus.core.redaction import Redactor
from airflow_provider_hwstatus.core.settings import settings_from
from airflow_provider_hwstatus.get_provider_info import CONNECTION_FIELDS
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor

DOCS = Path(__file__).parents[2] / "docs"


def test_every_connection_field_is_documented():
    """No field can be found only in the code."""
    page = (DOCS / "connect.md").read_text()

    assert [] == [name for name in CONNECTION_FIELDS if f"`{name}`" not in page]


def test_state_table_is_the_codes():
    """The documented table of states is the one that decides."""
    rows = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \| (.*) \|$", (DOCS / "waiting.md").read_text(), re.MULTILINE)
    documented = {
        name: [set(re.findall(r"`([\w-]+)`", cell)) for cell in cells] for name, *cells in rows if name in KINDS
    }
    documented["dli_session_stopped"][0] |= documented["dli_session_ready"][0]

    assert {
        name: [set(kind.in_progress), set(kind.success), set(kind.failure)] for name, kind in KINDS.items()
    } == documented


LINES = [
    line
    for page in (DOCS / "connect.md", DOCS.parent / "README.md")
    for line in re.findall(r"AIRFLOW_CONN_HWSTATUS_DEFAULT='(.*)'", page.read_text())
]


@pytest.mark.parametrize("line", LINES)
def test_documented_connection_is_one(line):
    """Each line to paste is a connection that the code takes, but for its placeholders."""
    fields = json.loads(re.sub(r"<(\w+)>", r"\1", line))

    settings = settings_from(fields.get("login"), fields["password"], fields["extra"])
    assert login_for(settings, time.time, Redactor())
    assert settings.endpoint("dli").startswith("https://dli.cn-north-4.")


def test_example_of_the_testing_page_works(huaweicloud):
    """The page's own example, as it stands there."""
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "testing.md").read_text(), re.DOTALL)
    namespace = {"DliBatchSensor": DliBatchSensor}

    exec(code, namespace)  # noqa: S102  # our own document
    namespace["test_my_wait_survives_a_503"](huaweicloud)


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    """A link between documents points at a file that is there."""
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())

    assert [] == [link for link in links if not (page.parent / link).exists()]
