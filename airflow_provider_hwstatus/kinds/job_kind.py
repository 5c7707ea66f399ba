"""
The table of everything that can be waited for.

Whatever depends on the kind of job stands in this file and nowhere else: where to ask, how to read the answer, and
which states end the wait. A new kind is one more declaration, one sensor and its sample replies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property


class Outcome(StrEnum):
    """How a state is read."""

    IN_PROGRESS = "in_progress"
    SUCCESS = "success"
    FAILURE = "failure"
    UNKNOWN = "unknown"


def fold(state: str) -> str:
    """
    Return *state* as it is compared: without regard to letter case, as the vendor's tables and examples differ in it.

    Only ASCII letters are folded, so that no other script can be mistaken for a listed state.
    """
    return state.lower() if state.isascii() else state


@dataclass(frozen=True, kw_only=True)
class JobKind:
    """
    One kind of job: an API and how to read its states.

    :param name: Stored in the rows of waiting triggers: never rename.
    :param title: How messages call it.
    :param service: ``dli`` or ``cph``; chooses the endpoint.
    :param id_name: The API reference's name for the id, and the sensor's argument.
    :param path: With ``{project_id}`` and ``{job_id}``.
    :param id_field: Where the reply repeats the id.
    :param state_field: Where the reply has the state.
    :param begin_field: Where the reply may have the begin, as text or in milliseconds since 1970.
    :param end_field: Likewise for the end.
    :param log_field: Where the reply may have output, as a list of lines or one text.
    :param permission: What the user must be allowed, as an action of an IAM policy.
    :param detail_path: Where a job's name, queue and times are, if the state's reply has less; like *path*.
    :param log_path: Where its output is, likewise.
    :param in_progress: States in which the job goes on.
    :param success: States that end the wait well.
    :param failure: States that end it badly.
    :param source: Where all this is documented.
    :raises ValueError: A state is listed twice.
    """

    name: str
    title: str
    service: str
    id_name: str
    path: str
    id_field: str
    state_field: str
    begin_field: str
    end_field: str
    log_field: str
    permission: str
    detail_path: str | None
    log_path: str | None
    in_progress: frozenset[str]
    success: frozenset[str]
    failure: frozenset[str]
    source: str

    def __post_init__(self) -> None:
        for one, other in (("success", "failure"), ("success", "in_progress"), ("failure", "in_progress")):
            if both := getattr(self, one) & getattr(self, other):
                raise ValueError(f"{self.name}: {', '.join(sorted(both))} cannot be both {one} and {other}")

    @property
    def plural(self) -> str:
        """How messages call several."""
        return self.title + ("es" if self.title.endswith("ch") else "s")

    @property
    def states(self) -> frozenset[str]:
        """Every state in the table."""
        return self.in_progress | self.success | self.failure

    @cached_property
    def outcomes(self) -> Mapping[str, Outcome]:
        """The outcome of every state in the table, by state in lower case."""
        return (
            dict.fromkeys(self.in_progress, Outcome.IN_PROGRESS)
            | dict.fromkeys(self.success, Outcome.SUCCESS)
            | dict.fromkeys(self.failure, Outcome.FAILURE)
        )

    def outcome_of(self, state: str) -> Outcome:
        """Return the outcome of *state*; a state that is not listed is unknown."""
        return self.outcomes.get(fold(state), Outcome.UNKNOWN)

    def with_states(
        self, success_states: Iterable[str | int] | None = None, failure_states: Iterable[str | int] | None = None
    ) -> JobKind:
        """
        Return this kind with other states that end a wait. A state of the table that is in neither is in progress.

        :param success_states: Replace the table's, unless None.
        :param failure_states: Likewise.
        :raises ValueError: Not a list of states, an empty one, or a state that would end the wait well and badly.
        """
        if success_states is None and failure_states is None:
            return self
        success = self.success if success_states is None else _states("success_states", success_states)
        failure = self.failure if failure_states is None else _states("failure_states", failure_states)
        if both := success & failure:
            raise ValueError(
                f"success_states and failure_states overlap in {', '.join(sorted(both))}; in effect are "
                f"success_states={sorted(success)} and failure_states={sorted(failure)}"
            )
        return replace(self, success=success, failure=failure, in_progress=self.states - success - failure)


def _states(argument: str, states: Iterable[str | int]) -> frozenset[str]:
    wanted = f"{argument} must be a list of states with at least one, such as ['success']; it is {states!r}"
    if isinstance(states, str) or not isinstance(states, Iterable):
        raise ValueError(wanted)
    listed = list(states)
    if not listed or not all(isinstance(state, str | int) and not isinstance(state, bool) for state in listed):
        raise ValueError(wanted)
    return frozenset(fold(str(state)) for state in listed)
