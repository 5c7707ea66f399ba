"""Nothing secret shows anywhere, also where the gateway echoes it."""

import base64
import html
import json
import logging
import traceback
from urllib.parse import quote

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor
from airflow_provider_hwstatus.testing import Fault, Reply

LOGINS = ("aksk", "temporary", "password", "token", "agency")
FAULTS = {
    "401": 401,
    "403": 403,
    "503": 503,
    "reset": Fault.RESET,
    "half": Fault.HALF,
    "HTML": Reply(body="<html>"),
    "dead": "dead",
    "unknown": "paused",
}


def everything_said(error):
    """Return what a traceback of *error*, its causes and its contexts says, and their attributes."""
    said, seen = "", set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        said += "".join(traceback.format_exception_only(error)) + repr(vars(error))
        said += everything_said(error.__cause__) if error.__cause__ else ""
        error = error.__context__
    return said


@pytest.fixture
def connected(huaweicloud, monkeypatch):
    """Return a function that connects by a way to log in, and returns the secrets that must not show."""

    def connect(login):
        key = huaweicloud.temporary_key() if login == "temporary" else None
        fields = huaweicloud.connection("aksk", key=key) if key else huaweicloud.connection(login)
        monkeypatch.setenv("AIRFLOW_CONN_HWSTATUS_DEFAULT", json.dumps(fields))
        secrets = [fields.get("password"), fields["extra"].get("security_token")]
        secrets += [fields.get("login")] if login in ("aksk", "temporary") else []
        return secrets

    return connect


def sent_secrets(cloud):
    """Return the tokens and keys that went over the wire: what was fetched is secret, too."""
    tokens = {record.headers.get(name) for record in cloud.requests for name in ("x-auth-token", "x-security-token")}
    signed = [record.headers.get("authorization", "") for record in cloud.requests]
    keys = {value.split("Access=")[1].split(",")[0] for value in signed if "Access=" in value}
    return tokens | keys


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("login", LOGINS)
def test_nothing_secret_shows(huaweicloud, connected, run_sensor, caplog, capfd, login, fault):
    """Errors and their chains, logs at DEBUG, events, return values: in every mode, after every fault, with an echo."""
    caplog.set_level(logging.DEBUG)
    secrets = connected(login)
    said = ""
    for mode in ("poke", "deferrable"):
        huaweicloud.job("dli_batch", "b1", "running", FAULTS[fault])
        arguments = {"batch_id": "b1", "poke_interval": 0.1, "timeout": 1, "outage_tolerance": 0.2}
        end = run_sensor(DliBatchSensor, mode, **arguments)
        said += everything_said(end.error) + repr(end.value)
        huaweicloud.job("dli_batch", "b1", "running", Reply(status=401, body=echo(huaweicloud, secrets)))
        end = run_sensor(DliBatchSensor, mode, **arguments)
        said += everything_said(end.error) + repr(end.value)
    said += caplog.text + "".join(capfd.readouterr())

    secrets = {secret for secret in (*secrets, *sent_secrets(huaweicloud)) if secret}
    assert secrets
    assert [] == [secret for secret in secrets if secret in said]


def echo(cloud, secrets):
    """Return an error body as the gateway's, with everything that was sent in it."""
    heard = "|".join(filter(None, (*secrets, *sent_secrets(cloud))))
    return {"error_code": "APIGW.0301", "error_msg": f"verify aksk signature fail, canonicalRequest:GET|/x||{heard}"}


@pytest.mark.parametrize("login", LOGINS)
def test_no_part_of_a_secret_shows(huaweicloud, connected, run_sensor, caplog, capfd, login):
    """What the gateway echoes may be cut, escaped for JSON, HTML or a URL, and encoded, in every mode."""
    caplog.set_level(logging.DEBUG)
    secrets, said = connected(login), ""
    for mode in ("poke", "deferrable"):
        huaweicloud.job("dli_batch", "b1", "running")
        run_sensor(DliBatchSensor, mode, batch_id="b1", poke_interval=0.1, timeout=0.2)
        sent = sorted({secret for secret in (*secrets, *sent_secrets(huaweicloud)) if secret})
        text = "|".join(form for secret in sent for form in distorted(secret[:199]))
        for body in (text, {"error_code": "APIGW.0301", "error_msg": text}):
            huaweicloud.job("dli_batch", "b1", "running", Reply(status=403, body=body))
            end = run_sensor(DliBatchSensor, mode, batch_id="b1", poke_interval=0.1, timeout=5)
            assert "HTTP 403" in str(end.error)
            said += everything_said(end.error)
    said += caplog.text + "".join(capfd.readouterr())

    parts = {secret[begin : begin + 16] for secret in sent for begin in range(len(secret) - 15)}
    assert parts
    assert [] == [form for part in parts for form in distorted(part) if form in said]


def distorted(text):
    """Return what becomes of a text on its way through gateways and proxies; Base64 only as far as it is this text."""
    in_hex = "".join(f"\\u{ord(character):04X}" for character in text)
    quoted = quote(text, safe="")
    encoded = base64.b64encode(text.encode()).decode()[: len(text.encode()) * 4 // 3]
    return [text, html.escape(text), in_hex, quoted, quote(quoted, safe=""), encoded]


@pytest.mark.parametrize("login", LOGINS)
def test_nothing_secret_is_stored(huaweicloud, connected, login):
    """A trigger's row, an operator's fields and every repr hold the connection's id, not what is in it."""
    secrets = connected(login)
    huaweicloud.job("dli_batch", "b1", "running")
    hook = HwStatusHook()
    hook.get_status("dli_batch", "b1")
    sensor = DliBatchSensor(task_id="t", batch_id="b1", deferrable=True)
    with pytest.raises(TaskDeferred) as caught:
        sensor.execute({"ti": None})

    connection = hook.get_conn()
    kept = [caught.value.trigger.serialize(), vars(sensor), vars(hook), connection, vars(connection), connection.client]
    kept += [connection.client.settings, vars(caught.value)]
    hook.close()
    secrets = {secret for secret in (*secrets, *sent_secrets(huaweicloud)) if secret}
    assert [] == [secret for secret in secrets if secret in repr(kept)]
