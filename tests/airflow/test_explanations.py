"""A failure explains itself; what keeps it from that never changes the verdict."""

import asyncio
import json
import logging
import re
import socket
import threading
from pkgutil import resolve_name

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout, TaskDeferred

from airflow_provider_hwstatus.hooks import hwstatus
from airflow_provider_hwstatus.sensors import failure
from airflow_provider_hwstatus.sensors.cph import CphJobSensor
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor, DliSessionSensor
from airflow_provider_hwstatus.testing import Fault, Reply

BATCH = "d2f6c8e1-94ab-4f07-b5c3-6a7e80d91f24"
FAST = {"poke_interval": 0.1, "timeout": 60}
LOG = [f"line {number}" for number in range(1, 61)]

#: What can happen to a question for details or a log, and what the message says of it.
MISBEHAVIOURS = {
    "403": (403, "HTTP 403 APIGW.0302"),
    "404": (404, "HTTP 404 APIGW.0101"),
    "500": (500, "HTTP 500 DLI.0999"),
    "503": (503, "HTTP 503"),
    "429": (Reply(429, headers={"Retry-After": "600"}), "HTTP 429"),
    "reset": (Fault.RESET, "/batches/"),
    "half": (Fault.HALF, "/batches/"),
    "hanging": (Fault.HANG, "/batches/"),
    "dripping": (Fault.DRIP, "/batches/"),
    "redirect": (Reply(302, headers={"Location": "http://127.0.0.1:9/"}), "HTTP 302"),
    "huge": (Reply(body=b" " * (4 * 1024 * 1024 + 1)), "longer than"),
    "HTML": (Reply(body="<html>Please log in</html>"), "without a JSON object"),
    "list": (Reply(body=b"[1, 2]"), "without a JSON object"),
    "other job": (Reply(body={"id": "another"}), "another job"),
    "odd types": (
        Reply(body={"log": {"a": 1}, "name": ["x"], "queue": 7.5, "create_time": "soon", "total": {}}),
        "has none",
    ),
    "empty": (Reply(body={}), "has none"),
}


@pytest.fixture
def quick(huaweicloud, monkeypatch, request):
    """A connection whose requests give up soon if the test is about some that hang."""
    hang = request.node.name.partition("[")[2].startswith(("hanging", "dripping"))
    connection = huaweicloud.connection(request_timeout=2.5 if hang else 20)
    monkeypatch.setenv("AIRFLOW_CONN_HWSTATUS_DEFAULT", json.dumps(connection))
    return huaweicloud


def facts(error):
    """Return a message's first line, its facts by name and its last lines of output."""
    message, _, output = str(error).partition("\n  its last lines of output:\n")
    first, *lines = message.splitlines()
    return first, dict(line.strip().split(": ", 1) for line in lines), [line[4:] for line in output.splitlines()]


def paths(cloud):
    return [record.path.rpartition("/v2.0/")[2].partition("/")[2] for record in cloud.requests]


def test_message_of_a_batch(quick, run_sensor, mode):
    """It has all that the state's reply leaves out, in every mode alike, and is asked for once."""
    began, ended = 1_763_691_220_000, 1_763_691_293_000
    fields = {"name": "nightly_etl", "queue": "etl", "create_time": began, "update_time": ended, "log": LOG}
    quick.job("dli_batch", BATCH, "running", "dead", **fields)

    end = run_sensor(DliBatchSensor, mode, batch_id=BATCH, **FAST)

    assert "AirflowFailException" == end.verdict
    first, found, output = facts(end.error)
    assert f"DLI batch {BATCH} failed: its state is 'dead'" == first
    polls = [record for record in quick.requests if record.path.endswith("/state")]
    assert {
        "name": "nightly_etl",
        "queue": "etl",
        "began": "2025-11-21T02:13:40Z",
        "ended": "2025-11-21T02:14:53Z, after 1 min 13 s",
        "request id": polls[-1].request_id,
        "next": "open the job under Job Management in the DLI console for the driver's log",
    } == found
    assert LOG[-10:] == output
    assert [f"batches/{BATCH}", f"batches/{BATCH}/log"] == paths(quick)[-2:]
    assert 2 == len(polls)


def test_message_of_a_session(quick, run_sensor, mode):
    """A session has details and a log, too."""
    quick.job("dli_session_ready", "s1", "starting", "dead", queue="etl", log=["no executors"])

    end = run_sensor(DliSessionSensor, mode, session_id="s1", **FAST)
    _, found, output = facts(end.error)
    assert ("etl", ["no executors"]) == (found["queue"], output)


def test_message_of_a_cph_job(quick, run_sensor, mode):
    """CPH tells everything with the state: nothing more is asked, and the error's code says what to do."""
    fields = {
        "error_code": "CPS.0005",
        "error_msg": "The phone is not running.",
        "execute_msg": "a\nb",
        "phone_id": "p7",
    }
    quick.job("cph_job", "c1", 1, -1, **fields)

    end = run_sensor(CphJobSensor, mode, job_id="c1", **FAST)
    first, found, output = facts(end.error)
    assert "CPH job c1 failed: its state is '-1'" == first
    assert ("CPS.0005 The phone is not running.", "p7", ["a", "b"]) == (found["error"], found["phone"], output)
    assert "check the phone or server in the CPH console" == found["next"]
    assert {"began", "ended", "request id"} <= set(found)
    assert 2 == len(quick.requests)


@pytest.mark.real_time
@pytest.mark.parametrize("where", ["details", "log", "both"])
@pytest.mark.parametrize("how", MISBEHAVIOURS)
def test_verdict_stays(quick, run_sensor, clock, how, where):
    """Whatever happens to the questions for details, the task fails with what is known, and says why it has no log."""
    step, said = MISBEHAVIOURS[how]
    quick.job("dli_batch", BATCH, "dead", log=LOG[:1])
    ends = {"details": [f"/{BATCH}"], "log": ["/log"], "both": [f"/{BATCH}", "/log"]}
    for path in ends[where]:
        quick.break_with(step, 100, path_ends=path)
    began = clock.monotonic()

    end = run_sensor(DliBatchSensor, "poke", batch_id=BATCH, **FAST)

    assert 10 > clock.monotonic() - began
    assert "AirflowFailException" == end.verdict
    first, found, output = facts(end.error)
    assert f"DLI batch {BATCH} failed: its state is 'dead'" == first
    assert {"request id", "next"} <= set(found)
    if where == "both" or (how, where) == ("429", "details"):  # which asks for silence
        assert said in found["no log"]
        assert [] == output
    else:
        assert "no log" not in found
        assert LOG[:1] == output


@pytest.mark.real_time
@pytest.mark.parametrize("mode", ["reschedule", "deferrable"])
@pytest.mark.parametrize("how", ["403", "hanging", "huge"])
def test_verdict_stays_in_every_mode(quick, run_sensor, mode, how):
    """The same questions have the same end where a worker resumes a deferred task."""
    step, said = MISBEHAVIOURS[how]
    quick.job("dli_batch", BATCH, "running", "dead")
    for path in (f"/{BATCH}", "/log"):
        quick.break_with(step, 100, path_ends=path)

    end = run_sensor(DliBatchSensor, mode, batch_id=BATCH, **FAST)
    assert "AirflowFailException" == end.verdict
    assert said in facts(end.error)[1]["no log"]


def test_region_without_the_log_api(quick, run_sensor):
    """The details' own lines stand in where the log's API is offline, as it is in newer regions."""
    quick.unpublish("log")
    quick.job("dli_batch", BATCH, "dead", log=LOG)

    _, found, output = facts(run_sensor(DliBatchSensor, "poke", batch_id=BATCH, **FAST).error)
    assert LOG[-10:] == output
    assert "no log" not in found


@pytest.mark.real_time
def test_details_take_ten_seconds_at_most(huaweicloud, run_sensor, clock, monkeypatch):
    """Requests that hang end in time, however long the connection lets requests take."""
    assert 10.0 == failure.BUDGET
    monkeypatch.setattr(failure, "BUDGET", 2.0)  # and two are as good here
    huaweicloud.job("dli_batch", BATCH, "dead")
    for path in (f"/{BATCH}", "/log"):
        huaweicloud.break_with(Fault.HANG, 100, path_ends=path)
    began = clock.monotonic()

    end = run_sensor(DliBatchSensor, "poke", batch_id=BATCH, **FAST)
    assert 10 > clock.monotonic() - began
    assert "AirflowFailException" == end.verdict


def test_what_cannot_be_stopped_is_left_behind(quick, run_sensor, monkeypatch):
    """Looking a host name up has no time-out; the verdict does not wait for it."""
    quick.job("dli_batch", BATCH, "dead")
    look_up = socket.getaddrinfo
    sensor = DliBatchSensor(task_id="t", batch_id=BATCH)
    monkeypatch.setattr(sensor.hook, "close", lambda: sensor.hook.__dict__.update(_connection=None))
    status = sensor.hook.get_dli_batch_status(BATCH)
    sensor.hook.close()
    verdict, looked_up = threading.Event(), []

    def hang(*args, **kwargs):
        looked_up.append(verdict.wait(60))
        return look_up(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    assert "no answer within 0.5 s" == sensor.hook.diagnose("dli_batch", status, 0.5).missing
    assert [] == looked_up
    verdict.set()
    for thread in threading.enumerate():
        if thread.name == "hwstatus-within":
            thread.join(30)


@pytest.mark.parametrize("error", [AirflowTaskTimeout("Timeout, PID: 1"), RuntimeError("the API server is gone")])
def test_nothing_that_is_raised_replaces_the_verdict(quick, run_sensor, monkeypatch, mode, error):
    """Airflow's time-out or an error of its own, while a failure is looked into, comes too late to matter."""
    quick.job("dli_batch", BATCH, "running", "dead")

    def diagnose(*args):
        raise error

    monkeypatch.setattr(hwstatus, "diagnose", diagnose)
    if isinstance(error, AirflowTaskTimeout):
        monkeypatch.setattr(hwstatus.HwStatusHook, "diagnose", diagnose)
    end = run_sensor(DliBatchSensor, mode, batch_id=BATCH, **FAST)

    assert "AirflowFailException" == end.verdict
    assert "no log" in facts(end.error)[1]


def test_connection_that_is_gone_hides_no_failure(quick, monkeypatch):
    """A task that resumes with the job's failure fails with it, though its connection was deleted meanwhile."""
    quick.job("dli_batch", BATCH, "running", "dead")
    sensor = DliBatchSensor(task_id="t", batch_id=BATCH, deferrable=True)
    with pytest.raises(TaskDeferred):
        sensor.execute({"ti": None})
    status = sensor.hook.get_dli_batch_status(BATCH).to_dict()
    monkeypatch.delenv("AIRFLOW_CONN_HWSTATUS_DEFAULT")
    resumed = DliBatchSensor(task_id="t", batch_id=BATCH, deferrable=True)
    monkeypatch.setattr(resumed.hook, "get_connection", lambda name: (_ for _ in ()).throw(LookupError(name)))

    with pytest.raises(Exception, match=f"^DLI batch {BATCH} failed"):
        resumed.execute_complete({}, {"status": status})


def test_long_log_is_read_at_its_end(quick, run_sensor):
    """Where a reply says that the log goes on, its end is asked for."""
    quick.job("dli_batch", BATCH, "dead")
    first = {"id": BATCH, "from": 0, "total": 5000, "log": LOG[:3]}
    quick.break_with(Reply(body=first), 1, path_ends="/log")
    quick.break_with(Reply(body={"id": BATCH, "from": 4900, "total": 5000, "log": LOG}), 1, path_ends="/log")

    _, _, output = facts(run_sensor(DliBatchSensor, "poke", batch_id=BATCH, **FAST).error)
    assert LOG[-10:] == output
    assert ["type=driver", "type=driver&from=4900&size=100"] == [record.query for record in quick.requests[-2:]]


def test_whole_log_is_in_the_tasks_log(quick, run_sensor, mode, caplog, capfd):
    """The message has ten lines, the task's log fifty, each line by itself."""
    caplog.set_level(logging.INFO)
    quick.job("dli_batch", BATCH, "running", "dead", log=LOG)

    run_sensor(DliBatchSensor, mode, batch_id=BATCH, **FAST)
    logged = caplog.text + "".join(capfd.readouterr())  # Airflow 3 prints, Airflow 2 does not
    assert LOG[-50:] == list(dict.fromkeys(re.findall(r"line \d+", logged)))


def test_message_is_bounded_and_plain(quick, run_sensor):
    """A log of megabytes, of one line or with a terminal's orders, gives a message that can be read."""
    quick.job(
        "dli_batch", BATCH, "dead", name="n" * 9999, log=["x" * 100_000, "\x1b[31mred\x1b[0m\x07", "a\nb\u202ec"] * 10
    )

    message = str(run_sensor(DliBatchSensor, "poke", batch_id=BATCH, **FAST).error)
    assert 6000 > len(message)
    assert "    red?\n    a\n    b?c" in message


@pytest.mark.parametrize("auth", ["aksk", "password", "token", "agency"])
def test_secrets_in_a_log_are_hidden(huaweicloud, run_sensor, monkeypatch, mode, auth, caplog, capfd):
    """A job's output may hold the very keys and tokens that ask for it."""
    caplog.set_level(logging.DEBUG)
    connection = huaweicloud.connection(auth)
    monkeypatch.setenv("AIRFLOW_CONN_HWSTATUS_DEFAULT", json.dumps(connection))
    names = ("x-auth-token", "x-security-token")

    def leak(record):
        sent = {record.headers.get(name) for name in names} | {connection.get("password")}
        log = [f"log {secret}" for secret in sent if secret]
        huaweicloud.job("dli_batch", BATCH, "dead", log=log, name=" ".join(log))

    huaweicloud.job("dli_batch", BATCH, "running")
    huaweicloud.listeners.append(leak)
    end = run_sensor(DliBatchSensor, mode, batch_id=BATCH, **FAST)

    secrets = {record.headers.get(name) for record in huaweicloud.requests for name in names} - {None}
    secrets |= {connection["password"]} if "password" in connection else set()
    assert secrets
    assert "log ***" in str(end.error)
    logged = caplog.text + "".join(capfd.readouterr())
    assert "log ***" in logged
    assert [] == [secret for secret in secrets if secret in str(end.error) + logged]


def test_event_is_small(quick):
    """What crosses Airflow's database is the state's reply, whatever the details have."""
    quick.job("dli_batch", BATCH, "running", "dead", log=LOG * 100, name="n" * 5000)
    sensor = DliBatchSensor(task_id="t", batch_id=BATCH, deferrable=True, poke_interval=0.1)
    with pytest.raises(TaskDeferred) as caught:
        sensor.execute({"ti": None})
    path, kwargs = caught.value.trigger.serialize()

    async def event():
        return [event.payload async for event in resolve_name(path)(**kwargs).run()]

    assert 1000 > len(json.dumps(asyncio.run(event())))
