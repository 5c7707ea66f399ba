"""
The steps of CI as nox sessions. ``nox -l`` lists them, ``nox -s lint`` runs one, ``bash .ci/run`` runs CI.

Arguments after ``--`` go to pytest: ``nox -s tests-3.3 -- -k signing``.
"""

from __future__ import annotations

import email
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nox

PACKAGE = "airflow_provider_hwstatus"
ROOT = Path(__file__).parent
#: What ``nox -s release`` builds.
DIST = ROOT / "dist"
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")

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
#: The lines with which ``nox -s release`` tries an installation.
RELEASE_LINES = ("2.11", "3.3", "3.4")
#: The lines that only ``bash .ci/run all`` tests.
BETWEEN_LINES = ("3.0", "3.1", "3.2")
CONSTRAINTS = {line: f".ci/constraints-airflow-{line}.txt" for line in LINES}

#: Tests that depend on the Airflow line.
AIRFLOW_TESTS = ("tests/airflow",)
#: Tests that depend on Python's version and on the libraries for HTTP, but not on Airflow.
PYTHON_TESTS = ("tests/core", "tests/kinds", "tests/transports")
HTTP_LIBRARIES = ("requests", "urllib3", "aiohttp")

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
    return nox.project.dependency_groups(PROJECT, name)


def pytest(session: nox.Session, *args: str, devmode: bool) -> None:
    """
    Run pytest.

    :param devmode: Whether to use Python's development mode, which also reports unclosed resources of child processes
        and errors in the use of asyncio. With it, tests of coroutines take twice as long.
    """
    session.run("pytest", *args, *session.posargs, env={"PYTHONDEVMODE": "1"} if devmode else {})


def git(*args: str) -> str:
    """Run git in the project. Return its output."""
    return subprocess.run(["git", *args], cwd=ROOT, capture_output=True, check=True, text=True).stdout.strip()


def project_files() -> Iterator[Path]:
    """Yield the files of the working tree that git tracks or would add, relative to the root."""
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
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

    Its python3 is the newest supported version that is installed.
    """
    with tempfile.TemporaryDirectory(prefix="hwstatus-readme-") as temporary:
        session.chdir(copy_project(Path(temporary, "clone")))
        python = Path(temporary, "python")  # the directory of NEWEST may hold a python3 of another version
        session.run(NEWEST, "-m", "venv", "--without-pip", str(python), external=True)
        # None unsets variables that point to the user's caches and settings.
        unset = ("VIRTUAL_ENV", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "PIP_CACHE_DIR", "UV_CACHE_DIR")
        path = os.pathsep.join((str(python / "bin"), os.environ["PATH"]))
        home = {"HOME": temporary, "PATH": path} | dict.fromkeys(unset)
        session.run("bash", "-euxc", readme_command("tests"), external=True, env=home)
        session.chdir(ROOT)


def build(session: nox.Session, line: str, folder: Path) -> tuple[Path, Path]:
    """Build the sdist, and the wheel from it, in *folder*. Return both."""
    install(session, line, "build", "hatchling", "hatch-fancy-pypi-readme")
    session.run("python", "-m", "build", "--no-isolation", "--outdir", str(folder), silent=True)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


@contextmanager
def built(session: nox.Session, line: str) -> Iterator[tuple[Path, Path]]:
    """Build the sdist, and the wheel from it, in a temporary directory. Yield both."""
    with tempfile.TemporaryDirectory(prefix="hwstatus-wheel-") as folder:
        yield build(session, line, Path(folder))


def test_wheel(session: nox.Session, line: str, *args: str, devmode: bool) -> None:
    """Run the tests, or those that *args* select, against the wheel, outside the checkout."""
    with built(session, line) as (_, wheel), tempfile.TemporaryDirectory(prefix="hwstatus-tests-only-") as outside:
        install(session, line, f"{wheel}[test]")
        install(session, line, "--no-deps", "--force-reinstall", str(wheel))  # an older wheel may have the same version
        pages = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
        copy_project(Path(outside), "tests", "docs", "example_dags", "pyproject.toml", *pages)
        with session.chdir(outside):
            session.run("python", "-c", f"import {PACKAGE} as p; assert 'site-packages' in p.__file__, p.__file__")
            pytest(session, *args, devmode=devmode)


def http_pins(line: str) -> list[str]:
    """Return the pinned versions of the libraries for HTTP."""
    pins = (ROOT / CONSTRAINTS[line]).read_text().splitlines()
    return [pin for pin in pins if pin.partition("==")[0] in HTTP_LIBRARIES]


def repeats_readme(line: str) -> bool:
    """Return whether PYTHON_TESTS would use the same Python and libraries as in the session "readme"."""
    return python_of(line) == NEWEST and http_pins(line) == http_pins("3.3")


def python_of(line: str) -> str:
    """Return the interpreter for a line: the lowest for the lowest line, the newest for the newest lines."""
    return {"2.11": LOWEST, "3.3": NEWEST, "3.4": NEWEST}.get(line, BETWEEN)


def add_line(line: str) -> None:
    """Define the sessions of an Airflow line."""

    @nox.session(name=f"tests-{line}", python=python_of(line))
    def tests(session: nox.Session) -> None:
        test_wheel(session, line, "-m", "slow or not slow", devmode=True)

    @nox.session(name=f"airflow-{line}", python=python_of(line))
    def airflow(session: nox.Session) -> None:
        selected = *AIRFLOW_TESTS, *(() if repeats_readme(line) else PYTHON_TESTS)
        # On the other lines, "all" repeats them in the development mode.
        test_wheel(session, line, *selected, devmode=line in BETWEEN_LINES)

    tests.__doc__ = f"Run all tests, including slow ones, against the wheel on Airflow {line}."
    airflow.__doc__ = f"Run the tests that depend on the Airflow line against the wheel on Airflow {line}."


for _line in LINES:
    add_line(_line)


def add_release_line(line: str) -> None:
    """Define the session that tries a release on an Airflow line."""

    @nox.session(name=f"smoke-{line}", python=python_of(line), reuse_venv=False)
    def smoke(session: nox.Session) -> None:
        (wheel,) = DIST.glob("*.whl")
        install(session, line, str(wheel))
        with tempfile.TemporaryDirectory(prefix="hwstatus-smoke-") as home, session.chdir(home):
            program = ROOT / "tests/release/smoke.py"
            session.run("python", str(program), PROJECT["project"]["version"], env={"HOME": home, "AIRFLOW_HOME": home})

    smoke.__doc__ = f"Install the wheel of nox -s release on a new Airflow {line}, and use it."


for _line in RELEASE_LINES:
    add_release_line(_line)


@nox.session(venv_backend="none")
def lines(session: nox.Session) -> None:
    """Run the tests that depend on the Airflow line on Airflow 3.0, 3.1 and 3.2."""
    for line in BETWEEN_LINES:
        session.notify(f"airflow-{line}")


@nox.session(python=NEWEST)
def integrations(session: nox.Session) -> None:
    """Run the tests that need OpenLineage's provider, and check the alert rules of the docs with promtool."""
    if not shutil.which("promtool"):
        session.skip("promtool not found (Debian: apt-get install prometheus)")
    install(session, "3.3", ".[test]", "apache-airflow-providers-openlineage")
    pytest(session, "tests/airflow/test_openlineage.py", "tests/airflow/test_alerts.py", "-n0", devmode=True)


@nox.session(python=NEWEST)
def browser(session: nox.Session) -> None:
    """Create, test and correct a connection in Airflow 3.3's web interface, with Chromium."""
    if missing := [name for name in ("chromium", "chromedriver") if not shutil.which(name)]:
        session.skip(f"{' and '.join(missing)} not found (Debian: apt-get install chromium chromium-driver)")
    install(session, "3.3", ".[test]", "selenium")
    pytest(session, "tests/browser", devmode=True)


def run_e2e(
    session: nox.Session, line: str, *args: str, program: str = "run", servers: tuple[str, ...] = ("postgres",)
) -> None:
    """Run a program of tests/e2e on a real Airflow *line* with *servers*. Skip it if one is missing."""
    for server in servers:
        command = [sys.executable, f"tests/e2e/{server}.py"]
        missing = subprocess.run(command, stdout=subprocess.PIPE, check=False, text=True)
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


@nox.session(name="e2e-celery", python=NEWEST)
def e2e_celery(session: nox.Session) -> None:
    """Kill, stop and restart workers and triggerers of CeleryExecutor, with Redis, and rotate a key."""
    install(session, "3.3", *group("celery"))
    run_e2e(session, "3.3", program="production", servers=("postgres", "redis_server"))


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
    session.env["UV_COMPILE_BYTECODE"] = "0"  # the type checkers read sources
    install(session, "3.3", ".[test]", "mypy", "pyright[nodejs]", "types-requests")
    session.run("mypy", "--strict", "--num-workers=2", PACKAGE)
    pytest(session, "tests/typing", "-n2", devmode=False)  # it would slow down the type checkers


@nox.session
def arrows(session: nox.Session) -> None:
    """Check the import contracts in pyproject.toml."""
    install(session, "3.3", "import-linter")
    session.run("lint-imports", "--no-cache", env={"PYTHONPATH": str(ROOT)})


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the sdist, and the wheel from it, and check their contents and the page that an index shows."""
    with built(session, "3.3") as artifacts:
        check_artifacts(session, *artifacts)


def check_artifacts(session: nox.Session, sdist: Path, wheel: Path) -> None:
    """Fail unless sdist and wheel hold exactly files of the project and metadata, which an index can show."""
    files = {file.as_posix(): file for file in project_files()}
    check_contents(session, sdist, files, generated=("PKG-INFO",))
    packaged = {name: file for name, file in files.items() if file.parts[0] == PACKAGE}
    packaged |= {f"{PACKAGE}/{name}": file for name, file in files.items() if file.parts[0] == "example_dags"}
    metadata = f"{PACKAGE}-{PROJECT['project']['version']}.dist-info"
    generated = ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")
    check_contents(session, wheel, packaged, generated=[f"{metadata}/{name}" for name in generated])
    check_description(session, contents(wheel)[f"{metadata}/METADATA"])
    install(session, "3.3", *group("release"))
    session.run("twine", "check", "--strict", str(sdist), str(wheel))


def contents(artifact: Path) -> dict[str, bytes]:
    """Return the files of a wheel, or those in the only directory of an sdist."""
    if artifact.suffix == ".whl":
        with zipfile.ZipFile(artifact) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    with tarfile.open(artifact) as archive:
        files = {member.name.partition("/")[2]: archive.extractfile(member) for member in archive if not member.isdir()}
        return {name: file.read() for name, file in files.items() if file}


def check_contents(session: nox.Session, artifact: Path, files: dict[str, Path], generated: Iterable[str]) -> None:
    """Fail unless *artifact* holds these *files* of the project, unchanged, and what is *generated*."""
    found = contents(artifact)
    expected = {*files, *generated}
    if found.keys() != expected:
        lacks, superfluous = sorted(expected - found.keys()), sorted(found.keys() - expected)
        session.error(f"{artifact.name} lacks {lacks} and must not contain {superfluous}")
    if changed := [name for name, file in files.items() if found[name] != (ROOT / file).read_bytes()]:
        session.error(f"{artifact.name} has other contents than the project in {changed}")
    session.log(f"{artifact.name} contains exactly the {len(found)} expected files")


def check_description(session: nox.Session, metadata: bytes) -> None:
    """Fail if the README in the metadata has relative links. They lead nowhere on an index."""
    text = email.message_from_bytes(metadata).get_payload()
    targets = re.findall(r"""\]\(\s*([^)\s]+)|^\[[^]]+\]:\s*(\S+)|(?:src|href)=["']([^"']+)""", str(text), re.MULTILINE)
    if relative := [each for each in map("".join, targets) if not re.match("https?://|#", each)]:
        session.error(f"the description has relative links: {relative}")
    session.log(f"the description has {len(targets)} links, none of them relative")


@nox.session(python=NEWEST)
def release(session: nox.Session) -> None:
    """Build a release in dist/, check it, and try it on Airflow 2.11, 3.3 and 3.4. Publishes nothing."""
    version = PROJECT["project"]["version"]
    if changed := git("status", "--porcelain"):
        session.error(f"commit these files first, so that the commit describes the release:\n{changed}")
    check_changelog(session, version)
    shutil.rmtree(DIST, ignore_errors=True)
    artifacts = build(session, "3.3", DIST)
    check_artifacts(session, *artifacts)
    write_manifest(version, *artifacts)
    for line in RELEASE_LINES:
        session.notify(f"smoke-{line}")


def check_changelog(session: nox.Session, version: str) -> None:
    """Fail if the changelog has no section for *version*. Warn if the section has no date yet."""
    heading = re.search(rf"^## .*\b{re.escape(version)}\b.*", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    if not heading:
        session.error(f"CHANGELOG.md has no section for {version}, the version in pyproject.toml")
    if "Unreleased" in heading[0]:
        session.warn(f"CHANGELOG.md: replace {heading[0]!r} by '## [{version}] - YYYY-MM-DD' before you tag")


def write_manifest(version: str, *artifacts: Path) -> None:
    """Write the commit, and the SHA-256 of each artifact and of each file in it, next to the artifacts."""
    listed = {
        artifact.name: {
            "sha256": hashlib.sha256(artifact.read_bytes()).hexdigest(),
            "files": {name: hashlib.sha256(data).hexdigest() for name, data in sorted(contents(artifact).items())},
        }
        for artifact in artifacts
    }
    manifest = {"version": version, "commit": git("rev-parse", "HEAD"), "artifacts": listed}
    (DIST / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


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
            *(("--group=benchmarks", "--group=release", "--group=site", "--group=celery") if line == "3.3" else ()),
            *("--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"),
            f"--output-file={CONSTRAINTS[line]}",
        )
