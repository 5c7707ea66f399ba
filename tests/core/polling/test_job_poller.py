"""Several jobs that are polled one by one: which of them are polled, and what an error of one of them does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hwstatus.core.polling import job_poller
from airflow_provider_hwstatus.core.polling.batch_coalescer import coalescer_of
from airflow_provider_hwstatus.core.polling.job_poller import JobPoller, JobPollers, poll_together, title_of
from airflow_provider_hwstatus.core.polling.job_status import read_status
from airflow_provider_hwstatus.core.polling.jobs_summary import CompletionRule
from airflow_provider_hwstatus.core.polling.wait_options import WaitOptions
from airflow_provider_hwstatus.core.protocol.effects import Response
from airflow_provider_hwstatus.errors import (
    ApiError,
    ApiNotAvailableError,
    AuthenticationError,
    ConfigurationError,
    CredentialsRefusedError,
    DeadlineError,
    HwStatusError,
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
    """Batches, each with replies of its own, and a poller of all of them."""

    def __init__(self, stub_cloud, takes=0.0, rule=None, repeat=(), kind=DLI_BATCH, fields=(), **replies):
        self.cloud = stub_cloud({f"/batches/{job_id}/": reply for job_id, reply in replies.items()}, takes)
        rule = rule or CompletionRule(fail_fast=False)
        self.pollers = JobPollers(self.cloud.client(**dict(fields)), kind, [*replies, *repeat], rule)

    def poll(self, **options):
        return self.cloud.run(
            self.pollers.poll(WaitOptions(**{"poke_interval": 1.0, "began": 0.0, "outage_tolerance": 0.0} | options))
        )

    @property
    def polled(self):
        """The ids of the jobs that requests were sent for."""
        return [path.split("/")[4] for path in self.cloud.sent]


@pytest.fixture
def jobs(stub_cloud):
    """Return a function that makes batches and their poller."""
    return lambda **how: Jobs(stub_cloud, **how)


def states(*words):
    """Return a reply for each state."""
    return [{"state": word} for word in words]


def test_each_job_is_polled_until_it_is_over(jobs):
    """A duplicate id is polled once, and the summary has all jobs in the order of their ids."""
    three = jobs(
        a=states("success"), b=states("running", "dead"), c=states("running", "paused", "success"), repeat=["a"]
    )

    summaries = [three.poll() for _ in range(3)]
    assert ["a", "b", "c", "b", "c", "c"] == three.polled
    assert [["success", "running", "running"], ["success", "dead", "paused"], ["success", "dead", "success"]] == [
        [status.state for status in summary.statuses] for summary in summaries
    ]
    assert ["in_progress", "in_progress", "failure"] == [summary.outcome for summary in summaries]
    assert {"3 DLI batches (a and 2 more)"} == {summary.subject for summary in summaries}


@pytest.mark.parametrize(
    ("reply", "error"),
    [(NO_SUCH_JOB, JobNotFoundError), ((200, b"<html>"), MalformedResponseError), (WRONG_ID, ApiError)],
)
def test_error_of_one_job_does_not_stop_the_others(jobs, reply, error):
    """The other jobs are polled, and the error is raised only if the end of the wait depends on its job."""
    two = jobs(a=reply, b=states("success"))
    with pytest.raises(error, match=r"^DLI batch a: "):
        two.poll()
    assert ["a", "b"] == two.polled

    any_one = jobs(a=reply, b=states("success"), rule=CompletionRule(wait_for_all=False))
    summary = any_one.poll()
    assert ("success", 1, 1) == (summary.outcome, len(summary.statuses), summary.missing)


def test_job_that_was_not_found_is_polled_again(jobs):
    """An error of an earlier poll does not affect the next poll."""
    two = jobs(a=[NO_SUCH_JOB, *states("success")], b=states("success"))
    with pytest.raises(JobNotFoundError):
        two.poll()

    assert "success" == two.poll().outcome
    assert ["a", "b", "a"] == two.polled


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (503, ServerError),
        (403, AuthenticationError),
        ((404, {"error_code": "APIGW.0101", "error_msg": "not published"}), ApiNotAvailableError),
    ],
)
def test_error_that_concerns_all_jobs_is_raised_at_once(jobs, reply, error):
    """An outage, a missing permission and an unknown API end the poll before the next job is polled."""
    two = jobs(a=reply, b=states("success"), rule=CompletionRule(wait_for_all=False))

    with pytest.raises(error, match=r"^DLI batch a: "):
        two.poll()
    assert ["a"] == two.polled


def test_refused_key_is_used_once(stub_cloud):
    """After a refused key no request for the next job is sent, because it would bring the key closer to its lock."""
    cloud = stub_cloud({"https://dli": 401})
    client = cloud.client(auth="aksk", login="AKIDEXAMPLE")
    pollers = JobPollers(client, DLI_BATCH, ["a", "b"], CompletionRule())

    with pytest.raises(CredentialsRefusedError):
        cloud.run(pollers.poll(WaitOptions(poke_interval=1.0, began=0.0)))
    assert 1 == len(cloud.requests)


def test_errors_are_counted_and_the_worst_is_raised(jobs):
    """The message counts the errors, and an error that cannot pass by itself is raised before one that can."""
    with pytest.raises(JobNotFoundError, match=r"^2 jobs cannot be polled; one of them is: DLI batch a: "):
        jobs(a=NO_SUCH_JOB, b=NO_SUCH_JOB, c=states("success")).poll()
    with pytest.raises(MalformedResponseError, match=r"^3 jobs cannot be polled; one of them is: DLI batch b: "):
        jobs(a=NO_SUCH_JOB, b=(200, b""), c=WRONG_ID).poll()


def test_unknown_state_that_is_to_fail_concerns_one_job(jobs):
    """With on_unknown_state='fail', another job can still end the wait with success."""
    with pytest.raises(UnknownStateError, match=r"^DLI batch a: its state 'paused'"):
        jobs(a=states("paused"), b=states("success")).poll(on_unknown_state="fail")
    summary = jobs(a=states("paused"), b=states("success"), rule=CompletionRule(wait_for_all=False)).poll(
        on_unknown_state="fail"
    )
    assert "success" == summary.outcome


def test_deadline_names_the_state_of_all_jobs(jobs):
    """The error of a deadline counts the jobs that are over and the jobs without an answer."""
    three = jobs(a=states("success"), b=503, c=states("running"))

    with pytest.raises(DeadlineError, match=r"^3 DLI batches \(a and 2 more\): 1 of 3 over; 2 not listed: DLI batch b"):
        three.poll(outage_tolerance=600.0, deadline=three.cloud.now)


def test_answers_are_passed_on_with_their_jobs(stub_cloud):
    """Each status and each error of one job is passed on with the id of its job."""
    cloud, answers = stub_cloud({"/a/": {"state": "running"}, "/b/": NO_SUCH_JOB}), {}
    client = cloud.client()
    pollers = {job_id: JobPoller(client, DLI_BATCH, job_id) for job_id in ("a", "b")}
    cloud.run(poll_together(pollers, WaitOptions(poke_interval=1.0, began=0.0), answers.__setitem__))

    assert ["running", JobNotFoundError] == [answers["a"].state, type(answers["b"])]


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
def test_title_has_kind_and_ids(kind, job_ids, title):
    """The title has the kind, the number of jobs and the first id."""
    assert title == title_of(kind, job_ids)


def test_ids_are_checked_at_once(stub_cloud):
    """An invalid id raises an error before any request is sent."""
    with pytest.raises(ConfigurationError, match=r"^batch_id must be"):
        JobPollers(stub_cloud().client(), DLI_BATCH, ["a", "b/c"], CompletionRule())


def test_job_that_is_over_leaves_the_coalescer(jobs):
    """The wait of a job leaves the coalescer when its job is over; the other waits leave it when the poller closes."""
    two = jobs(a=states("success"), b=states("running"), fields={"coalesce": True})
    waits = coalescer_of(two.pollers.client).waits
    two.pollers.open()
    two.poll()
    assert ["b"] == [wait.job_id for wait in waits]

    two.pollers.close()
    assert [] == list(waits)


def test_wait_moves_to_the_coalescer_of_its_new_connection(stub_cloud):
    """A poller that changes its connection during a wait leaves one coalescer and joins the other."""
    cloud = stub_cloud()
    old, new = cloud.client(coalesce=True), cloud.client(coalesce=True, project_id="p2")
    poller = JobPoller(old, DLI_BATCH, "b1")
    poller.move_to(old)
    assert 0 == len(coalescer_of(old).waits)

    poller.open()
    poller.move_to(new)
    assert (0, 1) == (len(coalescer_of(old).waits), len(coalescer_of(new).waits))


responses = st.builds(
    Response,
    status=st.sampled_from([200, 404]),
    headers=st.sampled_from([{}, {"x-request-id": "r1"}]),
    body=st.sampled_from(
        [
            b'{"id": "b1", "state": "running"}',
            b'{"id": "b1", "state": "running", "request_id": "r3"}',
            b'{"id": "b2", "state": "running"}',
            b'{"id": "b1", "state": "success"}',
            b"[]",
        ]
    ),
)


def what_it_means(poller, response):
    """Return the status that a poller reads from a response, or its error."""
    try:
        return poller._read(response)
    except HwStatusError as error:
        return type(error), str(error), error.request_id


@given(received=st.lists(responses, max_size=8))
def test_repeated_response_means_the_same(stub_cloud, received):
    """A poller that has read other responses finds in the next one what a new poller finds."""
    client = stub_cloud({}).client()
    poller = JobPoller(client, DLI_BATCH, "b1")

    for response in received:
        assert what_it_means(JobPoller(client, DLI_BATCH, "b1"), response) == what_it_means(poller, response)


def test_repeated_response_is_read_once(stub_cloud, monkeypatch):
    """While the body stays the same, the last status is taken over, with the new request id."""
    read = []
    monkeypatch.setattr(job_poller, "read_status", lambda *how: read.append(how) or read_status(*how))
    poller = JobPoller(stub_cloud({}).client(), DLI_BATCH, "b1")
    found = [poller._read(Response(200, {"x-request-id": f"r{n}"}, b'{"state": "running"}')) for n in range(3)]

    assert ["r0", "r1", "r2"] == [status.request_id for status in found]
    assert 1 == len(read)
