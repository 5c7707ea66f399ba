"""The commands: what they find, what they print and how they end."""

import json
import os
import subprocess
import sys
from importlib.metadata import version

import pytest

from airflow_provider_hwstatus.cli.arguments import COMMANDS
from airflow_provider_hwstatus.cli.exits import Exit
from airflow_provider_hwstatus.kinds import KINDS
from airflow_provider_hwstatus.testing import Fault, Reply

AIRFLOW = tuple(int(part) for part in version("apache-airflow").split(".")[:2])

#: Arguments of the commands that do not take a kind and an id.
NEEDED = {"check": (), "list": ("dli_batch",), "submit": ("dli_batch", "--body", '{"file": "obs://a/b.jar"}')}


@pytest.fixture
def connect(huaweicloud, monkeypatch):
    """Return a function that replaces fields of the connection."""

    def connect(fields=(), **extra):
        connection = huaweicloud.connection(**extra) | dict(fields)
        monkeypatch.setenv("AIRFLOW_CONN_HWSTATUS_DEFAULT", json.dumps(connection))

    return connect


def steps(out):
    """Return what ``check --output json`` found, by step."""
    return {step["step"]: (step["result"], step["said"]) for step in json.loads(out)["steps"]}


def test_check_of_a_good_connection(huaweicloud, run):
    """Every step is a line, and none of them is a question about a job of the user's."""
    code, out, _ = run("check")

    assert 0 == code
    lines = [line.split()[:2] for line in out.splitlines()]
    names = ["endpoint"] * 3 + ["clock", "login", "project"] + ["permission"] * 2
    assert [["ok", name] for name in names] == lines[:-1]
    assert huaweicloud.project_id in out
    assert huaweicloud.secret_key not in out
    assert huaweicloud.access_key not in out
    assert out.endswith("hwstatus_default can be used.\n")


LATE = Reply(401, headers={"Date": "Sat, 21 Nov 2020 08:00:30 GMT"})

#: What is wrong, and for each step that is not "ok" its result and what is said of it.
WRONG = {
    "secret key": (
        lambda cloud, connect: connect({"password": "wrong-for-check"}),
        {
            "login": ("failed", "secret key (password)"),
            "permission dli": ("not checked", ""),
            "permission cph": ("not checked", ""),
        },
    ),
    "clock": (
        lambda cloud, connect: cloud.break_with(LATE, 3, path_ends="/"),
        {"clock": ("failed", "NTP")},
    ),
    "dli not allowed": (
        lambda cloud, connect: cloud.break_with(403, 1, path_contains="/batches/"),
        {"permission dli": ("failed", "dli:jobs:get is missing")},
    ),
    "cph not there": (
        lambda cloud, connect: cloud.unpublish("jobs"),
        {"permission cph": ("failed", "does not exist in this region")},
    ),
    "dli down": (
        lambda cloud, connect: cloud.break_with(Fault.RESET, 9, path_contains="/batches/"),
        {"permission dli": ("failed", "firewall")},
    ),
    "no such project": (
        lambda cloud, connect: connect(region="cn-east-3", project_id=None),
        {
            "project": ("failed", "Set project_id"),
            "login": ("not checked", ""),
            "permission dli": ("not checked", ""),
            "permission cph": ("not checked", ""),
        },
    ),
    "password": (
        lambda cloud, connect: connect(cloud.connection("password") | {"password": "wrong"}),
        {
            "login": ("failed", "IAM user's name"),
            "project": ("not checked", ""),
            "permission dli": ("not checked", ""),
            "permission cph": ("not checked", ""),
        },
    ),
    "no TLS": (
        lambda cloud, connect: connect(dli_endpoint=cloud.url.replace("http:", "https:")),
        {"endpoint dli": ("failed", "speaks HTTPS"), "permission dli": ("not checked", "")},
    ),
    "no CPH": (
        lambda cloud, connect: connect(region="eu-de", cph_endpoint=None, endpoints=None),
        {"endpoint cph": ("not checked", "has no CPH"), "permission cph": ("not checked", "")},
    ),
}
STILL_USABLE = {"dli not allowed", "cph not there", "dli down", "no TLS", "no CPH"}


@pytest.mark.parametrize("wrong", WRONG)
def test_check_names_the_step(huaweicloud, run, connect, wrong):
    """What is wrong is told at its step, with what to do; what depends on it is not checked, and the rest is ok."""
    make, expected = WRONG[wrong]
    make(huaweicloud, connect)

    code, out, _ = run("check", "--output", "json")
    found = steps(out)
    assert {name: result for name, (result, _) in expected.items()} == {
        name: result for name, (result, _) in found.items() if result != "ok"
    }
    for name, (_, said) in expected.items():
        assert said in found[name][1]
    assert (0 if wrong in STILL_USABLE else 4) == code
    assert (code == 0) == json.loads(out)["usable"]


def test_check_of_a_cloud_that_is_not_there(huaweicloud, run):
    """Nothing beyond the network is tried, so no key can be locked."""
    huaweicloud.stop()
    code, out, _ = run("check")

    assert 4 == code
    assert ["failed"] * 3 + ["not"] * 5 == [line.split()[0] for line in out.splitlines()[:-1]]
    assert 1 == out.count("Connection refused; next: check the endpoint")
    assert 2 == out.count("as endpoint iam\n")


def test_check_of_no_connection(run):
    """A name that Airflow does not know is said so."""
    code, out, _ = run("check", "--conn-id", "nope")

    assert 4 == code
    assert "connection 'nope': it is not defined" in out


def test_status(huaweicloud, run):
    """Each job is asked about once; one that cannot be answered does not hide the others."""
    huaweicloud.job("cph_job", "c1", 1)
    huaweicloud.job("cph_job", "c2", 2)
    code, out, _ = run("status", "cph_job", "c1", "c2")
    assert (0, "c1  1  (in progress)\nc2  2  (success)\n") == (code, out)

    code, out, _ = run("status", "cph_job", "c1", "unknown", "--output", "json")
    assert 4 == code
    one, other = json.loads(out)
    assert ("c1", "1", "in_progress") == (one["job_id"], one["state"], one["outcome"])
    assert ("unknown", "JobNotFoundError") == (other["job_id"], other["error"]["type"])


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        (("success",), 0),
        (("success", "dead"), 1),
        (("dead", 403), 1),
        (("running",), 3),
        (("running", 403), 4),
        (("running", "dead"), 1),
        (("success", "running"), 3),
    ],
)
def test_wait_ends_with_the_worst(huaweicloud, run, ends, expected):
    """0 all succeeded, 1 a job failed, 4 a question had no answer, 3 time ran out; in this order."""
    ids = [f"b{number}" for number in range(len(ends))]
    for job_id, end in zip(ids, ends, strict=True):
        huaweicloud.job("dli_batch", job_id, "starting", end)

    code, out, err = run("wait", "dli_batch", *ids, "--poke-interval", "1", "--timeout", "30", "--output", "json")
    assert expected == code
    assert ids == [job["job_id"] for job in json.loads(out)]
    assert all(f"{job_id}  starting\n" in err for job_id in ids)


def test_wait_says_why_a_job_failed(huaweicloud, run):
    """The message is the one that a task would have."""
    huaweicloud.job("dli_batch", "b1", "running", "dead", name="etl", log=["java.lang.OutOfMemoryError"])

    _, out, err = run("wait", "dli_batch", "b1", "--poke-interval", "0.1")
    assert out.startswith("DLI batch b1 failed: its state is 'dead'\n  name: etl\n")
    assert out.endswith("\n    java.lang.OutOfMemoryError\n")
    assert ["running", "dead"] == [line.split()[-1] for line in err.splitlines() if "  b1  " in line]


def test_wait_tells_for_each_job_why_it_has_no_answer(huaweicloud, run, connect):
    """A refused key ends all of them at once, with one request; each has its own message."""
    connect({"password": "wrong-for-wait"})
    for job_id in ("b1", "b2"):
        huaweicloud.job("dli_batch", job_id, "running")

    code, out, err = run("wait", "dli_batch", "b1", "b2", "--poke-interval", "0.1", "--output", "json")
    errors = [job["error"] for job in json.loads(out)]
    assert (4, ["CredentialsRefusedError"] * 2) == (code, [error["type"] for error in errors])
    assert ["DLI batch b1", "DLI batch b2"] == [error["message"].partition(":")[0] for error in errors]
    shown = [line[-13:] for line in err.splitlines() if line.endswith("no answer")]  # Airflow 2 logs there, too
    assert ["b1  no answer", "b2  no answer"] == shown
    assert 1 == len(huaweicloud.requests)


def test_wait_times_out_for_each_job(huaweicloud, run):
    """The message is the one that a task would have."""
    huaweicloud.job("dli_batch", "b1", "running")
    huaweicloud.job("dli_batch", "b2", "starting")

    code, out, _ = run("wait", "dli_batch", "b1", "b2", "--poke-interval", "0.1", "--timeout", "1")
    assert 3 == code
    assert [
        "DLI batch b1: timed out after 1 s; its state is 'running'",
        "DLI batch b2: timed out after 1 s; its state is 'starting'",
    ] == [line for line in out.splitlines() if not line.startswith("  next: ")]


def test_wait_takes_up_a_new_login(huaweicloud, run, connect, monkeypatch):
    """A wait of days outlives its key."""
    huaweicloud.job("dli_batch", "b1", "running", "success")
    huaweicloud.job("dli_batch", "b2", "running", "success")
    connect({"password": "wrong-for-now"})
    right = json.dumps(huaweicloud.connection())
    huaweicloud.listeners.append(lambda record: monkeypatch.setenv("AIRFLOW_CONN_HWSTATUS_DEFAULT", right))

    code, out, _ = run("wait", "dli_batch", "b1", "b2", "--poke-interval", "0.1", "--timeout", "60")
    assert (0, 2) == (code, out.count("(success)"))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_interrupted_command(huaweicloud, run, monkeypatch, command):
    """130, as for any program that Ctrl-C ends, and no traceback."""

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("airflow_provider_hwstatus.hooks.hwstatus.HwStatusHook.run", interrupt)
    monkeypatch.setattr("airflow_provider_hwstatus.hooks.hwstatus.HwStatusHook.checkup", interrupt)
    assert 130 == run(command.name, *NEEDED.get(command.name, ("dli_batch", "b1")))[0]


@pytest.mark.parametrize("command", ["status", "wait"])
def test_error_cannot_control_the_terminal(huaweicloud, run, command):
    """Control characters in a service's text are escaped; its lines stay."""
    body = json.dumps({"error_code": "DLI.0001", "error_msg": "a\x1b[2Jb\x9bc"}).encode()
    huaweicloud.break_with(Reply(400, body=body), 9)
    _, out, _ = run(command, "dli_batch", "b1")

    assert "a\\x1b[2Jb\\x9bc\n" in out


def test_closed_pipe(huaweicloud):
    """As after ``| head -1``: there is no traceback, and the exit code does not mean that a job failed."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "airflow_provider_hwstatus", "list", "dli_batch", "--output", "json"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)

    assert (141, False) == (done.returncode, "BrokenPipeError" in done.stderr)


@pytest.mark.parametrize("command", ["status", "wait"])
def test_unreachable_service_is_one_line(huaweicloud, run, clock, command):
    """However many jobs there are, one line says what to do. Nothing is repeated: the endpoint is probably wrong."""
    huaweicloud.stop()
    code, out, _ = run(command, "dli_batch", "b1", "b2", "b3")

    assert (4, 1) == (code, out.count("\n"))
    assert "Connection refused; next: check the endpoint, the proxy and the firewall" in out
    assert 0 == clock.slept


def test_wait_tolerates_an_outage_after_the_first_answer(huaweicloud, run):
    """An answer shows that the endpoint is right, also one with HTTP 503. A later outage is retried, as in a sensor."""
    huaweicloud.job("dli_batch", "b1", 503, "running", Fault.RESET, Fault.RESET, "success")

    assert 0 == run("wait", "dli_batch", "b1", "--poke-interval", "0.1")[0]


def test_requests_of_cph(huaweicloud, run):
    """All jobs of a request are waited for, also after the first failure, and the message names the failed ones."""
    huaweicloud.cph_job_list.takes_steps = True
    huaweicloud.job("cph_job", "j1", -1, request_id="r1", error_code="CPS.0005")
    huaweicloud.job("cph_job", "j2", 1, 1, 2, request_id="r1")

    code, out, _ = run("status", "cph_request", "r1")
    assert (0, "r1  1 over, 1 failed: j1 ('-1')  (in progress)\n") == (code, out)
    waited = run("wait", "cph_request", "r1", "--expected-jobs", "2", "--poke-interval", "1", "--output", "json")
    (request,) = json.loads(waited[1])
    assert (1, "r1", "failure") == (waited[0], request["request_id"], request["outcome"])
    assert {"total": 2, "succeeded": 1, "failed": 1, "in_progress": 0} == request["counts"]
    assert "CPS.0005" in request["message"]


def test_request_without_expected_jobs_waits_for_the_list(huaweicloud, run, clock):
    """The list may lag behind, so an unknown request is no error at first, and a success counts after a minute."""
    huaweicloud.cph_job_list.takes_steps = True
    huaweicloud.job("cph_job", "j1", 2, request_id="r1", listed_after=20)

    code, out, _ = run("wait", "cph_request", "r1", "--poke-interval", "5")
    assert (0, "r1  1 of 1 over  (success)\n") == (code, out)
    assert 60 <= clock.slept < 90


def test_another_connection(huaweicloud, run, monkeypatch):
    """``--conn-id`` is an option of every command."""
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps(huaweicloud.connection()))
    monkeypatch.delenv("AIRFLOW_CONN_HWSTATUS_DEFAULT")
    huaweicloud.job("dli_batch", "b1", "running", log=["line"])

    for command in COMMANDS:
        argv = NEEDED.get(command.name, ("dli_batch", "b1"))
        code, out, _ = run(command.name, *argv, "--conn-id", "other", *(["--timeout", "1"] * (command.name == "wait")))
        assert (3 if command.name == "wait" else 0) == code, out


def test_help_lists_kinds_and_exit_codes(run):
    """One kind per line, with its title and parameters; and what the exit codes mean."""
    _, out, _ = run("wait", "--help")

    lines = [line.split(maxsplit=1) for line in out.splitlines()]
    assert {*KINDS, "cph_request"} <= {line[0] for line in lines if line}
    assert ["mrs_job", "MRS job; needs --parameter cluster_id=…"] in lines
    assert {str(code.value) for code in Exit} | {"2", "130", "141"} <= {line[0] for line in lines if line}


def test_progress_on_a_terminal(huaweicloud, run, monkeypatch):
    """The time counts, and nothing of that is left at the end; standard output has only the result."""
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes standard error for a terminal
    monkeypatch.setenv("TERM", "xterm")
    huaweicloud.job("dli_batch", "b1", "starting", "running", "success")

    _, out, err = run("wait", "dli_batch", "b1", "--poke-interval", "0.3")
    assert "b1  success  (success)\n" == out
    assert "1 of 1 not over; next poll in" in err
    assert err.rstrip().endswith("\x1b[2K")


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("wait",),
        ("status", "spark", "b1"),
        ("status", "dli_batch", "no/id"),
        ("wait", "dli_batch", "b1", "--timeout", "soon"),
        ("wait", "dli_batch", "b1", "--expected-jobs", "1"),
        ("wait", "cph_request", "r1", "r2", "--expected-jobs", "1"),
        ("cancel", "cph_request", "r1"),
        ("list", "cph_job"),
        ("list", "cph_request"),
        ("list", "cph_request", "r1", "--name", "n"),
        ("list", "dli_batch", "b1"),
        ("list", "dli_batch", "--limit", "0"),
        ("list", "dli_batch", "--submitted-after", "yesterday"),
        ("submit", "dli_batch", "--body", "{"),
        ("submit", "dli_batch", "--body", "{}"),
        ("submit", "dli_batch", "--body", "@/no/such/file"),
        ("submit", "cph_job", "--body", "{}"),
        ("submit", "mrs_job", "--body", "{}"),
    ],
)
def test_wrong_command_line(run, huaweicloud, argv):
    """2, as everywhere, and no request was sent."""
    assert 2 == run(*argv)[0]
    assert [] == huaweicloud.requests


@pytest.mark.usefixtures("airflow_db")
@pytest.mark.long
def test_connection_in_airflows_database(huaweicloud, monkeypatch):
    """The program finds what Airflow's own commands store, and prints nothing but its answer to standard output."""
    monkeypatch.delenv("AIRFLOW_CONN_HWSTATUS_DEFAULT")
    huaweicloud.job("dli_batch", "b1", "running")
    connection = huaweicloud.connection(region="xx-new-9")  # which is warned about
    add = ["-m", "airflow", "connections", "add", "in_database", "--conn-json", json.dumps(connection)]
    ask = [
        "-m",
        "airflow_provider_hwstatus",
        "status",
        "dli_batch",
        "b1",
        "--conn-id",
        "in_database",
        "--output",
        "json",
    ]
    for command in (add, ask):
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
        assert 0 == done.returncode, done.stdout + done.stderr
    assert "running" == json.loads(done.stdout)[0]["state"]
    assert "xx-new-9" in done.stderr


@pytest.mark.skipif(AIRFLOW < (3, 2), reason="Airflow takes commands from providers since 3.2")
def test_airflow_has_the_commands(huaweicloud):
    """They are Airflow's own, with the same exit codes."""
    huaweicloud.job("dli_batch", "b1", "running", "dead")
    command = [sys.executable, "-m", "airflow", "hwstatus", "wait", "dli_batch", "b1", "--poke-interval", "0.1"]

    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert 1 == done.returncode
    assert "\nDLI batch b1 failed" in f"\n{done.stdout}"
