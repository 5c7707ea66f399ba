"""A whole wait for one job, with a clock that only sleeping moves."""

from itertools import pairwise

import pytest

from airflow_provider_hwstatus.core.polling.batch_coalescer import coalescer_of
from airflow_provider_hwstatus.core.polling.job_poller import JobPoller
from airflow_provider_hwstatus.core.polling.wait import seconds_to_next_poll, wait
from airflow_provider_hwstatus.core.polling.wait_options import WaitOptions
from airflow_provider_hwstatus.errors import (
    AuthenticationError,
    ConfigurationError,
    CredentialsRefusedError,
    DeadlineError,
    UnknownStateError,
)
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH

AKSK = {"auth": "aksk", "login": "AK", "password": "SK"}


class Batch:
    """A batch whose polls find these states, or fail with these HTTP statuses; the last one repeats."""

    def __init__(self, stub_cloud, *answers, **fields):
        replies = [answer if isinstance(answer, int) else {"id": "b1", "state": answer} for answer in answers]
        self.cloud = stub_cloud({"https://dli": replies})
        self.client = self.cloud.client(**fields)
        self.reported = []
        self.on_poll = self.reported.append

    @property
    def gaps(self):
        """Seconds between two polls."""
        return [later - earlier for earlier, later in pairwise(self.cloud.sent_at)]

    def wait(self, first_after=0.0, **options):
        """Wait for the batch; a deadline is in seconds since the beginning."""
        if "deadline" in options:
            options["deadline"] += self.cloud.began
        options = WaitOptions(**({"poke_interval": 10.0, "began": self.cloud.began} | options))
        poller = JobPoller(self.client, DLI_BATCH, "b1")
        return self.cloud.run(wait(poller, options, self.on_poll, first_after))


@pytest.fixture
def batch(stub_cloud):
    """Return a function that makes a batch."""
    return lambda *answers, **fields: Batch(stub_cloud, *answers, **fields)


def test_wait_ends_with_the_job(batch):
    """Polls are about an interval apart, and the last one is the result."""
    job = batch("starting", "running", "Success")

    assert "Success" == job.wait().state
    assert [10.0, 10.0] == pytest.approx(job.gaps, abs=1.0)
    assert ["starting", "running", "Success"] == [status.state for status in job.reported]


def test_failure_is_a_result(batch):
    """A failed job is a result, not an error."""
    assert "failure" == batch("running", "dead").wait().outcome


def test_first_poll_can_be_later(batch):
    """The first poll is sent after the pause that the caller asks for."""
    job = batch("success")
    job.wait(first_after=7.0)
    assert [7.0] == job.cloud.sent_at


def test_last_poll_is_at_the_deadline(batch):
    """A wait ends at its deadline with a last poll, not an interval earlier or later."""
    job = batch("running")

    with pytest.raises(DeadlineError, match=r"DLI batch b1: timed out after 25 s; its state is 'running'"):
        job.wait(deadline=25.0)
    assert 4 == len(job.cloud.sent)
    assert 25.0 == pytest.approx(job.cloud.sent_at[-1])


def test_wait_that_resumes_after_its_deadline_polls_once(batch):
    """A wait that resumes too late still finds that the job has ended."""
    assert "success" == batch("success").wait(deadline=-100.0).outcome
    late = batch("running")
    with pytest.raises(DeadlineError):
        late.wait(deadline=-100.0, first_after=50.0)
    assert [0.0] == late.cloud.sent_at


@pytest.mark.parametrize("interval", [0.0, 0.001])
def test_interval_has_a_lower_bound(batch, interval):
    """There is at least a tenth of a second between two polls."""
    job = batch(*["running"] * 10, "success")
    job.wait(poke_interval=interval)
    assert min(job.gaps) >= 0.099


def test_backoff_grows_like_airflows_and_survives_a_restart(batch):
    """The interval follows the time waited: it doubles, with jitter, up to max_wait."""
    job = batch("running")
    with pytest.raises(DeadlineError):
        job.wait(exponential_backoff=True, deadline=3600.0)
    assert len(job.gaps) < 13
    assert job.gaps[-2] > 300

    began = job.cloud.began
    resumed = WaitOptions(poke_interval=10.0, began=began, exponential_backoff=True, max_wait=60.0)
    assert 60.0 == seconds_to_next_poll(resumed, began + 3000.0)
    assert 5.0 <= seconds_to_next_poll(resumed, began) <= 10.0


def test_unknown_state_does_not_end_a_wait_well(batch):
    """In an unknown state the wait continues or fails, as on_unknown_state says."""
    assert "success" == batch("paused", "success").wait().state
    with pytest.raises(UnknownStateError, match="'paused'"):
        batch("paused", "success").wait(on_unknown_state="fail")


def test_silent_fail_continues_until_the_deadline(batch):
    """With silent_fail an error is reported and the wait continues, until its deadline."""
    job = batch(403, "running", 403, "success")
    assert "success" == job.wait(silent_fail=True).state
    assert 2 == sum(isinstance(found, AuthenticationError) for found in job.reported)

    with pytest.raises(DeadlineError, match="403"):
        batch(403).wait(silent_fail=True, deadline=25.0)
    with pytest.raises(AuthenticationError, match="DLI batch b1"):
        batch(403).wait()


def test_refused_key_ends_a_wait_with_silent_fail(batch):
    """A refused key ends every wait after one request, because more requests would lock the key."""
    job = batch(401, **AKSK)

    with pytest.raises(CredentialsRefusedError):
        job.wait(silent_fail=True)
    assert 1 == len(job.cloud.sent)


@pytest.mark.parametrize("answers", [("running", "success"), ("running", 403)])
def test_wait_leaves_the_coalescer_at_its_end(batch, answers):
    """A wait joins the coalescer when it begins, and leaves it when it ends, with a result or an error."""
    job = batch(*answers, coalesce=True)
    coalescer, waiting = coalescer_of(job.client), []
    job.on_poll = lambda found: waiting.append(len(coalescer.waits))
    if 403 in answers:
        with pytest.raises(AuthenticationError):
            job.wait()
    else:
        job.wait()
    assert [1] == waiting[:1]
    assert 0 == len(coalescer.waits)


@pytest.mark.parametrize(
    "wrong",
    [
        {"poke_interval": "1"},
        {"poke_interval": None},
        {"poke_interval": float("nan")},
        {"began": "now"},
        {"deadline": "x"},
        {"max_wait": []},
        {"outage_tolerance": True},
        {"on_unknown_state": "ignore"},
    ],
)
def test_invalid_option_is_named(wrong):
    """Options come from a database, and the error names the argument that is invalid."""
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        WaitOptions(**({"poke_interval": 1.0, "began": 0.0} | wrong))


def test_poll_near_the_deadline_is_short(batch):
    """Every request of a wait ends five seconds after the deadline at the latest."""
    job = batch("running")

    with pytest.raises(DeadlineError):
        job.wait(poke_interval=1.0, deadline=12.0)
    ends = [sent + left for sent, left in zip(job.cloud.sent_at, job.cloud.seconds_left, strict=True)]
    assert [12.0 + 5.0] * len(ends) == pytest.approx(ends)


def test_interval_is_kept_on_average(batch):
    """Each interval is at most a tenth longer or shorter than poke_interval, and their average is poke_interval."""
    job = batch(*["running"] * 1000, "success")
    job.wait()

    assert 9.0 <= min(job.gaps) < 9.2
    assert 10.8 < max(job.gaps) <= 11.0
    assert 10.0 == pytest.approx(sum(job.gaps) / len(job.gaps), abs=0.1)
