"""When the list of batches is read for many waits, which waits it answers, and when it is not used."""

import logging
from itertools import pairwise

import pytest

from airflow_provider_hwstatus.core.polling import batch_coalescer
from airflow_provider_hwstatus.core.polling.batch_coalescer import coalescer_of
from airflow_provider_hwstatus.core.polling.job_poller import JobPoller
from airflow_provider_hwstatus.core.polling.wait_options import WaitOptions
from airflow_provider_hwstatus.errors import HwStatusError, TransportError
from airflow_provider_hwstatus.kinds.cph import CPH_JOB
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH, DLI_SESSION_READY
from airflow_provider_hwstatus.kinds.job_kind import Outcome

INTERVAL = 60.0
FOREVER = WaitOptions(began=0.0)
ALL = object()


class Crowd:
    """
    Waits for the batches b0, b1, …, which poll one after the other.

    :param own: The state that a poll of a batch itself finds, unless *ends* has another one.
    :param listing: The reply to a request for the list; ``ALL`` for a list that shows all batches.
    """

    def __init__(self, stub_cloud, count=40, own="running", listing=ALL, kind=DLI_BATCH, **fields):
        self.listing = listing
        self.own = own
        self.ends = {}
        self.cloud = stub_cloud({"/batches?": self.list, "https://dli": self.state, "https://cph": {"status": 1}})
        self.client = self.cloud.client(**fields)
        self.waits = [JobPoller(self.client, kind, f"b{number}") for number in range(count)]
        for wait in self.waits:
            wait.open()

    @property
    def coalesced(self):
        """The waits that the list may answer, in their order."""
        return list(coalescer_of(self.client).waits)

    def state(self, request):
        job_id = request.url.split("/")[-2]
        return {"id": job_id, "state": self.ends.get(job_id, self.own)}

    def list(self, request):
        if self.listing is ALL:
            state = request.url.partition("state=")[2].partition("&")[0]
            return {"sessions": [{"id": wait.job_id, "state": state} for wait in self.waits], "total": len(self.waits)}
        return self.listing(request) if callable(self.listing) else self.listing

    def rows(self, *states, **more):
        """Let the list show the batches b0, b1, … in these states."""
        rows = [{"id": f"b{number}", "state": state} for number, state in enumerate(states)]
        self.listing = {"sessions": rows, "total": len(rows), **more}

    def poll(self, *numbers, **options):
        """Let some waits poll, or all of them; return what they find."""
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
        """Let all waits poll in so many intervals; return when the list was requested."""
        for _ in range(intervals):
            self.interval()
        return [at for at, path in zip(self.cloud.sent_at, self.cloud.sent, strict=True) if "/batches?" in path]

    def interval(self, **options):
        """Let all waits poll once in an interval; return how many requests for lists and for jobs that took."""
        before = len(self.cloud.requests)
        self.poll(**options)
        self.cloud.now += INTERVAL
        sent = self.cloud.sent[before:]
        lists = sum("/batches?" in path for path in sent)
        return lists, len(sent) - lists


@pytest.fixture
def crowd(stub_cloud, monkeypatch, caplog):
    """Return a function that makes a crowd of waits, none of which is due to be polled itself at first."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(batch_coalescer.random, "randrange", lambda most: 0)
    return lambda **how: Crowd(stub_cloud, **how)


def test_list_is_read_for_ten_jobs(crowd):
    """By default the list is read for ten jobs and more, once per interval."""
    assert (0, 40) == crowd(coalesce=False).interval()
    few, ten = crowd(count=9), crowd(count=10)
    assert [(0, 9), (0, 9), (0, 9)] == [few.interval() for _ in range(3)]
    assert [(0, 10), (1, 0)] == [ten.interval() for _ in range(2)]


def test_one_list_answers_all_waits(crowd, caplog):
    """After ten polls of jobs, one list in each interval answers all waits, and one log line says so."""
    many = crowd()

    assert [(1, 10), (1, 0), (1, 0)] == [many.interval() for _ in range(3)]
    assert ["Polling DLI batches by their list: it answers 40 waits, with 1 calls"] == caplog.messages
    lists = [path for path in many.cloud.sent if "?" in path]
    assert {"GET /v2.0/p1/batches?state=running&from=0&size=100"} == set(lists)


def test_status_from_the_list_is_like_that_of_a_poll(crowd):
    """A wait that the list answers gets the status that a poll of the job would have, without a request for the job."""
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
    """Sessions and CPH jobs are polled themselves, because they have no such list."""
    for kind in (DLI_SESSION_READY, CPH_JOB):
        assert (0, 40) == crowd(kind=kind).interval()


@pytest.mark.parametrize("shown", ["success", "dead", "paused", "", None])
def test_list_ends_no_wait(crowd, shown):
    """A job that the list shows as over, in an unknown state or not at all is polled itself."""
    many = crowd()
    many.rows(*["running"] * 39, shown)
    assert "running" == many.poll()[-1].state
    assert "GET /v2.0/p1/batches/b39/state" == many.cloud.sent[-1]

    many = crowd()
    many.rows(*["running"] * 39)
    many.poll()
    assert "GET /v2.0/p1/batches/b39/state" == many.cloud.sent[-1]


def test_job_with_contradictory_rows_is_polled_itself(crowd):
    """A job that the list shows both as over and in progress is polled itself."""
    for first, second in (("running", "success"), ("success", "running")):
        many = crowd()
        rows = [{"id": f"b{number}", "state": "running"} for number in range(39)]
        twice = [{"id": "b39", "state": first}, {"id": "B39", "state": second}]
        many.listing = {"sessions": [*rows, *twice]}
        many.poll()
        assert "GET /v2.0/p1/batches/b39/state" == many.cloud.sent[-1]


def test_letter_case_of_ids_and_states_does_not_matter(crowd):
    """The list answers for a job whose id or state it shows in other letter case."""
    many = crowd()
    many.listing = {"sessions": [{"id": f"B{number}", "state": "RUNNING"} for number in range(40)]}

    assert (1, 10) == many.interval()


def test_list_answers_no_wait_that_polled_after_it_was_read(crowd):
    """A wait that has polled since the list was read polls the job itself, or reads the list again."""
    many = crowd()
    many.poll()
    before = len(many.cloud.requests)
    many.poll(39, 39, 39)

    # The first poll reads the list again, because many waits have polled since it was read. The second poll is
    # answered by that list. For the third, too few waits have polled since.
    assert ["GET /v2.0/p1/batches?state=running&from=0&size=100", "GET /v2.0/p1/batches/b39/state"] == (
        many.cloud.sent[before:]
    )


def test_no_job_is_left_to_the_list(crowd):
    """A job is polled itself after a number of answers from the list: half of the number of waits, at least ten."""
    many = crowd()
    polled = []
    for _ in range(45):
        many.interval()
        polled.append(sum("/b39/" in path for path in many.cloud.sent))
    assert (20, 40) == (polled.index(1), polled.index(2))

    some = crowd(count=12)
    for _ in range(11):
        some.interval()
    assert 1 == sum("/b11/" in path for path in some.cloud.sent)


def test_states_of_ten_jobs_are_listed(crowd):
    """The list is read for each state that the last polls found at least ten jobs in."""
    many = crowd(own="starting")
    many.ends = dict.fromkeys([f"b{number}" for number in range(31, 40)], "recovering")
    for wait in many.coalesced:
        wait.record(many.ends.get(wait.job_id, "starting"), over=False)
    many.poll()

    assert {"starting"} == {
        path.partition("state=")[2].partition("&")[0] for path in many.cloud.sent if "/batches?" in path
    }


def test_unknown_state_is_not_listed(crowd):
    """The list is not read for an unknown state, because DLI may ignore that filter."""
    many = crowd(own="paused")
    for wait in many.coalesced:
        wait.record("paused", over=False)
    many.poll()

    assert not any("/batches?" in path for path in many.cloud.sent)


def test_pages_are_read_while_they_are_worth_it(crowd):
    """Ten pages are read for a thousand waits, because each page answers at least four of them."""
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
def test_long_list_is_not_read_to_its_end(crowd, total, pages):
    """At most one page for every four waits is read, by the total or else as the pages arrive."""
    many = crowd()

    def page(request):
        first = int(request.url.partition("from=")[2].partition("&")[0])
        rows = [{"id": f"b{number}", "state": "running"} for number in range(first, first + 100)]
        return {"sessions": rows, "total": total}

    many.listing = page
    assert pages == many.interval()[0]


def test_short_page_is_the_last_without_a_total(crowd):
    """Without a total, a page that is not full is the last one, and an empty page always is."""
    many = crowd()
    many.rows(*["running"] * 40, total=None)
    assert 1 == many.interval()[0]

    many = crowd(count=1000)
    many.listing = {"sessions": [], "total": 900}
    assert 1 == many.interval()[0]


def test_list_that_answers_few_waits_is_not_used(crowd, caplog):
    """A list that answers fewer than four waits per page is not read for 15 minutes, and one log line says so."""
    many = crowd()
    many.rows(*["running"] * 3)

    assert [1] + [0] * 14 == [many.interval()[0] for _ in range(15)]
    assert "1 calls answer only 3 of the waits" in caplog.text
    many.listing = ALL
    assert [1, 1] == [many.interval()[0] for _ in range(2)]
    assert 1 == caplog.text.count("one by one")


def test_four_are_enough(crowd):
    """A page that answers four waits is worth its request."""
    many = crowd()
    many.rows(*["running"] * 4)

    assert [1, 1] == [many.interval()[0] for _ in range(2)]


def test_list_that_shows_an_ended_job_in_progress_is_not_used(crowd, caplog):
    """A list that shows a job in progress whose own poll found it over is not used."""
    many = crowd()
    many.ends = {"b3": "success"}

    assert "success" == many.poll(3)[0].state
    assert (1, 40) == many.interval()
    assert "it shows b3 as 'running', which is over" in caplog.text
    assert 0 == many.interval()[0]


def test_two_hundred_ends_are_remembered(crowd):
    """The coalescer compares the list with the last two hundred ends."""
    many = crowd(count=300)
    for wait in many.coalesced[:240]:
        wait.record("success", over=True)

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
def test_list_that_fails_for_good_is_not_used(crowd, caplog, reply):
    """After a permanent error the list is not read for 15 minutes, one log line says so, and each job is polled."""
    many = crowd(listing=reply)

    assert [(1, 40), (0, 40), (0, 40)] == [many.interval() for _ in range(3)]
    assert 1 == caplog.text.count("Polling DLI batches one by one")


@pytest.mark.parametrize("reply", [503, TransportError("reset")])
def test_list_that_fails_is_read_again_after_growing_pauses(crowd, caplog, reply):
    """After a transient error the list is read again after one, two and four minutes."""
    many = crowd(listing=reply)
    pauses = [later - earlier for earlier, later in pairwise(many.lists(10))]

    assert all(pause <= found < pause + INTERVAL + 1 for pause, found in zip((60, 120, 240), pauses, strict=True))
    assert 1 == caplog.text.count("one by one")


def test_throttled_list_is_read_a_minute_after_retry_after(crowd):
    """After a 429 the list is read a minute after Retry-After, when the waits that were held back have polled."""
    many = crowd(listing=(429, b"", {"retry-after": "90"}))
    first, second, *_ = many.lists(9)

    assert 90.0 + 60.0 <= second - first < 90.0 + 60.0 + 2 * INTERVAL


def test_new_trouble_is_logged_after_a_recovery(crowd, caplog):
    """Each time that the list fails after it has worked, there is one log line."""
    many = crowd(listing=503)
    many.interval()
    many.listing = ALL
    assert 1 == many.interval()[0]
    many.listing = 403
    many.interval()

    assert 2 == caplog.text.count("one by one")


def test_list_that_fails_answers_no_wait(crowd):
    """After an error the rows of an earlier list are not used."""
    many = crowd()
    many.poll()
    many.listing = 503
    assert 40 <= many.interval()[1] + many.interval()[1]
    assert 40 == many.interval()[1]


def test_wait_near_its_deadline_does_not_use_the_list(crowd):
    """A wait that has no more than half a minute left polls the job itself."""
    many = crowd()
    many.poll(*range(30))
    many.poll(39, deadline=many.cloud.now + 30.0)
    assert many.cloud.sent[-1].endswith("/b39/state")
    many.poll(38, deadline=many.cloud.now + 30.1)
    assert many.cloud.sent[-1].endswith("/b39/state")


def test_reading_takes_half_a_minute_at_most(crowd):
    """The requests for the list end within 30 seconds, because other waits queue for it."""
    many = crowd(request_timeout=120.0)
    many.poll()
    (seconds,) = [
        left for left, path in zip(many.cloud.seconds_left, many.cloud.sent, strict=True) if "/batches?" in path
    ]

    assert 30.0 == pytest.approx(seconds)


def test_waits_that_ended_or_went_away_do_not_count(crowd):
    """Only waits that are open count as waits that the list can answer."""
    many = crowd()
    many.ends = {f"b{number}": "success" for number in range(31)}
    for number in range(10):
        many.poll(number)
    for wait in many.waits[9:]:
        wait.close()
    del many.waits[9:]
    assert (0, 9) == many.interval()


def test_wait_that_queued_for_a_reading_does_not_read_again(crowd):
    """A wait that queued while another one read the list does not read it again."""
    many = crowd()
    many.poll(*range(10))
    first, second = (many.coalesced[number].poll(FOREVER) for number in (20, 21))
    turns = [next(first), next(second)]
    for turn in turns:
        many.cloud.now += 0.001
        many.cloud.run(turn.flow())

    assert {"list of batches"} == {turn.name for turn in turns}
    assert 1 == sum("/batches?" in path for path in many.cloud.sent)


def test_wait_that_has_left_is_not_answered(crowd):
    """The list answers no wait that has left, and what a poll of its job finds is not recorded."""
    many = crowd()
    many.poll()
    wait = many.coalesced[39]
    wait.leave()
    wait.record("success", over=True)

    assert many.cloud.run(wait.poll(FOREVER)) is None
    assert wait.poll_now(FOREVER) is None
    assert [1, 1] == [many.interval()[0] for _ in range(2)]  # a recorded end would make the list wrong


def test_poll_without_a_request_finds_what_a_poll_finds(crowd):
    """A list that was read after the last poll of a wait answers it once, without any effect."""
    many = crowd()
    many.interval()
    many.rows(*["starting"] * 20, *["running"] * 20)
    many.poll(39)  # reads the list
    others = many.coalesced[:39]
    many.cloud.now += 1.0
    sent = len(many.cloud.sent)

    found = [(status.job_id, status.state, status.outcome) for status in (wait.poll_now(FOREVER) for wait in others)]
    expected = [("starting" if number < 20 else "running") for number in range(39)]
    assert [(f"b{number}", state, Outcome.IN_PROGRESS) for number, state in enumerate(expected)] == found
    many.cloud.now += 1.0
    assert {None} == {wait.poll_now(FOREVER) for wait in others}
    assert len(many.cloud.sent) == sent


def fail_to_read(many):
    """Let a read of the list fail."""
    many.listing = TransportError("down")
    for _ in range(2):
        many.poll(*range(1, 20))


def find_it_useless(many):
    """Let a read of the list find only three of the jobs."""
    many.listing = {"sessions": [{"id": f"b{number}", "state": "running"} for number in (37, 38, 39)], "total": 3}
    for _ in range(2):
        many.poll(*range(1, 20))


@pytest.mark.parametrize(
    "change",
    [
        lambda many: many.coalesced[39].leave(),
        lambda many: many.poll(39),  # the list is older than the last poll now
        fail_to_read,
        find_it_useless,
        lambda many: setattr(many.coalesced[39], "cached", 19),  # every 20th poll is one of the job itself
    ],
    ids=["left", "polled", "failed", "useless", "due"],
)
def test_poll_without_a_request_is_not_always_possible(crowd, change):
    """If the list cannot answer, the next poll is one of the job itself."""
    many = crowd()
    many.interval()
    many.poll(38)  # reads the list
    last = many.coalesced[39]
    change(many)

    assert last.poll_now(FOREVER) is None
    many.cloud.now += INTERVAL
    many.poll(39)
    assert many.cloud.sent[-1].endswith("/b39/state")


def test_poll_without_a_request_is_not_for_the_last_half_minute(crowd):
    """A wait near its deadline polls its job itself."""
    many = crowd()
    many.interval()
    many.poll(38)  # reads the list
    near, far = (WaitOptions(began=many.cloud.now, deadline=many.cloud.now + left) for left in (29.0, 31.0))

    assert many.coalesced[39].poll_now(near) is None
    assert "running" == many.coalesced[39].poll_now(far).state


@pytest.mark.parametrize("attribute", ["state", "key"])
def test_wait_may_begin_in_another_thread_at_any_time(crowd, attribute):
    """Waits begin and end in other threads while the list is read for those that are there."""
    many = crowd()

    class BeginsAnother(str):
        """A text with which another wait begins as soon as it is looked up."""

        __slots__ = ()

        def __hash__(self):
            begun.append(coalescer_of(many.client).join(DLI_BATCH, f"c{len(begun)}"))
            return hash(str(self))

    begun = []
    for wait in many.coalesced:
        setattr(wait, attribute, BeginsAnother(getattr(wait, attribute)))
    many.interval()
    many.rows(*["running"] * 30)

    assert [(1, 10), (1, 10)] == [many.interval() for _ in range(2)]  # ten are not in the list any more
    assert begun
