"""
Give every test run a temporary home directory and a temporary AIRFLOW_HOME.

Airflow reads its settings when it is imported. So this file sets them before pytest imports test modules. Only tests
with the fixture ``airflow_db`` create the database, which takes seconds. The workers of pytest-xdist share the compiled
bytecode in a directory of their parent process. Child processes import ``startup/sitecustomize.py`` when they start.
"""

from __future__ import annotations

import functools
import gc
import importlib.util
import json
import os
import random
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from airflow_provider_hwstatus.testing.airflow_home import create_database, use_temporary_home

PACKAGE = "airflow_provider_hwstatus"

#: Prefixes of the user's environment variables that must not reach the tests.
EXCLUDED_VARIABLES = ("AIRFLOW_", "HUAWEICLOUD_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")

#: Modules that mask secrets in logs: one in Airflow 2, two copies in Airflow 3.
MASKERS = (
    "airflow.utils.log.secrets_masker",
    "airflow._shared.secrets_masker.secrets_masker",
    "airflow.sdk._shared.secrets_masker.secrets_masker",
)


SAMPLES = Path(__file__).parent / "samples"

#: The directory with the file that makes child processes start faster.
STARTUP = Path(__file__).parent / "startup"


@dataclass(frozen=True)
class Sample:
    """
    A sample reply.

    :param outcome: What the vendor's documentation says about its state.
    """

    kind: str
    job_id: str
    parameters: dict[str, str]
    outcome: str
    reply: dict[str, Any]


def _samples_of(path: Path) -> list[Sample]:
    about = json.loads(path.read_text(encoding="utf-8"))
    outcomes = ("in_progress", "success", "failure", "unknown")
    where = path.stem, about["job_id"], about["parameters"]
    return [Sample(*where, outcome, reply) for outcome in outcomes for reply in about[outcome]]


@functools.cache
def _samples_by_kind() -> dict[str, list[Sample]]:
    files = sorted(path for path in SAMPLES.glob("*.json") if path.name != "signing-vectors.json")
    return {path.stem: _samples_of(path) for path in files}


@pytest.fixture(scope="session")
def samples_by_kind() -> dict[str, list[Sample]]:
    """Return the sample replies of each kind."""
    return _samples_by_kind()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once for each sample reply, or once for all those of a kind."""
    by_kind = _samples_by_kind()
    if "samples_of_kind" in metafunc.fixturenames:
        metafunc.parametrize("samples_of_kind", by_kind.values(), ids=by_kind)
    if "sample" in metafunc.fixturenames:
        every = [sample for samples in by_kind.values() for sample in samples]
        ids = [f"{sample.kind}-{sample.outcome}-{number}" for number, sample in enumerate(every)]
        metafunc.parametrize("sample", every, ids=ids)


def _airflow_is_compiled() -> bool:
    spec = importlib.util.find_spec("airflow")
    return bool(spec and spec.cached and Path(spec.cached).exists())


def _set_environment(home: Path) -> None:
    if not _airflow_is_compiled() and os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
        # Without stored bytecode, a process that imports Airflow spends half of its time compiling.
        os.environ["PYTHONPYCACHEPREFIX"] = str(home / "bytecode")
    os.environ |= {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(STARTUP), os.environ.get("PYTHONPATH")))),
        "HOME": str(home),  # huaweicloudsdkcore creates a directory in it when it is imported
        "AIRFLOW__METRICS__TIMER_UNIT_CONSISTENCY": "True",  # avoids a warning of Airflow 2
    }


for variable in [name for name in os.environ if name.upper().startswith(EXCLUDED_VARIABLES)]:
    del os.environ[variable]
_HOME = use_temporary_home()
_set_environment(_HOME)

# Garbage is collected between tests only. A test of deeply nested values can reach Python's recursion limit, where a
# collection fails to close the sockets that it finds.
gc.disable()

# A busy machine may be slow, and the examples of a test may share its fixtures. A test that sets suppress_health_check
# itself replaces this list.
_LENIENT = {
    "deadline": None,
    "suppress_health_check": [hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture],
}
hypothesis.settings.register_profile("here", **_LENIENT)
hypothesis.settings.register_profile("ci", **_LENIENT, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "here")


@pytest.fixture(autouse=True)
def _seed_random(request: pytest.FixtureRequest) -> None:
    """Seed random numbers with the test's name, so that a failure can be reproduced."""
    random.seed(request.node.nodeid)


@pytest.fixture(scope="session", autouse=True)
def batch_ids() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """
    Let the fake accept batch ids such as "b1", although DLI accepts only UUIDs.

    Returns the original patterns.
    """
    from airflow_provider_hwstatus.testing import dli

    original = dli.BATCH_ID, dli.JOB_ID_PARAMETER
    dli.BATCH_ID, dli.JOB_ID_PARAMETER = re.compile(".+"), re.compile(r"[A-Za-z0-9_-]*")
    return original


@pytest.fixture(autouse=True)
def _forget_secrets() -> Iterator[None]:
    """Remove a test's secrets from Airflow's maskers, which recompile all their patterns for each new secret."""
    yield
    for module in [sys.modules[name] for name in MASKERS if name in sys.modules]:
        masker = module._secrets_masker()
        masker.patterns, masker.replacer = set(), None


@pytest.fixture(scope="session")
def without_slow_warnings() -> Callable[[str], str]:
    """Return a function that removes asyncio's warnings about slow callbacks from a program's standard error."""
    slow = re.compile(r"^Executing <.* took [0-9.]+ seconds\n", re.MULTILINE)
    return lambda stderr: slow.sub("", stderr)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Run long tests first, so that no worker runs one alone at the end.

    Tests that wait are spread evenly over the other tests, so that most of the time other workers use the processor.
    """
    groups: dict[str, list[pytest.Item]] = {"long": [], "real_time": [], "others": []}
    for item in items:
        groups[next((name for name in ("long", "real_time") if item.get_closest_marker(name)), "others")].append(item)
    places = {item: at / len(group) for group in groups.values() for at, item in enumerate(group)}
    items.sort(key=lambda item: (item not in groups["long"], places[item]))


def pytest_collection_finish() -> None:
    """Exempt all objects that exist by now from garbage collection. Most are Airflow's, and stay until the end."""
    gc.freeze()


def pytest_runtest_teardown() -> None:
    """Collect garbage, unless there is little of it."""
    if gc.get_count()[0] > 20_000:
        gc.collect()


def pytest_report_header() -> list[str]:
    """Show the path of the tested package and the Airflow version."""
    spec = importlib.util.find_spec(PACKAGE)
    return [
        f"{PACKAGE}: {spec.origin if spec else 'not installed'}",
        f"apache-airflow: {version('apache-airflow')}",
    ]


@pytest.fixture(scope="session")
def airflow_home() -> Path:
    """Return the temporary AIRFLOW_HOME of this process and its child processes."""
    return _HOME


@pytest.fixture(scope="session")
def airflow_db() -> Path:
    """Create Airflow's database. Return AIRFLOW_HOME."""
    return create_database()
