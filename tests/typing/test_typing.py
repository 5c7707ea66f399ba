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
FILES = ("right.py", "wrong.py")
SOURCE = Path(airflow_provider_hwstatus.__file__).parents[1]


def mypy(folder: Path) -> set[str]:
    """Return the lines that mypy refuses of the files in *folder*."""
    options = ["--python-executable", sys.executable, "--follow-imports=silent", "--no-error-summary"]
    options += ["--config-file=", f"--cache-dir={folder / 'cache'}"]
    environment = {"MYPYPATH": str(SOURCE), "PATH": "/usr/bin:/bin"} if "site-packages" not in SOURCE.parts else None
    done = subprocess.run(
        [found("mypy"), *options, *FILES], cwd=folder, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    return set(re.findall(r"^(\w+\.py:\d+): error", done.stdout, re.MULTILINE))


def pyright(folder: Path) -> set[str]:
    """Return the lines that pyright refuses of the files in *folder*."""
    command = [found("pyright"), "--pythonpath", sys.executable, "--outputjson", *FILES]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == len(FILES)
    errors = [one for one in report["generalDiagnostics"] if one["severity"] == "error"]
    return {f"{Path(one['file']).name}:{one['range']['start']['line'] + 1}" for one in errors}


def found(tool: str) -> str:
    """Return the path of a checker; skip the test if it is not installed."""
    path = shutil.which(tool, path=str(Path(sys.executable).parent)) or shutil.which(tool)
    if not path:
        pytest.skip(f"{tool} is not installed")
    return path


@pytest.mark.skipif(not AIRFLOW_3, reason="the files import airflow.sdk")
@pytest.mark.long
@pytest.mark.parametrize("check", [mypy, pyright])
def test_each_marked_line_is_refused_and_no_other(tmp_path: Path, check: Callable[[Path], set[str]]) -> None:
    """A misspelled argument or an impossible value is an error in the editor."""
    for name in FILES:
        shutil.copy(HERE / name, tmp_path)  # out of reach of any project's settings
    lines = {f"{name}:{n}": line for name in FILES for n, line in enumerate((HERE / name).read_text().splitlines(), 1)}

    assert {where for where, line in lines.items() if "# error" in line} == check(tmp_path)
