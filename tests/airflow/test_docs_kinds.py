"""The page about kinds is right: its code runs, and its lists are complete."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_hwstatus.__main__ import parser
from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook
from airflow_provider_hwstatus.kinds import KINDS, JobKind, Outcome
from airflow_provider_hwstatus.kinds.submission import Submission

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "kinds.md").read_text(encoding="utf-8")
SAMPLES = DOCS.parent / "tests" / "samples"
(OWN_KIND,) = re.findall(r"<!-- ci: own kind -->\n```python\n(.*?)```", PAGE, re.DOTALL)
FIELDS = dict(re.findall(r"^\| `(\w+)` \| .* \| `(.*)`[^`]* \|$", PAGE.partition("### Fields\n")[2], re.MULTILINE))


@pytest.fixture
def own_file(tmp_path: Path) -> dict[str, Any]:
    """Run the page's DAG file. Return its names."""
    namespace: dict[str, Any] = {"__name__": "my_kinds", "__file__": str(tmp_path / "my_kinds.py")}
    exec(compile(OWN_KIND, namespace["__file__"], "exec"), namespace)  # noqa: S102  # our own document
    return namespace


def test_page_is_a_green_test(tmp_path: Path) -> None:
    """Both tests of the page pass in a directory that has nothing else."""
    (tmp_path / "test_pool_task.py").write_text(OWN_KIND, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "huaweicloud", "test_pool_task.py"]
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # other plugins take 0.7 s to load
    run = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )

    assert 0 == run.returncode, run.stdout
    assert "2 passed" in run.stdout


def test_dag_of_the_page(own_file: dict[str, Any]) -> None:
    """The file has a DAG with the sensor."""
    dag = own_file["wait_for_pool_task"]()

    assert ["wait"] == dag.task_ids
    assert own_file["POOL_TASK"] == dag.get_task("wait").kind


def test_hook_and_command_line(own_file: dict[str, Any], huaweicloud: Any) -> None:
    """The other uses of the kind work."""
    huaweicloud.job(own_file["POOL_TASK"], "t-1", "DONE")
    (call,) = re.findall(r"^(HwStatusHook\(\).*)$", PAGE, re.MULTILINE)
    (line,) = re.findall(r"^python -m airflow_provider_hwstatus (.*)$", PAGE, re.MULTILINE)

    assert "DONE" == eval(call, {"HwStatusHook": HwStatusHook, **own_file}).state  # noqa: S307  # our own document
    arguments = parser().parse_args(line.split())
    assert ("my_kinds:POOL_TASK", ["pool_id=p-1"], ["t-1"]) == (arguments.kind, arguments.parameters, arguments.ids)


def test_goal(own_file: dict[str, Any]) -> None:
    """The goal of the page has the name and states that the page says."""
    (line,) = re.findall(r"^(POOL_TASK_STARTED = .*)$", PAGE, re.MULTILINE)
    exec(line, own_file)  # noqa: S102  # our own document

    kind = own_file["POOL_TASK_STARTED"]
    assert f"its name is {kind.name}" in line
    assert [Outcome.SUCCESS, Outcome.IN_PROGRESS] == [kind.outcome_of(state) for state in ("RUNNING", "QUEUED")]


def test_every_field_is_documented() -> None:
    """Each field of a kind is in the table, with an example."""
    assert [each.name for each in fields(JobKind)] == sorted(FIELDS, key=[each.name for each in fields(JobKind)].index)


@pytest.mark.parametrize("field", sorted(FIELDS))
def test_example_of_a_field(own_file: dict[str, Any], field: str) -> None:
    """Each example is a value that the field takes, together with what it needs."""
    needs: dict[str, Any] = {
        "headers": {"optional_parameters": ["workspace"]},
        "optional_parameters": {"headers": {"workspace": "{workspace}"}},
    }
    example = eval(FIELDS[field], {"Submission": Submission})  # noqa: S307  # our own document
    if field == "submissions":  # not part of the JSON
        assert example == replace(own_file["POOL_TASK"], submissions=example).submissions
        return
    declaration = own_file["POOL_TASK"].to_dict() | needs.get(field, {}) | {field: example}
    if field == "path":
        declaration["parameters"] = []

    assert JobKind.from_dict(declaration)


def _listed(begin: str) -> set[str]:
    (item,) = re.findall(rf"^- {begin}[^:]*: (.*?)(?=^- |\n\n)", PAGE, re.MULTILINE | re.DOTALL)
    names = set[str]()
    for name, goals in re.findall(r"`(\w+)`( and its goals)?", item):
        names |= {kind for kind in KINDS if kind == name or (goals and kind.startswith(f"{name}_"))}
    return names


def test_how_far_kinds_were_checked() -> None:
    """The page says of each kind where its sample replies are from, as the samples do."""
    origins = {kind: json.loads((SAMPLES / f"{kind}.json").read_text(encoding="utf-8"))["origin"] for kind in KINDS}
    models = {kind for kind, origin in origins.items() if origin.startswith("constructed from the schema")}
    borrowed = {"evs_job", "ims_job", "taurusdb_job"}

    assert models == _listed("Checked only against the models")
    assert borrowed == _listed("Checked against the example of another service")
    assert set(KINDS) - models - borrowed == _listed("Checked against an example in an API reference")


def test_every_kind_has_its_request_on_the_generated_page() -> None:
    """The page of states shows the path, parameters and source of each kind."""
    page = (DOCS / "states.md").read_text(encoding="utf-8")
    for kind in KINDS.values():
        section = page.partition(f"## `{kind.name}`\n")[2].partition("\n## ")[0]
        for text in (kind.path, kind.id_name, kind.source, *kind.parameters, *kind.optional_parameters):
            assert text in section
        assert (kind.permission or "not documented") in section
