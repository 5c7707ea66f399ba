"""Airflow's connection, as a ready client."""

import asyncio
import json

import pytest

from airflow_provider_hwstatus.core.errors import ConfigurationError
from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook


@pytest.fixture
def connect(monkeypatch):
    """Define the default connection by its fields."""

    def define(fields):
        text = fields if isinstance(fields, str) else json.dumps(fields)
        monkeypatch.setenv("AIRFLOW_CONN_HWSTATUS_DEFAULT", text)

    return define


def sync(conn_id="hwstatus_default", kind="dli_batch", job_id="b1", **kwargs):
    hook = HwStatusHook(conn_id, **kwargs)
    try:
        return hook.get_status(kind, job_id, outage_tolerance=0)
    finally:
        hook.close()


def in_a_loop(conn_id="hwstatus_default", kind="dli_batch", job_id="b1", **kwargs):
    return asyncio.run(HwStatusHook(conn_id, **kwargs).aget_status(kind, job_id, outage_tolerance=0))


@pytest.fixture(params=[sync, in_a_loop], ids=["sync", "async"])
def ask(request):
    """Ask in one colour."""
    return request.param


def test_building_a_hook_does_nothing():
    """A hook of a connection that does not exist can be built: it looks nothing up before it is asked."""
    assert "no_such" == HwStatusHook("no_such").hwstatus_conn_id


def test_shorthands_read_well(huaweicloud):
    """Each kind can be asked about by its name."""
    huaweicloud.job("dli_batch", "b1", "Success")
    huaweicloud.job("dli_session_ready", "s1", "idle")
    huaweicloud.job("cph_job", "c1", 2)
    hook = HwStatusHook()

    assert ("Success", "success") == (hook.get_dli_batch_status("b1").state, hook.get_dli_batch_status("b1").outcome)
    assert "success" == hook.get_dli_session_status("s1").outcome
    assert "in_progress" == hook.get_dli_session_status("s1", wait_for="stopped").outcome
    assert "success" == hook.get_cph_job_status("c1").outcome
    hook.close()


def test_undefined_connection_is_named(ask):
    """An undefined connection is an error of ours, which soft_fail cannot hide."""
    with pytest.raises(ConfigurationError, match=r"connection 'no_such': it is not defined, or Airflow cannot read it"):
        ask("no_such")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"login": None}, "login is not set"),
        ({"password": None}, "password is not set"),
        ({"extra": "{broken"}, "extra must be a JSON object|Airflow cannot read it"),  # Airflow 2 does not get so far
        ({"extra": "[1]"}, "extra must be a JSON object|Airflow cannot read it"),
        ({"extra": {"auth": "magic"}}, "auth must be one of"),
        ({"extra": {"region": "Nowhere"}}, "region must look like"),
        ({"extra": {"project_id": "p1"}}, "region is not set"),
        ({"extra": {"request_timeout": -1}}, "request_timeout must be"),
    ],
)
def test_wrong_field_is_named(ask, connect, huaweicloud, change, field):
    """The message names the connection or the job, and the field."""
    connect({key: value for key, value in (huaweicloud.connection() | change).items() if value is not None})

    with pytest.raises(ConfigurationError, match=field) as caught:
        ask()
    assert huaweicloud.secret_key not in str(caught.value)


def test_uri_form_works(ask, connect, huaweicloud):
    """A connection may be given as a URI, whose extras are text."""
    huaweicloud.job("dli_batch", "b1", "running")
    extra = "&".join(f"{name}={value}" for name, value in huaweicloud.connection()["extra"].items()).replace(":", "%3A")
    connect(f"hwstatus://{huaweicloud.access_key}:{huaweicloud.secret_key}@/?{extra.replace('/', '%2F')}")

    assert "running" == ask().state


@pytest.mark.parametrize("job_id", ["", "None", "a/b", "x" * 129])
def test_wrong_id_is_named_by_its_argument(ask, huaweicloud, job_id):
    """An id that can be none is refused before anything is sent."""
    with pytest.raises(ConfigurationError, match="batch_id must be"):
        ask(job_id=job_id)
    assert [] == huaweicloud.requests


def test_unknown_kind_lists_the_known_ones(ask, huaweicloud):
    """A kind that does not exist is named, with those that do."""
    with pytest.raises(ConfigurationError, match="dli_batch, dli_session_ready, dli_session_stopped, cph_job"):
        ask(kind="dli_sql")


def test_arguments_win_over_the_connection(ask, huaweicloud):
    """A hook's project is asked about, not the connection's."""
    huaweicloud.job("dli_batch", "b1", "running")
    huaweicloud.projects["cn-north-4_other"] = "0" * 32

    ask(project_id="0" * 32)
    assert "0" * 32 in huaweicloud.requests[-1].path


def test_test_connection_says_whether_it_works(huaweicloud, connect):
    """The form's Test button needs no more rights than waiting does, and says what is wrong."""
    assert (
        True,
        "Logged in: DLI answered a question about a job that does not exist.",
    ) == HwStatusHook().test_connection()

    connect(huaweicloud.connection() | {"password": "wrong"})
    works, message = HwStatusHook().test_connection()
    assert not works
    assert "APIGW.0301" in message
    assert huaweicloud.access_key not in message
