"""A job is cancelled, and its end is awaited."""

import pytest

from airflow_provider_hwstatus.core.protocol.retry import RetryBudget
from airflow_provider_hwstatus.core.submitting.cancel import cancel
from airflow_provider_hwstatus.errors import ApiError, AuthenticationError, ConfigurationError, ServerError
from airflow_provider_hwstatus.kinds.cph import CPH_JOB
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH, DLI_SQL_JOB

DELETE, STATE = "DELETE https://dli/v2.0/p1/batches/b1", "GET https://dli/v2.0/p1/batches/b1/state"


def state(word):
    return {"id": "b1", "state": word}


def run(cloud, kind=DLI_BATCH, job_id="b1", seconds=60.0):
    return cloud.run(cancel(cloud.client(), kind, job_id, RetryBudget(0.0), seconds))


def test_end_is_awaited(stub_cloud):
    """The status after a cancellation is that of the end."""
    cloud = stub_cloud({DELETE: {"msg": "deleted"}, STATE: [state("running"), state("running"), state("dead")]})

    assert "dead" == run(cloud).state
    assert 4 == cloud.elapsed
    assert "DELETE" == cloud.requests[0].method


def test_job_may_win_the_race(stub_cloud):
    """A job that succeeds although it was cancelled has succeeded."""
    assert "success" == run(stub_cloud({DELETE: {"msg": "deleted"}, STATE: state("success")})).state


def test_time_is_bounded(stub_cloud):
    """A job that does not end is not awaited for ever."""
    cloud = stub_cloud({DELETE: {"msg": "deleted"}, STATE: state("running")})

    assert "running" == run(cloud, seconds=7).state
    assert 7 == cloud.elapsed


def test_job_that_is_over_is_fine(stub_cloud):
    """DLI refuses to cancel a job that has ended; that is no error."""
    refusal = (400, {"error_code": "DLI.0001", "error_msg": "ended"})

    assert "dead" == run(stub_cloud({DELETE: refusal, STATE: state("dead")})).state


def test_refusal_of_a_running_job_is_an_error(stub_cloud):
    """If the job has not ended, the refusal is raised."""
    refusal = (400, {"error_code": "DLI.0001", "error_msg": "no"})

    with pytest.raises(ApiError, match=r"DLI batch b1: HTTP 400 DLI\.0001 no"):
        run(stub_cloud({DELETE: refusal, STATE: state("running")}))


def test_forbidden_names_the_permission(stub_cloud):
    """Waiting and cancelling need different permissions."""
    with pytest.raises(AuthenticationError, match="dli:queue:cancelJob"):
        run(stub_cloud({DELETE: (403, {"error_code": "APIGW.0302", "error_msg": "no"})}))


def test_outage_is_an_error(stub_cloud):
    """A service that does not answer raises an error; cancelling twice does no harm, so it was repeated before."""
    with pytest.raises(ServerError):
        run(stub_cloud({DELETE: 503}))


def test_refusal_in_the_body_counts(stub_cloud):
    """DLI can refuse to cancel a SQL job with HTTP 200."""
    cloud = stub_cloud(
        {
            "DELETE https://dli/v1.0/p1/jobs/j1": {"is_success": False, "message": "no such job"},
            "GET https://dli/v1.0/p1/jobs/j1/status": {"is_success": True, "job_id": "j1", "status": "RUNNING"},
        }
    )
    with pytest.raises(ApiError, match="no such job"):
        run(cloud, DLI_SQL_JOB, "j1")


def test_kind_without_a_call_cannot_be_cancelled(stub_cloud):
    """CPH has no call that cancels."""
    with pytest.raises(ConfigurationError, match="CPH job cannot be cancelled"):
        run(stub_cloud(), CPH_JOB, "j1")
