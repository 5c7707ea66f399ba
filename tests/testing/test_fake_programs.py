"""The command line, and the cost of importing the package."""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime

import pytest
import requests

from airflow_provider_hwstatus.core.connection.signing import AccessKey, sign
from airflow_provider_hwstatus.core.protocol.effects import Request
from airflow_provider_hwstatus.testing import Fault
from airflow_provider_hwstatus.testing.__main__ import main, parse_job

MODULE = "airflow_provider_hwstatus.testing"
BATCH_ID = "5c1d8f02-7e64-4b8f-9d0e-8a4f6f1b2c3d"


def get_json(connection, path):
    extra = connection["extra"]
    request = Request("GET", extra["dli_endpoint"] + path.format(extra["project_id"]))
    signed = sign(request, AccessKey(connection["login"], connection["password"]), datetime.now(UTC))
    return requests.get(request.url, headers=dict(signed.headers), timeout=30).json()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_program_serves_until_a_signal(number, without_slow_warnings):
    """The printed connection works, each reply is printed, and a signal stops the program cleanly."""
    command = [sys.executable, "-m", MODULE, "--port", "0", "--job", f"dli_batch:{BATCH_ID}:starting,success"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        lines = []
        while "Ctrl-C" not in (lines or [""])[-1]:
            lines.append(program.stdout.readline())
        exported = re.search("export AIRFLOW_CONN_HWSTATUS_DEFAULT='(.*)'", "".join(lines)).group(1)
        replies = [get_json(json.loads(exported), f"/v2.0/{{}}/batches/{BATCH_ID}/state") for _ in range(2)]
        ready = get_json(json.loads(exported), "/v1/{}/cloud-phone/jobs/cph-good")
        program.send_signal(number)
        output, errors = program.communicate(timeout=60)

    assert ["starting", "success"] == [reply["state"] for reply in replies]
    assert 1 == ready["status"]
    assert ["200 starting", "200 success", "200 1"] == [line.split("-> ")[1] for line in output.splitlines()]
    assert (0, "") == (program.returncode, without_slow_warnings(errors))


def test_busy_port_is_one_line(huaweicloud):
    """Two programs cannot use one port: the message says what to do, without a traceback."""
    with pytest.raises(SystemExit) as left:
        main(["--port", str(huaweicloud.port)])

    assert (
        f"error: port {huaweicloud.port} cannot be used: Address already in use; choose another --port"
        == left.value.code
    )


@pytest.mark.parametrize("port", ["65536", "-1", "http"])
def test_impossible_port_is_refused(port, capsys):
    """The command line is wrong."""
    with pytest.raises(SystemExit) as left:
        main(["--port", port])

    assert 2 == left.value.code
    assert "is not a number from 0 to 65535" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "steps", "seconds"),
    [
        ("dli_batch:b:starting,503,success", ("starting", 503, "success"), None),
        ("cph_job:j:1,hang,-1", (1, Fault.HANG, -1), None),
        ("dli_batch:b:0=starting,2.5=reset,30=success", (), {0: "starting", 2.5: Fault.RESET, 30: "success"}),
    ],
)
def test_job_argument_is_parsed(text, steps, seconds):
    """A --job argument contains kind, id and steps."""
    job = parse_job(text)

    assert (steps, seconds) == (job.steps, job.seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dli_batch:b",
        "no_kind:b:running",
        "dli_batch::running",
        "dli_batch:b:",
        "dli_batch:b:a,,b",
        "dli_batch:b:0=a,b",
        "dli_batch:b:x=a",
        "dli_batch:b:150",
    ],
)
def test_invalid_job_argument_is_refused(text):
    """An invalid --job argument is an error."""
    with pytest.raises(argparse.ArgumentTypeError):
        parse_job(text)


def test_plugin_is_cheap_to_load():
    """The pytest plugin imports no HTTP library and no Airflow, because every pytest session loads it."""
    heavy = "{'aiohttp', 'airflow', 'requests', 'asyncio'}"
    code = f"import sys, {MODULE}.pytest_plugin; print({heavy} & set(sys.modules))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert "set()\n" == output


def test_unknown_name_is_an_attribute_error():
    """The package exports only the names in __all__."""
    import airflow_provider_hwstatus.testing as package

    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = package.nothing
