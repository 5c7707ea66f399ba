"""
The steps of CI as nox sessions. ``nox -l`` lists them, ``nox -s lint`` runs one, ``bash .ci/run`` runs CI.

Arguments after ``--`` go to pytest: ``nox -s tests-3.3 -- -k signing``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nox

PACKAGE = "airflow_provider_hwstatus"
ROOT = Path(__file__).parent

#: The supported Airflow lines and the requirements with which ``nox -s constraints`` pins each. 3.4 may be a
#: pre-release.
LINES = {
    "2.11": ("apache-airflow==2.11.*",),
    "3.0": ("apache-airflow==3.0.*", "cadwyn<6", "fastapi<0.118"),  # newer versions break the API of Airflow 3.0
    "3.1": ("apache-airflow==3.1.*",),
    "3.2": (
        "apache-airflow==3.2.*",
        "cadwyn<8",
        "fastapi<0.137",
        "starlette<1",
        "svcs<26",
    ),  # likewise, with dag.test()
    "3.3": ("apache-airflow==3.3.*",),
    "3.4": (
        "apache-airflow>=3.4.0b1,<3.5",
        "apache-airflow-core>=3.4.0b1,<3.5",
        "apache-airflow-task-sdk>=1.4.0b1,<1.5",
    ),
}
CONSTRAINTS = {line: f".ci/constraints-airflow-{line}.txt" for line in LINES}

#: Tests that depend on the Airflow line or on the libraries that it requires.
AIRFLOW_TESTS = ("tests/airflow", "tests/transports")
#: Tests that depend on Python's version only. They also run with the lowest one.
PYTHON_TESTS = ("tests/core", "tests/kinds")

nox.needs_version = ">=2026.1"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.error_on_missing_interpreters = True
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "arrows", "wheel", "readme", "airflow-2.11", "airflow-3.4", "e2e-small"]
os.environ.setdefault("UV_PYTHON_DOWNLOADS", "never")
os.environ.setdefault("UV_COMPILE_BYTECODE", "1")  # the tests start many processes that import Airflow


def pythons(version: str) -> Iterator[str]:
    """Yield paths of python*version*: first in PATH, then in pyenv, whose shims work for one version only."""
    folders = os.environ["PATH"].split(os.pathsep)
    for folder in folders:
        yield f"{folder}/python{version}"
    roots = [os.environ.get("PYENV_ROOT"), Path.home() / ".pyenv"]
    roots += [Path(folder).parent for folder in folders if Path(folder).name == "shims"]
    for root in filter(None, roots):
        yield from map(str, sorted(Path(root).glob(f"versions/{version}.*/bin/python{version}"), reverse=True))


def runs(python: str) -> bool:
    """Return whether an interpreter works. pyenv's shims of versions that are not selected do not."""
    return subprocess.run([python, "-c", "import ssl, sqlite3"], capture_output=True, check=False).returncode == 0


def find_python(*versions: str) -> str:
    """Return the first working interpreter of *versions*, or else the first version, which nox then reports."""
    for version in versions:
        for python in pythons(version):
            if os.access(python, os.X_OK) and runs(python):
                return python
    return versions[0]


LOWEST = find_python("3.11")
NEWEST = find_python("3.13", "3.12", "3.11")
BETWEEN = find_python("3.12", "3.13", "3.11")


def install(session: nox.Session, line: str, *packages: str) -> None:
    """Install *packages* with the pinned versions of an Airflow *line*."""
    session.install("-c", CONSTRAINTS[line], *packages)


def group(name: str) -> tuple[str, ...]:
    """Return the packages of a dependency group."""
    return nox.project.dependency_groups(nox.project.load_toml(ROOT / "pyproject.toml"), name)


def pytest(session: nox.Session, *args: str) -> None:
    """Run pytest in Python's development mode, which reports unclosed resources and unawaited coroutines."""
    session.run("pytest", *args, *session.posargs, env={"PYTHONDEVMODE": "1"})


def project_files() -> Iterator[Path]:
    """Yield the files of the working tree that git tracks or would add, relative to the root."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    yield from (Path(name) for name in listed.split("\0") if name and (ROOT / name).is_file())


def copy_project(to: Path, *only: str) -> Path:
    """Copy the project, or *only* some top-level entries, to a new directory *to*. Return the directory."""
    for file in project_files():
        if not only or file.parts[0] in only:
            (to / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, to / file)
    return to


def readme_command(name: str) -> str:
    """Return the command below the comment ``<!-- ci: name -->`` in README.md."""
    found = re.search(rf"<!-- ci: {name} -->\s*```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    if not found:
        raise LookupError(f"README.md has no bash block marked with <!-- ci: {name} -->")
    return found[1].strip()


@nox.session(venv_backend="none")
def readme(session: nox.Session) -> None:
    """
    Run the README's test command as written, in a clone, with an empty home directory.

    Its python3 is a version between the lowest and the newest, if there is one.
    """
    with tempfile.TemporaryDirectory(prefix="hwstatus-readme-") as temporary:
        session.chdir(copy_project(Path(temporary, "clone")))
        # None unsets variables that point to the user's caches and settings.
        unset = ("VIRTUAL_ENV", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "PIP_CACHE_DIR", "UV_CACHE_DIR")
        path = os.pathsep.join((str(Path(BETWEEN).parent), os.environ["PATH"]))
        home = {"HOME": temporary, "PATH": path} | dict.fromkeys(unset)
        session.run("bash", "-euxc", readme_command("tests"), external=True, env=home)
        session.chdir(ROOT)


@contextmanager
def built(session: nox.Session, line: str) -> Iterator[Path]:
    """Build the sdist, and the wheel from it, in a temporary directory. Yield the wheel."""
    install(session, line, "build", "hatchling", "hatch-fancy-pypi-readme")
    with tempfile.TemporaryDirectory(prefix="hwstatus-wheel-") as folder:
        session.run("python", "-m", "build", "--no-isolation", "--outdir", folder, silent=True)
        (wheel,) = Path(folder).glob("*.whl")
        yield wheel


def test_wheel(session: nox.Session, line: str, *args: str) -> None:
    """Run the tests, or those that *args* select, against the wheel, outside the checkout."""
    with built(session, line) as wheel, tempfile.TemporaryDirectory(prefix="hwstatus-tests-only-") as outside:
        install(session, line, f"{wheel}[test]")
        install(session, line, "--no-deps", "--force-reinstall", str(wheel))  # an older wheel may have the same version
        copy_project(Path(outside), "tests", "docs", "example_dags", "pyproject.toml", "README.md")
        with session.chdir(outside):
            session.run("python", "-c", f"import {PACKAGE} as p; assert 'site-packages' in p.__file__, p.__file__")
            pytest(session, *args)


def python_of(line: str) -> str:
    """Return the interpreter for a line: the lowest for the lowest line, the newest for the newest lines."""
    return {"2.11": LOWEST, "3.3": NEWEST, "3.4": NEWEST}.get(line, BETWEEN)


def add_line(line: str) -> None:
    """Define the sessions of an Airflow line."""

    @nox.session(name=f"tests-{line}", python=python_of(line))
    def tests(session: nox.Session) -> None:
        test_wheel(session, line, "-m", "slow or not slow")

    @nox.session(name=f"airflow-{line}", python=python_of(line))
    def airflow(session: nox.Session) -> None:
        test_wheel(session, line, *AIRFLOW_TESTS, *(PYTHON_TESTS if python_of(line) == LOWEST else ()))

    tests.__doc__ = f"Run all tests, including slow ones, against the wheel on Airflow {line}."
    airflow.__doc__ = f"Run the tests that depend on the Airflow line against the wheel on Airflow {line}."


for _line in LINES:
    add_line(_line)


@nox.session(venv_backend="none")
def lines(session: nox.Session) -> None:
    """Run the tests that depend on the Airflow line on Airflow 3.0, 3.1 and 3.2."""
    for line in ("3.0", "3.1", "3.2"):
        session.notify(f"airflow-{line}")


@nox.session(python=NEWEST)
def browser(session: nox.Session) -> None:
    """Create, test and correct a connection in Airflow 3.3's web interface, with Chromium."""
    if missing := [name for name in ("chromium", "chromedriver") if not shutil.which(name)]:
        session.skip(f"{' and '.join(missing)} not found (Debian: apt-get install chromium chromium-driver)")
    install(session, "3.3", ".[test]", "selenium")
    pytest(session, "tests/browser")


def run_e2e(session: nox.Session, line: str, *args: str, program: str = "run") -> None:
    """Run a program of tests/e2e on a real Airflow *line* with PostgreSQL. Skip it if PostgreSQL is missing."""
    missing = subprocess.run([sys.executable, "tests/e2e/postgres.py"], stdout=subprocess.PIPE, check=False, text=True)
    if missing.stdout:
        session.skip(missing.stdout.strip())
    install(session, line, ".", "psycopg2-binary", *(() if line == "2.11" else ("asyncpg",)))
    session.run("python", f"tests/e2e/{program}.py", *args, *session.posargs)


@nox.session(name="e2e-small", python=NEWEST)
def e2e_small(session: nox.Session) -> None:
    """Kill each process of Airflow 3.3 and the fake cloud once while 20 waits run (two minutes)."""
    run_e2e(session, "3.3", "--plan", "small")


@nox.session(python=NEWEST)
def e2e(session: nox.Session) -> None:
    """Kill components of Airflow 3.3 and the fake cloud while 200 waits run (ten minutes)."""
    run_e2e(session, "3.3")


@nox.session(name="e2e-2.11", python=LOWEST)
def e2e_lowest(session: nox.Session) -> None:
    """Kill components of Airflow 2.11 and the fake cloud while 30 waits run in all three modes."""
    run_e2e(session, "2.11")


@nox.session(name="e2e-3.4", python=NEWEST)
def e2e_newest(session: nox.Session) -> None:
    """Kill each process of Airflow 3.4 and the fake cloud once while 20 waits run."""
    run_e2e(session, "3.4", "--plan", "small")


@nox.session(name="e2e-ends-3.3", python=NEWEST)
def e2e_ends(session: nox.Session) -> None:
    """Kill triggerers of Airflow 3.3 right after they report ends. Each end is processed once."""
    run_e2e(session, "3.3", program="ends")


@nox.session(name="e2e-ends-3.4", python=NEWEST)
def e2e_ends_newest(session: nox.Session) -> None:
    """Kill triggerers of Airflow 3.4, where each report starts a DAG run. Each end is processed once."""
    run_e2e(session, "3.4", program="ends")


@nox.session(name="e2e-submissions-3.3", python=NEWEST)
def e2e_submissions(session: nox.Session) -> None:
    """Kill workers, triggerers and the scheduler of Airflow 3.3 around submissions. Each job is submitted once."""
    run_e2e(session, "3.3", program="submissions")


@nox.session(name="e2e-submissions-2.11", python=LOWEST)
def e2e_submissions_lowest(session: nox.Session) -> None:
    """Do the same with Airflow 2.11, which has no task state store."""
    run_e2e(session, "2.11", "--tasks", "40", program="submissions")


@nox.session(name="e2e-submissions-3.4", python=NEWEST)
def e2e_submissions_newest(session: nox.Session) -> None:
    """Do the same with Airflow 3.4."""
    run_e2e(session, "3.4", "--tasks", "40", program="submissions")


@nox.session(python=NEWEST)
def benchmarks(session: nox.Session) -> None:
    """Measure the cost of many waits and of other providers. Print tables for docs/scale.md (25 minutes)."""
    install(session, "3.3", ".", *group("benchmarks"))
    # The trigger needs none of the package's dependencies, which have half a gigabyte.
    session.install("--no-deps", "apache-airflow-providers-databricks==7.23.0")
    session.run("python", "tests/benchmarks/run.py", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Run ruff's rules, including Airflow's (AIR), and check the format."""
    install(session, "3.3", "ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(name="format")
def format_(session: nox.Session) -> None:
    """Format the code and apply ruff's fixes."""
    install(session, "3.3", "ruff")
    session.run("ruff", "check", "--fix", ".")
    session.run("ruff", "format", ".")


@nox.session(python=NEWEST)
def types(session: nox.Session) -> None:
    """Run mypy --strict on the package, and mypy and pyright on uses of the sensors."""
    install(session, "3.3", ".[test]", "mypy", "pyright[nodejs]", "types-requests")
    session.run("mypy", "--strict", PACKAGE)
    pytest(session, "tests/typing", "-n2")


@nox.session
def arrows(session: nox.Session) -> None:
    """Check the import contracts in pyproject.toml."""
    install(session, "3.3", "import-linter")
    session.run("lint-imports", "--no-cache", env={"PYTHONPATH": str(ROOT)})


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the sdist, and the wheel from it, and check the wheel's contents."""
    with built(session, "3.3") as wheel:
        check_contents(session, wheel)


def check_contents(session: nox.Session, wheel: Path) -> None:
    """Fail unless *wheel* contains exactly the package, the example DAGs and metadata."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {file.as_posix() for file in project_files() if file.parts[0] == PACKAGE}
    expected |= {f"{PACKAGE}/{file.as_posix()}" for file in project_files() if file.parts[0] == "example_dags"}
    expected.add(f"{PACKAGE}/py.typed")
    if names != expected:
        session.error(f"{wheel.name} lacks {sorted(expected - names)} and must not contain {sorted(names - expected)}")
    session.log(f"{wheel.name} contains exactly the {len(names)} expected files")


@nox.session(python=NEWEST)
def docs(session: nox.Session) -> None:
    """Generate the pages of docs/ that depend on the code."""
    install(session, "3.3", "-e", ".")
    session.run("python", "docs/generate.py")


@nox.session(python=NEWEST)
def site(session: nox.Session) -> None:
    """Build the site of docs/ in build/site. Fail for a broken link. ``-- serve`` shows the site and its changes."""
    install(session, "3.3", *group("site"))
    # The warning says until when Material is maintained.
    session.run("mkdocs", *(session.posargs or ("build", "--strict")), env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session(python=LOWEST)
def fuzz(session: nox.Session) -> None:
    """Run the coverage-guided fuzzer, which is not part of CI. Takes libFuzzer's arguments, e.g. -max_total_time=60."""
    session.install("atheris")
    session.run("python", "tests/fuzz/fuzz_replies.py", *session.posargs, env={"PYTHONPATH": str(ROOT)})


@nox.session
def constraints(session: nox.Session) -> None:
    """Update the constraint files to the newest compatible versions."""
    session.install("uv")
    for line, requirements in LINES.items():
        airflow = Path(session.create_tmp()) / f"airflow-{line}.txt"
        airflow.write_text("\n".join(requirements) + "\n")
        session.run(
            *("uv", "pip", "compile", "pyproject.toml", "--quiet", "--upgrade", "--universal"),
            *("--python-version=3.11", "--extra=test", "--group=dev", "--group=e2e", f"--constraints={airflow}"),
            *(("--group=benchmarks", "--group=release", "--group=site") if line == "3.3" else ()),
            *("--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"),
            f"--output-file={CONSTRAINTS[line]}",
        )
