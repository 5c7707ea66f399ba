"""Paths into a JSON reply."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hwstatus.kinds.json_path import OfJob, is_id, lists_no_job, steps_of, value_at

BODY: dict[str, Any] = {
    "state": "DONE",
    "job": {"status": {"phase": "Running"}, "error-summary": "x", "none": None, "list": [1, [2, {"c": 3}]]},
    "jobs": [{"id": 7, "state": "A"}, {"id": "J1", "state": "B"}, {"state": "C"}, None, "j1"],
    "empty": [],
    "zero": 0,
    "no": False,
    "text": "",
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("state", "DONE"),
        ("job.status.phase", "Running"),
        ("job.error-summary", "x"),
        ("job.list[0]", 1),
        ("job.list[1][1].c", 3),
        ("jobs[0].state", "A"),
        ("jobs[?id==job_id].state", "B"),
        ("zero", 0),
        ("no", False),
        ("text", ""),
        # missing
        ("missing", None),
        ("missing.more", None),
        ("state.more", None),
        ("job.none", None),
        ("job.none.more", None),
        ("job.list[9]", None),
        ("job[0]", None),
        ("job[?id==job_id].state", None),
        ("jobs.state", None),
        ("jobs[3].state", None),
        ("jobs[4].state", None),
        ("jobs[?name==job_id].state", None),
        ("empty[0].state", None),
        ("empty[?id==job_id].state", None),
    ],
)
def test_value(path: str, expected: object) -> None:
    """A path leads to the value, and to None if a part of it is missing or is no object or list."""
    assert expected == value_at(path, BODY, "j1")


def test_steps() -> None:
    """A path is names, positions and choices."""
    assert ("a", "b-c", 0, OfJob("id"), "d") == steps_of("a.b-c[0][?id==job_id].d")


@pytest.mark.parametrize(
    "path",
    [
        ".",
        ".a",
        "a.",
        "a..b",
        "a.[0]",
        "[0]",
        "[0].a",
        "a[",
        "a]",
        "a[]",
        "a[-1]",
        "a[x]",
        "a[0",
        "a[00000]",
        "a[?id=job_id]",
        "a[?id==other]",
        "a[?==job_id]",
        "a[?id==job_id",
        "a[?id==job_id]b",
        "a[0]b",
        "1a",
        "a.1",
        "-a",
        "a/b",
        "a(b)",
        "a{b}",
        "$.a",
        "@",
        "*",
        "a[*]",
        "a.*",
        "'a'",
        "a|b",
        "a&&b",
        "`a`",
        "a\n",
        "ü",
        "a.ü",
    ],
)
def test_no_path(path: str) -> None:
    """What is no path is an error that shows examples; there are no expressions."""
    with pytest.raises(ValueError, match=r"is no path such as state, job\.status"):
        steps_of(path)


@pytest.mark.parametrize("path", ["", " ", " a", "a ", "a\n", "a b", "a" * 257, "a." * 10**6, "[" * 10**6])
def test_no_path_at_all(path: str) -> None:
    """An empty, long or spaced text is no path, and the message is short."""
    with pytest.raises(ValueError, match="is no path") as raised:
        steps_of(path)
    assert len(str(raised.value)) < 400


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just("j1"),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "id", "jobs"]), inner, max_size=4)
    ),
    max_leaves=20,
)
paths = st.from_regex(r"(a|jobs)(\.(a|b|id)|\[[0-3]\]|\[\?id==job_id\]){0,4}", fullmatch=True)


@given(body=st.dictionaries(st.sampled_from(["a", "b", "jobs"]), values), path=paths, job_id=st.text(max_size=3))
def test_any_reply(body: dict[str, Any], path: str, job_id: str) -> None:
    """No reply makes a path raise, and a job that a list lacks has no value there."""
    value = value_at(path, body, job_id)

    if lists_no_job(path, body, job_id):
        assert value is None


@given(path=st.text(max_size=30))
def test_any_path(path: str) -> None:
    """A text is a path, which reads any reply, or is a ValueError."""
    try:
        steps = steps_of(path)
    except ValueError:
        return
    assert isinstance(steps[0], str)
    value_at(path, BODY, "j1")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("jobs[?id==job_id].state", False),
        ("jobs[?name==job_id].state", True),
        ("empty[?id==job_id].state", True),
        ("empty[0].state", True),
        ("jobs[0].missing", False),
        ("jobs[?id==job_id].missing", False),
        ("jobs[9].state", True),
        ("missing[0].state", False),
        ("job.none[0]", False),
        ("state", False),
    ],
)
def test_job_is_not_listed(path: str, expected: bool) -> None:
    """Only a list without an element for the job says that there is no such job."""
    assert expected is lists_no_job(path, BODY, "j1")


@pytest.mark.parametrize(
    ("value", "job_id", "same"),
    [
        ("j1", "j1", True),
        ("J1", "j1", True),
        (7, "7", True),
        (True, "true", False),
        (True, "1", False),
        (1.0, "1.0", False),
        (None, "none", False),
        (["j1"], "j1", False),
        ({"id": "j1"}, "j1", False),
        ("j1 ", "j1", False),
    ],
)
def test_id(value: object, job_id: str, same: bool) -> None:
    """Text without regard to letter case and whole numbers are ids; a boolean is none."""
    assert same is is_id(value, job_id)
