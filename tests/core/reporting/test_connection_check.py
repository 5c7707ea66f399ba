"""The message of the Test button of the connection form."""

import pytest

from airflow_provider_hwstatus.core.reporting.connection_check import _why_unusable, check
from airflow_provider_hwstatus.errors import (
    ApiNotAvailableError,
    AuthenticationError,
    CredentialsRefusedError,
    MalformedResponseError,
    ServerError,
    TransportError,
)
from airflow_provider_hwstatus.kinds import service

PROJECTS = {"projects": [{"name": "cn-north-4_dev", "id": "p0"}, {"name": "cn-north-4", "id": "p1"}]}
DLI, CPH, IAM = "https://dli/", "https://cph/", "https://iam/v3/projects"
NO_BATCH = (404, {"error_code": "DLI.0023", "error_msg": "not found"})
NO_JOB = (400, {"error_code": "CPS.0011", "error_msg": "not found"})
FORBIDDEN = (403, {"error_code": "APIGW.0302", "error_msg": "no"})
REFUSED = (401, {"error_code": "APIGW.0301", "error_msg": "no"})

#: A cloud in which nothing fails.
WELL = {IAM: PROJECTS, DLI: NO_BATCH, CPH: NO_JOB}
AKSK = {"auth": "aksk", "login": "AKIDEXAMPLE", "password": "SK"}


def test_usable_connection(stub_cloud):
    """The message names login, project and region, after one request to IAM and one to each service."""
    cloud = stub_cloud(WELL)

    assert (
        "Logged in as the owner of the given token, project cn-north-4 (p1), region cn-north-4. "
        "DLI answers; CPH answers."
    ) == cloud.run(check(cloud.client()))
    assert [
        "GET /v3/projects?name=cn-north-4",
        "GET /v2.0/p1/batches/00000000-0000-0000-0000-000000000000/state",
        f"GET /v1/p1/cloud-phone/jobs/{'0' * 32}",
    ] == cloud.sent


@pytest.mark.parametrize("reply", [FORBIDDEN, 503, {"projects": []}, {"projects": PROJECTS["projects"][:1]}])
def test_project_without_a_name(stub_cloud, reply):
    """The message has the id of the project if its name cannot be looked up."""
    cloud = stub_cloud(WELL | {IAM: reply})

    assert ", project p1, region cn-north-4." in cloud.run(check(cloud.client()))


def test_region_is_not_needed(stub_cloud):
    """A connection with endpoints needs no region."""
    cloud = stub_cloud(WELL)

    assert ", project cn-north-4 (p1), no region." in cloud.run(check(cloud.client(region=None)))


def test_one_service_is_enough(stub_cloud):
    """The connection is usable if one service is, and the message has the error of the other one."""
    for broken, message in (
        (CPH, "DLI answers; CPH cannot be used (CPH job 000"),
        (DLI, "DLI cannot be used (DLI batch 000"),
    ):
        cloud = stub_cloud(WELL | {broken: FORBIDDEN})
        assert message in cloud.run(check(cloud.client()))


def test_unusable_services_are_an_error(stub_cloud):
    """If no service can be used, the error of the first one is raised."""
    cloud = stub_cloud(WELL | {DLI: FORBIDDEN, CPH: 503})

    with pytest.raises(AuthenticationError, match=r"^DLI batch 0000"):
        cloud.run(check(cloud.client()))


@pytest.mark.parametrize(("where", "requests"), [(IAM, 1), (DLI, 2)])
def test_refused_key_is_sent_once(stub_cloud, where, requests):
    """A refused key is not sent again, because more requests would lock it."""
    cloud = stub_cloud(WELL | {IAM: FORBIDDEN, where: REFUSED})

    with pytest.raises(CredentialsRefusedError):
        cloud.run(check(cloud.client(**AKSK)))
    assert requests == len(cloud.requests)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (NO_BATCH, None),
        ((400, {"error_code": "DLI.0002", "error_msg": "not found"}), None),
        ((400, {"error_code": "DLI.0001", "error_msg": "not a UUID"}), None),
        ({"state": "running"}, None),
        (REFUSED, AuthenticationError),
        (FORBIDDEN, AuthenticationError),
        ((404, {"error_code": "APIGW.0101", "error_msg": "not published"}), ApiNotAvailableError),
        (500, ServerError),
        (TransportError("reset"), TransportError),
        ((200, b"<html>"), MalformedResponseError),
    ],
)
def test_service_without_such_a_job_can_be_used(stub_cloud, reply, expected):
    """A service that answers that there is no such job can be used, and any other error is the reason why not."""
    cloud = stub_cloud({DLI: reply})
    error = cloud.run(_why_unusable(cloud.client(), service.DLI))

    assert expected is (error and type(error))
    assert 1 == len(cloud.requests)


def test_missing_endpoint_is_the_reason(stub_cloud):
    """If the region has no CPH, no request is sent to it, and the message says so."""
    cloud = stub_cloud(WELL)
    message = cloud.run(check(cloud.client(region="eu-de", cph_endpoint=None)))

    assert "CPH cannot be used (CPH job" in message
    assert "region eu-de has no CPH" in message
