"""A wait ends a few seconds after its deadline at the latest, whatever hangs and however long its list is."""

import asyncio
import itertools
import json
import time

import pytest

from airflow_provider_hwstatus.core.polling import wait_options
from airflow_provider_hwstatus.core.protocol import retry
from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook
from airflow_provider_hwstatus.sensors.cph import CphRequestSensor
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor
from airflow_provider_hwstatus.testing import Fault, Reply

TIMEOUT = 0.5
GRACE = 0.5

#: Seconds for a machine that is busy; without the deadline, the waits below take from 15 seconds to for ever.
SLACK = 6.0


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch):
    """Let tests not wait for the seconds that the last poll has."""
    for module in (retry, wait_options):
        monkeypatch.setattr(module, "LAST_POLL", GRACE)


def connect(monkeypatch, cloud, auth="aksk", **extra):
    monkeypatch.setenv("AIRFLOW_CONN_HWSTATUS_DEFAULT", json.dumps(cloud.connection(auth, **extra)))


def slow_replies(monkeypatch, cloud):
    """Thirty jobs, each of whose replies takes half a second: fifteen seconds one after the other."""
    ids = [f"b{number}" for number in range(30)]
    for job_id in ids:
        cloud.job("dli_batch", job_id, Reply(body={"id": job_id, "state": "running"}, delay=0.5))
    connect(monkeypatch, cloud, max_concurrent_requests=2)
    return DliBatchSensor, {"batch_id": ids}


def login_hangs(monkeypatch, cloud):
    """IAM does not answer the login."""
    cloud.break_with(Fault.HANG, calls=1000, path_ends="/v3/auth/tokens")
    connect(monkeypatch, cloud, "password")
    return DliBatchSensor, {"batch_id": "b1"}


def agency_hangs(monkeypatch, cloud):
    """The metadata service does not answer."""
    cloud.break_with(Fault.HANG, calls=1000, path_contains="/latest/")
    connect(monkeypatch, cloud, "agency")
    return DliBatchSensor, {"batch_id": "b1"}


def project_hangs(monkeypatch, cloud):
    """IAM does not answer the look-up of the project."""
    cloud.break_with(Fault.HANG, calls=1000, path_ends="/v3/projects")
    connect(monkeypatch, cloud, project_id=None)
    return DliBatchSensor, {"batch_id": ["b1", "b2"]}


def coalescing_list_hangs(monkeypatch, cloud):
    """DLI does not answer the list that tells which of many batches are in progress."""
    ids = [f"b{number}" for number in range(30)]
    for job_id in ids:
        cloud.job("dli_batch", job_id, "running")
    cloud.break_with(Fault.HANG, calls=1000, path_ends="/batches")
    connect(monkeypatch, cloud, coalesce=True)
    return DliBatchSensor, {"batch_id": ids}


def list_hangs(monkeypatch, cloud):
    """CPH does not answer the list of a request's jobs."""
    cloud.break_with(Fault.HANG, calls=1000, path_ends="/jobs")
    connect(monkeypatch, cloud)
    return CphRequestSensor, {"request_id": "r1"}


@pytest.mark.real_time
@pytest.mark.parametrize(
    "trouble", [slow_replies, login_hangs, agency_hangs, project_hangs, coalescing_list_hangs, list_hangs]
)
def test_wait_ends_with_its_deadline(monkeypatch, huaweicloud, run_sensor, mode, trouble):
    """Neither a login, a look-up nor a list that hangs carries a wait beyond its deadline, nor do many slow replies."""
    sensor, arguments = trouble(monkeypatch, huaweicloud)

    began = time.monotonic()
    end = run_sensor(sensor, mode, poke_interval=0.2, timeout=TIMEOUT, **arguments)

    assert "AirflowSensorTimeout" == end.verdict, end.error
    assert time.monotonic() - began < TIMEOUT + GRACE + SLACK


def test_list_that_does_not_end_is_an_error(monkeypatch, huaweicloud, run_sensor, mode):
    """A list of jobs that has new rows on each page is read to a bound, and the error says so."""
    numbers = itertools.count()

    def endless(record):
        if record.path.endswith("/jobs"):
            rows = [{"job_id": f"j{next(numbers)}", "status": 2} for _ in range(100)]
            huaweicloud.cph_job_list.answer = Reply(body={"request_id": "r1", "jobs": rows})

    huaweicloud.listeners.append(endless)
    huaweicloud.cph_job_list.answer = Reply(body={"request_id": "r1", "jobs": [{"job_id": "j", "status": 2}] * 100})

    end = run_sensor(CphRequestSensor, mode, request_id="r1", poke_interval=0.2, timeout=60)

    assert "MalformedResponseError" == end.verdict
    assert "100 pages" in str(end.error)
    assert 100 == huaweicloud.cph_job_list.calls


@pytest.mark.parametrize(("state", "verdict"), [("success", "success"), ("starting", "AirflowSensorTimeout")])
def test_worker_that_stalls_past_the_deadline_polls_once_more(huaweicloud, run_sensor, clock, mode, state, verdict):
    """A stopped process or a slow log can take minutes after a poll. The job's current state ends the wait."""
    huaweicloud.job("dli_batch", "b1", "running", state)

    class Stalls(DliBatchSensor):
        def poke(self, context):
            found = super().poke(context)
            clock.sleep(100)
            return found

    end = run_sensor(Stalls, mode, batch_id="b1", poke_interval=1, timeout=60)

    assert verdict == end.verdict
    assert 2 == huaweicloud.polls("b1")
    assert state in str(end.error or end.value)


@pytest.mark.parametrize("trouble", [Reply(429, headers={"Retry-After": "600"}), Fault.HANG], ids=["429", "hangs"])
def test_trouble_of_one_service_holds_back_no_other(huaweicloud, trouble):
    """While DLI answers 429, or does not answer, a wait for CPH on the same connection is answered at once."""
    huaweicloud.job("cph_job", "j1", 1, 1, 2)
    huaweicloud.break_with(trouble, calls=1000, path_contains="/batches/")

    async def run():
        hook, polled = HwStatusHook(), asyncio.Event()
        loop = asyncio.get_running_loop()
        states = [(await hook.aget_status("cph_job", "j1")).state]  # the first request of a key is sent alone
        huaweicloud.listeners.append(lambda record: loop.call_soon_threadsafe(polled.set))
        batches = [asyncio.create_task(hook.aget_status("dli_batch", f"b{number}")) for number in range(30)]
        await polled.wait()
        states += [(await hook.aget_status("cph_job", "j1")).state for _ in range(2)]
        pending = [not task.done() for task in batches]
        for task in batches:
            task.cancel()
        await asyncio.gather(*batches, return_exceptions=True)
        return states, pending

    states, pending = asyncio.run(run())
    assert ["1", "1", "2"] == states
    assert all(pending)
