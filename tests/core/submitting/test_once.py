"""A job is submitted once, whatever happens to the tries of the task."""

import json
from datetime import UTC, datetime

import pytest

from airflow_provider_hwstatus.core.submitting.once import NO_JOB, SENDING, SUBMITTED, UNCLEAR, Kept
from airflow_provider_hwstatus.errors import (
    ApiError,
    ConfigurationError,
    ServerError,
    ThrottledError,
    TransportError,
    UnclearSubmissionError,
)
from airflow_provider_hwstatus.kinds.cph import CPH_JOB

#: More steps than any try takes that has not to wait for the list.
_MANY_STEPS = 26


@pytest.fixture(params=[True, False], ids=["record", "no-record"])
def is_kept(request):
    """Whether Airflow keeps a record: on 3.3 and newer."""
    return request.param


def unsent(text="refused"):
    error = TransportError(text)
    error.unsent = True
    return error


@pytest.mark.parametrize("step", range(1, _MANY_STEPS))
@pytest.mark.parametrize("lag", [0, 29])
def test_worker_killed_at_any_step_submits_once(worker_with, killed, is_kept, lag, step):
    """Whatever step a try does not survive, the next try gets the one job."""
    worker, dli = worker_with(is_kept, lag=lag)
    worker.kill_at = step
    try:
        job = worker.attempt()
    except killed:
        worker.kill_at = None
        job = worker.attempt()

    assert ["job-1"] == [each["id"] for each in dli.jobs]
    assert "job-1" == job.job_id


@pytest.mark.parametrize("second", range(1, _MANY_STEPS, 3))
@pytest.mark.parametrize("first", range(2, 12, 2))
def test_two_killed_workers_submit_once(worker_with, killed, is_kept, first, second):
    """Two tries that are killed in a row leave one job, too."""
    worker, dli = worker_with(is_kept, lag=10)
    job = None
    for step in (first, second, None):
        worker.kill_at = step
        try:
            job = worker.attempt()
            break
        except killed:
            pass

    assert 1 == len(dli.jobs)
    assert "job-1" == job.job_id


@pytest.mark.parametrize(
    "answer",
    [
        503,
        500,
        504,
        408,
        (400, {"error_code": "DLI.0999", "error_msg": "Server-side errors occur."}),
        (200, {}),
        TransportError("reset"),
    ],
    ids=str,
)
@pytest.mark.parametrize("lag", [0, 10])
def test_same_try_goes_on_after_an_unclear_answer(worker_with, is_kept, lag, answer):
    """A POST that was accepted without a clear answer is found in the list by the same try."""
    worker, dli = worker_with(is_kept, lag=lag)
    dli.answers = [answer]

    job = worker.attempt()

    assert (1, "job-1", True) == (len(dli.jobs), job.job_id, job.found)
    assert lag <= worker.cloud.elapsed <= lag + 3


def test_list_that_lags_longer_is_an_error_that_repeats_nothing(worker_with, is_kept):
    """If the list does not show the job in time, the error says so and how to go on."""
    worker, dli = worker_with(is_kept, lag=1000)
    dli.answers = [503]

    with pytest.raises(UnclearSubmissionError, match="has not shown it for 30 s; it was not submitted again") as raised:
        worker.attempt()

    assert 1 == len(dli.jobs)
    assert f"look for {dli.jobs[0]['name']}" in str(raised.value)
    assert 1 == str(raised.value).count("next:")


def test_later_try_never_submits_after_a_recorded_unclear_end(worker_with):
    """With a record, a later try looks again, and finds the job or raises the same error."""
    worker, dli = worker_with(True, lag=100)
    dli.answers = [503]
    for _ in range(2):
        with pytest.raises(UnclearSubmissionError):
            worker.attempt()
    worker.cloud.now += 100

    assert "job-1" == worker.attempt().job_id
    assert 1 == len(dli.jobs)


@pytest.mark.parametrize("behaviour", [{"contains": True}, {"ignores_filters": True}], ids=str)
def test_other_jobs_in_the_list_are_not_taken(worker_with, killed, is_kept, behaviour):
    """A list that shows jobs of other tasks, and jobs whose name contains the marker, does not mislead."""
    worker, dli = worker_with(is_kept, **behaviour)
    worker.kill_at = 1
    with pytest.raises(killed):
        worker.attempt()
    worker.kill_at = None
    worker.attempt()
    first = dli.jobs.pop()
    dli.jobs = [first | {"id": f"other-{number}", "name": first["name"] + str(number)} for number in range(150)]
    worker.record.kept = None

    job = worker.attempt(number=3)

    assert (151, "job-151") == (len(dli.jobs), job.job_id)


def test_failed_job_is_followed_by_a_new_one(worker_with, is_kept):
    """A retry after a failed job submits another one, at once."""
    worker, dli = worker_with(is_kept)
    for number in (1, 2, 3):
        assert f"job-{number}" == worker.attempt().job_id
        dli.jobs[-1]["state"] = "dead"
    assert 0 == worker.cloud.elapsed


def test_job_that_ended_well_is_taken(worker_with, is_kept):
    """A retry after a worker that was lost at the end takes the job's success."""
    worker, dli = worker_with(is_kept)
    worker.attempt()
    dli.jobs[-1]["state"] = "success"

    assert "job-1" == worker.attempt().job_id
    assert 1 == len(dli.jobs)


def test_job_of_an_older_try_is_found(worker_with, killed, is_kept):
    """A try finds the job although the tries between submitted nothing."""
    worker, dli = worker_with(is_kept)
    worker.attempt()
    worker.record.kept = None

    assert "job-1" == worker.attempt(number=5).job_id
    assert 1 == len(dli.jobs)


def test_cleared_task_submits_again(worker_with, is_kept):
    """Clearing a task begins with a new job, although the old one runs."""
    worker, dli = worker_with(is_kept)
    worker.attempt()
    worker.record.kept = None  # the record is of the time before the clearing

    assert "job-2" == worker.attempt(number=2, max_tries=4).job_id
    assert 2 == len({job["name"] for job in dli.jobs})
    assert 0 == worker.cloud.elapsed


@pytest.mark.parametrize("retries", [0, 1, 2, 5])
def test_other_number_of_retries_does_not_hide_the_job(worker_with, is_kept, retries):
    """A DAG whose retries were changed between two tries still finds the job of the first."""
    worker, dli = worker_with(is_kept)
    worker.attempt()

    assert "job-1" == worker.attempt(retries=retries).job_id
    assert 1 == len(dli.jobs)


@pytest.mark.parametrize(
    ("replies", "error"),
    [
        ([(400, {"error_code": "DLI.0001", "error_msg": "file"})], ApiError),
        ([(403, {"error_code": "APIGW.0302", "error_msg": "no"})], ApiError),
        ([429], ThrottledError),
        ([unsent()], TransportError),
    ],
    ids=str,
)
def test_refusal_is_clear(worker_with, is_kept, replies, error):
    """A submission that the service has refused is raised as it is, and the next try submits."""
    worker, dli = worker_with(is_kept)
    take = worker.cloud.replies["POST https://dli/v2.0/p1/batches"]
    worker.cloud.replies["POST https://dli/v2.0/p1/batches"] = [*replies, take]

    with pytest.raises(error) as raised:
        worker.attempt()

    assert not isinstance(raised.value, UnclearSubmissionError)
    assert 0 == len(dli.jobs)
    assert "job-1" == worker.attempt().job_id


@pytest.mark.parametrize("reply", [429, unsent()], ids=str)
def test_what_was_not_accepted_is_repeated_in_an_outage(worker_with, is_kept, reply):
    """A request that was not sent, or that the gateway throttled, is sent again within outage_tolerance."""
    worker, dli = worker_with(is_kept, options={"outage_tolerance": 60.0})
    take = worker.cloud.replies["POST https://dli/v2.0/p1/batches"]
    worker.cloud.replies["POST https://dli/v2.0/p1/batches"] = [reply, reply, take]

    assert "job-1" == worker.attempt().job_id
    assert 1 == len(dli.jobs)


@pytest.mark.parametrize("reply", [403, 503, (200, {})], ids=str)
def test_list_that_cannot_be_read_after_an_unclear_answer(worker_with, is_kept, reply):
    """The error stays that a job may have been submitted, and says that the list could not be read."""
    worker, dli = worker_with(is_kept)
    dli.answers = [503]
    worker.cloud.replies["GET https://dli/v2.0/p1/batches?"] = reply

    with pytest.raises(UnclearSubmissionError, match="the list of jobs could not be read"):
        worker.attempt()
    assert 1 == len(dli.jobs)


def test_job_that_is_not_known_yet_has_not_failed(worker_with, is_kept):
    """A job that the list shows and whose own endpoint does not know it is waited for."""
    worker, dli = worker_with(is_kept)
    worker.attempt()
    worker.cloud.replies["/state"] = (400, {"error_code": "DLI.0002", "error_msg": "no such batch"})

    assert "job-1" == worker.attempt().job_id
    assert 1 == len(dli.jobs)


def test_body_that_is_not_json_is_refused_before_anything_is_recorded(worker_with):
    """A datetime in the body is an error of the configuration, and no submission began."""
    worker, dli = worker_with(options={})
    worker.body = {"file": "obs://a/b.jar", "args": [datetime(2026, 11, 29, tzinfo=UTC)]}

    with pytest.raises(ConfigurationError, match="datetime, which is not JSON"):
        worker.attempt()
    assert (None, []) == (worker.record.kept, dli.jobs)


def test_outputs_of_mapped_tasks_become_lists(worker_with):
    """Airflow gives a lazy sequence for them."""
    worker, _ = worker_with()
    worker.body = {"file": "obs://a/b.jar", "args": range(2)}
    worker.attempt()

    assert [0, 1] == json.loads(worker.cloud.requests[0].body)["args"]


def test_task_that_was_told_to_stop_submits_nothing(worker_with, is_kept):
    """Airflow 3 goes on with a task after on_kill()."""
    stop = KeyboardInterrupt

    def raise_stop():
        raise stop

    worker, dli = worker_with(is_kept, options={"raise_if_stopped": raise_stop})
    with pytest.raises(stop):
        worker.attempt()
    assert [] == dli.jobs


def test_outage_of_the_list_is_an_error(worker_with, killed, is_kept):
    """A retry that cannot read the list does not submit."""
    worker, dli = worker_with(is_kept)
    worker.kill_at = 4  # after the POST
    with pytest.raises(killed):
        worker.attempt()
    worker.kill_at = None
    worker.cloud.replies["GET https://dli/v2.0/p1/batches?"] = 503

    with pytest.raises(ServerError):
        worker.attempt()
    assert len(dli.jobs) <= 1


@pytest.fixture
def phones(worker_with, stub_cloud):
    """Return a function that returns a worker for CPH, and the submissions that CPH accepted."""
    make_worker = type(worker_with()[0])
    memory = type(worker_with()[0].record)

    def make(is_kept=True, answers=(), **options):
        cloud, accepted, answers = stub_cloud(), [], list(answers)

        def submit(request):
            accepted.append(request)
            answer = {"request_id": f"r{len(accepted)}", "jobs": [{"phone_id": "p", "job_id": "j"}]}
            return answers.pop(0) if answers else answer

        cloud.replies = {"POST https://cph/v1/p1/cloud-phone/phones/batch-restart": submit}
        body = {"phones": [{"phone_id": "p"}]}
        return make_worker(cloud, memory(is_kept), CPH_JOB, body, "restart", **options), accepted

    return make


@pytest.mark.parametrize("step", range(1, 12))
def test_cph_command_is_never_sent_twice(phones, killed, is_kept, step):
    """A killed worker leaves one command at most, and a next try that continues with it or says that it cannot tell."""
    worker, accepted = phones(is_kept)
    worker.kill_at = step
    try:
        worker.attempt()
    except killed:
        worker.kill_at = None
        try:
            assert f"r{len(accepted) or 1}" == worker.attempt().job_id
        except UnclearSubmissionError as error:
            assert "resubmit=True" in str(error)  # noqa: PT017  # either is right

    assert len(accepted) <= 1


def test_cph_request_is_continued_with_its_record(phones):
    """A next try waits for the request that the lost one submitted."""
    worker, accepted = phones()
    worker.attempt()

    job = worker.attempt()

    assert (1, "r1", True) == (len(accepted), job.job_id, job.found)
    assert [{"phone_id": "p", "job_id": "j"}] == job.answer["jobs"]


def test_cph_without_a_record_is_not_submitted_by_a_later_try(phones):
    """Before Airflow 3.3, a later try cannot know, so it says so."""
    worker, accepted = phones(is_kept=False)
    worker.attempt()

    with pytest.raises(UnclearSubmissionError, match="keeps no record"):
        worker.attempt()
    assert 1 == len(accepted)


@pytest.mark.parametrize("answer", [503, TransportError("reset")], ids=str)
def test_unclear_end_of_cph_is_final_unless_resubmitting_is_harmless(phones, answer):
    """CPH cannot be asked, so nothing is repeated; with resubmit=True a later try repeats it."""
    worker, accepted = phones(answers=[answer])
    for _ in range(2):
        with pytest.raises(UnclearSubmissionError, match="cannot be asked"):
            worker.attempt()
    assert 1 == len(accepted)

    worker, accepted = phones(answers=[answer], resubmit=True)
    with pytest.raises(UnclearSubmissionError):
        worker.attempt()
    assert "r2" == worker.attempt().job_id


def test_failed_cph_request_is_followed_by_a_new_one(phones):
    """The wait records that the request failed; then a retry submits another one."""
    worker, accepted = phones()
    worker.attempt()
    worker.record.kept = Kept(step=NO_JOB)

    assert "r2" == worker.attempt().job_id
    assert 2 == len(accepted)


def test_refused_cph_command_can_be_sent_by_a_later_try(phones):
    """A clear refusal is recorded, so that the next try knows that nothing runs."""
    worker, _ = phones(answers=[(400, {"error_code": "CPS.0004", "error_msg": "phone_id"})])
    with pytest.raises(ApiError):
        worker.attempt()

    assert "r2" == worker.attempt().job_id


def test_steps_are_recorded(worker_with):
    """The record says how far the submission came."""
    worker, dli = worker_with()
    steps = []
    write = worker.record.write
    worker.record.write = lambda kept: steps.append(kept.step) or write(kept)
    dli.answers = [503]

    worker.attempt()

    assert [SENDING, UNCLEAR, SUBMITTED] == steps


def test_wrong_kind_of_body_is_refused(worker_with):
    """A body that lacks what the API needs is refused before anything is sent."""
    from airflow_provider_hwstatus.core.submitting.marker import check_body, check_name
    from airflow_provider_hwstatus.kinds.dli import DLI_BATCH

    submission = DLI_BATCH.submission()
    with pytest.raises(ConfigurationError, match="file"):
        check_body(submission, {"queue": "q"})
    with pytest.raises(ConfigurationError, match="must be a mapping"):
        check_body(submission, "obs://a/b.jar")
    with pytest.raises(ConfigurationError, match="at most 106 characters"):
        check_name(submission, {"name": "n" * 107})
    check_name(submission, {"name": "n" * 106})
