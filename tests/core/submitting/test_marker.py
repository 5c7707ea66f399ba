"""The marker of a submission, its place in the body, and the body as JSON."""

import json
from dataclasses import replace

import pytest

from airflow_provider_hwstatus.core.submitting.marker import LONGEST_MARKER, Attempt, encoded, with_marker
from airflow_provider_hwstatus.errors import ConfigurationError
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH, DLI_SQL_JOB

FIRST = Attempt(dag_id="d", task_id="t", run_id="r", map_index=-1, max_tries=2, number=1, is_first=True)


@pytest.mark.parametrize(
    "other",
    [{"dag_id": "d2"}, {"task_id": "t2"}, {"run_id": "r2"}, {"map_index": 0}, {"max_tries": 3}, {"number": 2}],
    ids=str,
)
def test_each_job_of_a_task_has_its_own_marker(other):
    """Another task, run, mapped task, clearing or try has another marker."""
    assert FIRST.marker() == replace(FIRST, is_first=False).marker()
    assert FIRST.marker() != replace(FIRST, **other).marker()
    assert len(FIRST.marker()) < LONGEST_MARKER


def test_earlier_tries_are_looked_for_newest_first():
    """At most twenty of them."""
    assert [] == list(FIRST.earlier)
    assert [3, 2, 1] == list(replace(FIRST, number=4).earlier)
    assert list(range(49, 29, -1)) == list(replace(FIRST, number=50).earlier)
    assert replace(FIRST, number=3).marker() == replace(FIRST, number=4).marker(3)


@pytest.mark.parametrize("tags", [[], [{"key": "team", "value": "etl"}]])
@pytest.mark.parametrize("given", [True, False])
def test_tags_of_the_user_stay(tags, given):
    """The marker is one more tag."""
    body = {"sql": "SELECT 1"} | ({"tags": tags} if given else {})

    marked = with_marker(DLI_SQL_JOB.submission(), body, "abc-1", "d.t")

    assert [*(tags if given else []), {"key": "hwstatus", "value": "abc-1"}] == marked["tags"]


def test_name_has_the_marker():
    """A name of the user, or else the default one, is cut so that the marker fits."""
    submission = DLI_BATCH.submission()
    long = "n" * 1000

    names = [with_marker(submission, body, "abc-1", "d.t")["name"] for body in ({}, {"name": "own"}, {"name": long})]

    assert ["d.t-abc-1", "own-abc-1"] == names[:2]
    assert names[2] == "n" * (submission.longest_name - LONGEST_MARKER) + "-abc-1"


def test_body_is_json():
    """The lazy output of mapped tasks is a list; what is not JSON is an error."""
    assert {"args": [0, 1]} == json.loads(encoded({"args": range(2)}))
    with pytest.raises(ConfigurationError, match="the body has a bytes, which is not JSON"):
        encoded({"args": b"x"})
    itself = {}
    itself["args"] = itself
    with pytest.raises(ConfigurationError, match="the body is not JSON"):
        encoded(itself)
