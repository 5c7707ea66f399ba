"""Scripted jobs, faults and the record of requests."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from contextlib import closing

import pytest
import requests

from airflow_provider_hwstatus.kinds import KINDS
from airflow_provider_hwstatus.kinds.cph import CPH_JOB
from airflow_provider_hwstatus.testing import FakeHuaweiCloud, Fault, Reply

STATE = "{dli}/batches/b1/state"


def states(client, calls, path=STATE):
    replies = [client.get(path) for _ in range(calls)]
    return [reply.json().get("state", reply.status_code) for reply in replies]


def test_one_step_per_poll_and_the_last_stays(cloud, client):
    """Each poll takes one step. The last step stays."""
    cloud.job("dli_batch", "b1", "starting", 503, "success")

    assert ["starting", 503, "success", "success"] == states(client, 4)
    assert 4 == cloud.polls("b1")


def test_steps_by_seconds_count_from_now(cloud, client, clock):
    """Steps by seconds do not depend on the number of polls."""
    cloud.job("dli_batch", "b1", seconds={0: "starting", 2.5: 500, 5: "success"})
    seen = []
    for seconds in (0, 2.4, 0.1, 2.4, 0.1, 100):
        clock.now += seconds
        seen += states(client, 1)

    assert ["starting", "starting", 500, 500, "success", "success"] == seen


def test_steps_by_seconds_can_count_from_the_first_poll(cloud, client, clock):
    """With since_first_call, the seconds count from the first poll."""
    cloud.job("dli_batch", "b1", seconds={0: "starting", 5: "success"}, since_first_call=True)
    clock.now += 100
    seen = states(client, 1)
    clock.now += 5

    assert ["starting", "success"] == seen + states(client, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_scripted(cloud, client, kind):
    """Each kind can be used by its name. The reply contains its id and state."""
    state = min(KINDS[kind].success)
    cloud.job(kind, "x1", state)
    declared = KINDS[kind].with_parameters(dict.fromkeys(KINDS[kind].parameters, "x2"))
    path = declared.path.format(project_id=cloud.project_id, job_id="x1")
    body = client.get(path).json()

    assert ("x1", state) == (declared.value("id", body, "x1"), str(declared.value("state", body, "x1")))


@pytest.mark.parametrize(
    ("steps", "seconds"),
    [
        ((), None),
        ((), {}),
        (("running",), {0: "running"}),
        ((100,), None),
        ((600,), None),
        ((None,), None),
        ((True,), None),
        ((), {-1: "running"}),
    ],
)
def test_invalid_script_is_refused(steps, seconds):
    """Missing, conflicting and invalid steps are a ValueError."""
    with pytest.raises(ValueError, match=r"steps|no state|before"):
        FakeHuaweiCloud().job(CPH_JOB, "j1", *steps, seconds=seconds)


@pytest.mark.parametrize(
    ("status", "path", "code"),
    [
        (400, STATE, "DLI.0001"),
        (401, STATE, "APIGW.0301"),
        (403, STATE, "APIGW.0302"),
        (429, STATE, "APIGW.0308"),
        (500, STATE, "DLI.0999"),
        (502, STATE, "APIGW.0202"),
        (503, STATE, "APIGW.0613"),
        (418, STATE, "APIGW.0601"),
        (500, "{cph}/jobs/j1", "CPS.0003"),
        (429, "/v3/projects", "IAM.0012"),
    ],
)
def test_http_status_has_the_services_error_body(cloud, client, status, path, code):
    """An HTTP status gets the error body of the addressed service."""
    cloud.break_with(status)
    reply = client.send(path)

    assert (status, code) == (reply.status_code, reply.json()["error_code"])


@pytest.mark.parametrize("path", [STATE, "{cph}/jobs/j1", "/v3/projects"])
def test_plain_429_asks_for_one_second(cloud, client, path):
    """A 429 without further options has "Retry-After: 1", so that tests stay fast."""
    cloud.break_with(429)

    assert "1" == client.send(path).headers["Retry-After"]


def test_iam_errors_have_keystones_format(cloud, client):
    """IAM's errors have their own format."""
    cloud.break_with(503, path_contains="/v3/auth")

    assert 503 == client.log_in().json()["error"]["code"]
    assert 201 == client.log_in().status_code


def test_forced_replies_are_limited(cloud, client):
    """Forced replies end after the given number of calls. They take no step of a job."""
    cloud.job("dli_batch", "b1", "starting", "success")
    cloud.break_with(502, calls=2)

    assert [502, 502, "starting"] == states(client, 3)


@pytest.mark.parametrize("step", ["running", 1, None])
def test_forced_reply_cannot_be_a_state(cloud, step):
    """break_with refuses a state."""
    with pytest.raises(ValueError, match="state"):
        cloud.break_with(step)


@pytest.mark.parametrize(
    ("body", "text", "content_type"),
    [
        ({"state": ["odd"]}, '{"state": ["odd"]}', "application/json;charset=utf8"),
        ("<html>", "<html>", "text/html"),
        (b"\x00", "\x00", "application/json;charset=utf8"),
    ],
)
def test_reply_can_have_any_body(cloud, client, body, text, content_type):
    """A step can have any status, body and headers."""
    cloud.job("dli_batch", "b1", Reply(202, body, {"Retry-After": "7"}))
    reply = client.get(STATE)

    assert (202, text, "7") == (reply.status_code, reply.text, reply.headers["Retry-After"])
    assert content_type == reply.headers["Content-Type"]


def test_reply_headers_replace_defaults(cloud, client):
    """Headers of a reply replace the default headers."""
    cloud.job("dli_batch", "b1", Reply(headers={"content-type": "text/plain", "X-REQUEST-ID": "mine"}))
    reply = client.get(STATE)

    assert ("text/plain", "mine") == (reply.headers["Content-Type"], reply.headers["X-Request-Id"])


def test_reply_can_be_delayed(cloud, client):
    """A delay is real time, not the fake's clock."""
    cloud.job("dli_batch", "b1", Reply(delay=0.2))
    begin = time.monotonic()
    client.get(STATE)

    assert 0.2 <= time.monotonic() - begin < 20


def test_reset_resets_the_connection(cloud, client):
    """The client gets a connection reset."""
    cloud.job("dli_batch", "b1", Fault.RESET, "success")
    with pytest.raises(requests.ConnectionError, match="reset"):
        client.get(STATE)

    assert ["success"] == states(client, 1)


def test_half_ends_in_the_middle(cloud, client):
    """The reply ends in the middle of its body."""
    cloud.job("dli_batch", "b1", Fault.HALF, "success")
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        client.get(STATE)

    assert ["success"] == states(client, 1)


def test_hang_sends_nothing(cloud, client):
    """The client gets no reply and must time out."""
    cloud.job("dli_batch", "b1", Fault.HANG, "success")
    with pytest.raises(requests.ReadTimeout):
        client.get(STATE, timeout=0.2)

    assert ["success"] == states(client, 1)


def test_drip_does_not_trigger_a_read_timeout(cloud):
    """Each byte arrives in time, but the body never ends. Only a limit for the whole request helps."""
    cloud.break_with(Fault.DRIP)
    begin = time.monotonic()
    with closing(http.client.HTTPConnection("127.0.0.1", cloud.port, timeout=5)) as connection:
        connection.request("GET", "/")
        response = connection.getresponse()
        response.read(4)

        assert (200, True) == (response.status, 0.4 < time.monotonic() - begin < 20)


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.DRIP])
def test_stop_does_not_wait_for_faults(cloud, fault):
    """Stopping the fake ends an endless fault with a reset."""
    cloud.break_with(fault)
    with socket.create_connection(("127.0.0.1", cloud.port), timeout=30) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        while not cloud.requests:
            time.sleep(0.01)
        begin = time.monotonic()
        cloud.stop()
        with pytest.raises(ConnectionResetError):
            client.makefile("rb").read()

    assert time.monotonic() - begin < 20


def test_requests_are_recorded(cloud, client):
    """Each request is recorded with its reply before the client gets the reply."""
    cloud.job("cph_job", "j1", 1, 429, Fault.RESET)
    notified = []
    cloud.listeners.append(notified.append)
    path = client.path("{cph}/jobs/j1")
    replies = [client.get(f"{path}?a=%20b"), client.get(path)]
    with pytest.raises(requests.ConnectionError):
        client.get(path)
    records = cloud.requests

    assert [(200, "1"), (429, None), (None, None)] == [(record.status, record.state) for record in records]
    assert [("GET", path, "j1")] * 3 == [(record.method, record.path, record.job_id) for record in records]
    assert ["a=%20b", "", ""] == [record.query for record in records]
    assert [reply.headers["X-Request-Id"] for reply in replies] == [record.request_id for record in records[:2]]
    assert records[0].headers["authorization"].startswith("SDK-HMAC-SHA256 Access=")
    assert notified == records


def test_connections_are_counted(cloud, client):
    """A keep-alive connection counts once."""
    client.get("/")
    client.get("/")
    requests.get(cloud.url, timeout=30)

    assert 2 == cloud.connections


def test_outage_keeps_port_jobs_and_logins(cloud, client):
    """Port, jobs and logins stay the same after a stop and a start."""
    cloud.job("dli_batch", "b1", "starting", "success")
    token, port = cloud.connection("token")["password"], cloud.port
    before = states(client, 1)
    cloud.stop()
    with pytest.raises(requests.ConnectionError):
        client.get(STATE)
    cloud.start()
    after = client.send(STATE, {"X-Auth-Token": token}).json()["state"]

    assert (["starting"], "success", port) == (before, after, cloud.port)


def test_start_and_stop_can_be_repeated(cloud):
    """A second start or stop has no effect."""
    cloud.start()
    cloud.stop()
    cloud.stop()

    assert not [thread for thread in threading.enumerate() if thread.name == "fake-huawei-cloud"]


def test_port_in_use_is_an_error(cloud):
    """Starting on a port in use is an OSError."""
    with pytest.raises(OSError, match="in use"):
        FakeHuaweiCloud(cloud.port).start()


def test_many_clients_at_once_take_each_step_once(cloud, client):
    """Concurrent polls take each step exactly once."""
    cloud.job("dli_batch", "b1", *[str(number) for number in range(40)])
    headers = {"X-Auth-Token": cloud.connection("token")["password"]}
    url, seen = cloud.url + client.path(STATE), []

    def poll():
        seen.extend(requests.get(url, headers=headers, timeout=30).json()["state"] for _ in range(10))

    threads = [threading.Thread(target=poll) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(map(str, range(40))) == sorted(seen)


def test_fixture_is_the_default_connection(huaweicloud, monkeypatch):
    """The fixture runs a fake, and Airflow's default connection points to it."""
    import os

    connection = json.loads(os.environ["AIRFLOW_CONN_HWSTATUS_DEFAULT"])

    assert huaweicloud.connection() == connection
    assert 404 == requests.get(huaweicloud.url, timeout=30).status_code
