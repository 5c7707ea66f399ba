"""Every fault × sync and async × first or later poll: each with its verdict."""

import json
import socket

import pytest

from airflow_provider_hwstatus.sensors.cph import CphJobSensor
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor
from airflow_provider_hwstatus.testing import Fault, Reply

WINDOW = "The throttling threshold has been reached: policy ip over ratelimit,limit:5,time:1 second"


def api(status, code, text="why", **headers):
    return Reply(status=status, body={"error_code": code, "error_msg": text, "request_id": "r"}, headers=headers)


#: Faults that pass. The wait goes on and ends with the job's own verdict.
TRANSIENT = {
    "reset": Fault.RESET,
    "half a reply": Fault.HALF,
    "time-out": Fault.HANG,
    "slow body": Fault.DRIP,
    "408": 408,
    "429": Reply(status=429),
    "429 Retry-After": api(429, "APIGW.0308", **{"Retry-After": "1"}),
    "429 window": api(429, "APIGW.0308", WINDOW),
    **{str(status): Reply(status=status) for status in (500, 501, 502, 503, 504, 507, 599)},
    "503 Retry-After": Reply(status=503, headers={"Retry-After": "1"}),
    "502 HTML": Reply(status=502, body="<html>Bad Gateway</html>"),
    "DLI.0999": api(400, "DLI.0999"),
    "CPS.0003": api(400, "CPS.0003"),
    "CPS.0042": api(400, "CPS.0042"),
    "IAM unavailable": api(503, "APIGW.0613"),
}

#: Faults that asking again does not mend, and the error that each is.
FINAL = {
    "HTML": (Reply(body="<html>Please log in</html>"), "MalformedResponseError"),
    "empty body": (Reply(body=b""), "MalformedResponseError"),
    "wrong content type": (
        Reply(body="state: success", headers={"Content-Type": "text/plain"}),
        "MalformedResponseError",
    ),
    "body over the bound": (Reply(body=b" " * (4 * 1024 * 1024 + 1)), "MalformedResponseError"),
    "redirect": (Reply(status=302, headers={"Location": "http://127.0.0.1:9/"}), "ApiError"),
    "400": (api(400, "DLI.0001"), "ApiError"),
    "403": (api(403, "APIGW.0302"), "AuthenticationError"),
    "no permission": (api(400, "CPS.0001"), "AuthenticationError"),
    "no such job": (api(404, "DLI.0023"), "JobNotFoundError"),
    "no such API": (api(404, "APIGW.0101"), "ApiNotAvailableError"),
    "407": (Reply(status=407), "ApiError"),
}


@pytest.fixture
def quick(huaweicloud, monkeypatch, request):
    """A connection whose requests give up after three seconds if the test is about some that hang."""
    hang = any(name in request.node.name for name in ("time-out", "slow body"))
    connection = huaweicloud.connection(request_timeout=3 if hang else 30)
    monkeypatch.setenv("AIRFLOW_CONN_HWSTATUS_DEFAULT", json.dumps(connection))
    return huaweicloud


@pytest.fixture(params=["poke", "deferrable"], ids=["sync", "async"])
def colour(request):
    """One colour; a deferred wait is sync for its first poll only."""
    return request.param


@pytest.mark.real_time
@pytest.mark.parametrize("before", [[], ["running"]], ids=["first", "later"])
@pytest.mark.parametrize("fault", TRANSIENT.values(), ids=TRANSIENT)
def test_fault_that_passes_is_waited_out(quick, run_sensor, colour, fault, before):
    """The wait ends with the job's own verdict, whatever happened in between."""
    quick.job("dli_batch", "b1", *before, fault, "dead")

    end = run_sensor(DliBatchSensor, colour, batch_id="b1", poke_interval=0.1, timeout=60)
    assert "AirflowFailException" == end.verdict
    assert len(before) + 2 == quick.polls("b1")


@pytest.mark.parametrize("before", [[], ["running"]], ids=["first", "later"])
@pytest.mark.parametrize(("fault", "error"), FINAL.values(), ids=FINAL)
def test_fault_that_does_not_pass_ends_the_wait(quick, run_sensor, colour, fault, error, before):
    """A no is the task's error at once, and never a success."""
    quick.job("dli_batch", "b1", *before, fault, "success")

    end = run_sensor(DliBatchSensor, colour, batch_id="b1", poke_interval=0.1, timeout=60, soft_fail=True)
    assert error == end.verdict
    assert "DLI batch b1" in str(end.error)
    assert len(before) + 1 == quick.polls("b1")


@pytest.mark.parametrize(
    ("where", "what_next"),
    [("refused", "the firewall"), ("no such host", "look the host's name up"), ("no TLS", "speaks HTTPS")],
)
def test_no_connection_is_an_outage(huaweicloud, run_sensor, colour, monkeypatch, where, what_next):
    """Nobody there, no such name and no TLS are waited out, and then named, with what to check."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        endpoints = {
            "refused": f"http://127.0.0.1:{closed.getsockname()[1]}",
            "no such host": "http://no-such-host.invalid",
            "no TLS": huaweicloud.url.replace("http://", "https://"),
        }
        connection = huaweicloud.connection(dli_endpoint=endpoints[where])
        monkeypatch.setenv("AIRFLOW_CONN_HWSTATUS_DEFAULT", json.dumps(connection))
        end = run_sensor(DliBatchSensor, colour, batch_id="b1", poke_interval=0.1, outage_tolerance=0.5)
    assert "TransportError" == end.verdict
    assert "no answer for 0.5 s (outage_tolerance)" in str(end.error)
    assert what_next in str(end.error).split("\n  next: ")[1]


def test_tolerance_starts_anew_after_each_answer(quick, run_sensor, mode):
    """Many short outages are not one long one."""
    quick.job("dli_batch", "b1", *["running", 503, 503] * 5, "success")

    assert "success" == run_sensor(DliBatchSensor, mode, batch_id="b1", poke_interval=0.1, outage_tolerance=6).verdict


def test_job_that_is_not_there_yet_is_waited_for(quick, run_sensor, mode):
    """With not_found_grace a job may appear a little later; without, an unknown id is an error at once."""
    missing = api(400, "CPS.0011")
    quick.job("cph_job", "c1", missing, missing, 1, 2)
    arguments = {"job_id": "c1", "poke_interval": 0.1}

    assert "success" == run_sensor(CphJobSensor, mode, **arguments, not_found_grace=30).verdict
    quick.job("cph_job", "c1", missing, 1, 2)
    assert "JobNotFoundError" == run_sensor(CphJobSensor, mode, **arguments).verdict
    quick.job("cph_job", "c1", missing)
    assert "JobNotFoundError" == run_sensor(CphJobSensor, mode, **arguments, not_found_grace=0.5).verdict


def test_other_errors_have_no_grace(quick, run_sensor, mode):
    """Only a job that is not known is waited for."""
    quick.job("cph_job", "c1", 403, 2)

    assert "AuthenticationError" == run_sensor(CphJobSensor, mode, job_id="c1", not_found_grace=30).verdict
