"""The responses of DLI and CPH about jobs."""

from __future__ import annotations

import pytest

from airflow_provider_hwstatus.testing import dli


def error(reply):
    return reply.status_code, reply.json()["error_code"]


def test_batch_state_has_two_fields(cloud, client):
    """DLI's state response contains only the id and the state."""
    cloud.job("dli_batch", "b1", "starting", name="etl")

    assert {"id": "b1", "state": "starting"} == client.get("{dli}/batches/b1/state").json()


BATCH = "0a324461-d9d9-45da-a52a-3b3c7a3d809e"

INVALID_IDS = ["b1", BATCH[:-1], f"{BATCH}0", f"batch-session-{BATCH}", BATCH.replace("-", ""), BATCH.replace("0", "g")]


@pytest.fixture
def strict_ids(monkeypatch, batch_ids):
    """Use the fake's original patterns for batch ids."""
    for name, pattern in zip(("BATCH_ID", "JOB_ID_PARAMETER"), batch_ids, strict=True):
        monkeypatch.setattr(dli, name, pattern)


@pytest.mark.usefixtures("strict_ids")
@pytest.mark.parametrize("job_id", INVALID_IDS)
def test_batch_id_must_be_a_uuid(cloud, client, job_id):
    """Adding a job with another id is a ValueError. A request with another id gets a parameter error."""
    for path in ("{dli}/batches/%s/state", "{dli}/batches/%s", "{dli}/batches/%s/log"):
        assert (400, "DLI.0001") == error(client.get(path % job_id))
    with pytest.warns(UserWarning, match="the id of a DLI batch is a UUID.* refuses it with HTTP 400"):
        cloud.job("dli_batch", job_id, "running")
    assert "running" == client.get(f"{{dli}}/batches/{job_id}/state").json()["state"]


@pytest.mark.usefixtures("strict_ids")
@pytest.mark.parametrize("job_id", [BATCH, BATCH.upper()])
def test_uuid_is_a_valid_batch_id(cloud, client, job_id):
    """A UUID in upper or lower case is valid. An unknown UUID gets a "not found" error."""
    cloud.job("dli_batch", job_id, "running")

    assert "running" == client.get(f"{{dli}}/batches/{job_id}/state").json()["state"]
    assert (400, "DLI.0002") == error(client.get("{dli}/batches/11111111-d9d9-45da-a52a-3b3c7a3d809e/state"))
    assert 1 == len(client.get(f"{{dli}}/batches?job-id={job_id}").json()["sessions"])
    assert (400, "DLI.0001") == error(client.get("{dli}/batches?job-id=nightly"))


@pytest.mark.usefixtures("strict_ids")
def test_other_kinds_accept_any_id(cloud):
    """Sessions and CPH jobs have no documented pattern for ids."""
    cloud.job("dli_session_ready", "s1", "idle")
    cloud.job("cph_job", "j1", 1)


@pytest.mark.parametrize("collection", ["batches", "sessions"])
def test_detail_has_the_given_fields(cloud, client, clock, collection):
    """The detail shows the current state, the documented fields and the fields of the test."""
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
    """Requests for details, logs and lists do not advance a job."""
    cloud.job("dli_batch", "b1", 503, "starting", "success")

    def shown_states():
        client.get("{dli}/batches/b1/log")
        listed = client.get("{dli}/batches").json()["sessions"][0]["state"]
        return client.get("{dli}/batches/b1").json()["state"], listed

    assert ("starting", "starting") == shown_states()
    assert 503 == client.get("{dli}/batches/b1/state").status_code
    assert "starting" == client.get("{dli}/batches/b1/state").json()["state"]
    assert ("starting", "starting") == shown_states()
    assert "success" == client.get("{dli}/batches/b1/state").json()["state"]
    assert ("success", "success") == shown_states()


def test_log_shows_the_last_lines(cloud, client):
    """Without a range, the log has the last 100 lines. The detail has the last 10."""
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
def test_log_range(cloud, client, query, lines):
    """A request can select a range of the log."""
    cloud.job("dli_batch", "b1", "dead", log=["a", "b", "c", "d"])

    assert lines == client.get(f"{{dli}}/batches/b1/log?{query}").json()["log"]


@pytest.mark.parametrize("query", ["log?type=executor", "log?size=x", "log?from=-1"])
def test_invalid_log_range_is_refused(cloud, client, query):
    """Parameters of the log are checked."""
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
def test_unknown_ids_and_paths_get_their_own_errors(client, path, expected):
    """Each service has its own error for an unknown id or path."""
    reply = client.get(path)

    assert expected == error(reply)
    assert 32 == len(reply.headers["X-Request-Id"])


def test_batches_are_listed_newest_first(cloud, client, clock):
    """The list is sorted by time. The order can be reversed."""
    for job_id in ("b1", "b2", "b3"):
        cloud.job("dli_batch", job_id, "running")
        clock.now += 1

    def ids(query):
        return [item["id"] for item in client.get(f"{{dli}}/batches?{query}").json()["sessions"]]

    assert ["b3", "b2", "b1"] == ids("")
    assert ["b1", "b2", "b3"] == ids("order=CREATE_TIME_ASC")
    assert ["b1", "b2", "b3"] == ids("order=DURATION_DESC")
    assert (400, "DLI.0001") == error(client.get("{dli}/batches?order=up"))


def test_batch_list_has_pages(cloud, client):
    """A page contains its offset and the total."""
    for number in range(5):
        cloud.job("dli_batch", f"b{number}", "running")
    cloud.job("dli_session_ready", "s1", "idle")
    page = client.get("{dli}/batches?from=4&size=2").json()

    assert (4, 5, 1) == (page["from"], page["total"], len(page["sessions"]))


@pytest.mark.parametrize(
    "query", ["state=dead", "queue_name=q2", "job-id=b2", "job_name=etl", "cluster_name=q2&state=dead"]
)
def test_batch_list_has_filters(cloud, client, query):
    """The list can be filtered."""
    cloud.job("dli_batch", "b1", "running", queue="q1")
    cloud.job("dli_batch", "b2", "dead", queue="q2", name="etl")

    assert ["b2"] == [item["id"] for item in client.get(f"{{dli}}/batches?{query}").json()["sessions"]]


def test_session_kinds_share_their_jobs(cloud, client):
    """Both kinds of DLI sessions use the same sessions."""
    cloud.job("dli_session_stopped", "s1", "busy", "success")

    assert "busy" == client.get("{dli}/sessions/s1/state").json()["state"]


def test_cph_job_has_all_fields(cloud, client, clock):
    """A CPH job has every documented field. Results are null until it ends."""
    cloud.job("cph_job", "j1", 1, -1, request_id="r1", error_code="CPS.0005", execute_msg="out")
    running = client.get("{cph}/jobs/j1").json()
    clock.now += 5
    failed = client.get("{cph}/jobs/j1").json()
    same = {"request_id": "r1", "job_id": "j1", "begin_time": "2026-11-18T11:06:40Z", "error_msg": None}

    assert same | {"status": 1, "end_time": None, "error_code": None, "execute_msg": None} == running
    end = {"end_time": "2026-11-18T11:06:45Z", "error_code": "CPS.0005", "execute_msg": "out"}
    assert same | {"status": -1} | end == failed


def test_cph_state_is_a_number(cloud, client):
    """A state that looks like a number is sent as a number. A word stays a word."""
    cloud.job("cph_job", "j1", "2")
    cloud.job("cph_job", "j2", "odd")

    assert (2, "odd") == tuple(client.get(f"{{cph}}/jobs/{job}").json()["status"] for job in ("j1", "j2"))


def test_cph_jobs_are_listed_by_request(cloud, client):
    """CPH lists jobs by request, in pages. The parameter request_ids overrides request_id."""
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
def test_invalid_cph_list_request_is_refused(cloud, client, query, code):
    """Each invalid request has its error code. The body repeats the header's request id."""
    cloud.job("cph_job", "j1", 1, request_id="r1")
    reply = client.get(f"{{cph}}/jobs?{query}")

    assert (400, code) == error(reply)
    assert reply.headers["X-Request-Id"] == reply.json()["request_id"]


@pytest.mark.parametrize(
    ("collection", "path"),
    [("sessions", "{dli}/sessions/s1/state"), ("batches", "{dli}/batches"), ("jobs", "{cph}/jobs/j1")],
)
def test_unpublished_collection_does_not_exist(cloud, client, collection, path):
    """An unpublished collection gets the error of a region without the API, even without credentials."""
    cloud.unpublish(collection)

    assert (404, "APIGW.0101") == error(client.send(path))


def test_unknown_collection_cannot_be_unpublished(cloud):
    """An unknown collection is a ValueError."""
    with pytest.raises(ValueError, match="collection must be one of batches"):
        cloud.unpublish("session")
