"""Looking a connection up, for many waits at once."""

import asyncio
import json

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_hwstatus.errors import ConfigurationError
from airflow_provider_hwstatus.hooks import connection_cache, hwstatus
from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook
from airflow_provider_hwstatus.triggers.job_status import JobStatusTrigger


@pytest.fixture
def look_ups(monkeypatch):
    """Count the look-ups, each of which takes a while."""
    found, look_up = [], hwstatus._look_up

    async def counted(conn_id):
        found.append(conn_id)
        await asyncio.sleep(0.1)
        return await look_up(conn_id)

    monkeypatch.setattr(hwstatus, "_look_up", counted)
    monkeypatch.setattr(connection_cache, "LIFETIME", 60.0)
    return found


async def ask(count, **arguments):
    hook = HwStatusHook(**arguments)
    return await asyncio.gather(
        *(hook.aget_status("dli_batch", "b1", 0.0) for _ in range(count)), return_exceptions=True
    )


def test_waits_that_begin_together_share_a_look_up(huaweicloud, look_ups):
    """A restarted triggerer begins thousands of waits; each look-up is a round trip to the API server."""
    huaweicloud.job("dli_batch", "b1", "running")

    statuses = asyncio.run(ask(100))
    assert ["running"] * 100 == [status.state for status in statuses]
    assert ["hwstatus_default"] == look_ups


def test_waits_with_other_arguments_do_not(huaweicloud, look_ups):
    """What is found is used for the same connection, region and project only."""
    huaweicloud.job("dli_batch", "b1", "running")

    async def run():
        await ask(3)
        await ask(3, region="cn-east-3")
        await ask(3, project_id="0123456789abcdef")

    asyncio.run(run())
    assert 3 == len(look_ups)


def test_a_changed_connection_is_seen_within_seconds(huaweicloud, look_ups, monkeypatch, clock):
    """What was found is not used for longer than its memory lasts."""
    huaweicloud.job("dli_batch", "b1", "running")

    async def run():
        await ask(1)
        monkeypatch.setenv("AIRFLOW_CONN_HWSTATUS_DEFAULT", json.dumps(huaweicloud.connection(region="Nowhere!")))
        (before,) = await ask(1)
        await asyncio.sleep(61.0)
        (after,) = await ask(1)
        return before, after

    before, after = asyncio.run(run())
    assert "running" == before.state
    assert isinstance(after, ConfigurationError)


def test_a_failed_look_up_is_shared_and_not_remembered(huaweicloud, look_ups):
    """Those who waited for it get the same error, with its cause; who comes later looks again."""

    async def run():
        first = await ask(50, hwstatus_conn_id="nowhere")
        return first, await ask(1, hwstatus_conn_id="nowhere")

    first, later = asyncio.run(run())
    assert {"connection 'nowhere': it is not defined, or Airflow cannot read it"} == {str(e) for e in (*first, *later)}
    assert all(isinstance(error.__cause__, AirflowNotFoundException) for error in (*first, *later))
    assert ["nowhere"] * 2 == look_ups


def test_triggers_share_it_too(huaweicloud, look_ups):
    """Fifty waits that are resumed at the same time look their connection up once."""
    for number in range(50):
        huaweicloud.job("dli_batch", f"b{number}", "success")

    async def one(number):
        trigger = JobStatusTrigger({"kind": "dli_batch", "job_id": f"b{number}"}, {"poke_interval": 0.2})
        return (await anext(trigger.run())).payload["status"]["state"]

    async def run():
        return await asyncio.gather(*map(one, range(50)))

    assert ["success"] * 50 == asyncio.run(run())
    assert 1 == len(look_ups)
