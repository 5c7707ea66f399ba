"""What importing the package costs, and which way its imports go."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from importlib.util import find_spec
from pathlib import Path

import pytest


@pytest.mark.parametrize("module", ["airflow_provider_hwstatus", "airflow_provider_hwstatus.get_provider_info"])
def test_imports_nothing(module: str) -> None:
    """What every ``airflow`` command loads to find the provider imports nothing that it must wait for."""
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    imports = [
        ast.unparse(node)
        for node in ast.walk(ast.parse(Path(spec.origin).read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]

    assert set() == set(imports) - {"from __future__ import annotations", "from typing import Any"}


def test_no_import_cycle() -> None:
    """No module imports itself by way of others, not even in a function or for a type checker."""
    spec = find_spec("airflow_provider_hwstatus")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    modules = {
        ".".join((package.name, *file.relative_to(package).with_suffix("").parts)): file
        for file in package.rglob("*.py")
    }
    modules = {name.removesuffix(".__init__"): file for name, file in modules.items()}
    imports = {name: imported(file) & modules.keys() - {name} for name, file in modules.items()}

    assert set(modules) == set(TopologicalSorter(imports).static_order())  # a CycleError names the modules


def imported(file: Path) -> set[str]:
    """Return the names of the modules that a file imports, and of what may be modules in packages."""
    names = set[str]()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names
