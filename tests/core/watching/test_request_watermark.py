"""When a watched CPH request is over, and what its list is read for."""

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
    """Return what answers with the page that is asked for."""

    def page(request):
        offset = int(re.findall(r"offset=(\d+)", request.url)[0])
        return rows(*states[offset : offset + 100], first=offset)

    return page


class Watched:
    """A request that a watcher has begun to watch."""

    def __init__(self, stub_cloud, *lists, expected=None, own=404):
        self.cloud = stub_cloud({"/jobs?": list(lists), "/jobs/": own})
        self.client = self.cloud.client()
        self.request = RequestWatermark("r1", expected or Expected())
        self.request.restore(None, self.cloud.now)

    def poll(self, after=0.0):
        self.cloud.now += after
        return self.cloud.run(self.request.poll(self.client))


def test_request_is_over_when_all_its_jobs_are(stub_cloud):
    """Not when the first fails, and not before as many are there as are expected."""
    watched = Watched(stub_cloud, rows(-1, 1), rows(-1, 2), rows(-1, 2, 2), expected=Expected(jobs=3))
    tallies = [watched.poll() for _ in range(3)]

    assert ["in_progress", "in_progress", "failure"] == [summary.outcome for summary in tallies]
    assert {"total": 3, "succeeded": 2, "failed": 1, "in_progress": 0} == tallies[-1].counts
    assert "CPH request r1" == tallies[-1].subject


def test_jobs_that_go_on_are_known(stub_cloud):
    """A list of many requests shows which of them have to be looked at."""
    watched = Watched(stub_cloud, rows(1, 2, 1), rows(2, 2, 2), expected=Expected(jobs=3))
    assert frozenset() == watched.request.in_progress
    watched.poll()
    assert {"j0", "j2"} == watched.request.in_progress
    watched.poll()
    assert frozenset() == watched.request.in_progress


def test_what_was_seen_is_remembered(stub_cloud):
    """A job that leaves the list is asked about by itself."""
    watched = Watched(stub_cloud, rows(1, 2), rows(2, first=1), expected=Expected(jobs=2), own={"status": -1})
    watched.poll()

    assert "failure" == watched.poll().outcome
    assert "GET /v1/p1/cloud-phone/jobs/j0" == watched.cloud.target[-1]


def test_new_client_is_asked(stub_cloud):
    """The connection may have changed since the last look."""
    watched = Watched(stub_cloud, rows(1), rows(2), expected=Expected(jobs=1))
    watched.poll()
    watched.client = watched.cloud.client(project_id="p2")
    watched.poll()

    assert ["p1", "p2"] == [path.split("/")[2] for path in watched.cloud.target]


def test_request_that_is_not_known_may_come_to_be(stub_cloud):
    """For a minute from when it was first watched; then it is an error."""
    watched = Watched(stub_cloud, NO_JOBS)

    assert watched.poll() is None
    assert watched.poll(after=GRACE - 0.001) is None
    with pytest.raises(JobNotFoundError, match=r"^CPH request r1: "):
        watched.poll(after=0.001)


def test_request_of_unknown_size_is_not_over_at_once(stub_cloud):
    """Its list may not be complete yet: after a minute it is read again, to its end."""
    watched = Watched(stub_cloud, rows(2))
    assert "in_progress" == watched.poll().outcome
    assert 1 == len(watched.cloud.requests)

    watched.cloud.replies = {"/jobs?": paged(2, 2)}
    assert "success" == watched.poll(after=GRACE).outcome


def test_an_outage_is_not_waited_out(stub_cloud):
    """The next reading comes soon enough."""
    watched = Watched(stub_cloud, 503, rows(2), expected=Expected(jobs=1))
    with pytest.raises(ServerError):
        watched.poll()

    assert 1 == len(watched.cloud.requests)


def test_id_that_can_be_none_is_refused():
    """Where the DAG is parsed."""
    with pytest.raises(ConfigurationError, match=r"^request_id must be"):
        RequestWatermark("../x", Expected())


def test_checkpoint_bridges_a_restart():
    """When it was first watched, and whether its end is told."""
    request = RequestWatermark("r1", Expected())
    request.restore(None, 1000.0)
    assert {"started_at": 1000.0, "reported": False} == request.to_dict()

    request.reported = True
    again = RequestWatermark("r1", Expected())
    again.restore(json.loads(json.dumps(request.to_dict())), 2000.0)
    assert (1000.0, True) == (again.started_at, again.reported)


def test_each_request_has_its_own_answer(stub_cloud):
    """What is wrong with one keeps no other."""
    cloud = stub_cloud({"request_id=r1&": rows(2), "request_id=r2&": 503, "request_id=r3&": NO_JOBS})
    requests = [RequestWatermark(f"r{number}", Expected(jobs=1)) for number in (2, 1, 3)]
    for request in requests:
        request.restore(None, cloud.now)

    wrong, summary, nothing = cloud.run(poll_requests(cloud.client(), requests))
    assert isinstance(wrong, ServerError)
    assert ("success", None) == (summary.outcome, nothing)


def test_jobs_that_go_on_are_read_together(stub_cloud):
    """Twenty requests in a call, as many as CPH takes; what is over or in an unknown state is left out."""
    cloud = stub_cloud({"offset=": [rows(1, 2, -1, 7), rows(1, first=9), rows()]})
    going = cloud.run(list_jobs_in_progress(cloud.client(), [f"r{number}" for number in range(41)]))

    assert {"j0", "j9"} == going
    assert [20, 20, 1] == [len(re.findall(r"r\d+", path)) for path in cloud.target]


@pytest.mark.parametrize("count", [1, 99, 100, 101, 250])
def test_each_page_is_read(stub_cloud, count):
    """Up to the first that is not full."""
    cloud = stub_cloud({"/jobs?": paged(*[1] * count)})

    assert {f"j{number}" for number in range(count)} == cloud.run(list_jobs_in_progress(cloud.client(), ["r1", "r2"]))
    assert count // 100 + 1 == len(cloud.requests)


def test_list_that_repeats_itself_has_an_end(stub_cloud):
    """A page that shows nothing new is the last one."""
    cloud = stub_cloud({"/jobs?": rows(*[1] * 100)})

    assert 100 == len(cloud.run(list_jobs_in_progress(cloud.client(), ["r1"])))
    assert 2 == len(cloud.requests)


def test_list_without_an_end_is_given_up(stub_cloud):
    """What it has shown until then counts: each job is one that goes on."""
    pages = []

    def endless(request):
        pages.append(request)
        return rows(*[1] * 100, first=100 * len(pages))

    cloud = stub_cloud({"/jobs?": endless})
    assert 100 * 100 == len(cloud.run(list_jobs_in_progress(cloud.client(), ["r1"])))
    assert 100 == len(pages)


def test_what_is_wrong_with_some_is_left_for_when_they_are_alone(stub_cloud):
    """The others' jobs are known; an outage is one of all."""
    cloud = stub_cloud({"offset=": [NO_JOBS, rows(1)]})
    assert {"j0"} == cloud.run(list_jobs_in_progress(cloud.client(), [f"r{number}" for number in range(30)]))

    cloud = stub_cloud({"offset=": [(200, b"<html>"), rows(1)]})
    assert {"j0"} == cloud.run(list_jobs_in_progress(cloud.client(), [f"r{number}" for number in range(30)]))
    cloud = stub_cloud({"offset=": [503, rows(1)]})
    with pytest.raises(ServerError):
        cloud.run(list_jobs_in_progress(cloud.client(), [f"r{number}" for number in range(30)]))
