"""What ``hwstatus check`` finds at each step."""

from email.utils import formatdate

import pytest

from airflow_provider_hwstatus.core.reporting.connection_checkup import Checkup, Result, Step, usable
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
    """Return a reply that says that nobody is logged in."""
    return status, {"error_code": code, "error_msg": "no"}


class Inquiry:
    """All steps, in a cloud in which all is well but for *replies*."""

    def __init__(self, stub_cloud, replies=(), takes=0.0, **fields):
        well = {PROJECT: PROJECTS, BATCH: NO_BATCH, JOB: NO_JOB} | dict.fromkeys((IAM, DLI, CPH), self.greet)
        self.cloud = stub_cloud(well | dict(replies), takes=takes)
        self.date = self.cloud.now
        self.told = []
        self.steps = self.cloud.run(Checkup(self.cloud.client(**fields), self.told.append).run())
        self.found = {step.name: (step.result.value, step.said) for step in self.steps}

    def greet(self, request):
        return 404, b"", {"date": formatdate(self.date, usegmt=True)}

    def bad(self):
        """Return what is not ok, by step."""
        return {name: result for name, (result, _) in self.found.items() if result != "ok"}


@pytest.fixture
def inquire(stub_cloud):
    """Return a function that takes every step."""
    return lambda *args, **fields: Inquiry(stub_cloud, *args, **fields)


def test_all_is_well(inquire):
    """Each step is told as it is done, and says what was found."""
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
        == inquiry.told
    )
    assert ["GET /", "GET /", "GET /"] == inquiry.cloud.sent[:3]
    assert not any(request.headers for request in inquiry.cloud.requests[:3])
    assert 5 == len(inquiry.cloud.requests)


def test_project_is_looked_up(inquire):
    """Where it came from is said."""
    assert ("ok", "p1, found by the login or the region's name") == inquire(project_id=None).found["project"]


def test_tls_is_told(inquire):
    """Whether certificates are checked is the connection's choice, and whether there is TLS at all the endpoint's."""
    assert "https://dli, TLS not verified" == inquire(verify=False).found["endpoint dli"][1]
    assert "https://dli, TLS ok" == inquire(verify="/ca.pem").found["endpoint dli"][1]
    plain = inquire({"http://dli": NO_BATCH}, dli_endpoint="http://dli")
    assert "http://dli, no TLS" == plain.found["endpoint dli"][1]


@pytest.mark.parametrize(
    ("ahead", "result", "said"),
    [
        (0, "ok", "0 s off"),
        (900, "ok", "900 s off"),
        (-900, "ok", "900 s off; up to 900 s are allowed"),
        (901, "failed", "this machine's clock is +901 s off; next: set it"),
        (-7200, "failed", "this machine's clock is -7200 s off"),
    ],
)
def test_clock_is_compared(stub_cloud, ahead, result, said):
    """The gateway refuses signatures that are more than fifteen minutes off."""
    cloud = stub_cloud()
    date = (404, b"", {"date": formatdate(cloud.now - ahead, usegmt=True)})
    found = Inquiry(stub_cloud, {IAM: date}).found["clock"]

    assert result == found[0]
    assert said in found[1]


@pytest.mark.parametrize("date", ["", "soon", "Sat, 99 Nov 2026 00:00:00 GMT", "1 Jan 99999999999 00:00:00 GMT"])
def test_clock_that_no_service_tells(inquire, date):
    """A date that is none is no reason to fail, and another service may tell a better one."""
    odd = (404, b"", {"date": date})

    assert ("not checked", "no service said what time it is") == inquire({IAM: odd, DLI: odd, CPH: odd}).found["clock"]
    assert "ok" == inquire({IAM: odd, DLI: odd}).found["clock"][0]


def test_first_clock_counts(stub_cloud):
    """Another service's is not asked any more."""
    late = (404, b"", {"date": formatdate(0, usegmt=True)})

    assert "ok" == Inquiry(stub_cloud, {DLI: late}).found["clock"][0]


def test_time_of_a_request_is_no_skew(stub_cloud):
    """The reply was made about half-way."""
    cloud = stub_cloud()
    half_way = (404, b"", {"date": formatdate(cloud.now + 600, usegmt=True)})

    assert "0 s off" in Inquiry(stub_cloud, {IAM: half_way}, takes=1200.0).found["clock"][1]


def test_service_that_cannot_be_reached(inquire):
    """It is told where it is found out, what depends on it is not checked, and the rest is usable."""
    inquiry = inquire({DLI: TransportError("reset"), BATCH: TransportError("reset")})

    assert {"endpoint dli": "failed", "permission dli": "not checked"} == inquiry.bad()
    assert ("failed", "reset") == inquiry.found["endpoint dli"]
    assert "the step before it failed" == inquiry.found["permission dli"][1]
    assert usable(inquiry.steps)


def test_any_reply_says_that_a_service_is_there(inquire):
    """Also one that is too long to be read."""
    inquiry = inquire({DLI: MalformedResponseError("too long"), CPH: 503, IAM: 302})

    assert {"clock": "not checked"} == inquiry.bad()


def test_cloud_that_is_not_there(inquire):
    """Nothing beyond the network is tried."""
    inquiry = inquire(dict.fromkeys((IAM, DLI, CPH), TransportError("reset")), project_id=None)

    assert 3 == len(inquiry.cloud.requests)
    assert ["failed"] * 3 + ["not checked"] * 5 == [step.result for step in inquiry.steps]
    assert ["clock", "login", "project", "permission dli", "permission cph"] == [
        step.name for step in inquiry.steps[3:]
    ]
    assert {"no service can be reached"} == {step.said for step in inquiry.steps[4:]}
    assert not usable(inquiry.steps)


def test_region_without_a_service(inquire):
    """It is not asked, and the other one is usable."""
    inquiry = inquire(region="eu-de", cph_endpoint=None)

    assert {"endpoint cph": "not checked", "permission cph": "not checked"} == inquiry.bad()
    assert "region eu-de has no CPH" in inquiry.found["endpoint cph"][1]


def test_project_that_is_none(inquire):
    """Without one no service can be asked; IAM's answer shows who is logged in."""
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
def test_refused_login_is_told_once(inquire, code, status):
    """By its status or by its code; what depends on it is not called forbidden."""
    reply = refusal(code, status)
    inquiry = inquire({BATCH: reply, JOB: reply})

    assert {"login": "failed", "permission dli": "not checked", "permission cph": "not checked"} == inquiry.bad()
    assert {"nobody is logged in"} == {inquiry.found[f"permission {one}"][1] for one in ("dli", "cph")}
    assert inquiry.found["login"][1].startswith(f"HTTP {status} {code}")
    assert not usable(inquiry.steps)


@pytest.mark.parametrize("code", [code for code, _ in REFUSALS if code != "APIGW.0301"])
def test_code_of_a_refused_login_counts_whatever_its_status(inquire, code):
    """Editions of the tables differ in the status."""
    inquiry = inquire({PROJECT: refusal(code, 400)}, project_id=None)

    assert "failed" == inquiry.found["login"][0]
    assert ("not checked", "nobody is logged in") == inquiry.found["project"]


def test_refused_login_that_was_to_find_the_project(inquire):
    """The project is not what is wrong."""
    inquiry = inquire({PROJECT: refusal("APIGW.0301")}, project_id=None)

    assert ("not checked", "nobody is logged in") == inquiry.found["project"]
    assert "failed" == inquiry.found["login"][0]


def test_refused_key_is_tried_once(inquire):
    """A few more would lock it: what one service refuses, the other is not asked with."""
    inquiry = inquire({BATCH: refusal("APIGW.0301")}, **AKSK)

    assert 4 == len(inquiry.cloud.requests)
    assert {"login": "failed", "permission dli": "not checked", "permission cph": "not checked"} == inquiry.bad()


def test_missing_permission_is_named(inquire):
    """Who is not allowed is logged in, all the same."""
    inquiry = inquire({BATCH: FORBIDDEN, JOB: FORBIDDEN})

    assert {"permission dli": "failed", "permission cph": "failed"} == inquiry.bad()
    assert inquiry.found["permission dli"][1].startswith("dli:jobs:get is missing: DLI batch")
    assert inquiry.found["permission cph"][1].startswith("cph:jobs:get is missing: CPH job")
    assert not usable(inquiry.steps)


def test_service_in_trouble_says_nothing_of_the_login(inquire):
    """As long as the other one answers, somebody is logged in; else nobody knows."""
    one = inquire({BATCH: 503})
    assert {"permission dli": "failed"} == one.bad()
    assert one.found["permission dli"][1].startswith("HTTP 503")

    both = inquire({BATCH: 503, JOB: TransportError("reset")})
    assert {"login": "not checked", "permission dli": "failed", "permission cph": "failed"} == both.bad()
    assert both.found["login"][1].startswith("HTTP 503")
    assert ("failed", "reset") == both.found["permission cph"]


def test_throttled_service_says_nothing_of_the_login(inquire):
    """A gateway may count requests before it looks at who sends them."""
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
def test_usable_is_who_can_ask_a_service(change, expected):
    """A right to one service is enough; a step that failed before it is not made up for."""
    results = dict.fromkeys(RESULTS, Result.OK) | change

    assert expected is usable([Step(name, result, "") for name, result in results.items()])


def test_nothing_checked_is_not_usable():
    """A list without a service proves nothing."""
    assert not usable([])
