"""Several jobs, each asked about by itself: who is asked, and what is wrong with one."""

import pytest

from airflow_provider_hwstatus.core.polling.job_poller import JobPoller, JobPollers, poll_together, title_of
from airflow_provider_hwstatus.core.polling.jobs_summary import CompletionRule
from airflow_provider_hwstatus.core.polling.wait_options import WaitOptions
from airflow_provider_hwstatus.errors import (
    ApiError,
    ApiNotAvailableError,
    AuthenticationError,
    ConfigurationError,
    CredentialsRefusedError,
    DeadlineError,
    JobNotFoundError,
    MalformedResponseError,
    ServerError,
    UnknownStateError,
)
from airflow_provider_hwstatus.kinds.cph import CPH_JOB
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH

NO_SUCH_JOB = (404, {"error_code": "DLI.0023", "error_msg": "not found"})
WRONG_ID = (400, {"error_code": "DLI.0001", "error_msg": "not a UUID"})


class Jobs:
    """Batches, each with its own replies, and what is asked about them."""

    def __init__(self, stub_cloud, takes=0.0, rule=None, repeat=(), kind=DLI_BATCH, **replies):
        self.cloud = stub_cloud({f"/batches/{job_id}/": reply for job_id, reply in replies.items()}, takes)
        rule = rule or CompletionRule(fail_fast=False)
        self.pollers = JobPollers(self.cloud.client(), kind, [*replies, *repeat], rule)

    def poll(self, **options):
        return self.cloud.run(
            self.pollers.poll(WaitOptions(**{"poke_interval": 1.0, "began": 0.0, "outage_tolerance": 0.0} | options))
        )

    @property
    def target(self):
        return [path.split("/")[4] for path in self.cloud.sent]


@pytest.fixture
def jobs(stub_cloud):
    """Return a function that makes batches."""
    return lambda **how: Jobs(stub_cloud, **how)


def states(*words):
    """Return a reply for each state."""
    return [{"state": word} for word in words]


def test_each_job_is_asked_about_until_it_is_over(jobs):
    """Who is given twice is asked about once; the tally has all, in their order."""
    three = jobs(
        a=states("success"), b=states("running", "dead"), c=states("running", "paused", "success"), repeat=["a"]
    )

    tallies = [three.poll() for _ in range(3)]
    assert ["a", "b", "c", "b", "c", "c"] == three.target
    assert [["success", "running", "running"], ["success", "dead", "paused"], ["success", "dead", "success"]] == [
        [status.state for status in summary.statuses] for summary in tallies
    ]
    assert ["in_progress", "in_progress", "failure"] == [summary.outcome for summary in tallies]
    assert {"3 DLI batches (a and 2 more)"} == {summary.subject for summary in tallies}


@pytest.mark.parametrize(
    ("reply", "error"),
    [(NO_SUCH_JOB, JobNotFoundError), ((200, b"<html>"), MalformedResponseError), (WRONG_ID, ApiError)],
)
def test_what_is_wrong_with_one_keeps_no_other(jobs, reply, error):
    """The others are asked; the error counts where the end of the wait depends on that job."""
    two = jobs(a=reply, b=states("success"))
    with pytest.raises(error, match=r"^DLI batch a: "):
        two.poll()
    assert ["a", "b"] == two.target

    anyone = jobs(a=reply, b=states("success"), rule=CompletionRule(wait_for_all=False))
    summary = anyone.poll()
    assert ("success", 1, 1) == (summary.outcome, len(summary.statuses), summary.missing)


def test_job_that_was_not_known_is_asked_about_again(jobs):
    """Its error is not remembered, and neither are those of others."""
    two = jobs(a=[NO_SUCH_JOB, *states("success")], b=states("success"))
    with pytest.raises(JobNotFoundError):
        two.poll()

    assert "success" == two.poll().outcome
    assert ["a", "b", "a"] == two.target


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (503, ServerError),
        (403, AuthenticationError),
        ((404, {"error_code": "APIGW.0101", "error_msg": "not published"}), ApiNotAvailableError),
    ],
)
def test_what_is_wrong_with_all_is_told_at_once(jobs, reply, error):
    """An outage, a missing right or an API that is not there concern the others, too."""
    two = jobs(a=reply, b=states("success"), rule=CompletionRule(wait_for_all=False))

    with pytest.raises(error, match=r"^DLI batch a: "):
        two.poll()
    assert ["a"] == two.target


def test_refused_key_is_told_at_once(stub_cloud):
    """Asking about the next job would bring it closer to its lock."""
    cloud = stub_cloud({"https://dli": 401})
    client = cloud.client(auth="aksk", login="AKIDEXAMPLE")
    pollers = JobPollers(client, DLI_BATCH, ["a", "b"], CompletionRule())

    with pytest.raises(CredentialsRefusedError):
        cloud.run(pollers.poll(WaitOptions(poke_interval=1.0, began=0.0)))
    assert 1 == len(cloud.requests)


def test_errors_are_counted_and_the_worst_is_told(jobs):
    """One that may pass by itself gives way to one that does not."""
    with pytest.raises(JobNotFoundError, match=r"^2 jobs cannot be asked about; one of them is: DLI batch a: "):
        jobs(a=NO_SUCH_JOB, b=NO_SUCH_JOB, c=states("success")).poll()
    with pytest.raises(MalformedResponseError, match=r"^3 jobs cannot be asked about; one of them is: DLI batch b: "):
        jobs(a=NO_SUCH_JOB, b=(200, b""), c=WRONG_ID).poll()


def test_unknown_state_that_is_to_fail_concerns_one_job(jobs):
    """Another one may end the wait all the same."""
    with pytest.raises(UnknownStateError, match=r"^DLI batch a: its state 'paused'"):
        jobs(a=states("paused"), b=states("success")).poll(on_unknown_state="fail")
    summary = jobs(a=states("paused"), b=states("success"), rule=CompletionRule(wait_for_all=False)).poll(
        on_unknown_state="fail"
    )
    assert "success" == summary.outcome


def test_deadline_says_where_all_stand(jobs):
    """Those that were answered count, and those that nobody has seen."""
    three = jobs(a=states("success"), b=503, c=states("running"))

    with pytest.raises(DeadlineError, match=r"^3 DLI batches \(a and 2 more\): 1 of 3 over; 2 not listed: DLI batch b"):
        three.poll(outage_tolerance=600.0, deadline=three.cloud.now)


def test_answers_are_told_as_they_arrive(stub_cloud):
    """Each with its job."""
    cloud, told = stub_cloud({"/a/": {"state": "running"}, "/b/": NO_SUCH_JOB}), {}
    client = cloud.client()
    pollers = {job_id: JobPoller(client, DLI_BATCH, job_id) for job_id in ("a", "b")}
    cloud.run(poll_together(pollers, WaitOptions(poke_interval=1.0, began=0.0), told.__setitem__))

    assert ["running", JobNotFoundError] == [told["a"].state, type(told["b"])]


@pytest.mark.parametrize(
    ("kind", "job_ids", "title"),
    [
        (DLI_BATCH, "b1", "DLI batch b1"),
        (DLI_BATCH, ["b1"], "DLI batch b1"),
        (DLI_BATCH, ["b1", "b2"], "2 DLI batches (b1 and 1 more)"),
        (CPH_JOB, ["j1", "j2", "j3"], "3 CPH jobs (j1 and 2 more)"),
        (CPH_JOB, [], "0 CPH jobs ()"),
    ],
)
def test_jobs_are_called_by_kind_and_id(kind, job_ids, title):
    """However many there are."""
    assert title == title_of(kind, job_ids)


def test_ids_are_checked_at_once(stub_cloud):
    """Before anything is asked."""
    with pytest.raises(ConfigurationError, match=r"^batch_id must be"):
        JobPollers(stub_cloud().client(), DLI_BATCH, ["a", "b/c"], CompletionRule())
