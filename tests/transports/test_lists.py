"""Waits that use lists of jobs, against the fake cloud, with simulated time."""

import asyncio
import logging
import statistics
from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.connection.settings import settings_from
from airflow_provider_hwstatus.core.polling import batch_coalescer
from airflow_provider_hwstatus.core.polling.cph_requests import CphRequests
from airflow_provider_hwstatus.core.polling.expected_jobs import Expected
from airflow_provider_hwstatus.core.polling.job_poller import JobPoller
from airflow_provider_hwstatus.core.polling.jobs_summary import CompletionRule
from airflow_provider_hwstatus.core.polling.wait import wait
from airflow_provider_hwstatus.core.polling.wait_options import WaitOptions
from airflow_provider_hwstatus.errors import HwStatusError, JobNotFoundError
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH
from airflow_provider_hwstatus.testing import FakeHuaweiCloud, Reply
from airflow_provider_hwstatus.transports.priority_semaphore import PrioritySemaphore
from airflow_provider_hwstatus.transports.runners import AsyncHandlers, run_async
from airflow_provider_hwstatus.transports.single_flight import SingleFlights
from airflow_provider_hwstatus.transports.sleeping import sleep

START = 1_700_000_000.0
INTERVAL = 60.0
GOLDEN_RATIO = 0.618034


class World:
    """Runs waits on one connection with simulated time and without HTTP."""

    def __init__(self, loop, send, **extra):
        self.loop = loop
        self.send = send
        self.began = loop.now
        self.cloud = FakeHuaweiCloud(80, self.clock)  # never started; an endpoint needs a port
        self.ends = {}
        self._tasks = []
        fields = self.cloud.connection(**extra)
        given = settings_from(fields["login"], fields["password"], fields["extra"])
        self.client = Client(given, self.clock)
        flights = SingleFlights(lambda name: asyncio.Lock())
        slots = defaultdict(lambda: PrioritySemaphore(given.max_concurrent_requests))
        self.handlers = AsyncHandlers(
            self._send, flights, slots, self._mask, lambda name: None, self._sleep, self.clock
        )
        self.polls = self.sleeps = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.loop.run_until_complete(self._cancel())
        self.loop.close()

    async def _cancel(self):
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def now(self):
        return START + self.loop.now - self.began

    def clock(self):
        return self.now

    def begin(self, name, subject, first_after=0.0, **options):
        options = WaitOptions(**({"poke_interval": INTERVAL, "began": self.now} | options))
        flow = wait(subject, options, self._on_poll, first_after)
        self._tasks.append(self.loop.create_task(self._wait(name, subject, flow)))

    async def _wait(self, name, subject, flow):
        subject.open()
        try:
            end = await run_async(flow, self.handlers)
        except HwStatusError as error:
            end = error
        finally:
            subject.close()
        self.ends[name] = (self.now - START, end)

    def go_on(self, seconds=None):
        """Let the waits continue until all have ended, or for *seconds*."""
        self.loop.run_until_complete(asyncio.wait(self._tasks, timeout=seconds))

    async def _send(self, request, until):
        return self.send(self.cloud, request)

    def _on_poll(self, found):
        self.polls += 1

    def _sleep(self, effect):
        self.sleeps += 1
        return sleep(effect)

    async def _mask(self, secret):
        """Mask nothing."""

    def run(self, flow):
        return self.loop.run_until_complete(run_async(flow, self.handlers))

    def sleep(self, seconds):
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def calls(self):
        """Return the number of calls per interval, by list and job."""
        found = Counter()
        for record in self.cloud.requests:
            kind = "list" if record.path.endswith(("/batches", "/jobs")) else "job"
            found[int((record.time - START) // INTERVAL), kind] += 1
        return found


@pytest.fixture(scope="session")
def new_world(quick_loop_class, send_in_process):
    """Return a function that makes a world with a connection of these extra fields."""
    return lambda **extra: World(quick_loop_class(), send_in_process, **extra)


def batches(world, ends, **fields):
    """Add batches that end well after so many seconds, and a wait for each, spread over an interval."""
    for number, end in enumerate(ends):
        job_id = f"b{number:05d}"
        world.cloud.job("dli_batch", job_id, seconds={0: "running", end: "success"}, **fields)
        poller = JobPoller(world.client, DLI_BATCH, job_id)
        world.begin(job_id, poller, number * GOLDEN_RATIO % 1 * INTERVAL)


def test_1000_batches_cost_15_calls_per_interval(new_world):
    """Waits for 1000 batches use few calls of the list, and one call for each ended batch."""
    with new_world() as world:
        world.cloud.foreign_jobs("dli_batch", 50, "running")
        world.cloud.foreign_jobs("dli_batch", 500, "success")
        batches(world, [INTERVAL * 6.5 if number % 10 else INTERVAL * 4.3 for number in range(1000)])
        world.go_on(INTERVAL * 6)

        calls = world.calls()
        quiet = sum(calls[interval, what] for interval in (1, 2, 3) for what in ("list", "job"))
        assert quiet <= 3 * 15, calls
        assert sum(calls[interval, "job"] for interval in (4, 5)) <= 100 + 2 * 50, calls
        assert 100 == len(world.ends)
        assert all(INTERVAL * 4.3 <= at <= INTERVAL * 6.5 for at, _ in world.ends.values())


def test_most_polls_in_the_list_do_not_resume_the_wait(new_world):
    """A wait whose job the list shows in progress sleeps on. It is resumed to read the list, and to poll its job."""
    with new_world() as world:
        batches(world, [INTERVAL * 100] * 1000)
        world.go_on(INTERVAL * 3)
        before = world.polls, world.sleeps
        world.go_on(INTERVAL * 5)
        polls, sleeps = world.polls - before[0], world.sleeps - before[1]

    assert 4900 <= polls <= 5100
    assert sleeps <= 5 * 15


def delays(world):
    """Let 200 waits for jobs with different ends run; return how long after its job's end each wait ended, sorted."""
    ends = [INTERVAL * (2 + 5 * (number * GOLDEN_RATIO % 1)) for number in range(200)]
    batches(world, ends)
    world.go_on()
    return sorted(world.ends[f"b{number:05d}"][0] - end for number, end in enumerate(ends))


def test_ends_are_detected_as_early_as_without_the_list(new_world):
    """When the list no longer shows a job in progress, its wait polls soon, and not only after its pause."""
    with new_world() as world:
        listed = delays(world)
    with new_world(coalesce=False) as world:
        polled = delays(world)

    assert statistics.median(listed) <= statistics.median(polled) + 0.1 * INTERVAL
    assert listed[190] <= 1.1 * INTERVAL
    assert listed[-1] <= 2.2 * INTERVAL


misbehaviours = st.fixed_dictionaries(
    {
        "backwards": st.booleans(),
        "shuffled": st.booleans(),
        "max_rows": st.sampled_from([None, 1, 7, 99]),
        "overlap": st.sampled_from([0, 0, 3]),
        "total": st.sampled_from([None, None, 0, 5, 100_000]),
        "stale": st.sampled_from([0.0, 0.0, 45.0, 200.0]),
        "answer": st.sampled_from([None, None, None, 403, 404, 500, 429]),
        "hidden": st.sets(st.integers(0, 39), max_size=10),
    }
)


@settings(max_examples=40)
@given(
    ends=st.lists(st.floats(0, 12 * INTERVAL), min_size=15, max_size=40),
    bad=st.lists(st.integers(0, 39), max_size=5),
    misbehaviour=misbehaviours,
    foreign=st.sampled_from([0, 10, 300]),
)
def test_list_delays_a_verdict_by_one_interval_at_most(new_world, ends, bad, misbehaviour, foreign):
    """A misbehaving list delays a verdict by an interval and its age, and never changes the verdict."""
    with new_world() as world:
        listing = world.cloud.batch_list
        for name, value in misbehaviour.items():
            setattr(listing, name, {f"b{number:05d}" for number in value} if name == "hidden" else value)
        world.cloud.foreign_jobs("dli_batch", foreign, "running")
        for number, end in enumerate(ends):
            job_id = f"b{number:05d}"
            last = "dead" if number in bad else "success"
            world.cloud.job("dli_batch", job_id, seconds={0: "starting", end / 2: "running", end: last})
            world.begin(job_id, JobPoller(world.client, DLI_BATCH, job_id), number * GOLDEN_RATIO % 1 * INTERVAL)
        world.go_on()

        late = 2 * 1.1 * INTERVAL + misbehaviour["stale"] + (60.0 if misbehaviour["answer"] == 429 else 0.0)
        for number, end in enumerate(ends):
            at, status = world.ends[f"b{number:05d}"]
            assert ("dead" if number in bad else "success") == status.state
            assert end - 0.001 <= at <= max(end, INTERVAL) + late  # nobody looks before its first look


def test_throttled_list_does_not_stop_polls(new_world):
    """A 429 of the list delays all waits, so the list is retried after increasing delays."""
    with new_world() as world:
        world.cloud.batch_list.answer = 429
        batches(world, [INTERVAL * 99] * 100)
        world.go_on(INTERVAL * 20)

        calls = Counter()
        for (_, what), count in world.calls().items():
            calls[what] += count
        assert 2 <= calls["list"] <= 5, calls
        assert 100 * 13 <= calls["job"], calls


@settings(max_examples=10)
@given(liars=st.sets(st.integers(0, 39), min_size=1, max_size=40), end=st.floats(0, 5 * INTERVAL))
def test_wrong_list_delays_a_verdict_by_ten_polls(new_world, liars, end):
    """Each job is sometimes polled by its id. If the list proves wrong, it is no longer used."""
    with new_world() as world:
        world.cloud.batch_list.lies = {f"b{number:05d}": "running" for number in liars}
        batches(world, [end] * 40)
        world.go_on()

        assert {"success"} == {status.state for _, status in world.ends.values()}
        assert max(at for at, _ in world.ends.values()) <= end + 12 * 1.1 * INTERVAL
        caught = world.calls()[int(max(at for at, _ in world.ends.values()) // INTERVAL), "list"]
        assert caught <= 1


@pytest.mark.parametrize(("answer", "most"), [(403, 1), (500, 8)])
def test_failing_list_is_not_used_and_logged_once(new_world, answer, most, caplog):
    """Waits continue without the list. A temporary failure is retried a minute later."""
    caplog.set_level(logging.INFO)
    with new_world() as world:
        world.cloud.batch_list.answer = answer
        batches(world, [INTERVAL * 10] * 50)
        world.go_on(INTERVAL * 8)

        assert 1 <= world.cloud.batch_list.calls <= most
        assert 1 == sum("one by one" in one.getMessage() for one in caplog.records)
        assert world.calls()[3, "job"] >= 45


def test_list_of_foreign_jobs_is_not_used(new_world):
    """The list is not used if it needs more pages than the waits need polls."""
    with new_world() as world:
        batches(world, [INTERVAL * 10] * 20)
        world.cloud.foreign_jobs("dli_batch", 3000, "running")
        world.go_on(INTERVAL * 8)
        assert 1 == world.cloud.batch_list.calls


def test_wait_at_its_deadline_does_not_queue_for_the_list(new_world):
    """If the service throttles for 15 minutes, no wait ends later than its deadline."""
    with new_world() as world:
        for number in range(50):
            world.cloud.job("dli_batch", f"b{number}", "running")
            poller = JobPoller(world.client, DLI_BATCH, f"b{number}")
            world.begin(f"b{number}", poller, number * GOLDEN_RATIO % 1 * INTERVAL, deadline=world.now + 300.0)
        world.go_on(200.0)
        world.cloud.break_with(Reply(status=429, headers={"Retry-After": "900"}), calls=10_000)
        world.go_on()

        assert all(isinstance(found, HwStatusError) for _, found in world.ends.values())
        assert max(at for at, _ in world.ends.values()) <= 300.0 + 40.0


def test_list_result_is_used_once_per_wait(new_world, monkeypatch):
    """A wait does not use the same list result twice, so that it always sees the end of its job."""
    monkeypatch.setattr(
        batch_coalescer.random, "randrange", lambda most: 0
    )  # the coalescer selects no job to poll by its id
    with new_world() as world:
        options = WaitOptions(poke_interval=INTERVAL, began=world.now)
        pollers = []
        for number in range(40):
            world.cloud.job("dli_batch", f"b{number}", "running")
            pollers.append(JobPoller(world.client, DLI_BATCH, f"b{number}"))
        for poller in pollers:
            poller.open()
            world.run(poller.poll(options))
        last, counts = pollers[-1], []
        for _ in range(4):
            world.sleep(1.0)
            world.run(last.poll(options))
            counts.append((world.cloud.batch_list.calls, world.cloud.polls(last.job_id)))

        # The list is fresh; it is read again after many polls; it is fresh; after few polls, the job is polled.
        assert [(1, 0), (2, 0), (2, 0), (2, 1)] == counts


def test_list_is_not_used_for_few_waits_or_if_it_is_turned_off(new_world):
    """The list is read for ten waits and more, unless the connection's extra coalesce is false."""
    for count, extra in ((50, {"coalesce": False}), (5, {})):
        with new_world(**extra) as world:
            batches(world, [INTERVAL * 3] * count)
            world.go_on()
            assert 0 == world.cloud.batch_list.calls


def cph(world, request_ids, rule=None, expected=None, **options):
    subject = CphRequests(world.client, request_ids, rule or CompletionRule(), Expected(expected))
    world.begin("wait", subject, **({"not_found_grace": 60.0} | options))


def test_1000_cph_jobs_cost_11_calls_per_interval(new_world):
    """A wait for 20 requests with 50 jobs each uses lists only."""
    with new_world() as world:
        for number in range(1000):
            world.cloud.job("cph_job", f"j{number}", seconds={0: 1, 200: 2}, request_id=f"r{number % 20}")
        cph(world, [f"r{number}" for number in range(20)], expected=1000)
        world.go_on()

        (at, summary) = world.ends["wait"]
        assert ("success", 1000) == (summary.outcome, len(summary.statuses))
        assert 200 <= at <= 200 + 1.1 * INTERVAL
        assert sum(world.calls().values()) <= 11 * (1 + at // (0.9 * INTERVAL))
        assert {"list"} == {kind for _, kind in world.calls()}


@settings(max_examples=40)
@given(
    ends=st.lists(st.tuples(st.floats(0, 300), st.integers(0, 2), st.floats(0, 50)), min_size=1, max_size=130),
    bad=st.sets(st.integers(0, 129), max_size=2),
    misbehaviour=st.fixed_dictionaries(
        {
            "backwards": st.booleans(),
            "shuffled": st.booleans(),
            "max_rows": st.sampled_from([None, None, 1, 30]),
            "overlap": st.sampled_from([0, 0, 5, 100]),
            "empty_is_error": st.booleans(),
        }
    ),
    known=st.booleans(),
)
def test_cph_list_never_causes_a_false_success(new_world, ends, bad, misbehaviour, known):
    """A misbehaving or incomplete list causes no success before all jobs succeeded."""
    with new_world() as world:
        for name, value in misbehaviour.items():
            setattr(world.cloud.cph_job_list, name, value)
        for number, (end, request, listed_after) in enumerate(ends):
            seconds = {0: 1, end: -1 if number in bad else 2}
            world.cloud.job(
                "cph_job", f"j{number:03d}", seconds=seconds, request_id=f"r{request}", listed_after=listed_after
            )
        requests = sorted({f"r{request}" for _, request, _ in ends})
        cph(world, requests, CompletionRule(fail_fast=False), len(ends) if known else None, deadline=world.now + 3600)
        world.go_on()

        at, found = world.ends["wait"]
        if isinstance(found, HwStatusError):  # a shuffled list need never show a job
            assert misbehaviour["shuffled"] or misbehaviour["overlap"], found
            return
        failed = {f"j{number:03d}" for number in bad if number < len(ends)}
        cut = misbehaviour["shuffled"] or misbehaviour["overlap"]
        if found.outcome == "success":
            assert not failed or (cut and not known)
            assert at >= max(end for end, _, _ in ends) or (cut and not known)
            assert len(ends) == len(found.statuses) or (cut and not known)
        elif not cut:
            assert failed == {status.job_id for status in found.failed}


def test_job_missing_in_the_list_is_polled_by_its_id(new_world):
    """A job that disappears from the list does not count as ended."""
    with new_world() as world:
        for number in range(3):
            world.cloud.job("cph_job", f"j{number}", seconds={0: 1, 400: 2}, request_id="r1")
        cph(world, ["r1"], expected=3)
        world.go_on(100)
        world.cloud.cph_job_list.hidden = {"j1"}
        world.go_on()

        assert 400 <= world.ends["wait"][0] <= 470
        assert world.cloud.polls("j1") >= 4


def test_unknown_request_is_an_error(new_world):
    """This also holds beside a known request: at the end, each request is polled separately."""
    with new_world() as world:
        world.cloud.job("cph_job", "j1", 2, request_id="r1")
        cph(world, ["r1", "r2"])
        world.go_on()
        assert isinstance(world.ends["wait"][1], JobNotFoundError)
        assert "CPH request r2" in str(world.ends["wait"][1])
