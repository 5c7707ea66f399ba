"""When the list of batches is read for many waits, which of them it serves, and when it is left alone."""

import gc
from itertools import pairwise

import pytest

from airflow_provider_hwstatus.core.polling import batch_coalescer
from airflow_provider_hwstatus.core.polling.job_poller import JobPoller
from airflow_provider_hwstatus.core.polling.wait_options import WaitOptions
from airflow_provider_hwstatus.errors import HwStatusError, TransportError
from airflow_provider_hwstatus.kinds.cph import CPH_JOB
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH, DLI_SESSION_READY
from airflow_provider_hwstatus.kinds.job_kind import Outcome

INTERVAL = 60.0
ALL = object()


class Crowd:
    """Waits for batches b0, b1, … that look one after the other; a batch's own state is *own*, or *ends* has it."""

    def __init__(self, stub_cloud, count=40, own="running", listing=ALL, kind=DLI_BATCH, **fields):
        self.listing = listing
        self.own = own
        self.ends = {}
        self.cloud = stub_cloud({"/batches?": self.list, "https://dli": self.state, "https://cph": {"status": 1}})
        self.client = self.cloud.client(**({"coalesce": True} | fields))
        self.waits = [JobPoller(self.client, kind, f"b{number}") for number in range(count)]

    def state(self, request):
        job_id = request.url.split("/")[-2]
        return {"id": job_id, "state": self.ends.get(job_id, self.own)}

    def list(self, request):
        if self.listing is ALL:
            state = request.url.partition("state=")[2].partition("&")[0]
            return {"sessions": [{"id": wait.job_id, "state": state} for wait in self.waits], "total": len(self.waits)}
        return self.listing(request) if callable(self.listing) else self.listing

    def rows(self, *states, **more):
        """List batches b0, b1, … in these states."""
        rows = [{"id": f"b{number}", "state": state} for number, state in enumerate(states)]
        self.listing = {"sessions": rows, "total": len(rows), **more}

    def poll(self, *numbers, **options):
        """Let some waits look, or all; return what they find."""
        how = WaitOptions(**{"poke_interval": INTERVAL, "began": self.cloud.now, "outage_tolerance": 0.0} | options)
        found = []
        for wait in [self.waits[number] for number in numbers] if numbers else list(self.waits):
            self.cloud.now += 0.001
            try:
                found.append(self.cloud.run(wait.poll(how)))
            except HwStatusError as error:
                found.append(error)
        return found

    def lists(self, intervals):
        """Let all look in so many intervals; return when the list was asked for."""
        for _ in range(intervals):
            self.interval()
        return [at for at, path in zip(self.cloud.sent_at, self.cloud.sent, strict=True) if "/batches?" in path]

    def interval(self, **options):
        """Let all look once in an interval; return how many calls that took, of lists and of jobs."""
        before = len(self.cloud.requests)
        self.poll(**options)
        self.cloud.now += INTERVAL
        target = self.cloud.sent[before:]
        lists = sum("/batches?" in path for path in target)
        return lists, len(target) - lists


@pytest.fixture
def crowd(stub_cloud, monkeypatch):
    """Return a function that makes a crowd of waits, nobody's turn to be asked in person among them at first."""
    monkeypatch.setattr(batch_coalescer.random, "randrange", lambda most: 0)
    return lambda **how: Crowd(stub_cloud, **how)


def test_list_is_asked_for_many_only_where_the_connection_says_so(crowd):
    """By default each is asked about by itself, and fewer than ten are always."""
    assert (0, 40) == crowd(coalesce=False).interval()
    few, ten = crowd(count=9), crowd(count=10)
    assert [(0, 9), (0, 9), (0, 9)] == [few.interval() for _ in range(3)]
    assert [(0, 10), (1, 0)] == [ten.interval() for _ in range(2)]


def test_one_list_serves_all_who_look_after_it(crowd):
    """Ten have asked before it was worth it; from then on one call in an interval does for all."""
    many = crowd()

    assert [(1, 10), (1, 0), (1, 0)] == [many.interval() for _ in range(3)]
    lists = [path for path in many.cloud.sent if "?" in path]
    assert {"GET /v2.0/p1/batches?state=running&from=0&size=100"} == set(lists)


def test_hint_says_that_a_job_goes_on(crowd):
    """As a poll would have."""
    many = crowd()
    status = many.poll()[-1]

    assert ("dli_batch", "b39", "running", Outcome.IN_PROGRESS) == (
        status.kind,
        status.job_id,
        status.state,
        status.outcome,
    )
    assert not any("/b39/" in path for path in many.cloud.sent)


def test_only_batches_are_listed(crowd):
    """Sessions and phones have no such list."""
    for kind in (DLI_SESSION_READY, CPH_JOB):
        assert (0, 40) == crowd(kind=kind).interval()


@pytest.mark.parametrize("shown", ["success", "dead", "paused", "", None])
def test_list_ends_no_wait(crowd, shown):
    """What it shows as over, in an unknown state or not at all is asked about by itself."""
    many = crowd()
    many.rows(*["running"] * 39, shown)
    assert "running" == many.poll()[-1].state
    assert "GET /v2.0/p1/batches/b39/state" == many.cloud.sent[-1]

    many = crowd()
    many.rows(*["running"] * 39)
    many.poll()
    assert "GET /v2.0/p1/batches/b39/state" == many.cloud.sent[-1]


def test_contradiction_in_a_list_is_asked_about(crowd):
    """A job that it shows as over anywhere is not one that goes on."""
    for first, second in (("running", "success"), ("success", "running")):
        many = crowd()
        rows = [{"id": f"b{number}", "state": "running"} for number in range(39)]
        twice = [{"id": "b39", "state": first}, {"id": "B39", "state": second}]
        many.listing = {"sessions": [*rows, *twice]}
        many.poll()
        assert "GET /v2.0/p1/batches/b39/state" == many.cloud.sent[-1]


def test_letter_case_of_ids_and_states_does_not_matter(crowd):
    """DLI's own examples differ in it."""
    many = crowd()
    many.listing = {"sessions": [{"id": f"B{number}", "state": "RUNNING"} for number in range(40)]}

    assert (1, 10) == many.interval()


def test_hint_is_older_than_no_look(crowd):
    """Who has looked since the list was read asks: else an end is seen late, or never."""
    many = crowd()
    many.poll()
    before = len(many.cloud.requests)
    many.poll(39, 39, 39)

    # Many have looked since it was read, so it is read again; then it is new enough; then few have looked since.
    assert ["GET /v2.0/p1/batches?state=running&from=0&size=100", "GET /v2.0/p1/batches/b39/state"] == (
        many.cloud.sent[before:]
    )


def test_no_job_is_left_to_the_list(crowd):
    """After as many hints in a row as half of the waits, and ten at least, each is asked about by itself."""
    many = crowd()
    target = []
    for _ in range(45):
        many.interval()
        target.append(sum("/b39/" in path for path in many.cloud.sent))
    assert (20, 40) == (target.index(1), target.index(2))

    some = crowd(count=12)
    for _ in range(11):
        some.interval()
    assert 1 == sum("/b11/" in path for path in some.cloud.sent)


def test_states_are_listed_where_ten_are_in_them(crowd):
    """The list is filtered by state, so it is read for each that is worth it; a job's own word tells which it is in."""
    many = crowd(own="starting")
    many.ends = dict.fromkeys([f"b{number}" for number in range(31, 40)], "recovering")
    for wait in many.waits:
        many.client.coalescer.record(wait, many.ends.get(wait.job_id, "starting"), over=False)
    many.poll()

    assert {"starting"} == {
        path.partition("state=")[2].partition("&")[0] for path in many.cloud.sent if "/batches?" in path
    }


def test_unknown_state_is_not_listed(crowd):
    """A filter that DLI does not know may show anything."""
    many = crowd(own="paused")
    for wait in many.waits:
        many.client.coalescer.record(wait, "paused", over=False)
    many.poll()

    assert not any("/batches?" in path for path in many.cloud.sent)


def test_pages_are_read_while_they_are_worth_it(crowd):
    """A page has to show four jobs to be worth its call."""
    many = crowd(count=1000)

    def page(request):
        first = int(request.url.partition("from=")[2].partition("&")[0])
        rows = [{"id": f"b{number}", "state": "running"} for number in range(first, min(first + 100, 1000))]
        return {"sessions": rows, "total": 1000}

    many.listing = page
    lists, jobs = many.interval()
    assert (10, 10) == (lists, jobs)
    lists, jobs = many.interval()
    assert (10, 0) == (lists, jobs)


@pytest.mark.parametrize(("total", "pages"), [(5000, 1), (1001, 1), (1000, 10), (250, 3), (40, 1), (None, 11)])
def test_list_of_other_peoples_jobs_is_not_read_to_its_end(crowd, total, pages):
    """Forty waits are worth ten pages: by what it says of its length, or as far as they have been read."""
    many = crowd()

    def page(request):
        first = int(request.url.partition("from=")[2].partition("&")[0])
        rows = [{"id": f"b{number}", "state": "running"} for number in range(first, first + 100)]
        return {"sessions": rows, "total": total}

    many.listing = page
    assert pages == many.interval()[0]


def test_short_page_is_the_last_where_no_total_is_told(crowd):
    """And an empty one always."""
    many = crowd()
    many.rows(*["running"] * 40, total=None)
    assert 1 == many.interval()[0]

    many = crowd(count=1000)
    many.listing = {"sessions": [], "total": 900}
    assert 1 == many.interval()[0]


def test_list_that_serves_few_is_left_alone_for_a_quarter_of_an_hour(crowd, caplog):
    """Its jobs are others'."""
    many = crowd()
    many.rows(*["running"] * 3)

    assert [1] + [0] * 14 == [many.interval()[0] for _ in range(15)]
    assert "1 calls tell about 3 of the jobs that are waited for" in caplog.text
    many.listing = ALL
    assert [1, 1] == [many.interval()[0] for _ in range(2)]
    assert 1 == caplog.text.count("one by one")


def test_four_are_enough(crowd):
    """That is what a page has to show."""
    many = crowd()
    many.rows(*["running"] * 4)

    assert [1, 1] == [many.interval()[0] for _ in range(2)]


def test_list_that_shows_an_end_as_going_on_is_caught(crowd, caplog):
    """It lags, or lies; the job has said itself that it is over."""
    many = crowd()
    many.ends = {"b3": "success"}

    assert "success" == many.poll(3)[0].state
    assert (1, 40) == many.interval()
    assert "it shows b3 as 'running', which is over" in caplog.text
    assert 0 == many.interval()[0]


def test_two_hundred_ends_are_remembered(crowd):
    """Not all of a day's."""
    many = crowd(count=300)
    for number in range(240):
        many.client.coalescer.record(many.waits[number], "success", over=True)

    def listing(job_id):
        return {
            "sessions": [
                {"id": job_id, "state": "running"},
                *({"id": f"b{n}", "state": "running"} for n in range(240, 300)),
            ]
        }

    many.waits = many.waits[240:]
    many.listing = listing("B39")
    many.interval()
    assert 1 == many.interval()[0]  # forgotten
    many.listing = listing("B40")
    assert 1 == many.interval()[0]
    assert 0 == many.interval()[0]


@pytest.mark.parametrize(
    "reply", [403, (200, b"<html>"), {"sessions": None}, (404, {"error_code": "APIGW.0101", "error_msg": "no"})]
)
def test_list_that_will_not_pass_is_left_alone(crowd, caplog, reply):
    """For a quarter of an hour, which is told once; the waits go on one by one."""
    many = crowd(listing=reply)

    assert [(1, 40), (0, 40), (0, 40)] == [many.interval() for _ in range(3)]
    assert 1 == caplog.text.count("Asking about DLI batches one by one")


@pytest.mark.parametrize("reply", [503, TransportError("reset")])
def test_list_that_fails_is_tried_again_later_and_later(crowd, caplog, reply):
    """After one, two and four minutes."""
    many = crowd(listing=reply)
    pauses = [later - earlier for earlier, later in pairwise(many.lists(10))]

    assert all(pause <= found < pause + INTERVAL + 1 for pause, found in zip((60, 120, 240), pauses, strict=True))
    assert 1 == caplog.text.count("one by one")


def test_throttled_list_waits_as_long_as_it_was_told_and_a_minute(crowd):
    """Else it would come back together with all the waits that its 429 held back."""
    many = crowd(listing=(429, b"", {"retry-after": "90"}))
    first, second, *_ = many.lists(9)

    assert 90.0 + 60.0 <= second - first < 90.0 + 60.0 + 2 * INTERVAL


def test_trouble_is_told_again_when_the_list_had_recovered(crowd, caplog):
    """One line for each time."""
    many = crowd(listing=503)
    many.interval()
    many.listing = ALL
    assert 1 == many.interval()[0]
    many.listing = 403
    many.interval()

    assert 2 == caplog.text.count("one by one")


def test_list_that_fails_serves_nobody_any_more(crowd):
    """What an earlier one showed is too old."""
    many = crowd()
    many.poll()
    many.listing = 503
    assert 40 <= many.interval()[1] + many.interval()[1]
    assert 40 == many.interval()[1]


def test_who_is_near_its_deadline_does_without(crowd):
    """Reading the list may take half a minute."""
    many = crowd()
    many.poll(*range(30))
    many.poll(39, deadline=many.cloud.now + 30.0)
    assert many.cloud.sent[-1].endswith("/b39/state")
    many.poll(38, deadline=many.cloud.now + 30.1)
    assert many.cloud.sent[-1].endswith("/b39/state")


def test_reading_takes_half_a_minute_at_most(crowd):
    """As other waits queue for it."""
    many = crowd()
    many.poll()
    (listed,) = [request for request in many.cloud.requests if "/batches?" in request.url]

    assert 30.0 == pytest.approx(listed.timeout or 30.0)
    slow = crowd(request_timeout=120.0)
    slow.poll()
    (listed,) = [request for request in slow.cloud.requests if "/batches?" in request.url]
    assert 30.0 == pytest.approx(listed.timeout)


def test_waits_that_ended_or_went_away_do_not_count(crowd):
    """The list is worth it for those that are left."""
    many = crowd()
    many.ends = {f"b{number}": "success" for number in range(31)}
    for number in range(10):
        many.poll(number)
    del many.waits[9:]
    gc.collect()
    assert (0, 9) == many.interval()


def test_wait_that_queued_for_a_reading_does_not_read_again(crowd):
    """Another one was first; its list serves both."""
    many = crowd()
    many.poll(*range(10))
    first, second = (many.client.coalescer.cached_state(many.waits[number]) for number in (20, 21))
    turns = [next(first), next(second)]
    for turn in turns:
        many.cloud.now += 0.001
        many.cloud.run(turn.flow())

    assert {"list of batches"} == {turn.name for turn in turns}
    assert 1 == sum("/batches?" in path for path in many.cloud.sent)
