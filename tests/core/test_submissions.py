"""Ids as users give them: each is one that can be asked about, or the error says which is missing."""

from __future__ import annotations

import contextlib
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hwstatus.core.errors import ConfigurationError
from airflow_provider_hwstatus.core.submissions import one_or_more

missing = st.sampled_from([None, "", " ", "None", "None ", "null", "\n"])
good = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,40}", fullmatch=True).filter(
    lambda text: text not in {"None", "null"}
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | good,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner) | st.sets(st.text()),
    max_leaves=8,
)


@given(ids=st.lists(good), shape=st.sampled_from([list, tuple, iter]))
def test_list_of_ids_is_a_list_of_any_type(ids, shape):
    """In its order, with repeats, and an empty list is one."""
    assert ids == one_or_more("batch_id", shape(ids))


@given(before=st.lists(good | st.just("a b") | st.just(7)), lost=missing, after=st.lists(anything))
def test_list_with_a_missing_id_says_that(before, lost, after):
    """Whatever else is in it."""
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
def test_list_as_text_is_never_ids(ids, make):
    """It says what is missing, or how to give the list itself."""
    said = "is missing" if {None, "", "None"} & set(ids) else "must be a list, not a list as text"
    with pytest.raises(ConfigurationError, match=f"^batch_id {said}"):
        one_or_more("batch_id", make(ids))


@given(value=anything)
def test_anything_is_ids_or_an_error_of_the_configuration(value):
    """Nothing else is raised, and what is returned can be asked about."""
    with contextlib.suppress(ConfigurationError):
        found = one_or_more("batch_id", value)
        for job_id in [found] if isinstance(found, str) else found:
            assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", job_id)
            assert job_id not in {"None", "null", ".", ".."}
