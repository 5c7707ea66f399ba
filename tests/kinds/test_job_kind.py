"""Tests of the table of job kinds."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hwstatus.kinds import KINDS
from airflow_provider_hwstatus.kinds.cph import CPH_JOB
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH, DLI_SESSION_READY, DLI_SESSION_STOPPED
from airflow_provider_hwstatus.kinds.job_kind import JobKind, Outcome

#: Kinds whose states are also compared with given texts.
FIRST_KINDS = [DLI_BATCH, DLI_SESSION_READY, DLI_SESSION_STOPPED, CPH_JOB]

every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)


def read(kind: JobKind) -> dict[str, Outcome]:
    """Return the outcome of every state in the table of *kind*."""
    return {state: kind.outcome_of(state) for state in kind.states}


def test_names() -> None:
    """No name of a released kind goes or changes, because the rows of waiting triggers have them. New ones may come."""
    names = """
        dli_batch dli_session_ready dli_session_stopped dli_sql_job
        dli_flink_job dli_flink_job_finished dli_flink_job_running dli_flink_job_stopped
        cph_job cph_phone cph_phone_running cph_phone_stopped
        mrs_job dataarts_job_instance rds_job rds_backup taurusdb_job
        drs_job drs_job_created drs_job_started drs_job_full drs_job_ended
        dws_snapshot dws_task ges_job css_snapshot css_snapshot_restored
        ecs_job evs_job ims_job cbr_task cce_job oms_task modelarts_training_job
    """
    assert set() == set(names.split()) - set(KINDS)
    assert list(KINDS) == [kind.name for kind in KINDS.values()]


@every_kind
def test_path(kind: JobKind) -> None:
    """A path has a job, unless it returns a list in which the job is looked up."""
    path = kind.with_parameters(dict.fromkeys(kind.parameters, "x")).path.format(project_id="p", job_id="j")

    assert "j" in re.split("[/?&=]", path) or all("==job_id]" in each for each in kind.paths["state"])


@every_kind
@pytest.mark.parametrize("change", [str.upper, str.title, str.lower])
def test_letter_case(kind: JobKind, change: Any) -> None:
    """States are compared without regard to letter case."""
    assert read(kind) == {state: kind.outcome_of(change(state)) for state in kind.states}


@given(state=st.text())
def test_state_that_is_not_listed_is_unknown(state: str) -> None:
    """A state has the outcome that the table of each kind lists for it, or else is unknown."""
    listed = state.lower() if state.isascii() else state
    expected = {name: read(kind).get(listed, Outcome.UNKNOWN) for name, kind in KINDS.items()}

    assert expected == {name: kind.outcome_of(state) for name, kind in KINDS.items()}


@pytest.mark.parametrize("kind", FIRST_KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("state", ["", " ", "succeeded", "success ", "success\n", "0", "3", "02", "2.0", "-2", "null"])
def test_lookalikes_are_unknown(kind: JobKind, state: str) -> None:
    """A state that only looks like a listed one is unknown."""
    assert Outcome.UNKNOWN is kind.outcome_of(state)


@every_kind
@pytest.mark.parametrize("change", ["{} ", " {}", "{}\n", "0{}", "{}.0", "'{}'", "{}\0"])
def test_lookalikes_of_each_state_are_unknown(kind: JobKind, change: str) -> None:
    """A listed state with one more character is unknown."""
    assert {Outcome.UNKNOWN} == {kind.outcome_of(change.format(state)) for state in kind.states}


@pytest.mark.parametrize(
    "state", ["\N{KELVIN SIGN}illed", "\N{LATIN SMALL LETTER LONG S}uccess", "\N{FULLWIDTH DIGIT TWO}"]
)
def test_other_scripts_are_not_folded(state: str) -> None:
    """A letter or digit of another script does not match an ASCII one."""
    assert [Outcome.UNKNOWN] * len(KINDS) == [kind.outcome_of(state) for kind in KINDS.values()]


@pytest.mark.parametrize(
    ("one", "other"), [("success", "failure"), ("success", "in_progress"), ("failure", "in_progress")]
)
def test_state_listed_twice_is_refused(one: str, other: str) -> None:
    """A kind whose table has two outcomes for one state raises an error that names the kind, the state and both."""
    states = {"in_progress": frozenset({"a"}), "success": frozenset({"b"}), "failure": frozenset({"c"})}
    states |= {one: frozenset({"twice"}), other: frozenset({"twice"})}

    with pytest.raises(ValueError, match=f"^kind 'dli_batch': twice cannot be both {one} and {other}$"):
        replace(DLI_BATCH, **states)


class TestWithStates:
    """The arguments ``success_states`` and ``failure_states`` of a sensor."""

    @every_kind
    def test_nothing_given(self, kind: JobKind) -> None:
        """Without arguments the kind stays as it is."""
        assert kind is kind.with_states(None, None)

    def test_success_replaced(self) -> None:
        """The given success states replace the table's, and a former success state is in progress."""
        kind = DLI_SESSION_READY.with_states(success_states=["idle"])

        assert read(DLI_SESSION_READY) | {"busy": Outcome.IN_PROGRESS} == read(kind)

    def test_failure_replaced(self) -> None:
        """The given failure states replace the table's, and a former failure state is in progress."""
        kind = DLI_BATCH.with_states(failure_states=["dead"])
        expected = read(DLI_BATCH) | {"killed": Outcome.IN_PROGRESS, "error": Outcome.IN_PROGRESS}

        assert expected == read(kind)

    def test_both_replaced(self) -> None:
        """With both arguments, a success state can become a failure state and vice versa."""
        kind = DLI_BATCH.with_states(["dead"], ["success"])

        assert (Outcome.SUCCESS, Outcome.FAILURE) == (kind.outcome_of("dead"), kind.outcome_of("success"))

    def test_state_that_no_table_lists(self) -> None:
        """A state that the table does not list can be given."""
        kind = DLI_BATCH.with_states(success_states=["success", "Archived"])

        assert Outcome.SUCCESS is kind.outcome_of("archived")

    @pytest.mark.parametrize("states", [[2], ["2"], (2,), {2}, iter([2]), range(2, 3)])
    def test_numbers(self, states: Iterable[str | int]) -> None:
        """A number is used as its text, in any collection."""
        assert Outcome.SUCCESS is CPH_JOB.with_states(success_states=states).outcome_of("2")

    @pytest.mark.parametrize(
        ("success", "failure", "both"),
        [
            (["dead"], None, "dead"),
            (None, ["success"], "success"),
            (["a", "b", "c"], ["c", "b"], "b, c"),
            (["Dead"], ["DEAD"], "dead"),
        ],
    )
    def test_overlap(self, success: list[str] | None, failure: list[str] | None, both: str) -> None:
        """A state that would be success and failure raises an error, also if one of the two is from the table."""
        with pytest.raises(ValueError, match=f"^success_states and failure_states overlap in {both}: success_states="):
            DLI_BATCH.with_states(success, failure)

    def test_overlap_of_number_and_text(self) -> None:
        """A number and its text are the same state."""
        with pytest.raises(ValueError, match="overlap in 3"):
            CPH_JOB.with_states([3], ["3"])

    @pytest.mark.parametrize("states", ["success", "", [], (), 2, 2.5, True, [None], [True], [2.0], [["a"]], [b"a"]])
    @pytest.mark.parametrize("argument", ["success_states", "failure_states"])
    def test_not_a_list_of_states(self, argument: str, states: Any) -> None:
        """A value that is no list of states, or an empty one, raises an error that names the argument."""
        with pytest.raises(ValueError, match=f"^{argument} must be a non-empty list of states"):
            DLI_BATCH.with_states(**{argument: states})

    @every_kind
    def test_kind_of_the_table_is_left_alone(self, kind: JobKind) -> None:
        """Other states make a new kind with the same name, and the declared kind stays the same."""
        before = read(kind)
        other = kind.with_states(["x"], ["y"])

        assert kind.name == other.name
        assert before == read(kind)
