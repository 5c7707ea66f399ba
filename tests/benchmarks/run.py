"""
Measure what waits cost, beside the least that they could and beside other providers; print Markdown tables.

Ends with 1 if something could not be measured, or a wait of ours was lost or wrong. A goal that is missed is only
shown, since figures vary where others use the machine; --strict makes it a failure.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from scenarios import ANSWERABLE, FULL, QUICK, SCENARIOS, Lab
from surroundings import Surroundings, surroundings
from tables import Figures, Table

HERE = Path(__file__).parent

#: What is measured gets the first.
PROCESSORS = sorted(os.sched_getaffinity(0))

#: Seconds for one program.
TIMEOUT = 600.0

PACKAGES = (
    "airflow-provider-hwstatus",
    "apache-airflow",
    "aiohttp",
    "requests",
    "apache-airflow-providers-apache-livy",
    "apache-airflow-providers-http",
    "apache-airflow-providers-databricks",
)


@dataclass
class Run:
    """
    One run.

    :param alone: Whether each program has a processor, and the machine, for itself.
    :param problems: A line for whatever must not be.
    """

    given: Surroundings
    alone: bool
    began: float = field(default_factory=time.monotonic)
    problems: list[str] = field(default_factory=list)

    def all(self, program: str, works: Mapping[str, Figures]) -> dict[str, Figures]:
        """Run a program for each work, in a new process, and return the figures by the work's name."""
        with ThreadPoolExecutor(1 if self.alone else 4) as pool:
            found = pool.map(lambda name: self.one(program, name, works[name]), works)
            return dict(zip(works, found, strict=True))

    def one(self, program: str, name: str, work: Figures) -> Figures:
        """Run a program once; without figures if that fails."""
        began = time.monotonic()
        try:
            figures: Figures = json.loads(self.output(HERE / program, json.dumps(work)).splitlines()[-1])
        except (subprocess.SubprocessError, ChildProcessError) as error:
            self.problems.append(f"{program}, {name}: {error}")
            return {}
        finally:
            self.log(f"{program}, {name}: {time.monotonic() - began:.0f} s")
        if work.get("contestant") in ANSWERABLE and figures["failed"] + figures["lost"]:
            self.problems.append(f"{program}, {name}: {figures['failed']} failed, {figures['lost']} lost")
        if "others_share" in figures:
            figures["others_percent"] = figures["others_share"] * 100
        return figures

    def output(self, program: Path, argument: str) -> str:
        """
        Run a program on the first processor, and return what it prints.

        :raises ChildProcessError: It failed.
        """
        process = subprocess.Popen(
            [sys.executable, program, argument],
            env=self.given.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            if self.alone:
                os.sched_setaffinity(process.pid, {PROCESSORS[0]})
            try:
                output, errors = process.communicate(timeout=TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        if process.returncode:
            raise ChildProcessError(f"it ended with {process.returncode}\n{errors[-2000:]}")
        return output

    def log(self, event: str) -> None:
        """Show an event as it happens, not among the tables."""
        print(f"{time.monotonic() - self.began:6.1f} s  {event}", file=sys.stderr, flush=True)


def setting() -> str:
    """Return what was measured, and on what."""
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package.removeprefix('apache-airflow-providers-')} {version(package)}")
        except PackageNotFoundError:
            continue
    return f"{', '.join(found)}; Python {platform.python_version()}; {os.cpu_count()} processors.\n"


def misses(table: Table) -> list[str]:
    """Return a line for each goal that is missed."""
    return [f"{table.title}: {row.title}, {name}" for row in table.rows for name in table.missed(row)]


def main() -> int:
    """Run the scenarios that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"{', '.join(SCENARIOS)}; by default all")
    parser.add_argument("--quick", action="store_true", help="few waits: shows that it works, measures nothing")
    parser.add_argument("--strict", action="store_true", help="fail if a goal is missed")
    arguments = parser.parse_args()
    if unknown := set(arguments.scenarios) - SCENARIOS.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # some open a connection for each wait
    size = QUICK if arguments.quick else FULL
    missed = []
    print(setting(), flush=True)
    with surroundings() as given:
        run = Run(given, size.alone)
        lab = Lab(size, run.all, str(given.certificate))
        for name in arguments.scenarios or SCENARIOS:
            for table in SCENARIOS[name](lab):
                print(table, flush=True)
                missed += misses(table)
        for line in run.problems:
            print(f"WRONG: {line}")
        run.log(f"{len(missed)} goals missed, {len(run.problems)} problems")
    return 1 if run.problems or (arguments.strict and missed) else 0


if __name__ == "__main__":
    sys.exit(main())
