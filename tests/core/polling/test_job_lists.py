"""One page of a list of jobs, as in the API references."""

import json
from pathlib import Path

import pytest

from airflow_provider_hwstatus.core.polling.job_lists import (
    MOST_PAGES,
    cph_jobs,
    dli_batches,
    dli_batches_since,
    read_pages,
)
from airflow_provider_hwstatus.core.protocol.effects import Count
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget
from airflow_provider_hwstatus.errors import JobNotFoundError, MalformedResponseError

LISTS = Path(__file__).parents[2] / "samples" / "lists"
ONCE = RetryBudget(outage_tolerance=0.0)


@pytest.fixture
def one_page(stub_cloud):
    """Return a function that reads a page of a list, and returns it with the cloud that it was read from."""

    def read(jobs, reply, first=0):
        cloud = stub_cloud({"https://": reply})
        return cloud.run(jobs.page(cloud.client(), first, ONCE)), cloud

    return read


@pytest.mark.parametrize(
    ("jobs", "first", "sent"),
    [
        (cph_jobs(["r1"]), 0, "GET /v1/p1/cloud-phone/jobs?request_id=r1&offset=0&limit=100"),
        (cph_jobs(["r1", "r2"]), 100, "GET /v1/p1/cloud-phone/jobs?request_ids=r1,r2&offset=100&limit=100"),
        (cph_jobs(["r 1", "r,2"]), 0, "GET /v1/p1/cloud-phone/jobs?request_ids=r%201,r%2C2&offset=0&limit=100"),
        (dli_batches("running"), 0, "GET /v2.0/p1/batches?state=running&from=0&size=100"),
        (dli_batches("a b"), 300, "GET /v2.0/p1/batches?state=a%20b&from=300&size=100"),
        (
            dli_batches_since(1_795_000_000.1239),
            100,
            "GET /v2.0/p1/batches?start=1795000000123&order=CREATE_TIME_DESC&from=100&size=100",
        ),
        (dli_batches_since(-7.0), 0, "GET /v2.0/p1/batches?start=0&order=CREATE_TIME_DESC&from=0&size=100"),
    ],
)
def test_page_is_requested(one_page, jobs, first, sent):
    """The query has the parameters of the API references; CPH has one for a single request and one for several."""
    _, cloud = one_page(jobs, {"jobs": [], "sessions": []}, first)

    assert [sent] == cloud.sent
    headers = cloud.requests[0].headers
    assert ("application/json", "p1", "T0ken") == tuple(
        headers[name] for name in ("Content-Type", "X-Project-Id", "X-Auth-Token")
    )


def test_examples_of_the_references_are_read(one_page):
    """The page has the rows, the total and the request id of the references' example responses."""
    batches = json.loads((LISTS / "dli_batches.json").read_text())
    page, _ = one_page(dli_batches("running"), (200, batches, {"x-request-id": "q1"}))
    assert (batches["sessions"], 1, "q1") == (page.rows, page.total, page.request_id)

    jobs = json.loads((LISTS / "cph_jobs.json").read_text())
    page, _ = one_page(cph_jobs(["r1"]), jobs)
    assert (jobs["jobs"], None, jobs["request_id"]) == (page.rows, page.total, page.request_id)


@pytest.mark.parametrize(("total", "expected"), [(7, 7), (0, 0), (True, None), ("7", None), (None, None), (7.5, None)])
def test_total_is_a_number_or_nothing(one_page, total, expected):
    """A total that is no integer is ignored."""
    page, _ = one_page(dli_batches("running"), {"sessions": [], "total": total})

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
def test_response_without_rows_is_malformed(one_page, body):
    """A response without a list of objects is an error, not an empty list."""
    with pytest.raises(MalformedResponseError, match="the list of jobs has no sessions in it") as caught:
        one_page(dli_batches("running"), body)
    assert 200 == caught.value.http_status


def test_request_without_jobs_is_an_error(one_page):
    """CPH's error code for a request without jobs raises a JobNotFoundError."""
    reply = (400, {"error_code": "CPS.0050", "error_msg": "no jobs"})

    with pytest.raises(JobNotFoundError):
        one_page(cph_jobs(["r1"]), reply)


def test_pages_are_counted_by_service(stub_cloud):
    """The pages of each service have a metric of their own."""
    cloud = stub_cloud({"https://": {"jobs": [], "sessions": []}})
    client = cloud.client()
    cloud.run(cph_jobs(["r1"]).page(client, 0, ONCE))
    cloud.run(dli_batches("running").page(client, 0, ONCE))

    assert [Count("polls", "cph_list"), Count("polls", "dli_list")] == cloud.counted


def test_page_of_a_project_that_is_looked_up(stub_cloud):
    """The list is the list of the project that the connection looks up."""
    cloud = stub_cloud({"/v3/projects": {"projects": [{"name": "cn-north-4", "id": "p9"}]}, "https://": {"jobs": []}})
    cloud.run(cph_jobs(["r1"]).page(cloud.client(project_id=None), 0, ONCE))

    assert cloud.sent[-1].startswith("GET /v1/p9/cloud-phone/jobs?")
    assert "p9" == cloud.requests[-1].headers["X-Project-Id"]


def test_page_ends_by_the_deadline(stub_cloud):
    """The request for a page ends five seconds after the deadline at the latest."""
    cloud = stub_cloud({"https://": {"jobs": []}})
    cloud.run(cph_jobs(["r1"]).page(cloud.client(), 0, RetryBudget(0.0, cloud.now + 10.0)))

    assert [15.0] == cloud.seconds_left


def test_pages_are_read_while_they_are_needed(stub_cloud):
    """Each page begins after the rows of the page before it, until no further page is needed."""
    cloud = stub_cloud({"from=": [{"sessions": [{}, {}]}, {"sessions": [{}]}, {"sessions": []}]})
    pages = []

    def take(page):
        pages.append(len(page.rows))
        return len(pages) < 2

    assert 8 == cloud.run(read_pages(cloud.client(), dli_batches("running"), ONCE, take, first=5))
    assert [2, 1] == pages
    assert ["5", "7"] == [path.partition("from=")[2].partition("&")[0] for path in cloud.sent]


def test_list_without_an_end_is_malformed(stub_cloud):
    """A list that has not ended after a hundred pages raises an error."""
    cloud = stub_cloud({"from=": {"sessions": [{}]}})

    with pytest.raises(MalformedResponseError, match="does not end after 100 pages"):
        cloud.run(read_pages(cloud.client(), dli_batches("running"), ONCE, lambda page: True))
    assert MOST_PAGES == len(cloud.requests)
