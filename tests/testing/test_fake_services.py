"""What DLI and CPH say about jobs."""

from __future__ import annotations

import pytest

from airflow_provider_hwstatus.testing import dli


def error(reply):
    return reply.status_code, reply.json()["error_code"]


def test_batch_state_has_two_fields(cloud, client):
    """A DLI state is told with the id and nothing else."""
    cloud.job("dli_batch", "b1", "starting", name="etl")

    assert {"id": "b1", "state": "starting"} == client.get("{dli}/batches/b1/state").json()


BATCH = "0a324461-d9d9-45da-a52a-3b3c7a3d809e"

NO_UUIDS = ["b1", BATCH[:-1], f"{BATCH}0", f"batch-session-{BATCH}", BATCH.replace("-", ""), BATCH.replace("0", "g")]


@pytest.fixture
def strict(monkeypatch, batch_ids):
    """Take ids as the fake does for its users."""
    for name, pattern in zip(("BATCH_ID", "JOB_ID_PARAMETER"), batch_ids, strict=True):
        monkeypatch.setattr(dli, name, pattern)


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("job_id", NO_UUIDS)
def test_batch_has_a_uuid(cloud, client, job_id):
    """A request with another id is refused as a wrong parameter; a test that adds a job with one is warned."""
    for path in ("{dli}/batches/%s/state", "{dli}/batches/%s", "{dli}/batches/%s/log"):
        assert (400, "DLI.0001") == error(client.get(path % job_id))
    with pytest.warns(UserWarning, match="the id of a DLI batch is a UUID.* refuses it with HTTP 400"):
        cloud.job("dli_batch", job_id, "running")
    assert "running" == client.get(f"{{dli}}/batches/{job_id}/state").json()["state"]


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("job_id", [BATCH, BATCH.upper()])
def test_uuid_is_a_batchs_id(cloud, client, job_id):
    """In either case of letters; another UUID is of no batch."""
    cloud.job("dli_batch", job_id, "running")

    assert "running" == client.get(f"{{dli}}/batches/{job_id}/state").json()["state"]
    assert (400, "DLI.0002") == error(client.get("{dli}/batches/11111111-d9d9-45da-a52a-3b3c7a3d809e/state"))
    assert 1 == len(client.get(f"{{dli}}/batches?job-id={job_id}").json()["sessions"])
    assert (400, "DLI.0001") == error(client.get("{dli}/batches?job-id=nightly"))


@pytest.mark.usefixtures("strict")
def test_other_kinds_have_ids_of_any_form(cloud):
    """Sessions' ids have no documented pattern, and CPH's are hexadecimal by custom only."""
    cloud.job("dli_session_ready", "s1", "idle")
    cloud.job("cph_job", "j1", 1)


@pytest.mark.parametrize("collection", ["batches", "sessions"])
def test_detail_has_what_was_given(cloud, client, clock, collection):
    """The detail shows the present state, the documented fields and those of the test."""
    cloud.job(
        {"batches": "dli_batch", "sessions": "dli_session_ready"}[collection],
        "b1",
        "dead",
        queue="q",
        error_code="X",
    )
    clock.now += 2
    client.get(f"{{dli}}/{collection}/b1/state")
    detail = client.get(f"{{dli}}/{collection}/b1").json()

    assert ("b1", "dead", "q", "q", "X") == tuple(
        detail[name] for name in ("id", "state", "queue", "cluster_name", "error_code")
    )
    assert 2000 == detail["update_time"] - detail["create_time"]


def test_detail_takes_no_step(cloud, client):
    """Looking at details, logs and lists does not move a job."""
    cloud.job("dli_batch", "b1", 503, "starting", "success")

    def look():
        client.get("{dli}/batches/b1/log")
        listed = client.get("{dli}/batches").json()["sessions"][0]["state"]
        return client.get("{dli}/batches/b1").json()["state"], listed

    assert ("starting", "starting") == look()
    assert 503 == client.get("{dli}/batches/b1/state").status_code
    assert "starting" == client.get("{dli}/batches/b1/state").json()["state"]
    assert ("starting", "starting") == look()
    assert "success" == client.get("{dli}/batches/b1/state").json()["state"]
    assert ("success", "success") == look()


def test_log_shows_the_last_lines(cloud, client):
    """Without a range the log is its last hundred lines; the detail has ten."""
    cloud.job("dli_batch", "b1", "dead", log=[str(number) for number in range(120)])
    log = client.get("{dli}/batches/b1/log").json()

    assert ("b1", 20, 120, "20", "119") == (
        log["id"],
        log["from"],
        log["total"],
        log["log"][0],
        log["log"][-1],
    )
    assert [str(number) for number in range(110, 120)] == client.get("{dli}/batches/b1").json()["log"]


@pytest.mark.parametrize(
    ("query", "lines"),
    [("from=1&size=2", ["b", "c"]), ("type=driver&size=1", ["a"]), ("type=driver&index=1", [])],
)
def test_log_pages(cloud, client, query, lines):
    """A range of the log can be asked for."""
    cloud.job("dli_batch", "b1", "dead", log=["a", "b", "c", "d"])

    assert lines == client.get(f"{{dli}}/batches/b1/log?{query}").json()["log"]


@pytest.mark.parametrize("query", ["log?type=executor", "log?size=x", "log?from=-1"])
def test_wrong_log_range_is_refused(cloud, client, query):
    """Parameters are checked."""
    cloud.job("dli_batch", "b1", "dead")

    assert (400, "DLI.0001") == error(client.get(f"{{dli}}/batches/b1/{query}"))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("{dli}/batches/no/state", (400, "DLI.0002")),
        ("{dli}/batches/no", (400, "DLI.0002")),
        ("{dli}/batches/no/log", (400, "DLI.0002")),
        ("{dli}/sessions/no/state", (404, "DLI.0023")),
        ("{dli}/sessions/no", (404, "DLI.0023")),
        ("{cph}/jobs/no", (400, "CPS.0011")),
        ("{dli}/statements/1", (404, "APIGW.0101")),
        ("/", (404, "APIGW.0101")),
    ],
)
def test_unknown_things_are_told_apart(client, path, expected):
    """Every service has its own way to say that it does not know."""
    reply = client.get(path)

    assert expected == error(reply)
    assert 32 == len(reply.headers["X-Request-Id"])


def test_batches_are_listed_newest_first(cloud, client, clock):
    """The list is sorted by time and can be turned round."""
    for job_id in ("b1", "b2", "b3"):
        cloud.job("dli_batch", job_id, "running")
        clock.now += 1

    def ids(query):
        return [item["id"] for item in client.get(f"{{dli}}/batches?{query}").json()["sessions"]]

    assert ["b3", "b2", "b1"] == ids("")
    assert ["b1", "b2", "b3"] == ids("order=CREATE_TIME_ASC")
    assert ["b1", "b2", "b3"] == ids("order=DURATION_DESC")
    assert (400, "DLI.0001") == error(client.get("{dli}/batches?order=up"))


def test_list_of_batches_pages(cloud, client):
    """A page says where it begins and how many there are in all."""
    for number in range(5):
        cloud.job("dli_batch", f"b{number}", "running")
    cloud.job("dli_session_ready", "s1", "idle")
    page = client.get("{dli}/batches?from=4&size=2").json()

    assert (4, 5, 1) == (page["from"], page["total"], len(page["sessions"]))


@pytest.mark.parametrize(
    "query", ["state=dead", "queue_name=q2", "job-id=b2", "job_name=etl", "cluster_name=q2&state=dead"]
)
def test_list_of_batches_filters(cloud, client, query):
    """The list can be asked for some batches only."""
    cloud.job("dli_batch", "b1", "running", queue="q1")
    cloud.job("dli_batch", "b2", "dead", queue="q2", name="etl")

    assert ["b2"] == [item["id"] for item in client.get(f"{{dli}}/batches?{query}").json()["sessions"]]


def test_session_kinds_share_their_jobs(cloud, client):
    """Both questions about a session go to the same session."""
    cloud.job("dli_session_stopped", "s1", "busy", "success")

    assert "busy" == client.get("{dli}/sessions/s1/state").json()["state"]


def test_cph_job_has_all_fields(cloud, client, clock):
    """A CPH job always has every documented field; results only when it is over."""
    cloud.job("cph_job", "j1", 1, -1, request_id="r1", error_code="CPS.0005", execute_msg="out")
    running = client.get("{cph}/jobs/j1").json()
    clock.now += 5
    failed = client.get("{cph}/jobs/j1").json()
    same = {"request_id": "r1", "job_id": "j1", "begin_time": "2026-11-18T11:06:40Z", "error_msg": None}

    assert same | {"status": 1, "end_time": None, "error_code": None, "execute_msg": None} == running
    end = {"end_time": "2026-11-18T11:06:45Z", "error_code": "CPS.0005", "execute_msg": "out"}
    assert same | {"status": -1} | end == failed


def test_cph_state_is_a_number(cloud, client):
    """A state that reads as a number is one on the wire; another word stays a word."""
    cloud.job("cph_job", "j1", "2")
    cloud.job("cph_job", "j2", "odd")

    assert (2, "odd") == tuple(client.get(f"{{cph}}/jobs/{job}").json()["status"] for job in ("j1", "j2"))


def test_cph_jobs_are_listed_by_request(cloud, client):
    """Jobs are found through the request that submitted them, page by page; several requests win over one."""
    for job_id, request_id in (("j1", "r1"), ("j2", "r1"), ("j3", "r2"), ("j4", "r3")):
        cloud.job("cph_job", job_id, 1, request_id=request_id)

    def ids(query):
        return [item["job_id"] for item in client.get(f"{{cph}}/jobs?{query}").json()["jobs"]]

    assert ["j1", "j2"] == ids("request_id=r1")
    assert ["j1", "j2", "j3"] == ids("request_ids=r1,r2&request_id=r3")
    assert ["j2"] == ids("request_ids=r1%2Cr2&offset=1&limit=1")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "CPS.0049"),
        ("request_ids=" + ",".join("r" * 21), "CPS.0161"),
        ("request_id=r1&limit=0", "CPS.0002"),
        ("request_id=r1&limit=101", "CPS.0002"),
        ("request_id=r1&offset=-1", "CPS.0002"),
        ("request_id=r9", "CPS.0050"),
    ],
)
def test_wrong_list_of_cph_jobs_is_refused(cloud, client, query, code):
    """Every wrong question has its code, and the body repeats the request id of the header."""
    cloud.job("cph_job", "j1", 1, request_id="r1")
    reply = client.get(f"{{cph}}/jobs?{query}")

    assert (400, code) == error(reply)
    assert reply.headers["X-Request-Id"] == reply.json()["request_id"]


@pytest.mark.parametrize(
    ("collection", "path"),
    [("sessions", "{dli}/sessions/s1/state"), ("batches", "{dli}/batches"), ("jobs", "{cph}/jobs/j1")],
)
def test_unpublished_collection_is_gone(cloud, client, collection, path):
    """A region that lacks an API says so, to everybody."""
    cloud.unpublish(collection)

    assert (404, "APIGW.0101") == error(client.send(path))


def test_unknown_collection_cannot_be_unpublished(cloud):
    """A typing error is told."""
    with pytest.raises(ValueError, match="collection must be one of batches"):
        cloud.unpublish("session")
