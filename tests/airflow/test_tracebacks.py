"""A traceback that is shown with its local variables, as Airflow's own are, shows nothing secret."""

import asyncio
import json
import logging
import signal
import socket
import sys
import threading
import time
import traceback

import pytest

import airflow_provider_hwstatus
from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor
from airflow_provider_hwstatus.testing import Fault, Reply

OURS = airflow_provider_hwstatus.__path__[0]

#: Libraries that are handed secrets: none of their frames may be in a traceback.
LIBRARIES = ("/requests/", "/urllib3/", "/aiohttp/", "/http/client.py")

LOGINS = ("aksk", "temporary", "password", "token", "agency", "env")

#: Those of which the token says which project it is for, so that IAM's list of projects is not read.
BY_TOKEN = ("password", "token")

#: What goes wrong at the service, by what it is: a step, and the end of the paths that have it.
FAILURES = {
    "reset": (Fault.RESET, "/state"),
    "half": (Fault.HALF, "/state"),
    "hang": (Fault.HANG, "/state"),
    "401": (401, "/state"),
    "503": (503, "/state"),
    "HTML": (Reply(body="<html>"), "/state"),
    "no state": (Reply(body={"state": {}}), "/state"),
    "project: reset": (Fault.RESET, "/projects"),
    "project: odd": (Reply(body={"projects": [{"id": "../x", "name": "cn-north-4"}]}), "/projects"),
    "project: none": (Reply(body={"projects": []}), "/projects"),
}

#: What goes wrong with a login, by the logins that it is about. "@" stands for something secret.
LOGIN_FAILURES = {
    "reset": (("password", "agency"), Fault.RESET),
    "hang": (("password",), Fault.HANG),
    "401": (("password", "agency"), 401),
    "404": (("password", "agency"), 404),
    "HTML": (("password", "agency"), Reply(body="<html>@")),
    "echo": (("password", "agency"), Reply(401, {"error": {"code": 401, "message": "@"}})),
    "no body": (("password",), Reply(201, {}, {"X-Subject-Token": "@"})),
    "no header": (("password",), Reply(201, {"token": {"x": "@"}})),
    "token of no ASCII": (("password",), Reply(201, {"token": {}}, {"X-Subject-Token": "@é"})),
    "no time": (("password",), Reply(201, {"token": {"expires_at": "@"}}, {"X-Subject-Token": "@"})),
    "odd project": (("password",), Reply(201, {"token": {"project": {"id": "/@"}}}, {"X-Subject-Token": "@"})),
    "half a key": (("agency",), Reply(body={"credential": {"access": "@", "secret": "@"}})),
    "no end": (
        ("agency",),
        Reply(body={"credential": {"access": "@", "secret": "@", "securitytoken": "@", "expires_at": "@"}}),
    ),
    "no object": (("agency",), Reply(body={"credential": "@"})),
}

#: Fields of a connection that cannot be used, with a secret in them; "@" stands for it.
BAD_FIELDS = {
    "another's value": {"request_timeout": "soon"},
    "proxy": {"proxy": "socks5://user:@@127.0.0.1:1"},
    "proxy's port": {"proxy": "http://user:@@127.0.0.1:port"},
    "token": {"security_token": "@\n"},
    "token's type": {"security_token": ["@"]},
    "verify": {"verify": "/no/such/file"},
    "endpoint": {"dli_endpoint": "https://user:@@dli.example.com"},
}

SECRET = "Hidden-Secret-0123456789"


def locals_of_ours(error):
    """Return what a traceback of *error* alone shows of the local variables of our frames."""
    return [
        f"{frame.f_code.co_qualname}:{line} {name} = {value!r}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename.startswith(OURS)
        for name, value in frame.f_locals.items()
    ]


def shown_of(error):
    """Return what a traceback with locals shows of *error*: of our frames, and of those that must not be there."""
    shown, seen, todo = [], set(), [error]
    while todo:
        error = todo.pop()
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        shown.append("".join(traceback.format_exception_only(error)))
        frames = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
        assert [] == [path for path in frames if any(library in path for library in LIBRARIES)]
        shown += locals_of_ours(error)
        todo.append(error.__cause__ or (None if error.__suppress_context__ else error.__context__))
    return shown


def hook_async():
    asyncio.run(HwStatusHook().aget_status("dli_batch", "b1", 0.0))


def sensor():
    arguments = {"batch_id": "b1", "poke_interval": 0.1, "timeout": 5, "outage_tolerance": 0}
    DliBatchSensor(task_id="t", **arguments).execute({"ti": None})


WAYS = {
    "sync": sensor,
    "async": hook_async,
}


def leaks(way, secrets):
    """Fail in *way*, and return what is shown of *secrets*."""
    with pytest.raises(Exception) as caught:  # noqa: PT011  # whatever it is
        WAYS[way]()
    shown = shown_of(caught.value)
    return caught.value, [line for line in shown if any(secret in line for secret in secrets)]


@pytest.fixture(params=WAYS)
def way(request):
    """One way to meet a failure."""
    return request.param


@pytest.fixture
def connect(huaweicloud, monkeypatch):
    """Return a function that connects by a way to log in, and returns the secrets of the connection."""

    def connect(login, **extra):
        key = huaweicloud.temporary_key() if login == "temporary" else None
        fields = huaweicloud.connection("aksk" if key else login, key=key)
        fields["extra"] |= {"request_timeout": 0.5} | extra
        monkeypatch.setenv("AIRFLOW_CONN_HWSTATUS_DEFAULT", json.dumps(fields))
        secrets = [fields.get("password"), fields["extra"].get("security_token"), key and key.access_key]
        if login == "env":
            monkeypatch.setenv("HUAWEICLOUD_SDK_AK", huaweicloud.access_key)
            monkeypatch.setenv("HUAWEICLOUD_SDK_SK", huaweicloud.secret_key)
            secrets += [huaweicloud.secret_key]
        return [secret for secret in (*secrets, huaweicloud.access_key) if isinstance(secret, str)]

    huaweicloud.job("dli_batch", "b1", "running")
    return connect


def sent(cloud):
    """Return the tokens and keys that went over the wire."""
    names = ("x-auth-token", "x-security-token", "x-metadata-token", "authorization")
    return {record.headers[name] for record in cloud.requests for name in names if name in record.headers}


@pytest.mark.parametrize(
    ("login", "failure"),
    [
        (login, failure)
        for login in LOGINS
        for failure, (_, path) in FAILURES.items()
        if path != "/projects" or login not in BY_TOKEN
    ],
)
def test_no_local_shows_a_secret_when_the_service_fails(huaweicloud, connect, way, login, failure):
    """A service that gives no answer, refuses or answers oddly."""
    step, path = FAILURES[failure]
    secrets = connect(login, **({"project_id": None} if path == "/projects" else {}))
    huaweicloud.break_with(step, calls=9, path_ends=path)

    error, leaked = leaks(way, secrets)
    assert [] == leaked, error
    assert [] == [secret for secret in sent(huaweicloud) if any(secret in line for line in shown_of(error))]


def with_secret(step):
    """Return *step* with the secret where "@" is."""
    if not isinstance(step, Reply):
        return step
    body = step.content.replace(b"@", SECRET.encode())
    return Reply(step.status, body, {name: value.replace("@", SECRET) for name, value in step.headers.items()})


@pytest.mark.parametrize(
    ("login", "failure"), [(login, name) for name, (logins, _) in LOGIN_FAILURES.items() for login in logins]
)
def test_no_local_shows_a_secret_when_a_login_fails(huaweicloud, connect, way, login, failure):
    """IAM or the metadata service gives no answer, refuses, or says half of what it should."""
    secrets = connect(login)
    path = "/tokens" if login == "password" else "/securitykey"
    huaweicloud.break_with(with_secret(LOGIN_FAILURES[failure][1]), calls=9, path_ends=path)

    error, leaked = leaks(way, [*secrets, SECRET, *sent(huaweicloud)])
    leaked += [line for line in shown_of(error) if any(secret in line for secret in sent(huaweicloud))]
    echoed = failure in ("HTML", "echo")  # not a secret of this connection, as far as anybody can tell
    assert [] == [line for line in leaked if not (echoed and SECRET in line)], error


@pytest.mark.parametrize("field", BAD_FIELDS)
def test_no_local_shows_a_secret_when_the_connection_is_wrong(huaweicloud, connect, way, field):
    """A field that cannot be used does not show the others."""
    extra = {
        name: value.replace("@", SECRET, 1) if isinstance(value, str) else [SECRET]
        for name, value in BAD_FIELDS[field].items()
    }
    secrets = connect("temporary", **extra)

    error, leaked = leaks(way, [*secrets, SECRET])
    assert "hwstatus_default" in str(error) or field == "verify"
    assert [] == leaked, error


def interrupting(listener):
    """Interrupt the main thread by a signal, when *listener* has a request and the main thread reads the response."""
    connection, _ = listener.accept()
    main = threading.main_thread().ident
    with connection:
        connection.recv(65536)
        # Libraries leave a socket open if they are interrupted while they create a response.
        while sys._current_frames()[main].f_code.co_name != "readinto":
            time.sleep(0.001)  # without a pause, this thread would keep the interpreter from the main thread
        signal.pthread_kill(main, signal.SIGUSR1)
        connection.recv(1)  # until the client leaves


def interrupted(number, frame):
    raise KeyboardInterrupt


def test_no_local_shows_a_secret_when_a_request_is_interrupted(connect):
    """A signal, as Airflow's time-outs use, interrupts the libraries, so their frames are there; ours show nothing."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        url = f"http://user:{SECRET}@127.0.0.1:{proxy.getsockname()[1]}"
        secrets = connect("token", proxy=url, dli_endpoint="http://dli.example.com", request_timeout=20)
        threading.Thread(target=interrupting, args=(proxy,), daemon=True).start()
        before = signal.signal(signal.SIGUSR1, interrupted)
        try:
            with pytest.raises(KeyboardInterrupt) as caught:
                sensor()
        finally:
            signal.signal(signal.SIGUSR1, before)
    ours = locals_of_ours(caught.value)
    assert any("send" in line for line in ours)
    assert [] == [line for line in ours if any(secret in line for secret in (*secrets, SECRET))]


ENDS = {
    "failed": (("running", "dead"), {}, "AirflowFailException"),
    "timed out": (("running",), {"timeout": 90}, "AirflowSensorTimeout"),
    "not found": (("running",), {"batch_id": "b0"}, "JobNotFoundError"),
    "forbidden": (("running", 403), {}, "AuthenticationError"),
    "outage": (("running", 503), {"outage_tolerance": 0}, "ServerError"),
    "wrong id": (("running",), {"batch_id": "a/b"}, "ConfigurationError"),
}


@pytest.fixture
def task_log(caplog, monkeypatch):
    """What the sensor logs; Airflow 3 would print it."""
    monkeypatch.setattr(DliBatchSensor, "log", logging.getLogger("of_the_task"))
    caplog.set_level(logging.DEBUG)
    return caplog


def debug_log(caplog):
    """Return what is logged at level DEBUG, with the tracebacks."""
    records = [record for record in caplog.records if record.levelname == "DEBUG"]
    return "\n".join(f"{record.getMessage()}\n{logging.Formatter().format(record)}" for record in records)


@pytest.mark.parametrize("name", ENDS)
def test_user_sees_few_frames(huaweicloud, run_sensor, mode, name, task_log):
    """Airflow's log has the message and two or three frames; how it came about is logged at level DEBUG."""
    steps, arguments, verdict = ENDS[name]
    huaweicloud.job("dli_batch", "b1", *steps)
    end = run_sensor(DliBatchSensor, mode, **({"batch_id": "b1", "poke_interval": 60, "timeout": 3600} | arguments))

    error = end.error
    shown = traceback.format_exception(error)
    ours = [frame for frame, _ in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename.startswith(OURS)]
    assert verdict == end.verdict
    assert len(ours) <= 3
    assert not any("The above exception" in line or "During handling" in line for line in shown)
    assert "This is how it came about" in debug_log(task_log)
    assert "in _wait\n" in debug_log(task_log) or mode == "deferrable"


@pytest.mark.parametrize("flag", ["soft_fail", "never_fail"])
def test_skipped_task_says_why(huaweicloud, run_sensor, mode, flag, task_log):
    """Airflow shows a skipped task without any reason."""
    huaweicloud.job("dli_batch", "b1", "running", "dead")
    end = run_sensor(DliBatchSensor, mode, batch_id="b1", poke_interval=0.1, timeout=30, **{flag: True})

    warnings = [
        record.getMessage()
        for record in task_log.records
        if record.name == "of_the_task" and record.levelname == "WARNING"
    ]
    assert "AirflowSkipException" == end.verdict
    assert str(end.error) in warnings
    assert str(end.error).startswith(f"Skipped because of {flag}: DLI batch b1 failed: its state is 'dead'")


def test_unexpected_exception_keeps_its_cause(huaweicloud, run_sensor, mode, monkeypatch):
    """Nobody can report a bug without it."""
    huaweicloud.job("dli_batch", "b1", "running")
    monkeypatch.setattr(f"{OURS.rpartition('/')[2]}.core.polling.job_poller.read_status", lambda *_: 1 / 0)
    end = run_sensor(DliBatchSensor, mode, batch_id="b1", poke_interval=0.1, timeout=30)

    assert "HwStatusError" == end.verdict
    assert isinstance(end.error.__cause__, ZeroDivisionError)
