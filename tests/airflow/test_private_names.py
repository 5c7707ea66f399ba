"""
What the package uses of Airflow beside its public interface, each with the reason, and nothing else.

A release of Airflow may take any of these away. Then a test fails that has the name in its own.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest

import airflow_provider_hwstatus
from airflow_provider_hwstatus.sensors.base import _TRIGGER_FAILED, _TRIGGER_TIMED_OUT, JobStatusSensor

PACKAGE = Path(airflow_provider_hwstatus.__file__).parent
LINE = tuple(map(int, version("apache-airflow").split(".")[:2]))
BASE = JobStatusSensor.__mro__[1]

#: Where Airflow has what providers are to use, and common-compat what is in different places in different releases.
PUBLIC = {
    "airflow",
    "airflow.exceptions",
    "airflow.cli.cli_config",  # a provider's commands are made of it
    "airflow.providers.common.compat.connection",
    "airflow.providers.common.compat.sdk",
    "airflow.providers.openlineage.extractors",
    "airflow.sdk",
    "airflow.triggers.base",
}


@dataclass(frozen=True)
class Private:
    """
    A name.

    :param name: What the package has in its code: an attribute, or the module and what is imported from it.
    :param find: Raises an ``AttributeError`` or ``ImportError`` if it is gone, or returns False if it has changed.
    :param since: The first line of Airflow where it is needed; likewise *until*, the last.
    """

    name: str
    reason: str
    find: Callable[[], object]
    since: tuple[int, int] = (2, 11)
    until: tuple[int, int] = (99, 0)

    @property
    def needed(self) -> bool:
        return self.since <= LINE <= self.until


def _accessor_by_name() -> object:
    from airflow.sdk import Asset
    from airflow.sdk.execution_time.context import AssetStateStoreAccessors

    return sorted(AssetStateStoreAccessors([Asset("a"), Asset("b")])._by_name) == ["a", "b"]


def _process_context() -> object:
    source = Path(inspect.getfile(import_module("airflow.sdk.execution_time.supervisor"))).read_text()
    return "_AIRFLOW_PROCESS_CONTEXT" in source


def imported(module: str, name: str, reason: str, **lines: tuple[int, int]) -> Private:
    """Return a name that is imported."""
    return Private(f"{module}:{name}", reason, lambda: resolve_name(f"{module}:{name}"), **lines)


NAMES = [
    Private(
        "_by_name",
        "a watcher of several assets keeps its marks with each, and Airflow tells a trigger only so which they are",
        _accessor_by_name,
        since=(3, 3),
    ),
    Private(
        "_post_execute_hook",
        "a wait that begins in the triggerer ends there unless the task has a post_execute, which is kept here alone",
        lambda: BASE(task_id="t", post_execute=print)._post_execute_hook is print,
    ),
    Private(
        "_AIRFLOW_PROCESS_CONTEXT",
        "without it, Airflow 3 has no connections of the database for a command",
        _process_context,
        since=(3, 1),
    ),
    imported(
        "airflow.sensors.base",
        "_orig_start_date",
        "Airflow 2 keeps in its database alone when a rescheduled wait began",
        until=(2, 11),
    ),
    imported(
        "airflow.sdk.definitions.xcom_arg",
        "PlainXComArg",
        "a task's output as it is can be rendered in the triggerer; one with map, zip or concat cannot",
        since=(3, 3),
    ),
    imported("airflow.sdk.log", "amask_secret", "masks a secret without blocking the event loop", since=(3, 3)),
    imported("airflow.observability.stats", "Stats", "the triggerer's metrics are not the SDK's", since=(3, 2)),
    *(
        imported("airflow.triggers.shared_stream", name, "watchers of a connection read together", since=(3, 3))
        for name in ("AdvanceItem", "SharedStreamProducer")
    ),
    imported(
        "airflow.sdk.execution_time.task_runner",
        "RuntimeTaskInstance",
        "a trigger reads its task's state, to cancel a job only if somebody ended the task",
        since=(3, 0),
    ),
    imported("airflow.models.taskinstance", "TaskInstance", "likewise, from the database", until=(2, 11)),
    imported("airflow.utils.session", "create_session", "likewise", until=(2, 11)),
    imported("airflow.dag_processing.dagbag", "DagBag", "the demo loads the example DAGs", since=(3, 2)),
    imported("airflow.models.dagbag", "DagBag", "likewise", until=(3, 1)),
    imported("airflow.cli.cli_parser", "get_parser", "the demo makes a database"),
]


@pytest.mark.parametrize("private", [pytest.param(one, id=one.name) for one in NAMES])
def test_name_is_still_there(private: Private) -> None:
    """If not, look how Airflow does it now, or better find a public way."""
    if not private.needed:
        pytest.skip("another line of Airflow")

    assert private.find() is not False, private.reason


def test_words_of_a_failed_trigger_are_airflows() -> None:
    """A sensor tells by them how a trigger ended that has no event."""
    assert ("__fail__", "Trigger/execution timeout") == (_TRIGGER_FAILED, _TRIGGER_TIMED_OUT[1])  # Airflow 2.11's code
    if LINE >= (3, 0):
        assert _TRIGGER_FAILED == resolve_name("airflow.sdk.bases.operator:TRIGGER_FAIL_REPR")
        assert _TRIGGER_TIMED_OUT[0] == resolve_name("airflow.sdk.bases.operator:TriggerFailureReason").TRIGGER_TIMEOUT


def test_nothing_else_is_used() -> None:
    """What is here and not in the table, or the other way round, is a mistake in one of them."""
    assert sorted({one.name for one in NAMES}) == sorted({*private_names(), *private_imports(), *overridden()})


def trees() -> Iterator[ast.AST]:
    """Yield the code of the package, file by file."""
    for file in sorted(PACKAGE.rglob("*.py")):
        if "example_dags" not in file.parts:
            yield ast.parse(file.read_text())


def private_names() -> set[str]:
    """Return what looks like a private name, also as text, and is not defined anywhere in the package."""
    used, own = set(), set()
    nodes = [node for tree in trees() for node in ast.walk(tree)]
    parts = {part for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}  # as "_id" of f"{x}_id"
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            own.add(node.name)
        elif isinstance(node, ast.arg):
            own.add(node.arg)
        elif isinstance(node, ast.Name | ast.Attribute):
            name = node.id if isinstance(node, ast.Name) else node.attr
            (own if isinstance(node.ctx, ast.Store) else used).add(name)
        elif isinstance(node, ast.Constant) and node not in parts:
            used.add(node.value)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("airflow."):
            own.update(alias.name for alias in node.names)  # see private_imports
    private = re.compile(r"_[A-Za-z]\w*[^\W_]|__wrapped__")
    return {name for name in used - own if isinstance(name, str) and private.fullmatch(name)}


def private_imports() -> set[str]:
    """Return what is imported from Airflow where its public interface is not, or with a private name."""
    return {
        f"{node.module}:{alias.name}"
        for tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "airflow"
        for alias in node.names
        if node.module not in PUBLIC or (alias.name.startswith("_") and alias.name != "__version__")
    }


def overridden() -> set[str]:
    """Return the private methods of Airflow's classes that the package's classes have anew."""
    found = set()
    for cls in _classes(JobStatusSensor):
        private = {
            name for name in vars(cls) if name.startswith("_") and "__" not in name and not name.startswith("_abc_")
        }
        found |= {name for name in private for base in cls.__mro__ if _is_airflows(base) and name in vars(base)}
    return found


def _classes(*bases: Any) -> Iterator[type]:
    from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook
    from airflow_provider_hwstatus.sensors import console_link, cph, dli, job
    from airflow_provider_hwstatus.triggers import job_status, start_from_trigger

    yield from bases
    yield HwStatusHook
    modules = [cph, dli, job, console_link, job_status, start_from_trigger]
    if LINE >= (3, 0):
        modules.append(import_module("airflow_provider_hwstatus.triggers.watchers"))
    for module in modules:
        for one in vars(module).values():
            if inspect.isclass(one) and one.__module__.startswith("airflow_provider_hwstatus."):
                yield from (cls for cls in one.__mro__ if cls.__module__.startswith("airflow_provider_hwstatus."))


def _is_airflows(cls: type) -> bool:
    return cls.__module__.startswith("airflow.")
