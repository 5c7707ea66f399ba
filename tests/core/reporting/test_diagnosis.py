"""What is found out about a job that failed, and what keeps it from being found out."""

import pytest

from airflow_provider_hwstatus.core.polling.job_status import JobStatus
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
    """Explains a failed job, of which the replies named tell."""

    def __init__(self, stub_cloud, details=FOUND, log=LINES, takes=0.0, status=None, kind=DLI_BATCH, **fields):
        seconds = fields.pop("seconds", BUDGET)
        self.cloud = stub_cloud({"/log": log, "https://dli": details}, takes)
        self.client = self.cloud.client(**fields)
        self.counted = []
        self.client.count = lambda kind, error: self.counted.append(kind)
        self.began = self.cloud.now
        self.found = self.cloud.run(diagnose(self.client, kind, status or failed(kind), seconds))


@pytest.fixture
def inquire(stub_cloud):
    """Return a function that explains a failure."""
    return lambda **how: Inquiry(stub_cloud, **how)


def test_details_and_log_are_asked_for_once(inquire):
    """The state stays as it was; what the replies have beside it is added."""
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
    assert ["dli_details", "dli_details"] == inquiry.counted


def test_session_has_both(inquire):
    """At paths of its own."""
    inquiry = inquire(kind=DLI_SESSION_READY)

    assert ["GET /v2.0/p1/sessions/b1", "GET /v2.0/p1/sessions/b1/log"] == inquiry.cloud.sent


def test_cph_tells_all_with_the_state(inquire):
    """Nothing more is asked, and nothing is said to be missing."""
    inquiry = inquire(kind=CPH_JOB)

    assert ([], "") == (inquiry.cloud.sent, inquiry.found.missing)
    assert failed(CPH_JOB) == inquiry.found.status


def test_what_was_rejected_is_not_asked_about(inquire):
    """No job was made of it."""
    status = failed(job_id="(none, phone-7)")
    inquiry = inquire(status=status)

    assert ([], status, None) == (inquiry.cloud.sent, inquiry.found.status, inquiry.found.console)


def test_console_is_where_a_person_looks(inquire):
    """The job's page, where the endpoint is the region's own."""
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
def test_one_that_fails_keeps_the_other(inquire, reply):
    """Each is asked for, whatever happened to the one before."""
    assert ("one", "two") == inquire(details=reply).found.status.log
    without = inquire(log=reply, details=FOUND | {"log": ["of the details"]}).found
    assert ("etl", ("of the details",), "") == (without.status.name, without.status.log, without.missing)


@pytest.mark.parametrize("kept", [("before",), ()])
def test_log_that_was_known_is_kept(inquire, kept):
    """Nothing that is found replaces lines by none."""
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
def test_why_there_is_no_log_is_said_in_short(inquire, details, log, missing):
    """What to do about it is left out: the failure is what counts."""
    assert missing == inquire(details=details, log=log).found.missing


@pytest.mark.parametrize(("reply", "fields"), [((429, b"", {"retry-after": "600"}), {}), (401, AKSK)])
def test_no_second_try_where_it_makes_things_worse(inquire, reply, fields):
    """A key that is refused and a service that is overrun are left alone."""
    inquiry = inquire(details=reply, **fields)

    assert 1 == len(inquiry.cloud.requests)
    assert inquiry.found.missing.startswith(f"HTTP {reply if isinstance(reply, int) else reply[0]}")
    assert failed() == inquiry.found.status


def test_refusal_without_a_lock_leaves_the_log(inquire):
    """A temporary key or a token may be allowed the one and not the other."""
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
def test_end_of_a_long_log_is_asked_for(inquire, first, total, lines, start):
    """By its own numbers, where they make sense: the last hundred lines, where it shows fewer than there are."""
    shown = {"id": "b1", "from": first, "total": total, "log": None if lines is None else ["first"] * lines}
    inquiry = inquire(log=[shown, {"id": "b1", "log": ["last"]}])

    again = [] if not start else [f"GET /v2.0/p1/batches/b1/log?type=driver&from={start}&size=100"]
    assert again == inquiry.cloud.sent[2:]
    expected = ("last",) if start else ("first",) * (lines or 0)
    assert expected[-50:] == inquiry.found.status.log


def test_log_without_parameters_gets_its_own(inquire):
    """A session's path has none."""
    inquiry = inquire(kind=DLI_SESSION_READY, log=[LINES | {"total": 900}, LINES])

    assert "GET /v2.0/p1/sessions/b1/log?from=800&size=100" == inquiry.cloud.sent[2]


def test_each_has_half_of_the_time_that_is_left(inquire):
    """What hangs leaves some for what comes next; the connection's own time-out may be shorter."""
    inquiry = inquire(takes=1.0)
    assert [5.0, 4.5] == [request.timeout for request in inquiry.cloud.requests]

    assert [4.0, 3.5] == [request.timeout for request in inquire(takes=1.0, seconds=8.0).cloud.requests]
    hurried = inquire(takes=1.0, request_timeout=2.0)
    assert [None, None] == [request.timeout for request in hurried.cloud.requests]


def test_nothing_takes_longer_than_it_may(stub_cloud):
    """Not even a service that answers nothing, where the login and the project are to be found first."""

    def hang(request):
        cloud.now += request.timeout
        return TransportError("timed out")

    cloud = stub_cloud({"https://": hang})
    client, began = cloud.client(project_id=None), cloud.now
    found = cloud.run(diagnose(client, DLI_BATCH, failed()))

    assert cloud.now - began <= BUDGET
    assert "timed out" in found.missing
