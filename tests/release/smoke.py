"""
Use a package that was just installed: ``python tests/release/smoke.py VERSION``, outside the checkout.

It needs only the package, so it shows what a user gets. ``nox -s release`` runs it on several Airflow versions.
"""

import json
import os
import runpy
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from airflow_provider_hwstatus.testing import FakeHuaweiCloud

PUBLIC = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "generate.py"))["REFERENCE"]
BATCH = "0a324461-d9d9-45da-a52a-3b3c7a3d809e"
#: Modules that need a newer Airflow than 2.11.
NEEDS = {"operators.new_ends": (3, 0), "triggers.watchers": (3, 0), "operators.retry_policy": (3, 3)}


def run(*module: str, **variables: str) -> str:
    """Run a module of the environment. Return its standard output."""
    command = [sys.executable, "-m", *module]
    return subprocess.run(command, env=os.environ | variables, stdout=subprocess.PIPE, check=True, text=True).stdout


def public_classes() -> None:
    """Import each public class of the documented modules."""
    airflow = tuple(int(part) for part in version("apache-airflow").split(".")[:2])
    for name, classes in PUBLIC.items():
        if airflow >= NEEDS.get(name, airflow):
            module = import_module(f"airflow_provider_hwstatus.{name}")
            assert [] == [each for each in classes if not hasattr(module, each)], name


def provider() -> None:
    """Find the package among Airflow's providers, with its version."""
    listed = json.loads(run("airflow", "providers", "list", "--output", "json"))
    versions = {each["package_name"]: each["version"] for each in listed}
    assert sys.argv[1] == versions["airflow-provider-hwstatus"] == version("airflow-provider-hwstatus")


def command_line() -> None:
    """Print the help of the command line, and wait for a job of a fake cloud."""
    assert "wait" in run("airflow_provider_hwstatus", "--help")
    with FakeHuaweiCloud() as cloud:
        cloud.job("dli_batch", BATCH, "starting", "running", "success")
        wait = ("wait", "dli_batch", BATCH, "--poke-interval", "0.1", "--output", "json")
        out = run("airflow_provider_hwstatus", *wait, AIRFLOW_CONN_HWSTATUS_DEFAULT=json.dumps(cloud.connection()))
        assert "success" in out
        assert cloud.polls(BATCH) == 3


for check in (public_classes, provider, command_line):
    print(f"{check.__name__}: {check.__doc__}", flush=True)
    check()
