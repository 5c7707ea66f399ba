"""How DLI and CPH list jobs, and how a test makes the lists misbehave."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import requests

from airflow_provider_hwstatus.testing import Fault, Reply

SAMPLES = Path(__file__).parents[1] / "samples" / "lists"

#: Either list: the kind, the path that shows everything, the reply's rows, and where a row has id and state.
LISTS = {
    "batches": ("dli_batch", "{dli}/batches?order=CREATE_TIME_ASC", "sessions", "id", "state"),
    "jobs": ("cph_job", "{cph}/jobs?request_id=r1", "jobs", "job_id", "status"),
}


def error(reply):
    return reply.status_code, reply.json()["error_code"]


class Either:
    """One of the two lists, and what it shows."""

    def __init__(self, name, cloud, client):
        self.cloud, self.client = cloud, client
        self.kind, self.path, self.rows, self.id, self.state = LISTS[name]
        self.list = {"batches": cloud.batch_list, "jobs": cloud.cph_job_list}[name]
        self.paging = {"batches": "from={}&size={}", "jobs": "offset={}&limit={}"}[name]

    def job(self, job_id, *steps, **more):
        self.cloud.job(self.kind, job_id, *steps, request_id="r1", **more)

    def ask(self, first=0, size=100):
        return self.client.get(f"{self.path}&{self.paging.format(first, size)}")

    def ids(self, *page):
        return [row[self.id] for row in self.ask(*page).json()[self.rows]]

    def states(self):
        return {row[self.id]: str(row[self.state]) for row in self.ask().json()[self.rows]}


@pytest.fixture(params=LISTS)
def either(request, cloud, client):
    """DLI's list, then CPH's."""
    return Either(request.param, cloud, client)


def batch_ids(client, query=""):
    return [row["id"] for row in client.get(f"{{dli}}/batches?{query}").json()["sessions"]]


def cph_ids(client, query):
    return [row["job_id"] for row in client.get(f"{{cph}}/jobs?{query}").json()["jobs"]]


@pytest.mark.parametrize(
    ("sample", "query", "rows"),
    [("dli_batches", "{dli}/batches?", "sessions"), ("cph_jobs", "{cph}/jobs?request_id=r1", "jobs")],
)
def test_rows_have_the_fields_of_the_reference(cloud, client, sample, query, rows):
    """Whatever the API reference's example has, the fake's list has, too."""
    documented = json.loads((SAMPLES / f"{sample}.json").read_text())
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
def test_batches_are_asked_for(cloud, client, clock, query, expected):
    """A parameter that DLI does not know, such as a misspelt id, is overlooked and filters nothing."""
    for job_id in ("b1", "b2", "b3"):
        cloud.job("dli_batch", job_id, "running")
        clock.now += 1

    assert expected == batch_ids(client, query)


@pytest.mark.parametrize("query", ["job-id=b1,b2", "start=x", "end=-1", "from=x", "size=-1"])
def test_senseless_list_of_batches_is_refused(client, query):
    """No parameter takes several ids."""
    assert (400, "DLI.0001") == error(client.get(f"{{dli}}/batches?{query}"))


def test_page_of_batches_has_a_hundred_unless_told(cloud, client):
    """The default is a hundred rows, and no greatest size is documented; the later of two jobs is the newer one."""
    ids = cloud.foreign_jobs("dli_batch", 120, "running")

    assert ids[::-1][:100] == batch_ids(client)
    assert ids[::-1] == batch_ids(client, "size=1000")


def test_page_of_cph_jobs_has_a_hundred_at_most(cloud, client):
    """CPH says nowhere how many there are: a page that is not full is the last one."""
    ids = cloud.foreign_jobs("cph_job", 120, 1, request_id="r1")

    assert [100, 20] == [len(cph_ids(client, f"request_id=r1&offset={offset}")) for offset in (0, 100)]
    assert ids[110:] == cph_ids(client, "request_id=r1&offset=110")
    assert {"request_id", "jobs"} == set(client.get("{cph}/jobs?request_id=r1").json())


@pytest.mark.parametrize(
    ("count", "code"), [(20, None), (21, "CPS.0161")], ids=["twenty requests", "twenty-one requests"]
)
def test_at_most_twenty_requests_at_once(cloud, client, count, code):
    """The twenty-first request is one too many."""
    for number in range(count):
        cloud.job("cph_job", f"j{number}", 1, request_id=f"r{number}")
    body = client.get("{cph}/jobs?request_ids=" + ",".join(f"r{number}" for number in range(count))).json()

    assert code == body.get("error_code")
    assert [f"j{number}" for number in range(20 if code is None else 0)] == [
        row["job_id"] for row in body.get("jobs", ())
    ]


def test_undocumented_parameters_can_be_ignored(cloud, client, clock):
    """A cloud that documents no window and no order gives its own; one that has no total gives none."""
    for number in range(3):
        cloud.job("dli_batch", f"b{number}", "running")
        clock.now += 60
    query = f"start={int(clock.now * 1000)}&order=CREATE_TIME_ASC"
    assert [] == batch_ids(client, query)

    cloud.batch_list.ignores = {"start", "end", "order"}
    assert ["b2", "b1", "b0"] == batch_ids(client, query)
    cloud.batch_list.backwards = True
    assert ["b0", "b1"] == batch_ids(client, query + "&size=2")
    cloud.batch_list.omits = {"total", "create_time"}
    body = client.get("{dli}/batches").json()
    assert "total" not in body
    assert all("create_time" not in row and row["state"] for row in body["sessions"])


def test_empty_request_id_is_refused(cloud, client):
    """A comma too many is an empty request id."""
    cloud.job("cph_job", "j1", 1, request_id="r1")

    assert (400, "CPS.0049") == error(client.get("{cph}/jobs?request_ids=r1,"))


def test_unknown_request_hides_among_known_ones(cloud, client):
    """A request that has no jobs is only told if no other has any."""
    cloud.job("cph_job", "j1", 1, request_id="r1")

    assert ["j1"] == cph_ids(client, "request_ids=r1,r9")
    assert (400, "CPS.0050") == error(client.get("{cph}/jobs?request_ids=r8,r9"))


def test_unknown_request_can_be_an_empty_list(cloud, client):
    """How CPH behaves today is not documented, so a client has to bear both."""
    cloud.cph_job_list.empty_is_error = False

    assert [] == cph_ids(client, "request_id=r9")


def test_submission_is_answered_as_documented(cloud):
    """The answer has a job for each phone that was accepted, and an error for each other one."""
    documented = json.loads((SAMPLES / "cph_submission.json").read_text())
    accepted, rejected = documented["jobs"]
    cloud.job("cph_job", accepted["job_id"], 1, phone_id=accepted["phone_id"])

    assert documented == cloud.submission(
        documented["request_id"], [accepted["job_id"]], rejected=[rejected["phone_id"]]
    )


def test_submission_says_which_jobs_belong_to_it(cloud, client):
    """Jobs can be added before and after; what was rejected or never added is in no list."""
    cloud.job("cph_job", "j1", 1)
    cloud.job("cph_job", "j3", 1, request_id="r2")
    answer = cloud.submission("r1", ["j1", "j2", "lost"], rejected=["p4"])
    cloud.job("cph_job", "j2", 1)

    assert ["j1", "j2"] == cph_ids(client, "request_id=r1")
    assert ["j1", "j3", "j2"] == cph_ids(client, "request_ids=r1,r2")
    assert ["j1", "j2", "lost", None] == [item.get("job_id") for item in answer["jobs"]]
    assert "r1" == client.get("{cph}/jobs/j2").json()["request_id"]
    assert (400, "CPS.0011") == error(client.get("{cph}/jobs/lost"))


def test_wholly_rejected_submission_has_no_jobs(cloud, client):
    """That nothing is listed does not mean that all is well."""
    cloud.submission("r1", rejected=["p1", "p2"])

    assert (400, "CPS.0050") == error(client.get("{cph}/jobs?request_id=r1"))


def test_job_is_listed_later(either, clock):
    """A list may not have a new job yet, although its status can be asked for."""
    either.job("a1", 1)
    either.job("a2", 1, listed_after=2.5)
    either.job("a3", 1, listed_after=math.inf)
    seen = []
    for seconds in (0, 2.4, 0.1, 1000):
        clock.now += seconds
        seen.append(either.ids())

    assert [["a1"], ["a1"], ["a1", "a2"], ["a1", "a2"]] == seen


def test_list_can_lag_behind(either, clock):
    """A snapshot shows neither newer jobs nor newer states, however these come about."""
    either.job("a1", "1", "2")
    either.job("a2", seconds={0: "1", 10: "2"})
    path = {"dli_batch": "{dli}/batches/a1/state", "cph_job": "{cph}/jobs/a1"}[either.kind]
    either.client.get(path)
    clock.now += 12
    either.client.get(path)
    either.job("a3", "1")
    either.list.stale = 5
    stale = [either.states()]
    clock.now += 5
    stale.append(either.states())
    either.list.stale = 0

    assert [{"a1": "1", "a2": "1"}, {"a1": "2", "a2": "2", "a3": "1"}] == stale
    assert {"a1": "2", "a2": "2", "a3": "1"} == either.states()


def test_list_can_lie(either):
    """A list may tell another state than the job's own page."""
    either.job("a1", "1")
    either.list.lies["a1"] = "2"
    path = {"dli_batch": "{dli}/batches/a1/state", "cph_job": "{cph}/jobs/a1"}[either.kind]

    assert {"a1": "2"} == either.states()
    assert "1" == str(either.client.get(path).json()[either.state])


def test_lies_are_filtered_as_such(cloud, client):
    """Who asks for a state gets the rows that show it."""
    cloud.job("dli_batch", "b1", "running")
    cloud.batch_list.lies["b1"] = "dead"

    assert (["b1"], []) == (batch_ids(client, "state=dead"), batch_ids(client, "state=running"))


def test_rows_can_be_hidden(either):
    """A job may be missing that is there."""
    either.job("a1", 1)
    either.job("a2", 1)
    either.list.hidden.add("a1")

    assert ["a2"] == either.ids()


def test_order_can_be_turned_round(either):
    """The opposite order is the same in each page."""
    for job_id in ("a1", "a2", "a3"):
        either.job(job_id, 1)
    either.list.backwards = True

    assert [["a3", "a2"], ["a1"]] == [either.ids(0, 2), either.ids(2, 2)]


def test_order_can_change_all_the_time(either):
    """Of a list without an order, pages need not fit together; no row is lost within one."""
    ids = [f"a{number}" for number in range(20)]
    for job_id in ids:
        either.job(job_id, 1)
    either.list.shuffled = True
    once, again = either.ids(), either.ids()

    assert once != again
    assert sorted(ids) == sorted(once) == sorted(again)
    assert set(ids) != {*either.ids(0, 10), *either.ids(10, 10)}


def test_pages_can_be_cut_short(either):
    """A service may send fewer rows than it was asked for."""
    for job_id in ("a1", "a2", "a3"):
        either.job(job_id, 1)
    either.list.max_rows = 2

    assert [["a1", "a2"], ["a3"], ["a1"]] == [either.ids(), either.ids(2, 100), either.ids(0, 1)]


def test_total_can_be_wrong(cloud, client):
    """What DLI says there is need not be there."""
    cloud.job("dli_batch", "b1", "running")
    cloud.batch_list.total = 7
    body = client.get("{dli}/batches").json()

    assert (7, 1) == (body["total"], len(body["sessions"]))


def test_pages_can_overlap(either):
    """When new jobs come in front, rows come twice, and none is lost for who goes on to the end."""
    for number in range(5):
        either.job(f"a{number}", 1)
    either.list.overlap = 1

    assert [["a0", "a1"], ["a1", "a2"], ["a2", "a3"], ["a3", "a4"], ["a4"]] == [
        either.ids(first, 2) for first in range(0, 10, 2)
    ]


def test_overlap_is_counted(cloud, client):
    """What comes in front makes DLI's total larger."""
    cloud.foreign_jobs("dli_batch", 5, "running")
    cloud.batch_list.overlap = 1

    assert [5, 6, 7] == [client.get(f"{{dli}}/batches?from={first}&size=2").json()["total"] for first in (0, 2, 4)]


def test_paging_may_have_no_end(either):
    """Who waits for a page that is not full can wait for ever."""
    for number in range(5):
        either.job(f"a{number}", 1)
    either.list.overlap = 2

    assert ["a0", "a1"] == either.ids(1000, 2)


def test_rows_can_take_steps(either):
    """On request a job goes on whenever a list shows it; replies among its steps are not to be seen there."""
    either.job("a1", "1", 503, "2")
    either.job("a2", "1", "2")
    either.list.takes_steps = True
    either.list.hidden.add("a2")
    seen = [either.states()["a1"] for _ in range(4)]
    either.list.hidden.clear()

    assert ["1", "1", "2", "2"] == seen
    assert {"a1": "2", "a2": "1"} == either.states()


def test_rows_can_be_edited(either):
    """Whatever a list could send can be sent."""
    either.job("a1", 1)
    either.list.edit = lambda rows: [*rows, {either.state: None}, {either.id: 5}]

    assert [5, "a1"] == [rows[either.id] for rows in either.ask().json()[either.rows][::-1] if either.id in rows]


@pytest.mark.parametrize("status", [403, 404, 429, 500, 503])
def test_list_alone_can_fail(either, status):
    """Who may not list jobs may still ask about one."""
    either.job("a1", "1")
    either.list.answer = status
    path = {"dli_batch": "{dli}/batches/a1/state", "cph_job": "{cph}/jobs/a1"}[either.kind]

    assert [status, status] == [either.ask().status_code for _ in range(2)]
    assert 200 == either.client.get(path).status_code
    assert 401 == either.client.send(either.path).status_code
    assert 3 == either.list.calls
    either.list.answer = None
    assert ["a1"] == either.ids()


def test_list_can_answer_anything(either):
    """A list can break like everything else."""
    either.list.answer = Reply(200, "<html>")
    text = either.ask().text
    either.list.answer = Fault.RESET

    assert "<html>" == text
    with pytest.raises(requests.ConnectionError, match="reset"):
        either.ask()


def test_list_can_fail_for_some_calls(either):
    """A general fault can be meant for a list alone, although its path begins those of all jobs."""
    either.job("a1", "1")
    either.cloud.break_with(503, calls=2, path_ends={"dli_batch": "/batches", "cph_job": "/jobs"}[either.kind])
    path = {"dli_batch": "{dli}/batches/a1/state", "cph_job": "{cph}/jobs/a1"}[either.kind]
    codes = [either.client.get(path).status_code] + [either.ask().status_code for _ in range(3)]

    assert [200, 503, 503, 200] == codes


def test_foreign_jobs_are_in_the_list(cloud, client, clock):
    """Jobs of other people come between one's own, by their age, and belong to somebody else."""
    clock.now += 100
    cloud.job("dli_batch", "mine", "running")
    older = cloud.foreign_jobs("dli_batch", 2, "success", age=50)
    newer = cloud.foreign_jobs("dli_batch", 2, "running", queue="q2")

    assert [*newer[::-1], "mine", *older[::-1]] == batch_ids(client)
    assert ["mine"] == batch_ids(client, "owner=airflow")
    assert newer[::-1] == batch_ids(client, "queue_name=q2")
    assert "success" == client.get(f"{{dli}}/batches/{older[0]}/state").json()["state"]


def test_foreign_cph_jobs_have_requests_of_their_own(cloud, client):
    """Only who names the same request sees jobs of other people."""
    cloud.job("cph_job", "mine", 1, request_id="r1")
    cloud.foreign_jobs("cph_job", 3, 2)
    (other,) = cloud.foreign_jobs("cph_job", 1, 2, request_id="r1")

    assert ["mine", other] == cph_ids(client, "request_id=r1")


@pytest.mark.parametrize("state", [503, None, Fault.HANG])
def test_foreign_job_has_a_state(cloud, state):
    """Other people's jobs do not break."""
    with pytest.raises(ValueError, match="state"):
        cloud.foreign_jobs("dli_batch", 1, state)
