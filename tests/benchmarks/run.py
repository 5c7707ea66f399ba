"""
Measure the cost of waits, compared with minimal implementations and other providers. Print Markdown tables.

Exits with 1 if a measurement failed, or if one of our waits was lost or wrong. A missed goal is only shown, because
figures vary if other programs use the machine. With --strict it is a failure.
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

from environment import Environment, temporary_environment
from scenarios import FULL, MUST_SUCCEED, QUICK, SCENARIOS, Lab
from tables import Figures, Table

HERE = Path(__file__).parent

#: Available processors. The measured program gets the first.
PROCESSORS = sorted(os.sched_getaffinity(0))

#: Maximum seconds for one program.
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
    A run of the benchmarks.

    :param environment: Environment of the measured programs.
    :param alone: Whether programs run one at a time, each on its own processor.
    :param problems: One line per problem.
    """

    environment: Environment
    alone: bool
    started_at: float = field(default_factory=time.monotonic)
    problems: list[str] = field(default_factory=list)

    def all(self, program: str, works: Mapping[str, Figures]) -> dict[str, Figures]:
        """Run a program once for each item of work, in new processes. Return the figures by name."""
        with ThreadPoolExecutor(1 if self.alone else 4) as pool:
            found = pool.map(lambda name: self.one(program, name, works[name]), works)
            return dict(zip(works, found, strict=True))

    def one(self, program: str, name: str, work: Figures) -> Figures:
        """Run a program once. Return no figures if it fails."""
        started_at = time.monotonic()
        try:
            figures: Figures = json.loads(self.output(HERE / program, json.dumps(work)).splitlines()[-1])
        except (subprocess.SubprocessError, ChildProcessError) as error:
            self.problems.append(f"{program}, {name}: {error}")
            return {}
        finally:
            self.log(f"{program}, {name}: {time.monotonic() - started_at:.0f} s")
        if work.get("contestant") in MUST_SUCCEED and figures["failed"] + figures["lost"]:
            self.problems.append(f"{program}, {name}: {figures['failed']} failed, {figures['lost']} lost")
        if "others_share" in figures:
            figures["others_percent"] = figures["others_share"] * 100
        return figures

    def output(self, program: Path, argument: str) -> str:
        """
        Run a program and return its output.

        :raises ChildProcessError: The program failed.
        """
        process = subprocess.Popen(
            [sys.executable, program, argument],
            env=self.environment.variables,
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
            raise ChildProcessError(f"exit code {process.returncode}\n{errors[-2000:]}")
        return output

    def log(self, event: str) -> None:
        """Print an event with its time to standard error, apart from the tables."""
        print(f"{time.monotonic() - self.started_at:6.1f} s  {event}", file=sys.stderr, flush=True)


def versions() -> str:
    """Return the versions of the measured packages, and the machine."""
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package.removeprefix('apache-airflow-providers-')} {version(package)}")
        except PackageNotFoundError:
            continue
    return f"{', '.join(found)}; Python {platform.python_version()}; {os.cpu_count()} processors.\n"


def missed_goals(table: Table) -> list[str]:
    """Return one line for each missed goal."""
    return [f"{table.title}: {row.title}, {name}" for row in table.rows for name in table.missed(row)]


def main() -> int:
    """Run the scenarios in the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"{', '.join(SCENARIOS)}; by default all")
    parser.add_argument("--quick", action="store_true", help="use few waits, only to check that the benchmarks work")
    parser.add_argument("--strict", action="store_true", help="fail if a goal is missed")
    arguments = parser.parse_args()
    if unknown := set(arguments.scenarios) - SCENARIOS.keys():
        parser.error(f"unknown scenario: {', '.join(sorted(unknown))}")
    hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))  # some contestants use a connection per wait
    size = QUICK if arguments.quick else FULL
    missed = []
    print(versions(), flush=True)
    with temporary_environment() as environment:
        run = Run(environment, size.alone)
        lab = Lab(size, run.all, str(environment.certificate))
        for name in arguments.scenarios or SCENARIOS:
            for table in SCENARIOS[name](lab):
                print(table, flush=True)
                missed += missed_goals(table)
        for line in run.problems:
            print(f"WRONG: {line}")
        run.log(f"{len(missed)} goals missed, {len(run.problems)} problems")
    return 1 if run.problems or (arguments.strict and missed) else 0


if __name__ == "__main__":
    sys.exit(main())
