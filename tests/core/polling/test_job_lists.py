"""One page of a list of jobs, as the API references have it."""

import json
from pathlib import Path

import pytest

from airflow_provider_hwstatus.core.polling.job_lists import cph_jobs, dli_batches, dli_batches_since
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget
from airflow_provider_hwstatus.errors import JobNotFoundError, MalformedResponseError

LISTS = Path(__file__).parents[2] / "samples" / "lists"
ONCE = RetryBudget(outage_tolerance=0.0)


@pytest.fixture
def one_page(stub_cloud):
    """Return a function that reads a page, and returns it with the cloud that it was read from."""

    def read(make, *arguments, reply):
        cloud = stub_cloud({"https://": reply})
        return cloud.run(make(cloud.client(), *arguments, ONCE)), cloud

    return read


@pytest.mark.parametrize(
    ("make", "arguments", "target"),
    [
        (cph_jobs, (["r1"], 0), "GET /v1/p1/cloud-phone/jobs?request_id=r1&offset=0&limit=100"),
        (cph_jobs, (["r1", "r2"], 100), "GET /v1/p1/cloud-phone/jobs?request_ids=r1,r2&offset=100&limit=100"),
        (cph_jobs, (["r 1", "r,2"], 0), "GET /v1/p1/cloud-phone/jobs?request_ids=r%201,r%2C2&offset=0&limit=100"),
        (dli_batches, ("running", 0), "GET /v2.0/p1/batches?state=running&from=0&size=100"),
        (dli_batches, ("a b", 300), "GET /v2.0/p1/batches?state=a%20b&from=300&size=100"),
        (
            dli_batches_since,
            (1_795_000_000.1239, 100),
            "GET /v2.0/p1/batches?start=1795000000123&order=CREATE_TIME_DESC&from=100&size=100",
        ),
        (dli_batches_since, (-7.0, 0), "GET /v2.0/p1/batches?start=0&order=CREATE_TIME_DESC&from=0&size=100"),
    ],
)
def test_page_is_asked_for(one_page, make, arguments, target):
    """Parameters are named and counted as the references say: CPH knows one request or several, and from where on."""
    _, cloud = one_page(make, *arguments, reply={"jobs": [], "sessions": []})

    assert [target] == cloud.sent
    headers = cloud.requests[0].headers
    assert ("application/json", "p1", "T0ken") == tuple(
        headers[name] for name in ("Content-Type", "X-Project-Id", "X-Auth-Token")
    )


def test_page_of_the_references(one_page):
    """Their own examples are read, with how many there are and what support asks for."""
    batches = json.loads((LISTS / "dli_batches.json").read_text())
    page, _ = one_page(dli_batches, "running", 0, reply=(200, batches, {"x-request-id": "q1"}))
    assert (batches["sessions"], 1, "q1") == (page.rows, page.total, page.request_id)

    jobs = json.loads((LISTS / "cph_jobs.json").read_text())
    page, _ = one_page(cph_jobs, ["r1"], 0, reply=jobs)
    assert (jobs["jobs"], None, jobs["request_id"]) == (page.rows, page.total, page.request_id)


@pytest.mark.parametrize(("total", "expected"), [(7, 7), (0, 0), (True, None), ("7", None), (None, None), (7.5, None)])
def test_total_is_a_number_or_nothing(one_page, total, expected):
    """What is no count is not counted on."""
    page, _ = one_page(dli_batches, "running", 0, reply={"sessions": [], "total": total})

    assert (expected, []) == (page.total, page.rows)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"sessions": None},
        {"sessions": "b1"},
        {"sessions": {"b1": {}}},
        {"sessions": ["b1"]},
        {"sessions": [{"id": "b1"}, None]},
        {"jobs": [{"id": "b1"}]},
    ],
)
def test_reply_without_rows_is_malformed(one_page, body):
    """A list that is no list of objects is not an empty one."""
    with pytest.raises(MalformedResponseError, match="the list of jobs has no sessions in it") as caught:
        one_page(dli_batches, "running", 0, reply=body)
    assert 200 == caught.value.http_status


def test_no_of_the_service_is_an_error(one_page):
    """CPH says that it knows no job of a request."""
    reply = (400, {"error_code": "CPS.0050", "error_msg": "no jobs"})

    with pytest.raises(JobNotFoundError):
        one_page(cph_jobs, ["r1"], 0, reply=reply)


def test_pages_are_counted_by_service(stub_cloud):
    """They are polls of their own in the metrics."""
    cloud, counted = stub_cloud({"https://": {"jobs": [], "sessions": []}}), []
    client = cloud.client()
    client.count = lambda kind, error: counted.append(kind)
    cloud.run(cph_jobs(client, ["r1"], 0, ONCE))
    cloud.run(dli_batches(client, "running", 0, ONCE))

    assert ["cph_list", "dli_list"] == counted


def test_page_of_a_project_that_is_looked_up(stub_cloud):
    """A list is of one project, like all else."""
    cloud = stub_cloud({"/v3/projects": {"projects": [{"name": "cn-north-4", "id": "p9"}]}, "https://": {"jobs": []}})
    cloud.run(cph_jobs(cloud.client(project_id=None), ["r1"], 0, ONCE))

    assert cloud.sent[-1].startswith("GET /v1/p9/cloud-phone/jobs?")
    assert "p9" == cloud.requests[-1].headers["X-Project-Id"]


def test_page_ends_by_the_deadline(stub_cloud):
    """A list that hangs keeps no wait beyond its time."""
    cloud = stub_cloud({"https://": {"jobs": []}})
    cloud.run(cph_jobs(cloud.client(), ["r1"], 0, RetryBudget(0.0, cloud.now + 10.0)))

    assert 15.0 == pytest.approx(cloud.requests[0].timeout)
