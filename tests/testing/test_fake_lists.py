"""The lists of DLI and CPH, and their misbehaviour."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import requests

from airflow_provider_hwstatus.testing import Fault, Reply

SAMPLES = Path(__file__).parents[1] / "samples" / "lists"

#: Each list: kind of the jobs, path that lists all, field of the rows, fields of id and state in a row.
LISTS = {
    "batches": ("dli_batch", "{dli}/batches?order=CREATE_TIME_ASC", "sessions", "id", "state"),
    "jobs": ("cph_job", "{cph}/jobs?request_id=r1", "jobs", "job_id", "status"),
}


def error(reply):
    return reply.status_code, reply.json()["error_code"]


class ListClient:
    """One of the two lists."""

    def __init__(self, name, cloud, client):
        self.cloud, self.client = cloud, client
        self.kind, self.path, self.rows, self.id, self.state = LISTS[name]
        self.list = {"batches": cloud.batch_list, "jobs": cloud.cph_job_list}[name]
        self.paging = {"batches": "from={}&size={}", "jobs": "offset={}&limit={}"}[name]

    def job(self, job_id, *steps, **more):
        self.cloud.job(self.kind, job_id, *steps, request_id="r1", **more)

    def get(self, first=0, size=100):
        return self.client.get(f"{self.path}&{self.paging.format(first, size)}")

    def ids(self, *page):
        return [row[self.id] for row in self.get(*page).json()[self.rows]]

    def states(self):
        return {row[self.id]: str(row[self.state]) for row in self.get().json()[self.rows]}


@pytest.fixture(params=LISTS)
def job_list(request, cloud, client):
    """Return DLI's list, then CPH's list."""
    return ListClient(request.param, cloud, client)


def listed_batch_ids(client, query=""):
    return [row["id"] for row in client.get(f"{{dli}}/batches?{query}").json()["sessions"]]


def listed_cph_ids(client, query):
    return [row["job_id"] for row in client.get(f"{{cph}}/jobs?{query}").json()["jobs"]]


@pytest.mark.parametrize(
    ("name", "query", "rows"),
    [("dli_batches", "{dli}/batches?", "sessions"), ("cph_jobs", "{cph}/jobs?request_id=r1", "jobs")],
)
def test_rows_have_the_documented_fields(cloud, client, name, query, rows):
    """The fake's rows have every field of the example in the API reference."""
    documented = json.loads((SAMPLES / f"{name}.json").read_text())
    phone = dict.fromkeys(("phone_id", "server_id", "node_id"), "x")
    cloud.job("dli_batch", "x1", "dead")
    cloud.job("cph_job", "x1", -1, request_id="r1", **phone)
    body = client.get(query).json()

    assert set() == set(documented) - set(body)
    assert set() == set(documented[rows][0]) - set(body[rows][0])
    assert "request_id" not in body[rows][0]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("job-id=b2", ["b2"]),
        ("job_id=b2", ["b3", "b2", "b1"]),
        ("start=1795000001000", ["b3", "b2"]),
        ("end=1795000001000", ["b2", "b1"]),
        ("start=1795000001000&end=1795000001999", ["b2"]),
        ("order=CREATE_TIME_ASC&from=1", ["b2", "b3"]),
        ("order=DURATION_ASC&state=running", ["b3", "b2", "b1"]),
        ("from=3", []),
        ("size=0", []),
        ("owner=somebody-else", []),
    ],
)
def test_batch_list_parameters(cloud, client, clock, query, expected):
    """DLI filters by known parameters and ignores unknown ones, such as a misspelt id."""
    for job_id in ("b1", "b2", "b3"):
        cloud.job("dli_batch", job_id, "running")
        clock.now += 1

    assert expected == listed_batch_ids(client, query)


@pytest.mark.parametrize("query", ["job-id=b1,b2", "start=x", "end=-1", "from=x", "size=-1"])
def test_invalid_batch_list_parameter_is_refused(client, query):
    """An invalid parameter value gets an error. No parameter takes several ids."""
    assert (400, "DLI.0001") == error(client.get(f"{{dli}}/batches?{query}"))


def test_batch_page_has_100_rows_by_default(cloud, client):
    """A page has 100 rows by default and no maximum. Of two jobs with the same time, the later one comes first."""
    ids = cloud.foreign_jobs("dli_batch", 120, "running")

    assert ids[::-1][:100] == listed_batch_ids(client)
    assert ids[::-1] == listed_batch_ids(client, "size=1000")


def test_cph_page_has_at_most_100_rows(cloud, client):
    """CPH reports no total. A page that is not full is the last one."""
    ids = cloud.foreign_jobs("cph_job", 120, 1, request_id="r1")

    assert [100, 20] == [len(listed_cph_ids(client, f"request_id=r1&offset={offset}")) for offset in (0, 100)]
    assert ids[110:] == listed_cph_ids(client, "request_id=r1&offset=110")
    assert {"request_id", "jobs"} == set(client.get("{cph}/jobs?request_id=r1").json())


@pytest.mark.parametrize(
    ("count", "code"), [(20, None), (21, "CPS.0161")], ids=["twenty requests", "twenty-one requests"]
)
def test_cph_list_takes_at_most_20_request_ids(cloud, client, count, code):
    """A list of 21 request ids gets an error."""
    for number in range(count):
        cloud.job("cph_job", f"j{number}", 1, request_id=f"r{number}")
    body = client.get("{cph}/jobs?request_ids=" + ",".join(f"r{number}" for number in range(count))).json()

    assert code == body.get("error_code")
    assert [f"j{number}" for number in range(20 if code is None else 0)] == [
        row["job_id"] for row in body.get("jobs", ())
    ]


def test_list_can_ignore_parameters_and_omit_fields(cloud, client, clock):
    """The list can imitate a cloud without a time window, an order or a total."""
    for number in range(3):
        cloud.job("dli_batch", f"b{number}", "running")
        clock.now += 60
    query = f"start={int(clock.now * 1000)}&order=CREATE_TIME_ASC"
    assert [] == listed_batch_ids(client, query)

    cloud.batch_list.ignores = {"start", "end", "order"}
    assert ["b2", "b1", "b0"] == listed_batch_ids(client, query)
    cloud.batch_list.backwards = True
    assert ["b0", "b1"] == listed_batch_ids(client, query + "&size=2")
    cloud.batch_list.omits = {"total", "create_time"}
    body = client.get("{dli}/batches").json()
    assert "total" not in body
    assert all("create_time" not in row and row["state"] for row in body["sessions"])


def test_empty_request_id_is_refused(cloud, client):
    """An empty request id in the list gets an error."""
    cloud.job("cph_job", "j1", 1, request_id="r1")

    assert (400, "CPS.0049") == error(client.get("{cph}/jobs?request_ids=r1,"))


def test_unknown_request_among_known_ones_is_no_error(cloud, client):
    """An unknown request gets an error only if no request in the list has jobs."""
    cloud.job("cph_job", "j1", 1, request_id="r1")

    assert ["j1"] == listed_cph_ids(client, "request_ids=r1,r9")
    assert (400, "CPS.0050") == error(client.get("{cph}/jobs?request_ids=r8,r9"))


def test_unknown_request_can_give_an_empty_list(cloud, client):
    """The fake can answer with an empty list, because CPH's current behaviour is not documented."""
    cloud.cph_job_list.empty_is_error = False

    assert [] == listed_cph_ids(client, "request_id=r9")


def test_submission_response_is_as_documented(cloud):
    """The response has a job for each accepted phone and an error for each rejected phone."""
    documented = json.loads((SAMPLES / "cph_submission.json").read_text())
    accepted, rejected = documented["jobs"]
    cloud.job("cph_job", accepted["job_id"], 1, phone_id=accepted["phone_id"])

    assert documented == cloud.submission(
        documented["request_id"], [accepted["job_id"]], rejected=[rejected["phone_id"]]
    )


def test_submission_assigns_jobs_to_a_request(cloud, client):
    """Jobs can be added before and after the submission. Rejected and missing jobs are in no list."""
    cloud.job("cph_job", "j1", 1)
    cloud.job("cph_job", "j3", 1, request_id="r2")
    answer = cloud.submission("r1", ["j1", "j2", "lost"], rejected=["p4"])
    cloud.job("cph_job", "j2", 1)

    assert ["j1", "j2"] == listed_cph_ids(client, "request_id=r1")
    assert ["j1", "j3", "j2"] == listed_cph_ids(client, "request_ids=r1,r2")
    assert ["j1", "j2", "lost", None] == [item.get("job_id") for item in answer["jobs"]]
    assert "r1" == client.get("{cph}/jobs/j2").json()["request_id"]
    assert (400, "CPS.0011") == error(client.get("{cph}/jobs/lost"))


def test_fully_rejected_submission_has_no_jobs(cloud, client):
    """The list of a request whose phones were all rejected gets an error."""
    cloud.submission("r1", rejected=["p1", "p2"])

    assert (400, "CPS.0050") == error(client.get("{cph}/jobs?request_id=r1"))


def test_job_is_listed_later(job_list, clock):
    """A list can omit a new job whose status can already be polled."""
    job_list.job("a1", 1)
    job_list.job("a2", 1, listed_after=2.5)
    job_list.job("a3", 1, listed_after=math.inf)
    seen = []
    for seconds in (0, 2.4, 0.1, 1000):
        clock.now += seconds
        seen.append(job_list.ids())

    assert [["a1"], ["a1"], ["a1", "a2"], ["a1", "a2"]] == seen


def test_list_can_be_stale(job_list, clock):
    """A stale list shows neither newer jobs nor newer states."""
    job_list.job("a1", "1", "2")
    job_list.job("a2", seconds={0: "1", 10: "2"})
    path = {"dli_batch": "{dli}/batches/a1/state", "cph_job": "{cph}/jobs/a1"}[job_list.kind]
    job_list.client.get(path)
    clock.now += 12
    job_list.client.get(path)
    job_list.job("a3", "1")
    job_list.list.stale = 5
    stale = [job_list.states()]
    clock.now += 5
    stale.append(job_list.states())
    job_list.list.stale = 0

    assert [{"a1": "1", "a2": "1"}, {"a1": "2", "a2": "2", "a3": "1"}] == stale
    assert {"a1": "2", "a2": "2", "a3": "1"} == job_list.states()


def test_list_can_show_a_wrong_state(job_list):
    """A list can show another state than the job's status endpoint."""
    job_list.job("a1", "1")
    job_list.list.lies["a1"] = "2"
    path = {"dli_batch": "{dli}/batches/a1/state", "cph_job": "{cph}/jobs/a1"}[job_list.kind]

    assert {"a1": "2"} == job_list.states()
    assert "1" == str(job_list.client.get(path).json()[job_list.state])


def test_filter_uses_the_wrong_state(cloud, client):
    """A filter by state compares the states that the list shows."""
    cloud.job("dli_batch", "b1", "running")
    cloud.batch_list.lies["b1"] = "dead"

    assert (["b1"], []) == (listed_batch_ids(client, "state=dead"), listed_batch_ids(client, "state=running"))


def test_job_can_be_hidden(job_list):
    """A list can omit an existing job."""
    job_list.job("a1", 1)
    job_list.job("a2", 1)
    job_list.list.hidden.add("a1")

    assert ["a2"] == job_list.ids()


def test_order_can_be_reversed(job_list):
    """The reversed order is consistent across pages."""
    for job_id in ("a1", "a2", "a3"):
        job_list.job(job_id, 1)
    job_list.list.backwards = True

    assert [["a3", "a2"], ["a1"]] == [job_list.ids(0, 2), job_list.ids(2, 2)]


def test_order_can_change_with_each_request(job_list):
    """In a list without an order, pages do not fit together. Each page is complete."""
    ids = [f"a{number}" for number in range(20)]
    for job_id in ids:
        job_list.job(job_id, 1)
    job_list.list.shuffled = True
    once, again = job_list.ids(), job_list.ids()

    assert once != again
    assert sorted(ids) == sorted(once) == sorted(again)
    assert set(ids) != {*job_list.ids(0, 10), *job_list.ids(10, 10)}


def test_page_can_be_shorter_than_requested(job_list):
    """A list can return fewer rows than requested."""
    for job_id in ("a1", "a2", "a3"):
        job_list.job(job_id, 1)
    job_list.list.max_rows = 2

    assert [["a1", "a2"], ["a3"], ["a1"]] == [job_list.ids(), job_list.ids(2, 100), job_list.ids(0, 1)]


def test_total_can_be_wrong(cloud, client):
    """DLI's total can differ from the number of jobs."""
    cloud.job("dli_batch", "b1", "running")
    cloud.batch_list.total = 7
    body = client.get("{dli}/batches").json()

    assert (7, 1) == (body["total"], len(body["sessions"]))


def test_pages_can_overlap(job_list):
    """If new jobs are added in front, rows repeat. No row is lost if the client reads to the end."""
    for number in range(5):
        job_list.job(f"a{number}", 1)
    job_list.list.overlap = 1

    assert [["a0", "a1"], ["a1", "a2"], ["a2", "a3"], ["a3", "a4"], ["a4"]] == [
        job_list.ids(first, 2) for first in range(0, 10, 2)
    ]


def test_overlap_increases_the_total(cloud, client):
    """New jobs in front increase DLI's total."""
    cloud.foreign_jobs("dli_batch", 5, "running")
    cloud.batch_list.overlap = 1

    assert [5, 6, 7] == [client.get(f"{{dli}}/batches?from={first}&size=2").json()["total"] for first in (0, 2, 4)]


def test_paging_can_be_endless(job_list):
    """If the overlap equals the page size, every page is full."""
    for number in range(5):
        job_list.job(f"a{number}", 1)
    job_list.list.overlap = 2

    assert ["a0", "a1"] == job_list.ids(1000, 2)


def test_rows_can_take_steps(job_list):
    """With takes_steps, a listed job takes its next step. Steps that are replies do not appear in the list."""
    job_list.job("a1", "1", 503, "2")
    job_list.job("a2", "1", "2")
    job_list.list.takes_steps = True
    job_list.list.hidden.add("a2")
    seen = [job_list.states()["a1"] for _ in range(4)]
    job_list.list.hidden.clear()

    assert ["1", "1", "2", "2"] == seen
    assert {"a1": "2", "a2": "1"} == job_list.states()


def test_rows_can_be_edited(job_list):
    """A function can replace the rows of a page."""
    job_list.job("a1", 1)
    job_list.list.edit = lambda rows: [*rows, {job_list.state: None}, {job_list.id: 5}]

    assert [5, "a1"] == [
        rows[job_list.id] for rows in job_list.get().json()[job_list.rows][::-1] if job_list.id in rows
    ]


@pytest.mark.parametrize("status", [403, 404, 429, 500, 503])
def test_only_the_list_can_fail(job_list, status):
    """A list can fail while the status of each job can still be polled."""
    job_list.job("a1", "1")
    job_list.list.answer = status
    path = {"dli_batch": "{dli}/batches/a1/state", "cph_job": "{cph}/jobs/a1"}[job_list.kind]

    assert [status, status] == [job_list.get().status_code for _ in range(2)]
    assert 200 == job_list.client.get(path).status_code
    assert 401 == job_list.client.send(job_list.path).status_code
    assert 3 == job_list.list.calls
    job_list.list.answer = None
    assert ["a1"] == job_list.ids()


def test_list_can_send_any_reply(job_list):
    """A list can send any reply or fault."""
    job_list.list.answer = Reply(200, "<html>")
    text = job_list.get().text
    job_list.list.answer = Fault.RESET

    assert "<html>" == text
    with pytest.raises(requests.ConnectionError, match="reset"):
        job_list.get()


def test_list_can_fail_temporarily(job_list):
    """break_with can match a list's path only, although job paths begin with it."""
    job_list.job("a1", "1")
    job_list.cloud.break_with(503, calls=2, path_ends={"dli_batch": "/batches", "cph_job": "/jobs"}[job_list.kind])
    path = {"dli_batch": "{dli}/batches/a1/state", "cph_job": "{cph}/jobs/a1"}[job_list.kind]
    codes = [job_list.client.get(path).status_code] + [job_list.get().status_code for _ in range(3)]

    assert [200, 503, 503, 200] == codes


def test_foreign_jobs_are_listed(cloud, client, clock):
    """Jobs of other users are in the list, by age, and have another owner."""
    clock.now += 100
    cloud.job("dli_batch", "mine", "running")
    older = cloud.foreign_jobs("dli_batch", 2, "success", age=50)
    newer = cloud.foreign_jobs("dli_batch", 2, "running", queue="q2")

    assert [*newer[::-1], "mine", *older[::-1]] == listed_batch_ids(client)
    assert ["mine"] == listed_batch_ids(client, "owner=airflow")
    assert newer[::-1] == listed_batch_ids(client, "queue_name=q2")
    assert "success" == client.get(f"{{dli}}/batches/{older[0]}/state").json()["state"]


def test_foreign_cph_jobs_have_their_own_requests(cloud, client):
    """Jobs of other users are listed only under their request."""
    cloud.job("cph_job", "mine", 1, request_id="r1")
    cloud.foreign_jobs("cph_job", 3, 2)
    (other,) = cloud.foreign_jobs("cph_job", 1, 2, request_id="r1")

    assert ["mine", other] == listed_cph_ids(client, "request_id=r1")


@pytest.mark.parametrize("state", [503, None, Fault.HANG])
def test_foreign_job_needs_a_state(cloud, state):
    """A job of another user has a state, not a reply or fault."""
    with pytest.raises(ValueError, match="state"):
        cloud.foreign_jobs("dli_batch", 1, state)
