"""A request that must not arrive twice is sent once by both transports, and an unclear end is told from a clear one."""

import asyncio
import json
import socket
from threading import Timer
from unittest.mock import AsyncMock

import pytest

from airflow_provider_hwstatus.core.connection.settings import settings_from
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget
from airflow_provider_hwstatus.core.submitting.submit import submit
from airflow_provider_hwstatus.errors import (
    ApiError,
    AuthenticationError,
    HwStatusError,
    ThrottledError,
    TransportError,
    UnclearSubmissionError,
)
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH
from airflow_provider_hwstatus.testing import Fault, Reply
from airflow_provider_hwstatus.transports.shared_connections import AsyncConnection, SyncConnection

BODY = {"file": "obs://a/b.jar"}


def _sync(settings, flow_with):
    connection = SyncConnection(settings, str)
    try:
        return connection.run(flow_with(connection.client))
    finally:
        connection.close()


def _async(settings, flow_with):
    async def run():
        connection = AsyncConnection(settings, AsyncMock())
        try:
            return await connection.run(flow_with(connection.client))
        finally:
            await connection.close()

    return asyncio.run(run())


@pytest.fixture(params=[_sync, _async], ids=["sync", "async"])
def submit_to(request):
    """Return a function that submits a batch to a cloud."""

    def run(cloud, tolerance=0.0, auth="aksk", **extra):
        fields = cloud.connection(auth, **extra)
        settings = settings_from(fields.get("login"), fields.get("password"), fields["extra"])
        budget = RetryBudget(tolerance)
        return request.param(
            settings,
            lambda client: submit(client, DLI_BATCH, DLI_BATCH.submission(), json.dumps(BODY).encode(), budget),
        )

    return run


@pytest.mark.parametrize("auth", ["aksk", "password", "token", "agency"])
def test_submission_is_sent_once(cloud, submit_to, auth):
    """With every login, the body arrives as it is, signed, once."""
    submitted = submit_to(cloud, auth=auth)

    assert [submitted.job_id] == [each.job_id for each in cloud.submissions.accepted]
    assert BODY == cloud.submissions.accepted[0].body


@pytest.mark.real_time
@pytest.mark.parametrize(
    "answer", [500, 502, 503, 504, 408, Fault.RESET, Fault.HALF, Fault.HANG, Fault.DRIP, Reply(body="<html>")], ids=str
)
def test_accepted_without_a_clear_answer(cloud, submit_to, answer):
    """Whatever goes wrong after the service accepted the job, it is not sent again, and the error says so."""
    cloud.submissions.answers = [answer]
    endless = answer in (Fault.HANG, Fault.DRIP)  # 3 s, because a busy machine takes a second to accept the job

    with pytest.raises(UnclearSubmissionError):
        submit_to(cloud, tolerance=30.0, request_timeout=3.0 if endless else 30.0)
    assert 1 == len(cloud.submissions.accepted)
    assert 1 == sum(record.method == "POST" for record in cloud.requests)


@pytest.mark.parametrize("step", [503, Fault.RESET], ids=str)
def test_not_accepted_without_a_clear_answer(cloud, submit_to, step):
    """A server that fails before it accepts the job looks the same, so the end is unclear, too."""
    cloud.break_with(step, path_ends="/batches")

    with pytest.raises(UnclearSubmissionError):
        submit_to(cloud, tolerance=30.0)
    assert 1 == sum(record.method == "POST" for record in cloud.requests)


def test_connection_that_cannot_be_made_is_clear(cloud, submit_to):
    """Nothing was sent to a port that refuses connections."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(TransportError) as raised:
            submit_to(cloud, dli_endpoint=f"http://127.0.0.1:{port}")
    assert raised.value.unsent


def test_host_that_is_not_found_is_clear(cloud, submit_to):
    """Nothing was sent to a host without an address."""
    with pytest.raises(TransportError) as raised:
        submit_to(cloud, dli_endpoint="http://nowhere.invalid")
    assert raised.value.unsent


def test_proxy_that_refuses_is_clear(cloud, submit_to):
    """Nothing was sent through a proxy that cannot be reached."""
    with pytest.raises(TransportError) as raised:
        submit_to(cloud, dli_endpoint="http://dli.example.com", proxy="http://127.0.0.1:9")
    assert raised.value.unsent


def test_outage_before_the_connection_is_waited_out(cloud, submit_to):
    """A service that cannot be reached gets the job when it can."""
    cloud.stop()
    later = Timer(0.2, cloud.start)
    later.start()

    submit_to(cloud, tolerance=30.0)

    later.join()
    assert 1 == len(cloud.submissions.accepted)


@pytest.mark.parametrize(
    ("step", "error"), [(429, ThrottledError), (403, AuthenticationError), (400, ApiError), (404, ApiError)]
)
def test_refusal_of_the_gateway_or_service_is_clear(cloud, submit_to, step, error):
    """A response of 4xx says that the job was not accepted."""
    cloud.break_with(step, path_ends="/batches")

    with pytest.raises(error):
        submit_to(cloud)
    assert [] == cloud.submissions.accepted


def test_throttled_submission_is_repeated(cloud, submit_to):
    """A 429 is from the gateway, before the service: the request is sent again."""
    cloud.break_with(429, path_ends="/batches")

    submit_to(cloud, tolerance=30.0)

    assert 1 == len(cloud.submissions.accepted)
    assert 2 == sum(record.method == "POST" for record in cloud.requests)


def test_expired_token_is_renewed_before_the_one_submission(cloud, submit_to):
    """A login that fails is no unclear submission: the POST was not sent."""
    cloud.break_with(503, path_ends="/v3/auth/tokens", calls=1)

    with pytest.raises(HwStatusError) as raised:
        submit_to(cloud, auth="password")
    assert not isinstance(raised.value, UnclearSubmissionError)
    assert [] == cloud.submissions.accepted


def test_forbidden_submission_names_the_permission(cloud, submit_to):
    """A 403 says which IAM action is missing."""
    cloud.break_with(403, path_ends="/batches")

    with pytest.raises(AuthenticationError, match="dli:queue:submitJob"):
        submit_to(cloud)


def test_secrets_of_the_body_are_in_no_error(cloud, submit_to):
    """The body is not shown in an error's text."""
    cloud.submissions.answers = [Fault.RESET]

    with pytest.raises(UnclearSubmissionError) as raised:
        submit_to(cloud)
    assert json.dumps(BODY) not in repr(raised.value)


def test_refused_login_whose_renewal_fails_is_clear(cloud, submit_to):
    """A 401 says that the POST was not accepted, also if IAM then does not answer."""
    cloud.break_with(401, path_ends="/batches")
    cloud.listeners.append(lambda record: record.status == 401 and cloud.break_with(503, path_ends="/v3/auth/tokens"))

    with pytest.raises(HwStatusError) as raised:
        submit_to(cloud, auth="password")
    assert not isinstance(raised.value, UnclearSubmissionError)
    assert [] == cloud.submissions.accepted


def test_secret_that_the_service_repeats_is_redacted(cloud, submit_to):
    """The answer goes into XCom."""
    cloud.submissions.answers = [Reply(body={"id": "b1", "error_msg": f"key {cloud.secret_key}"})]

    assert cloud.secret_key not in repr(submit_to(cloud).answer)
