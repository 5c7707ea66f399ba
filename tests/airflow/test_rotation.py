"""A wait picks up new credentials of its Airflow connection when the old ones are refused."""

import asyncio
import json
import time

import pytest

from airflow_provider_hwstatus.__main__ import main
from airflow_provider_hwstatus.errors import AuthenticationError, CredentialsRefusedError
from airflow_provider_hwstatus.hooks import connection_cache
from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook
from airflow_provider_hwstatus.sensors.cph import CphRequestSensor
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor

NAME = "AIRFLOW_CONN_HWSTATUS_DEFAULT"


@pytest.fixture(autouse=True)
def _no_crowd(monkeypatch):
    """Let a look-up be shared by nobody: the connection changes within milliseconds here."""
    monkeypatch.setattr(connection_cache, "REFRESH_INTERVAL", 0.0)


class Rotation:
    """
    Replaces the connection's credentials, and has the old ones refused, at one of the polls of a job.

    In deferrable mode the first poll is the worker's, and the second one the trigger's.
    """

    def __init__(self, monkeypatch, cloud, auth, mode="poke"):
        self.monkeypatch, self.cloud, self.auth = monkeypatch, cloud, auth
        self.at = 2 if mode == "deferrable" else 1
        self.polls = 0
        monkeypatch.setenv(NAME, json.dumps(cloud.connection(auth)))
        cloud.listeners.append(self.on_poll)

    def on_poll(self, record):
        if "/batches/" in record.path or record.path.endswith("/jobs"):
            self.polls += 1
            if self.polls == self.at:
                self.rotate()

    def rotate(self):
        account = self.cloud.account
        if self.auth == "aksk":
            account.secret_key = "another-secret-key-0123456789abcdefghijk"
            self.cloud.secret_key = account.secret_key
        elif self.auth == "password":
            account.password = self.cloud.password = "Another-Password-2"
            self.cloud.expire_tokens()
        else:
            self.cloud.expire_tokens()
        self.monkeypatch.setenv(NAME, json.dumps(self.connection()))

    def connection(self):
        return self.cloud.connection(self.auth)


@pytest.mark.parametrize("auth", ["aksk", "password", "token"])
def test_wait_goes_on_with_the_new_key(monkeypatch, huaweicloud, run_sensor, mode, auth):
    """A key, password or token that is replaced and revoked in the middle of a wait does not end it."""
    huaweicloud.job("dli_batch", "b1", "running", "running", "success")
    rotation = Rotation(monkeypatch, huaweicloud, auth, mode)

    end = run_sensor(DliBatchSensor, mode, batch_id="b1", poke_interval=0.1, timeout=60)

    assert "success" == end.verdict, end.error
    assert rotation.polls >= 3


def test_wait_for_a_list_goes_on_with_the_new_key(monkeypatch, huaweicloud, run_sensor, mode):
    """So does a wait that reads a list of jobs."""
    huaweicloud.job("cph_job", "j1", seconds={0: 1, 1.0: 2}, request_id="r1")
    Rotation(monkeypatch, huaweicloud, "aksk", mode)

    end = run_sensor(CphRequestSensor, mode, request_id="r1", expected_jobs=1, poke_interval=0.2, timeout=60)

    assert "success" == end.verdict, end.error


def test_key_that_was_not_replaced_ends_the_wait(monkeypatch, huaweicloud, run_sensor, mode):
    """A refusal is final where the connection is still the same: the key is sent once more by nobody."""
    huaweicloud.job("dli_batch", "b1", "running")
    rotation = Rotation(monkeypatch, huaweicloud, "aksk", mode)
    monkeypatch.setattr(rotation, "connection", lambda: json.loads(before))
    before = json.dumps(huaweicloud.connection("aksk"))

    end = run_sensor(DliBatchSensor, mode, batch_id="b1", poke_interval=0.1, timeout=60)

    assert isinstance(end.error, CredentialsRefusedError)
    assert 1 == [record.status for record in huaweicloud.requests].count(401)


def test_new_key_that_is_refused_too_ends_the_wait(monkeypatch, huaweicloud, run_sensor, mode):
    """Each key is sent once, and no loop begins. A worker that starts anew never sends the old one."""
    huaweicloud.job("dli_batch", "b1", "running")
    rotation = Rotation(monkeypatch, huaweicloud, "aksk", mode)
    monkeypatch.setattr(rotation, "connection", lambda: huaweicloud.connection("aksk") | {"password": "wrong"})

    end = run_sensor(DliBatchSensor, mode, batch_id="b1", poke_interval=0.1, timeout=60)

    assert isinstance(end.error, CredentialsRefusedError)
    refused = [record.status for record in huaweicloud.requests].count(401)
    assert {"reschedule": 1}.get(mode, 2) == refused


def test_hook_picks_up_the_new_key(monkeypatch, huaweicloud):
    """So do the hook's own methods."""
    huaweicloud.job("dli_batch", "b1", "running")
    rotation = Rotation(monkeypatch, huaweicloud, "token")
    hook = HwStatusHook()
    assert "running" == hook.get_dli_batch_status("b1").state
    assert "running" == hook.get_dli_batch_status("b1").state
    assert rotation.polls >= 2

    async def run():
        first = await hook.aget_status("dli_batch", "b1")
        rotation.rotate()
        return [first.state, (await hook.aget_status("dli_batch", "b1")).state]

    assert ["running"] * 2 == asyncio.run(run())
    hook.close()


def test_missing_permission_is_no_reason_to_read_the_connection_again(monkeypatch, huaweicloud):
    """A 403 is about rights, which another key of the same user has not, either."""
    huaweicloud.job("dli_batch", "b1", 403)
    hook = HwStatusHook()
    reads = []
    monkeypatch.setattr(HwStatusHook, "_close_if_changed", lambda self, used: reads.append(used))

    with pytest.raises(AuthenticationError):
        hook.get_dli_batch_status("b1")
    hook.close()

    assert [] == reads


def test_wait_that_goes_on_after_errors_uses_the_new_token(monkeypatch, huaweicloud, run_sensor, mode):
    """With silent_fail a refused token ends no wait, and must not keep it from the new one either."""
    huaweicloud.job("dli_batch", "b1", "running", "running", "success")
    Rotation(monkeypatch, huaweicloud, "token", mode)

    arguments = {"batch_id": "b1", "poke_interval": 0.1, "timeout": 20, "silent_fail": True}
    assert "success" == run_sensor(DliBatchSensor, mode, **arguments).verdict


@pytest.mark.parametrize("mode", ["poke", "deferrable"])
def test_jobs_that_are_over_are_not_polled_again_with_the_new_key(monkeypatch, huaweicloud, run_sensor, mode):
    """What a wait has found stays found: a job that is over may be deleted before the key is rotated."""
    rotation = Rotation(monkeypatch, huaweicloud, "aksk", mode)
    rotation.at *= 2  # of the jobs' polls together
    huaweicloud.job("dli_batch", "b1", *["running"] * (mode == "deferrable"), "success", 404)
    huaweicloud.job("dli_batch", "b2", *["running"] * 3, "success")
    end = run_sensor(DliBatchSensor, mode, batch_id=["b1", "b2"], poke_interval=0.2, timeout=60)

    assert "success" == end.verdict, end.error
    assert 401 in [record.status for record in huaweicloud.requests]


@pytest.mark.parametrize("mode", ["poke", "deferrable"])
def test_backend_that_makes_a_key_at_each_look_up_is_not_asked_for_ever(monkeypatch, huaweicloud, run_sensor, mode):
    """Each key is another one, and none is accepted: one is tried after the first, and the wait ends."""
    huaweicloud.job("dli_batch", "b1", "running")
    rotation = Rotation(monkeypatch, huaweicloud, "aksk", mode)
    made = []

    def connection():
        made.append(f"wrong-{len(made)}")
        return huaweicloud.connection("aksk") | {"password": made[-1]}

    def make_another(record):
        if record.status == 401 and len(made) < 20:
            monkeypatch.setenv(NAME, json.dumps(connection()))

    monkeypatch.setattr(rotation, "connection", connection)
    huaweicloud.listeners.append(make_another)
    end = run_sensor(DliBatchSensor, mode, batch_id="b1", poke_interval=0.1, timeout=60)

    assert isinstance(end.error, CredentialsRefusedError)
    assert 2 >= [record.status for record in huaweicloud.requests].count(401)


def test_command_line_waits_on_with_the_new_key(monkeypatch, huaweicloud, capsys):
    """So does a wait from the command line."""
    huaweicloud.job("dli_batch", "b1", "running", "running", "success")
    Rotation(monkeypatch, huaweicloud, "aksk")

    with pytest.raises(SystemExit) as ended:
        main(["wait", "dli_batch", "b1", "--poke-interval", "0.1", "--timeout", "60"])
    assert 0 == ended.value.code, capsys.readouterr()


def test_watchers_read_on_with_the_new_key(monkeypatch, huaweicloud):
    """Watchers take the new key in the reading that met the refusal."""
    reading = pytest.importorskip("airflow_provider_hwstatus.triggers.shared_poll")
    (batch,) = huaweicloud.foreign_jobs("dli_batch", 1, "running")
    rotation = Rotation(monkeypatch, huaweicloud, "aksk")

    async def read():
        shared_poll = reading.SharedPoll(HwStatusHook(), {}, set())
        return [row["id"] for row in await shared_poll.batches(time.time() - 3600)]

    async def run():
        before = await read()
        rotation.rotate()
        return before, await read()

    assert ([batch], [batch]) == asyncio.run(run())
    assert 1 == [record.status for record in huaweicloud.requests].count(401)
