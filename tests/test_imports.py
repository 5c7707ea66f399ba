"""What must stay cheap to import, because Airflow imports it again and again."""

from __future__ import annotations

import ast
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
