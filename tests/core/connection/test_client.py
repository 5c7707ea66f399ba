"""The requests of one connection: where they are sent, what they share, and what their responses mean."""

import pytest

from airflow_provider_hwstatus.core.polling.job_poller import JobPoller
from airflow_provider_hwstatus.core.polling.wait_options import WaitOptions
from airflow_provider_hwstatus.core.protocol.effects import Count
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget
from airflow_provider_hwstatus.errors import (
    AuthenticationError,
    ConfigurationError,
    CredentialsRefusedError,
    DeadlineError,
    JobNotFoundError,
    MalformedResponseError,
    ServerError,
    ThrottledError,
    UnknownStateError,
)
from airflow_provider_hwstatus.kinds.cph import CPH_JOB
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH

ONCE = RetryBudget(outage_tolerance=0.0)
PROJECT = {"name": "cn-north-4", "id": "p1"}


def listed(*projects, **more):
    """Return IAM's list of projects."""
    return {"projects": list(projects), **more}


def test_request_goes_to_the_service_of_its_kind(stub_cloud):
    """The path has the project and the job, and a header has the project, as in the API references."""
    cloud = stub_cloud({"https://": {}})
    client = cloud.client()
    cloud.run(JobPoller(client, DLI_BATCH, "b1").fetch_status(ONCE))
    cloud.run(JobPoller(client, CPH_JOB, "j1").fetch_status(ONCE))

    assert [
        ("GET", "https://dli/v2.0/p1/batches/b1/state"),
        ("GET", "https://cph/v1/p1/cloud-phone/jobs/j1"),
    ] == [(request.method, request.url) for request in cloud.requests]
    assert all("p1" == request.headers["X-Project-Id"] for request in cloud.requests)
    assert all("T0ken" == request.headers["X-Auth-Token"] for request in cloud.requests)


def test_error_names_its_job(stub_cloud):
    """The message of an error begins with the job."""
    cloud = stub_cloud({"https://": 404})

    with pytest.raises(JobNotFoundError, match=r"^DLI batch b1: HTTP 404"):
        cloud.run(JobPoller(cloud.client(), DLI_BATCH, "b1").fetch_status(ONCE))


def test_each_attempt_is_counted(stub_cloud):
    """Metrics count each attempt, and each error that was retried by its class."""
    cloud = stub_cloud({"https://": [503, (429, b"", {"retry-after": "1"}), {"state": "success"}]})
    cloud.run(JobPoller(cloud.client(), DLI_BATCH, "b1").fetch_status(RetryBudget()))

    counted = ["polls", "transient_errors", "polls", "throttles", "polls"]
    assert [Count(metric, "dli_batch") for metric in counted] == cloud.counted


def test_refused_login_is_counted(stub_cloud):
    """A refused key or token has a metric; a missing permission has none."""
    for status, counted in ((401, ["polls", "refused_logins"]), (403, ["polls"])):
        cloud = stub_cloud({"https://": status})
        with pytest.raises(AuthenticationError):
            cloud.run(JobPoller(cloud.client(), DLI_BATCH, "b1").fetch_status(ONCE))

        assert [Count(metric, "dli_batch") for metric in counted] == cloud.counted


def test_request_that_was_not_sent_is_not_counted(stub_cloud):
    """A wait that is held back until its deadline sends no request and counts none."""
    cloud = stub_cloud({"https://": {}})
    client = cloud.client()
    client.throttles["dli"].refused(60.0, cloud.now)

    with pytest.raises(DeadlineError):
        cloud.run(JobPoller(client, DLI_BATCH, "b1").fetch_status(RetryBudget(deadline=cloud.now + 5.0)))
    assert [] == cloud.counted


def test_project_is_the_one_named_like_the_region(stub_cloud):
    """The project is the one that has exactly the name of the region, and it is looked up once."""
    cloud = stub_cloud({"/v3/projects": listed({"name": "cn-north-4_dev", "id": "p0"}, PROJECT)})
    client = cloud.client(project_id=None)

    assert ["p1", "p1"] == [cloud.run(client.project_id()) for _ in range(2)]
    assert ["GET /v3/projects?name=cn-north-4"] == cloud.sent
    assert "T0ken" == cloud.requests[0].headers["X-Auth-Token"]


def test_project_of_the_connection_is_not_looked_up(stub_cloud):
    """A configured project needs no request."""
    cloud = stub_cloud()

    assert "p1" == cloud.run(cloud.client().project_id())


def test_project_of_the_login_is_not_looked_up(stub_cloud):
    """The token of a password login names its project, so no further request is needed."""
    times = {"issued_at": "2026-11-21T00:00:00.000000Z", "expires_at": "2026-11-22T00:00:00.000000Z"}
    login = (201, {"token": times | {"project": {"id": "p7"}}}, {"x-subject-token": "t1"})
    cloud = stub_cloud({"/v3/auth/tokens": login})
    client = cloud.client(auth="password", login="ann", domain_name="acme", project_id=None)

    assert "p7" == cloud.run(client.project_id())
    assert 1 == len(cloud.requests)


def test_waits_that_queue_for_the_project_share_one_look_up(stub_cloud):
    """Two waits that begin before the project is known look it up once."""
    cloud = stub_cloud({"/v3/projects": listed(PROJECT)})
    client = cloud.client(project_id=None)
    first, second = client.project_id(), client.project_id()
    turns = [next(first), next(second)]

    assert ["p1", "p1"] == [cloud.run(turn.flow()) for turn in turns]
    assert {"project"} == {turn.name for turn in turns}
    assert 1 == len(cloud.requests)


@pytest.mark.parametrize(
    ("projects", "found"),
    [
        ([], "none"),
        ([{"name": "cn-north-4_dev", "id": "p0"}], r"cn-north-4_dev \(p0\)"),
        ([PROJECT, PROJECT | {"id": "p2"}], r"cn-north-4 \(p1\), cn-north-4 \(p2\)"),
    ],
)
def test_ambiguous_project_is_listed(stub_cloud, projects, found):
    """If no project or several match, the error lists what was found and names the field to set."""
    cloud = stub_cloud({"/v3/projects": listed(*projects)})

    with pytest.raises(ConfigurationError, match=f"by the name of region cn-north-4: {found}. Set project_id"):
        cloud.run(cloud.client(project_id=None).project_id())


def test_message_lists_twenty_projects_at_most(stub_cloud):
    """The error lists at most twenty projects of an account that has more."""
    cloud = stub_cloud({"/v3/projects": listed(*({"name": f"n{number}", "id": f"p{number}"} for number in range(99)))})

    with pytest.raises(ConfigurationError, match=r"n18 \(p18\), n19 \(p19\)\. Set"):
        cloud.run(cloud.client(project_id=None).project_id())


def test_project_needs_a_region(stub_cloud):
    """Without a region no project is looked up, and no request is sent."""
    cloud = stub_cloud()

    with pytest.raises(ConfigurationError, match="without region it cannot be looked up"):
        cloud.run(cloud.client(project_id=None, region=None).project_id())


@pytest.mark.parametrize("project_id", ["../x", "p-1", "p" * 65])
def test_invalid_project_id_is_refused(stub_cloud, project_id):
    """A project id that is not letters and digits is refused, because it becomes part of every path."""
    cloud = stub_cloud({"/v3/projects": listed(PROJECT | {"id": project_id})})

    with pytest.raises(MalformedResponseError, match="not 1 to 64 letters and digits"):
        cloud.run(cloud.client(project_id=None).project_id())


def test_list_of_projects(stub_cloud):
    """Rows without an id are left out, and without a region all projects are listed."""
    rows = [PROJECT, "p2", None, {"name": "no id"}, {"name": "empty", "id": ""}, {"id": 7}]
    cloud = stub_cloud({"/v3/projects": listed(*rows, links={})})

    assert [("cn-north-4", "p1"), ("None", "7")] == cloud.run(cloud.client(region=None).list_projects())
    assert ["GET /v3/projects"] == cloud.sent


@pytest.mark.parametrize("body", [{}, {"projects": None}, {"projects": {"p1": "cn-north-4"}}])
def test_invalid_list_of_projects_is_malformed(stub_cloud, body):
    """A response without a list of projects raises an error."""
    cloud = stub_cloud({"/v3/projects": body})

    with pytest.raises(MalformedResponseError, match="has no field projects"):
        cloud.run(cloud.client().list_projects())


def test_throttled_service_does_not_delay_the_other(stub_cloud):
    """A 429 holds back all waits for its service, and no wait for another service."""
    cloud = stub_cloud({"https://dli": (429, b"", {"retry-after": "60"}), "https://cph": {"status": 2}})
    client, began = cloud.client(), cloud.now
    with pytest.raises(ThrottledError):
        cloud.run(JobPoller(client, DLI_BATCH, "b1").fetch_status(ONCE))

    cloud.run(JobPoller(client, CPH_JOB, "j1").fetch_status(ONCE))
    assert began == cloud.now
    cloud.replies = {"https://dli": {"state": "running"}}
    cloud.run(JobPoller(client, DLI_BATCH, "b1").fetch_status(ONCE))
    assert 60.0 == pytest.approx(cloud.now - began)


def test_password_of_the_proxy_is_hidden(stub_cloud):
    """The password in the URL of the proxy is redacted."""
    client = stub_cloud().client(proxy="http://user:pr0xy@host:3128")

    assert "***" == client.redact("pr0xy")


def test_each_response_is_read_by_itself(stub_cloud):
    """A response with the body of an earlier one but another HTTP status has another meaning."""
    body = b'{"id": "b1", "state": "running"}'
    cloud = stub_cloud({"https://": [(200, body), (200, body), (503, body), (200, b'{"state": "dead"}')]})
    poller = JobPoller(cloud.client(), DLI_BATCH, "b1")
    first, second = (cloud.run(poller.fetch_status(ONCE)) for _ in range(2))

    assert first == second
    with pytest.raises(ServerError):
        cloud.run(poller.fetch_status(ONCE))
    assert "dead" == cloud.run(poller.fetch_status(ONCE)).state


def test_invalid_id_is_refused_at_once(stub_cloud):
    """An invalid id raises an error that names the argument of the sensor."""
    with pytest.raises(ConfigurationError, match=r"^batch_id must be"):
        JobPoller(stub_cloud().client(), DLI_BATCH, "a/b")


def test_unknown_state_that_is_to_fail_names_job_state_and_request(stub_cloud):
    """The error of an unknown state names the job, the state and the request, and by default there is no error."""
    cloud = stub_cloud({"https://": (200, {"state": "paused"}, {"x-request-id": "r1"})})
    poller = JobPoller(cloud.client(), DLI_BATCH, "b1")

    with pytest.raises(UnknownStateError, match=r"^DLI batch b1: its state 'paused' is in no table") as caught:
        cloud.run(poller.poll(WaitOptions(poke_interval=1.0, began=0.0, on_unknown_state="fail")))
    assert "r1" == caught.value.request_id
    assert "paused" == cloud.run(poller.poll(WaitOptions(poke_interval=1.0, began=0.0))).state


def test_refused_key_keeps_its_class_and_names_its_job(stub_cloud):
    """A refused key is sent once, and each wait gets a CredentialsRefusedError that names its own job."""
    cloud = stub_cloud({"https://": 401})
    client = cloud.client(auth="aksk", login="AKIDEXAMPLE")

    for job_id in ("b1", "b2"):
        with pytest.raises(CredentialsRefusedError, match=rf"^DLI batch {job_id}: "):
            cloud.run(JobPoller(client, DLI_BATCH, job_id).fetch_status(ONCE))
    assert 1 == len(cloud.requests)
    assert "access key AKID…" == client.identity
