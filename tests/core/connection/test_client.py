"""One connection's questions: where they go, what they share, and how replies to them are kept."""

import pytest

from airflow_provider_hwstatus.core.polling.job_poller import JobPoller
from airflow_provider_hwstatus.core.polling.wait_options import WaitOptions
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget
from airflow_provider_hwstatus.errors import (
    ConfigurationError,
    CredentialsRefusedError,
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
    """Return a reply of IAM's."""
    return {"projects": list(projects), **more}


def test_question_goes_to_the_service_of_its_kind(stub_cloud):
    """The project and the job are in the path, and the project in a header, as the API references say."""
    cloud = stub_cloud({"https://": {}})
    client = cloud.client()
    cloud.run(JobPoller(client, DLI_BATCH, "b1").ask(ONCE))
    cloud.run(JobPoller(client, CPH_JOB, "j1").ask(ONCE))

    assert [
        ("GET", "https://dli/v2.0/p1/batches/b1/state"),
        ("GET", "https://cph/v1/p1/cloud-phone/jobs/j1"),
    ] == [(request.method, request.url) for request in cloud.requests]
    assert all("p1" == request.headers["X-Project-Id"] for request in cloud.requests)
    assert all("T0ken" == request.headers["X-Auth-Token"] for request in cloud.requests)


def test_error_says_what_it_is_about(stub_cloud):
    """The message begins with the job."""
    cloud = stub_cloud({"https://": 404})

    with pytest.raises(JobNotFoundError, match=r"^DLI batch b1: HTTP 404"):
        cloud.run(JobPoller(cloud.client(), DLI_BATCH, "b1").ask(ONCE))


def test_each_attempt_is_counted(stub_cloud):
    """Metrics tell answers and errors apart, also those that are repeated."""
    cloud, counted = stub_cloud({"https://": [503, {"state": "success"}]}), []
    client = cloud.client()
    client.count = lambda kind, error: counted.append((kind, error and type(error)))
    cloud.run(JobPoller(client, DLI_BATCH, "b1").ask(RetryBudget()))

    assert [("dli_batch", ServerError), ("dli_batch", None)] == counted


def test_project_is_the_one_named_like_the_region(stub_cloud):
    """It is looked up once, by its name, among those that IAM finds by it."""
    cloud = stub_cloud({"/v3/projects": listed({"name": "cn-north-4_dev", "id": "p0"}, PROJECT)})
    client = cloud.client(project_id=None)

    assert ["p1", "p1"] == [cloud.run(client.project_id()) for _ in range(2)]
    assert ["GET /v3/projects?name=cn-north-4"] == cloud.target
    assert "T0ken" == cloud.requests[0].headers["X-Auth-Token"]


def test_project_of_the_connection_is_not_looked_up(stub_cloud):
    """Nothing is asked that is known."""
    cloud = stub_cloud()

    assert "p1" == cloud.run(cloud.client().project_id())


def test_project_of_the_login_is_not_looked_up(stub_cloud):
    """A token that a password bought is for one project, and says which."""
    times = {"issued_at": "2026-11-21T00:00:00.000000Z", "expires_at": "2026-11-22T00:00:00.000000Z"}
    login = (201, {"token": times | {"project": {"id": "p7"}}}, {"x-subject-token": "t1"})
    cloud = stub_cloud({"/v3/auth/tokens": login})
    client = cloud.client(auth="password", login="ann", domain_name="acme", project_id=None)

    assert "p7" == cloud.run(client.project_id())
    assert 1 == len(cloud.requests)


def test_waits_that_queued_for_the_project_do_not_ask_again(stub_cloud):
    """Two that began before it was known find it when their turn comes."""
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
def test_project_that_is_not_one_is_listed(stub_cloud, projects, found):
    """None or several: the error says what there is, and what to set."""
    cloud = stub_cloud({"/v3/projects": listed(*projects)})

    with pytest.raises(ConfigurationError, match=f"by the name of region cn-north-4: {found}. Set project_id"):
        cloud.run(cloud.client(project_id=None).project_id())


def test_message_lists_twenty_projects_at_most(stub_cloud):
    """An account may have thousands."""
    cloud = stub_cloud({"/v3/projects": listed(*({"name": f"n{number}", "id": f"p{number}"} for number in range(99)))})

    with pytest.raises(ConfigurationError, match=r"n18 \(p18\), n19 \(p19\)\. Set"):
        cloud.run(cloud.client(project_id=None).project_id())


def test_project_needs_a_region(stub_cloud):
    """Without one there is nothing to look up by, so nothing is asked."""
    cloud = stub_cloud()

    with pytest.raises(ConfigurationError, match="without region it cannot be looked up"):
        cloud.run(cloud.client(project_id=None, region=None).project_id())


@pytest.mark.parametrize("project_id", ["../x", "p-1", "p" * 65])
def test_project_that_can_be_none_is_not_asked_about(stub_cloud, project_id):
    """It would become part of every path."""
    cloud = stub_cloud({"/v3/projects": listed(PROJECT | {"id": project_id})})

    with pytest.raises(MalformedResponseError, match="not 1 to 64 letters and digits"):
        cloud.run(cloud.client(project_id=None).project_id())


def test_list_of_projects(stub_cloud):
    """What is no project is left out; without a region all are listed."""
    rows = [PROJECT, "p2", None, {"name": "no id"}, {"name": "empty", "id": ""}, {"id": 7}]
    cloud = stub_cloud({"/v3/projects": listed(*rows, links={})})

    assert [("cn-north-4", "p1"), ("None", "7")] == cloud.run(cloud.client(region=None).list_projects())
    assert ["GET /v3/projects"] == cloud.target


@pytest.mark.parametrize("body", [{}, {"projects": None}, {"projects": {"p1": "cn-north-4"}}])
def test_list_of_projects_that_is_none(stub_cloud, body):
    """Nothing is made of it."""
    cloud = stub_cloud({"/v3/projects": body})

    with pytest.raises(MalformedResponseError, match="no projects in it"):
        cloud.run(cloud.client().list_projects())


def test_throttled_service_leaves_the_other_its_pace(stub_cloud):
    """A 429 holds back all waits on its service, and nobody else."""
    cloud = stub_cloud({"https://dli": (429, b"", {"retry-after": "60"}), "https://cph": {"status": 2}})
    client, began = cloud.client(), cloud.now
    with pytest.raises(ThrottledError):
        cloud.run(JobPoller(client, DLI_BATCH, "b1").ask(ONCE))

    cloud.run(JobPoller(client, CPH_JOB, "j1").ask(ONCE))
    assert began == cloud.now
    cloud.replies = {"https://dli": {"state": "running"}}
    cloud.run(JobPoller(client, DLI_BATCH, "b1").ask(ONCE))
    assert 60.0 == pytest.approx(cloud.now - began)


def test_password_of_the_proxy_is_hidden(stub_cloud):
    """Errors may name the proxy."""
    client = stub_cloud().client(proxy="http://user:pr0xy@host:3128")

    assert "***" == client.redact("pr0xy")


def test_same_reply_is_read_once(stub_cloud):
    """Most polls find what the last one found; that takes no time. A reply with another status is another one."""
    body = b'{"id": "b1", "state": "running"}'
    cloud = stub_cloud({"https://": [(200, body), (200, body), (503, body), (200, b'{"state": "dead"}')]})
    poller = JobPoller(cloud.client(), DLI_BATCH, "b1")
    first, second = (cloud.run(poller.ask(ONCE)) for _ in range(2))

    assert first is second
    with pytest.raises(ServerError):
        cloud.run(poller.ask(ONCE))
    assert "dead" == cloud.run(poller.ask(ONCE)).state


@pytest.mark.parametrize("state", ["success", "paused"])
def test_only_what_goes_on_is_kept(stub_cloud, state):
    """An end is not asked about again; an unknown state is read anew."""
    cloud = stub_cloud({"https://": {"state": state}})
    poller = JobPoller(cloud.client(), DLI_BATCH, "b1")

    assert cloud.run(poller.ask(ONCE)) is not cloud.run(poller.ask(ONCE))


def test_long_reply_is_not_kept(stub_cloud):
    """Ten thousand waits keep a kilobyte each, not four megabytes."""
    cloud = stub_cloud({"https://": {"state": "running", "log": ["x" * 900]}})
    poller = JobPoller(cloud.client(), DLI_BATCH, "b1")
    assert cloud.run(poller.ask(ONCE)) is cloud.run(poller.ask(ONCE))

    cloud.replies = {"https://": {"state": "running", "log": ["x" * 1000]}}
    assert cloud.run(poller.ask(ONCE)) is not cloud.run(poller.ask(ONCE))


def test_id_that_can_be_none_is_refused_at_once(stub_cloud):
    """By the name that its argument has."""
    with pytest.raises(ConfigurationError, match=r"^batch_id must be"):
        JobPoller(stub_cloud().client(), DLI_BATCH, "a/b")


def test_unknown_state_that_is_to_fail_names_job_state_and_request(stub_cloud):
    """It is an error of the question; by default the wait goes on."""
    cloud = stub_cloud({"https://": (200, {"state": "paused"}, {"x-request-id": "r1"})})
    poller = JobPoller(cloud.client(), DLI_BATCH, "b1")

    with pytest.raises(UnknownStateError, match=r"^DLI batch b1: its state 'paused' is in no table") as caught:
        cloud.run(poller.poll(WaitOptions(poke_interval=1.0, began=0.0, on_unknown_state="fail")))
    assert "r1" == caught.value.request_id
    assert "paused" == cloud.run(poller.poll(WaitOptions(poke_interval=1.0, began=0.0))).state


def test_refused_key_keeps_its_class_and_says_its_job(stub_cloud):
    """What a wait must never overlook stays what it is."""
    cloud = stub_cloud({"https://": 401})
    client = cloud.client(auth="aksk", login="AKIDEXAMPLE")

    for job_id in ("b1", "b2"):
        with pytest.raises(CredentialsRefusedError, match=rf"^DLI batch {job_id}: "):
            cloud.run(JobPoller(client, DLI_BATCH, job_id).ask(ONCE))
    assert 1 == len(cloud.requests)
    assert "access key AKID…" == client.identity
