"""The arguments of users: ids of jobs, and how many jobs a submission has; an invalid one raises an error."""

from __future__ import annotations

import contextlib
import json
import re
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hwstatus.core.polling.expected_jobs import expected_from
from airflow_provider_hwstatus.core.polling.job_ids import one_or_more
from airflow_provider_hwstatus.errors import ConfigurationError

missing = st.sampled_from([None, "", " ", "None", "None ", "null", "\n"])
good = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=41).filter(
    lambda text: text[0] not in "._-" and text not in {"None", "null"}
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | good,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner) | st.sets(st.text()),
    max_leaves=8,
)


@given(ids=st.lists(good), shape=st.sampled_from([list, tuple, iter]))
def test_list_of_ids_is_any_collection(ids, shape):
    """Any collection of ids is a list with the same order and the same duplicates, and can be empty."""
    assert ids == one_or_more("batch_id", shape(ids))


@given(before=st.lists(good | st.just("a b") | st.just(7)), lost=missing, after=st.lists(anything))
def test_list_with_a_missing_id_is_an_error(before, lost, after):
    """A list with a missing id raises an error that says so, whatever else the list has."""
    for value in (
        [*before, lost, *after],
        (*before, lost),
        [*before, [lost]],
        [*before, ("x", {0: lost}.values())],
        lost,
    ):
        with pytest.raises(ConfigurationError, match=r"^batch_id is missing: ") as caught:
            one_or_more("batch_id", value)
        assert "empty list" not in str(caught.value)


@given(
    ids=st.lists(st.sampled_from([None, "", "None", "b1", "[", "a, b"]), max_size=4),
    make=st.sampled_from([json.dumps, str]),
)
def test_list_as_text_is_an_error(ids, make):
    """A list that was rendered as text raises an error, which says that an id is missing or how to pass the list."""
    problem = "is missing" if {None, "", "None"} & set(ids) else "must be a list, not a list as text"
    with pytest.raises(ConfigurationError, match=f"^batch_id {problem}"):
        one_or_more("batch_id", make(ids))


@given(value=anything)
def test_anything_is_ids_or_an_error_of_the_configuration(value):
    """Any value is valid ids or raises a ConfigurationError."""
    with contextlib.suppress(ConfigurationError):
        found = one_or_more("batch_id", value)
        for job_id in [found] if isinstance(found, str) else found:
            assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", job_id)
            assert job_id not in {"None", "null", ".", ".."}


@pytest.mark.parametrize(
    ("given", "jobs", "rejected"),
    [
        (None, None, 0),
        ("", None, 0),
        (3, 3, 0),
        ("3", 3, 0),
        ([2, 1], 3, 0),
        ({"request_id": "r", "jobs": [{"job_id": "a"}, {"phone_id": "p", "error_code": "CPS.0004"}]}, 1, 1),
        ('{"jobs": [{"job_id": "a"}]}', 1, 0),
        ([{"jobs": [{"job_id": "a"}]}, 4], 5, 0),
        ({"jobs": []}, 0, 0),
    ],
)
def test_expected_jobs(given, jobs, rejected):
    """The expected jobs can be a number, the response to a submission, or a list of these, also as JSON."""
    found = expected_from(given)
    assert (jobs, rejected) == (found.jobs, len(found.rejected))


@pytest.mark.parametrize("given", [-1, True, 1.5, "three", {"request_id": "r"}, {"jobs": "x"}, [None], "{'jobs': []}"])
def test_invalid_expected_jobs_are_an_error(given):
    """A value that is neither a number nor a response raises an error."""
    with pytest.raises(ConfigurationError, match="expected_jobs must be"):
        expected_from(given)


@pytest.mark.parametrize("name", ["phone_id", "server_id", "encode_server_id", "node_id"])
def test_rejected_item_names_its_phone_or_server(name):
    """The fields of a phone's or server's id differ between editions of CPH's API, and all of them are read."""
    found = expected_from({"jobs": [{name: "x-1", "error_code": "CPS.0004"}]})
    assert ["(none, x-1)"] == [status.job_id for status in found.rejected]


def test_rejected_item_of_the_reference():
    """The sample submission of the reference has one job and one rejected phone."""
    submission = json.loads((Path(__file__).parents[2] / "samples" / "lists" / "cph_submission.json").read_text())
    found = expected_from(submission)
    (item,) = found.rejected

    assert (1, "(none, 99887766ff55ee44dd33cc22bb11aa00)") == (found.jobs, item.job_id)
    assert ("cph_job", "rejected", "failure") == (item.kind, item.state, item.outcome)
    assert ("CPS.0004", "Parameter: phone_id is invalid.") == (item.error_code, item.error_message)


def test_rejected_item_may_say_little():
    """An item without a job id is a failure with bounded texts, and what is no item is ignored."""
    found = expected_from({"jobs": [{"job_id": ""}, {"job_id": None, "error_code": 7}, "x", {"job_id": "a"}]})

    assert 1 == found.jobs
    assert [("(none, no phone_id)", None), ("(none, no phone_id)", "7")] == [
        (item.job_id, item.error_code) for item in found.rejected
    ]
    long = expected_from({"jobs": [{"phone_id": "p" * 99, "error_msg": "m" * 9999}]}).rejected[0]
    assert (64, 1000) == (len(long.job_id) - len("(none, )"), len(long.error_message))


def test_expected_jobs_of_several_submissions_are_added_up():
    """The jobs and the rejected items of several submissions are added up."""
    found = expected_from([{"jobs": [{"phone_id": "p1"}, {"job_id": "a"}]}, 2, {"jobs": [{"phone_id": "p2"}]}, 0])

    assert 3 == found.jobs
    assert ["(none, p1)", "(none, p2)"] == [item.job_id for item in found.rejected]
    assert (0, ()) == (expected_from(0).jobs, expected_from([]).rejected)
