"""When a watched CPH request is over, and what the list of its jobs is read for."""

import json
import re

import pytest

from airflow_provider_hwstatus.core.polling.expected_jobs import Expected
from airflow_provider_hwstatus.core.watching.request_watermark import (
    GRACE,
    RequestWatermark,
    list_jobs_in_progress,
    poll_requests,
)
from airflow_provider_hwstatus.errors import (
    ConfigurationError,
    JobNotFoundError,
    ServerError,
)

NO_JOBS = (400, {"error_code": "CPS.0050", "error_msg": "no jobs"})


def rows(*states, first=0):
    """Return a page of jobs in these states."""
    return {"jobs": [{"job_id": f"j{first + number}", "status": state} for number, state in enumerate(states)]}


def paged(*states):
    """Return a function that replies with the requested page of jobs in these states."""

    def page(request):
        offset = int(re.findall(r"offset=(\d+)", request.url)[0])
        return rows(*states[offset : offset + 100], first=offset)

    return page


class Watched:
    """A request that a watcher watches."""

    def __init__(self, stub_cloud, *lists, expected=None, own=404):
        self.cloud = stub_cloud({"/jobs?": list(lists), "/jobs/": own})
        self.client = self.cloud.client()
        self.request = RequestWatermark("r1", expected or Expected())
        self.request.restore(None, self.cloud.now)

    def poll(self, after=0.0):
        self.cloud.now += after
        return self.cloud.run(self.request.poll(self.client))


def test_request_is_over_when_all_its_jobs_are(stub_cloud):
    """A request is over when as many jobs as expected are, and not at the first failure."""
    watched = Watched(stub_cloud, rows(-1, 1), rows(-1, 2), rows(-1, 2, 2), expected=Expected(jobs=3))
    summaries = [watched.poll() for _ in range(3)]

    assert ["in_progress", "in_progress", "failure"] == [summary.outcome for summary in summaries]
    assert {"total": 3, "succeeded": 2, "failed": 1, "in_progress": 0} == summaries[-1].counts
    assert "CPH request r1" == summaries[-1].subject


def test_jobs_in_progress_are_known(stub_cloud):
    """The watermark has the ids of the jobs that the last poll found in progress."""
    watched = Watched(stub_cloud, rows(1, 2, 1), rows(2, 2, 2), expected=Expected(jobs=3))
    assert frozenset() == watched.request.in_progress
    watched.poll()
    assert {"j0", "j2"} == watched.request.in_progress
    watched.poll()
    assert frozenset() == watched.request.in_progress


def test_job_that_leaves_the_list_is_polled_itself(stub_cloud):
    """A job that the list does not show any more is polled itself."""
    watched = Watched(stub_cloud, rows(1, 2), rows(2, first=1), expected=Expected(jobs=2), own={"status": -1})
    watched.poll()

    assert "failure" == watched.poll().outcome
    assert "GET /v1/p1/cloud-phone/jobs/j0" == watched.cloud.sent[-1]


def test_changed_connection_is_used(stub_cloud):
    """Each poll uses the connection that it is given."""
    watched = Watched(stub_cloud, rows(1), rows(2), expected=Expected(jobs=1))
    watched.poll()
    watched.client = watched.cloud.client(project_id="p2")
    watched.poll()

    assert ["p1", "p2"] == [path.split("/")[2] for path in watched.cloud.sent]


def test_unknown_request_is_an_error_after_a_minute(stub_cloud):
    """A request that CPH does not know is an error a minute after the beginning, and not earlier."""
    watched = Watched(stub_cloud, NO_JOBS)

    assert watched.poll() is None
    assert watched.poll(after=GRACE - 0.001) is None
    with pytest.raises(JobNotFoundError, match=r"^CPH request r1: "):
        watched.poll(after=0.001)


def test_request_of_unknown_size_is_not_over_at_once(stub_cloud):
    """Without an expected number of jobs, a request is over when its list is read again after a minute."""
    watched = Watched(stub_cloud, rows(2))
    assert "in_progress" == watched.poll().outcome
    assert 1 == len(watched.cloud.requests)

    watched.cloud.replies = {"/jobs?": paged(2, 2)}
    assert "success" == watched.poll(after=GRACE).outcome


def test_request_is_not_retried(stub_cloud):
    """A poll of a watcher is not retried, because the next one comes soon."""
    watched = Watched(stub_cloud, 503, rows(2), expected=Expected(jobs=1))
    with pytest.raises(ServerError):
        watched.poll()

    assert 1 == len(watched.cloud.requests)


def test_invalid_id_is_refused():
    """An invalid id raises an error when the watcher is created."""
    with pytest.raises(ConfigurationError, match=r"^request_id must be"):
        RequestWatermark("../x", Expected())


def test_checkpoint_survives_a_restart():
    """The checkpoint has the beginning, and whether the end was reported."""
    request = RequestWatermark("r1", Expected())
    request.restore(None, 1000.0)
    assert {"started_at": 1000.0, "reported": False} == request.to_dict()

    request.reported = True
    again = RequestWatermark("r1", Expected())
    again.restore(json.loads(json.dumps(request.to_dict())), 2000.0)
    assert (1000.0, True) == (again.started_at, again.reported)


def test_each_request_has_its_own_result(stub_cloud):
    """The error of one request does not affect the results of the others."""
    cloud = stub_cloud({"request_id=r1&": rows(2), "request_id=r2&": 503, "request_id=r3&": NO_JOBS})
    requests = [RequestWatermark(f"r{number}", Expected(jobs=1)) for number in (2, 1, 3)]
    for request in requests:
        request.restore(None, cloud.now)

    wrong, summary, nothing = cloud.run(poll_requests(cloud.client(), requests))
    assert isinstance(wrong, ServerError)
    assert ("success", None) == (summary.outcome, nothing)


def test_requests_are_listed_together(stub_cloud):
    """Twenty requests are listed in one call, and the result has the jobs in progress only."""
    cloud = stub_cloud({"offset=": [rows(1, 2, -1, 7), rows(1, first=9), rows()]})
    going = cloud.run(list_jobs_in_progress(cloud.client(), [f"r{number}" for number in range(41)]))

    assert {"j0", "j9"} == going
    assert [20, 20, 1] == [len(re.findall(r"r\d+", path)) for path in cloud.sent]


@pytest.mark.parametrize("count", [1, 99, 100, 101, 250])
def test_each_page_is_read(stub_cloud, count):
    """Pages are read up to the first one that is not full."""
    cloud = stub_cloud({"/jobs?": paged(*[1] * count)})

    assert {f"j{number}" for number in range(count)} == cloud.run(list_jobs_in_progress(cloud.client(), ["r1", "r2"]))
    assert count // 100 + 1 == len(cloud.requests)


def test_list_that_repeats_itself_has_an_end(stub_cloud):
    """A page without a new job is the last one."""
    cloud = stub_cloud({"/jobs?": rows(*[1] * 100)})

    assert 100 == len(cloud.run(list_jobs_in_progress(cloud.client(), ["r1"])))
    assert 2 == len(cloud.requests)


def test_list_without_an_end_is_not_read_further(stub_cloud):
    """A list without an end is read for a hundred pages, and its jobs count."""
    pages = []

    def endless(request):
        pages.append(request)
        return rows(*[1] * 100, first=100 * len(pages))

    cloud = stub_cloud({"/jobs?": endless})
    assert 100 * 100 == len(cloud.run(list_jobs_in_progress(cloud.client(), ["r1"])))
    assert 100 == len(pages)


def test_error_of_some_requests_does_not_affect_the_others(stub_cloud):
    """An error of some requests is ignored, and an outage is raised."""
    cloud = stub_cloud({"offset=": [NO_JOBS, rows(1)]})
    assert {"j0"} == cloud.run(list_jobs_in_progress(cloud.client(), [f"r{number}" for number in range(30)]))

    cloud = stub_cloud({"offset=": [(200, b"<html>"), rows(1)]})
    assert {"j0"} == cloud.run(list_jobs_in_progress(cloud.client(), [f"r{number}" for number in range(30)]))
    cloud = stub_cloud({"offset=": [503, rows(1)]})
    with pytest.raises(ServerError):
        cloud.run(list_jobs_in_progress(cloud.client(), [f"r{number}" for number in range(30)]))
