"""The steps of ``hwstatus check`` and their results."""

from email.utils import formatdate

import pytest

from airflow_provider_hwstatus.core.reporting.connection_check import Checkup, Result, Step, usable
from airflow_provider_hwstatus.errors import MalformedResponseError, TransportError

PROJECTS = {"projects": [{"name": "cn-north-4", "id": "p1"}]}
NO_BATCH = (404, {"error_code": "DLI.0023", "error_msg": "not found"})
NO_JOB = (400, {"error_code": "CPS.0011", "error_msg": "not found"})
FORBIDDEN = (403, {"error_code": "APIGW.0302", "error_msg": "no"})
AKSK = {"auth": "aksk", "login": "AKIDEXAMPLE", "password": "SK"}

#: How the requests of each step begin: without a login, and with one.
IAM, DLI, CPH = "https://iam", "https://dli", "https://cph"
PROJECT, BATCH, JOB = "/v3/projects", "/batches/", "/jobs/"


def refusal(code, status=401):
    """Return a reply that refuses the login."""
    return status, {"error_code": code, "error_msg": "no"}


class Inquiry:
    """The results of all steps, in a cloud in which nothing fails but for *replies*."""

    def __init__(self, stub_cloud, replies=(), takes=0.0, **fields):
        well = {PROJECT: PROJECTS, BATCH: NO_BATCH, JOB: NO_JOB} | dict.fromkeys((IAM, DLI, CPH), self.greet)
        self.cloud = stub_cloud(well | dict(replies), takes=takes)
        self.date = self.cloud.now
        self.reported = []
        self.steps = self.cloud.run(Checkup(self.cloud.client(**fields), self.reported.append).run())
        self.found = {step.name: (step.result.value, step.said) for step in self.steps}

    def greet(self, request):
        return 404, b"", {"date": formatdate(self.date, usegmt=True)}

    def bad(self):
        """Return the results other than ok, by step."""
        return {name: result for name, (result, _) in self.found.items() if result != "ok"}


@pytest.fixture
def inquire(stub_cloud):
    """Return a function that runs all steps."""
    return lambda *args, **fields: Inquiry(stub_cloud, *args, **fields)


def test_usable_connection(inquire):
    """Each step is reported when it is done, with what was found."""
    inquiry = inquire()

    assert (
        [
            Step("endpoint iam", Result.OK, "https://iam, TLS ok"),
            Step("endpoint dli", Result.OK, "https://dli, TLS ok"),
            Step("endpoint cph", Result.OK, "https://cph, TLS ok"),
            Step("clock", Result.OK, "0 s off; up to 900 s are allowed"),
            Step("login", Result.OK, "the owner of the given token"),
            Step("project", Result.OK, "p1, as configured"),
            Step("permission dli", Result.OK, "dli:jobs:get"),
            Step("permission cph", Result.OK, "cph:jobs:get"),
        ]
        == inquiry.steps
        == inquiry.reported
    )
    assert ["GET /", "GET /", "GET /"] == inquiry.cloud.sent[:3]
    assert not any(request.headers for request in inquiry.cloud.requests[:3])
    assert 5 == len(inquiry.cloud.requests)


def test_project_is_looked_up(inquire):
    """The step says that the project was looked up."""
    assert ("ok", "p1, found by the login or the region's name") == inquire(project_id=None).found["project"]


def test_tls_is_reported(inquire):
    """The step of an endpoint says whether it has TLS and whether certificates are verified."""
    assert "https://dli, TLS not verified" == inquire(verify=False).found["endpoint dli"][1]
    assert "https://dli, TLS ok" == inquire(verify="/ca.pem").found["endpoint dli"][1]
    plain = inquire({"http://dli": NO_BATCH}, dli_endpoint="http://dli")
    assert "http://dli, no TLS" == plain.found["endpoint dli"][1]


@pytest.mark.parametrize(
    ("ahead", "result", "text"),
    [
        (0, "ok", "0 s off"),
        (900, "ok", "900 s off"),
        (-900, "ok", "900 s off; up to 900 s are allowed"),
        (901, "failed", "this machine's clock is +901 s off; next: set it"),
        (-7200, "failed", "this machine's clock is -7200 s off"),
    ],
)
def test_clock_is_compared(stub_cloud, ahead, result, text):
    """A clock that is more than 15 minutes off fails the step."""
    cloud = stub_cloud()
    date = (404, b"", {"date": formatdate(cloud.now - ahead, usegmt=True)})
    found = Inquiry(stub_cloud, {IAM: date}).found["clock"]

    assert result == found[0]
    assert text in found[1]


@pytest.mark.parametrize("date", ["", "soon", "Sat, 99 Nov 2026 00:00:00 GMT", "1 Jan 99999999999 00:00:00 GMT"])
def test_invalid_dates_are_ignored(inquire, date):
    """A service with an invalid date is skipped, and without a valid one the clock is not checked."""
    odd = (404, b"", {"date": date})

    assert ("not checked", "no response had a date") == inquire({IAM: odd, DLI: odd, CPH: odd}).found["clock"]
    assert "ok" == inquire({IAM: odd, DLI: odd}).found["clock"][0]


def test_first_valid_date_is_used(stub_cloud):
    """The date of the first service is used, whatever the others have."""
    late = (404, b"", {"date": formatdate(0, usegmt=True)})

    assert "ok" == Inquiry(stub_cloud, {DLI: late}).found["clock"][0]


def test_time_of_a_request_is_no_skew(stub_cloud):
    """The date is compared with the middle of the request."""
    cloud = stub_cloud()
    half_way = (404, b"", {"date": formatdate(cloud.now + 600, usegmt=True)})

    assert "0 s off" in Inquiry(stub_cloud, {IAM: half_way}, takes=1200.0).found["clock"][1]


def test_unreachable_service(inquire):
    """A service that cannot be reached fails one step, skips the steps that need it, and leaves the rest usable."""
    inquiry = inquire({DLI: TransportError("reset"), BATCH: TransportError("reset")})

    assert {"endpoint dli": "failed", "permission dli": "not checked"} == inquiry.bad()
    assert ("failed", "reset") == inquiry.found["endpoint dli"]
    assert "an earlier step failed" == inquiry.found["permission dli"][1]
    assert usable(inquiry.steps)


def test_any_response_proves_an_endpoint(inquire):
    """Any response, also one that is too long, proves that the endpoint exists."""
    inquiry = inquire({DLI: MalformedResponseError("too long"), CPH: 503, IAM: 302})

    assert {"clock": "not checked"} == inquiry.bad()


def test_unreachable_cloud(inquire):
    """If no service can be reached, no login is tried."""
    inquiry = inquire(dict.fromkeys((IAM, DLI, CPH), TransportError("reset")), project_id=None)

    assert 3 == len(inquiry.cloud.requests)
    assert ["failed"] * 3 + ["not checked"] * 5 == [step.result for step in inquiry.steps]
    assert ["clock", "login", "project", "permission dli", "permission cph"] == [
        step.name for step in inquiry.steps[3:]
    ]
    assert {"no service can be reached"} == {step.said for step in inquiry.steps[4:]}
    assert not usable(inquiry.steps)


def test_region_without_a_service(inquire):
    """A service that the region does not have is not checked, and the other one is usable."""
    inquiry = inquire(region="eu-de", cph_endpoint=None)

    assert {"endpoint cph": "not checked", "permission cph": "not checked"} == inquiry.bad()
    assert "region eu-de has no CPH" in inquiry.found["endpoint cph"][1]


def test_missing_project(inquire):
    """Without a project no service is checked, and the response of IAM decides about the login."""
    missing = inquire({PROJECT: {"projects": []}}, project_id=None)
    assert {
        "login": "not checked",
        "project": "failed",
        "permission dli": "not checked",
        "permission cph": "not checked",
    } == missing.bad()
    assert "Set project_id" in missing.found["project"][1]
    assert "Set project_id" in missing.found["login"][1]
    assert 4 == len(missing.cloud.requests)

    forbidden = inquire({PROJECT: FORBIDDEN}, project_id=None)
    assert "ok" == forbidden.found["login"][0]
    assert "failed" == forbidden.found["project"][0]
    assert not usable(forbidden.steps)


REFUSALS = [
    ("APIGW.0301", 401),
    ("DLI.0015", 400),
    ("IAM.0066", 401),
    ("IAM.0067", 401),
    ("IAM.1105", 400),
    ("IAM.1107", 400),
    ("IAM.1108", 400),
    ("IAM1108", 400),
]


@pytest.mark.parametrize(("code", "status"), REFUSALS)
def test_refused_login_fails_one_step(inquire, code, status):
    """A refused login fails the step of the login, and the permissions are not checked."""
    reply = refusal(code, status)
    inquiry = inquire({BATCH: reply, JOB: reply})

    assert {"login": "failed", "permission dli": "not checked", "permission cph": "not checked"} == inquiry.bad()
    assert {"the login failed"} == {inquiry.found[f"permission {one}"][1] for one in ("dli", "cph")}
    assert inquiry.found["login"][1].startswith(f"HTTP {status} {code}")
    assert not usable(inquiry.steps)


@pytest.mark.parametrize("code", [code for code, _ in REFUSALS if code != "APIGW.0301"])
def test_code_of_a_refused_login_counts_with_any_status(inquire, code):
    """An error code for a refused login fails the login with any HTTP status."""
    inquiry = inquire({PROJECT: refusal(code, 400)}, project_id=None)

    assert "failed" == inquiry.found["login"][0]
    assert ("not checked", "the login failed") == inquiry.found["project"]


def test_refused_login_does_not_fail_the_project(inquire):
    """If the login is refused at the look-up of the project, the project is not checked."""
    inquiry = inquire({PROJECT: refusal("APIGW.0301")}, project_id=None)

    assert ("not checked", "the login failed") == inquiry.found["project"]
    assert "failed" == inquiry.found["login"][0]


def test_refused_key_is_sent_once(inquire):
    """A key that one service refuses is not sent to the other one."""
    inquiry = inquire({BATCH: refusal("APIGW.0301")}, **AKSK)

    assert 4 == len(inquiry.cloud.requests)
    assert {"login": "failed", "permission dli": "not checked", "permission cph": "not checked"} == inquiry.bad()


def test_missing_permission_is_named(inquire):
    """A missing permission is named, and the login is ok."""
    inquiry = inquire({BATCH: FORBIDDEN, JOB: FORBIDDEN})

    assert {"permission dli": "failed", "permission cph": "failed"} == inquiry.bad()
    assert inquiry.found["permission dli"][1].startswith("dli:jobs:get is missing: DLI batch")
    assert inquiry.found["permission cph"][1].startswith("cph:jobs:get is missing: CPH job")
    assert not usable(inquiry.steps)


def test_service_in_trouble_proves_no_login(inquire):
    """The login is ok if one service answers, and not checked if none does."""
    one = inquire({BATCH: 503})
    assert {"permission dli": "failed"} == one.bad()
    assert one.found["permission dli"][1].startswith("HTTP 503")

    both = inquire({BATCH: 503, JOB: TransportError("reset")})
    assert {"login": "not checked", "permission dli": "failed", "permission cph": "failed"} == both.bad()
    assert both.found["login"][1].startswith("HTTP 503")
    assert ("failed", "reset") == both.found["permission cph"]


def test_throttled_service_proves_no_login(inquire):
    """A 429 does not show whether the login is ok."""
    assert "not checked" == inquire({BATCH: 429, JOB: 503}).found["login"][0]


RESULTS = ["connection", "clock", "login", "project", "permission dli", "permission cph"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"permission cph": Result.FAILED}, True),
        ({"permission dli": Result.NOT_CHECKED}, True),
        ({"clock": Result.NOT_CHECKED, "login": Result.NOT_CHECKED}, True),
        ({"permission dli": Result.FAILED, "permission cph": Result.NOT_CHECKED}, False),
        *(({name: Result.FAILED}, False) for name in RESULTS[:4]),
    ],
)
def test_connection_is_usable_if_one_service_is(change, expected):
    """A connection is usable if one permission is not missing and no step before failed."""
    results = dict.fromkeys(RESULTS, Result.OK) | change

    assert expected is usable([Step(name, result, "") for name, result in results.items()])


def test_nothing_checked_is_not_usable():
    """Without any step a connection is not usable."""
    assert not usable([])
