"""The details and the log of a job that failed, and what happens if they cannot be fetched."""

from math import inf

import pytest

from airflow_provider_hwstatus.core.polling.job_status import JobStatus
from airflow_provider_hwstatus.core.protocol.effects import Count
from airflow_provider_hwstatus.core.reporting.diagnosis import BUDGET, diagnose
from airflow_provider_hwstatus.errors import MalformedResponseError, TransportError
from airflow_provider_hwstatus.kinds.cph import CPH_JOB
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH, DLI_SESSION_READY
from airflow_provider_hwstatus.kinds.job_kind import Outcome

FOUND = {"id": "b1", "name": "etl", "queue": "q", "create_time": 1_763_691_220_000, "update_time": 1_763_691_293_000}
LINES = {"id": "b1", "from": 0, "total": 2, "log": ["one", "two"]}
AKSK = {"auth": "aksk", "login": "AKIDEXAMPLE", "password": "SK"}


def failed(kind=DLI_BATCH, job_id="b1", **fields):
    return JobStatus(kind=kind.name, job_id=job_id, state="dead", outcome=Outcome.FAILURE, **fields)


class Inquiry:
    """The diagnosis of a failed job, with the given replies to the requests for its details and its log."""

    def __init__(self, stub_cloud, details=FOUND, log=LINES, takes=0.0, status=None, kind=DLI_BATCH, **fields):
        seconds = fields.pop("seconds", BUDGET)
        self.cloud = stub_cloud({"/log": log, "https://dli": details}, takes)
        self.client = self.cloud.client(**fields)
        self.found = self.cloud.run(diagnose(self.client, kind, status or failed(kind), seconds))


@pytest.fixture
def inquire(stub_cloud):
    """Return a function that diagnoses a failure."""
    return lambda **how: Inquiry(stub_cloud, **how)


def test_details_and_log_are_requested_once(inquire):
    """Details and log are requested once each, and they are added to the status without a change of its state."""
    inquiry = inquire()

    assert ["GET /v2.0/p1/batches/b1", "GET /v2.0/p1/batches/b1/log?type=driver"] == inquiry.cloud.sent
    expected = failed(
        name="etl",
        queue="q",
        begin_time="2025-11-21T02:13:40Z",
        end_time="2025-11-21T02:14:53Z",
        log=("one", "two"),
    )
    assert (expected, "") == (inquiry.found.status, inquiry.found.missing)
    assert [Count("polls", "dli_details")] * 2 == inquiry.cloud.counted


def test_session_has_both(inquire):
    """The details and the log of a session are requested at paths of its own."""
    inquiry = inquire(kind=DLI_SESSION_READY)

    assert ["GET /v2.0/p1/sessions/b1", "GET /v2.0/p1/sessions/b1/log"] == inquiry.cloud.sent


def test_cph_job_needs_no_further_request(inquire):
    """The status of a CPH job has everything, so nothing is requested and nothing is reported as missing."""
    inquiry = inquire(kind=CPH_JOB)

    assert ([], "") == (inquiry.cloud.sent, inquiry.found.missing)
    assert failed(CPH_JOB) == inquiry.found.status


def test_rejected_item_is_not_requested(inquire):
    """Nothing is requested for an item that CPH rejected, because no job was made of it."""
    status = failed(job_id="(none, phone-7)")
    inquiry = inquire(status=status)

    assert ([], status, None) == (inquiry.cloud.sent, inquiry.found.status, inquiry.found.console)


def test_console_link_is_that_of_the_region(inquire):
    """The diagnosis has a link to the job's page if the endpoint is the region's own."""
    assert inquire().found.console is None
    page = inquire(details=503, log=503, dli_endpoint=None).found.console
    assert "https://console.huaweicloud.com/dli/?region=cn-north-4#/main/jobs/spark/submitLog/b1?type=RUN" == page


@pytest.mark.parametrize(
    "reply",
    [
        500,
        503,
        403,
        404,
        (200, b"<html>"),
        (200, b"[1]"),
        {"id": "b2"},
        TransportError("reset"),
        MalformedResponseError("long"),
    ],
    ids=str,
)
def test_one_request_that_fails_does_not_prevent_the_other(inquire, reply):
    """The log is requested after the details failed, and details are kept if the log fails."""
    assert ("one", "two") == inquire(details=reply).found.status.log
    without = inquire(log=reply, details=FOUND | {"log": ["of the details"]}).found
    assert ("etl", ("of the details",), "") == (without.status.name, without.status.log, without.missing)


@pytest.mark.parametrize("kept", [("before",), ()])
def test_log_that_was_known_is_kept(inquire, kept):
    """A log without lines does not replace lines that the status already had."""
    assert kept == inquire(log={"id": "b1", "log": []}, status=failed(log=kept)).found.status.log


@pytest.mark.parametrize(
    ("details", "log", "missing"),
    [
        (403, (403, {"error_code": "APIGW.0302", "error_msg": "no"}), "HTTP 403 APIGW.0302 no"),
        (FOUND, 404, "HTTP 404 an empty body"),
        (503, {"id": "b1"}, "HTTP 503 an empty body"),
        (FOUND, {"id": "b1"}, "the service has none"),
        (FOUND, {"id": "b1", "log": []}, "the service has none"),
        (FOUND, {"id": "b1", "log": ["", "  "]}, "the service has none"),
        (FOUND, {"id": "b1", "log": {"a": 1}}, "the service has none"),
        (FOUND, TransportError("x" * 999), "x" * 199 + "…"),
    ],
)
def test_reason_for_a_missing_log_is_short(inquire, details, log, missing):
    """The reason is the error without its advice, cut to 200 characters."""
    assert missing == inquire(details=details, log=log).found.missing


@pytest.mark.parametrize(("reply", "fields"), [((429, b"", {"retry-after": "600"}), {}), (401, AKSK)])
def test_no_second_request_after_a_refused_key_or_a_429(inquire, reply, fields):
    """After a refused key or a 429 the log is not requested."""
    inquiry = inquire(details=reply, **fields)

    assert 1 == len(inquiry.cloud.requests)
    assert inquiry.found.missing.startswith(f"HTTP {reply if isinstance(reply, int) else reply[0]}")
    assert failed() == inquiry.found.status


def test_refusal_that_locks_no_key_does_not_prevent_the_log(inquire):
    """After a 401 for a token the log is requested, because it may be permitted."""
    assert ("one", "two") == inquire(details=401).found.status.log


@pytest.mark.parametrize(
    ("first", "total", "lines", "start"),
    [
        (0, 5000, 3, 4900),
        (0, 101, 100, 1),
        (50, 151, 100, 51),
        (0, 4, 3, 0),
        (0, 100, 100, None),
        (0, 3, 3, None),
        (4950, 5000, 50, None),
        (0, 0, 0, None),
        (0, 2**31 - 1, 3, 2**31 - 101),
        (0, 2**31, 3, None),
        (-9, 5000, 3, None),
        ("0", 5000, 3, None),
        (0, "5000", 3, None),
        (0, 5000, None, None),
    ],
)
def test_end_of_a_long_log_is_requested(inquire, first, total, lines, start):
    """If the log has more lines than the response, and its numbers are valid, the last hundred lines are requested."""
    shown = {"id": "b1", "from": first, "total": total, "log": None if lines is None else ["first"] * lines}
    inquiry = inquire(log=[shown, {"id": "b1", "log": ["last"]}])

    again = [] if not start else [f"GET /v2.0/p1/batches/b1/log?type=driver&from={start}&size=100"]
    assert again == inquiry.cloud.sent[2:]
    expected = ("last",) if start else ("first",) * (lines or 0)
    assert expected[-50:] == inquiry.found.status.log


def test_log_path_without_a_query_gets_one(inquire):
    """The path of a session's log has no query, so the line numbers begin one."""
    inquiry = inquire(kind=DLI_SESSION_READY, log=[LINES | {"total": 900}, LINES])

    assert "GET /v2.0/p1/sessions/b1/log?from=800&size=100" == inquiry.cloud.sent[2]


def test_each_request_has_half_of_the_time_that_is_left(inquire):
    """Each request may take half of the time that is left, and no time-out of its own replaces request_timeout."""
    inquiry = inquire(takes=1.0)
    assert [5.0, 4.5] == inquiry.cloud.seconds_left
    assert {None} == {request.timeout for request in inquiry.cloud.requests}

    assert [4.0, 3.5] == inquire(takes=1.0, seconds=8.0).cloud.seconds_left


def test_diagnosis_ends_in_time(stub_cloud):
    """A diagnosis ends in time if no request is answered, even if the project has to be looked up first."""
    cloud = stub_cloud(takes=inf)
    found = cloud.run(diagnose(cloud.client(project_id=None), DLI_BATCH, failed()))

    assert cloud.elapsed <= BUDGET
    assert "timed out" in found.missing
