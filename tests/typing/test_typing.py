"""What type checkers and editors say of DAG files. CI runs this where they are installed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import airflow_provider_hwstatus
from airflow_provider_hwstatus.demo.airflow_home import AIRFLOW_3

HERE = Path(__file__).parent
SOURCE = Path(airflow_provider_hwstatus.__file__).parents[1]


def mypy(file: Path, folder: Path) -> set[int]:
    """Return the lines of *file* that mypy refuses."""
    options = ["--python-executable", sys.executable, "--follow-imports=silent", "--no-error-summary"]
    options += ["--config-file=", f"--cache-dir={folder}"]
    environment = {"MYPYPATH": str(SOURCE), "PATH": "/usr/bin:/bin"} if "site-packages" not in SOURCE.parts else None
    done = subprocess.run(
        [found("mypy"), *options, str(file)], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    return {int(line) for line in re.findall(rf"{file.name}:(\d+): error", done.stdout)}


def pyright(file: Path, folder: Path) -> set[int]:
    """Return the lines of *file* that pyright refuses."""
    shutil.copy(file, folder)  # out of reach of any project's settings
    command = [found("pyright"), "--pythonpath", sys.executable, "--outputjson", str(folder / file.name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    return {one["range"]["start"]["line"] + 1 for one in report["generalDiagnostics"] if one["severity"] == "error"}


def found(tool: str) -> str:
    """Return the path of a checker; skip the test if it is not installed."""
    path = shutil.which(tool, path=str(Path(sys.executable).parent)) or shutil.which(tool)
    if not path:
        pytest.skip(f"{tool} is not installed")
    return path


@pytest.mark.skipif(not AIRFLOW_3, reason="the files import airflow.sdk")
@pytest.mark.long
@pytest.mark.parametrize("check", [mypy, pyright])
@pytest.mark.parametrize("name", ["right.py", "wrong.py"])
def test_each_marked_line_is_refused_and_no_other(
    tmp_path: Path, check: Callable[[Path, Path], set[int]], name: str
) -> None:
    """A misspelled argument or an impossible value is an error in the editor."""
    lines = (HERE / name).read_text().splitlines()
    wrong = {number for number, line in enumerate(lines, 1) if "# error" in line}

    assert wrong == check(HERE / name, tmp_path)
