"""Airflow's connection, as a ready client."""

import asyncio
import json
import re
from urllib.parse import urlencode

import pytest

from airflow_provider_hwstatus.errors import ConfigurationError
from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook
from airflow_provider_hwstatus.kinds import KINDS
from airflow_provider_hwstatus.testing import Fault


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
    fields = huaweicloud.connection()["extra"]
    extra = urlencode(fields | {"endpoints": json.dumps(fields["endpoints"])})
    connect(f"hwstatus://{huaweicloud.access_key}:{huaweicloud.secret_key}@/?{extra}")

    assert "running" == ask().state


@pytest.mark.parametrize("job_id", ["", "None", "a/b", "x" * 129])
def test_wrong_id_is_named_by_its_argument(ask, huaweicloud, job_id):
    """An id that can be none is refused before anything is sent."""
    with pytest.raises(ConfigurationError, match=r"batch_id (is missing|must be)"):
        ask(job_id=job_id)
    assert [] == huaweicloud.requests


def test_unknown_kind_lists_the_known_ones(ask, huaweicloud):
    """A kind that does not exist is named, with those that do."""
    with pytest.raises(ConfigurationError, match=rf"one of {', '.join(KINDS)}; it is 'dli_sql'"):
        ask(kind="dli_sql")


def test_arguments_win_over_the_connection(ask, huaweicloud):
    """A hook's project is asked about, not the connection's."""
    huaweicloud.job("dli_batch", "b1", "running")
    huaweicloud.projects["cn-north-4_other"] = "0" * 32

    ask(project_id="0" * 32)
    assert "0" * 32 in huaweicloud.requests[-1].path


WORKS = "Logged in as {}, project cn-north-4 ({}), region cn-north-4. DLI answers; CPH answers."


@pytest.mark.parametrize(
    ("auth", "who"),
    [
        ("aksk", "access key HWST…"),
        ("password", "IAM user airflow of account hwstatus-fake"),
        ("token", "the owner of the given token"),
        ("agency", "this node's agency"),
    ],
)
def test_test_connection_says_who_and_where(huaweicloud, connect, auth, who):
    """The form's Test button answers who is logged in, in which project and region."""
    connect(huaweicloud.connection(auth))

    assert (True, WORKS.format(who, huaweicloud.project_id)) == HwStatusHook().test_connection()


def test_test_connection_needs_no_more_rights_than_waiting(huaweicloud):
    """Who may not list projects, or may use one service only, can wait all the same."""
    huaweicloud.break_with(403, path_contains="/v3/projects")
    huaweicloud.break_with(403, path_contains="/cloud-phone/")

    works, message = HwStatusHook().test_connection()
    assert works
    assert f"project {huaweicloud.project_id}, region" in message
    assert "DLI answers; CPH cannot be used (CPH job" in message


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"password": "wrong"}, "APIGW.0301"),
        ({"login": ""}, "login is not set"),
        ({"extra": {"region": "cn-north-4", "iam_endpoint": "http://127.0.0.1:9"}}, "IAM|127.0.0.1:9"),
    ],
)
def test_test_connection_says_what_to_change(huaweicloud, connect, change, reason):
    """What is wrong is named, a key is tried once, and nothing secret is shown."""
    connect(huaweicloud.connection() | change)

    works, message = HwStatusHook().test_connection()
    assert not works
    assert re.search(reason, message)
    assert len(huaweicloud.requests) <= 1
    assert huaweicloud.access_key not in message
    assert huaweicloud.secret_key not in message


def test_test_connection_answers_in_time(huaweicloud, monkeypatch):
    """Whatever hangs, the button answers."""
    monkeypatch.setattr("airflow_provider_hwstatus.hooks.hwstatus._TEST_TIMEOUT", 0.5)
    huaweicloud.break_with(Fault.HANG, calls=9)

    assert (
        False,
        "No answer within 0.5 s: check the endpoints, the proxy and the network",
    ) == HwStatusHook().test_connection()


def test_fetched_token_is_masked_in_logs(ask, connect, huaweicloud):
    """A token that Airflow has never seen is masked by Airflow, too."""
    from airflow.providers.common.compat.sdk import redact

    huaweicloud.job("dli_batch", "b1", "running")
    connect(huaweicloud.connection("password"))
    ask()

    token = huaweicloud.requests[-1].headers["x-auth-token"]
    assert "it is ***" == redact(f"it is {token}")


def test_unknown_region_is_warned_of_once(huaweicloud, connect, caplog):
    """A region newer than this release works, and says once that it is one."""
    from airflow_provider_hwstatus.hooks.hwstatus import _warn_of_region

    huaweicloud.job("dli_batch", "b1", "running")
    _warn_of_region.cache_clear()
    for _ in range(3):
        fields = huaweicloud.connection()
        fields["extra"]["region"] = "xx-new-9"
        connect(fields)
        assert "running" == sync().state
    assert 1 == sum("does not know region xx-new-9" in record.getMessage() for record in caplog.records)


def test_users_can_mock_our_requests(requests_mock, connect):
    """requests-mock, which many test suites use already, works with the hook."""
    connect(
        {
            "conn_type": "hwstatus",
            "password": "T",
            "extra": {"auth": "token", "region": "cn-north-4", "project_id": "p1"},
        }
    )
    url = "https://dli.cn-north-4.myhuaweicloud.com/v2.0/p1/batches/b1/state"
    requests_mock.get(url, json={"id": "b1", "state": "Success"})

    assert "success" == sync().outcome
    assert "T" == requests_mock.last_request.headers["X-Auth-Token"]
