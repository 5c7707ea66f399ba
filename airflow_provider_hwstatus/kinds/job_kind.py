"""What a kind of job declares: where to poll, how to read the response, and which states end the wait."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property


class Outcome(StrEnum):
    """The meaning of a state."""

    IN_PROGRESS = "in_progress"
    SUCCESS = "success"
    FAILURE = "failure"
    UNKNOWN = "unknown"


def fold(state: str) -> str:
    """
    Return *state* in lower case, for comparison: the API reference and real responses differ in letter case.

    A state with a character outside ASCII is returned unchanged, because lower case can turn such a character into an
    ASCII letter, which would make an unknown state look like a listed one.
    """
    return state.lower() if state.isascii() else state


@dataclass(frozen=True, kw_only=True)
class JobKind:
    """
    One kind of job: which API returns its state, and what the states mean.

    :param name: Stored in trigger rows of Airflow's database. Never rename it.
    :param title: Name of the kind in messages.
    :param service: ``dli`` or ``cph``; selects the endpoint.
    :param id_name: Name of the id in the API reference, and of the sensor's argument.
    :param path: Path that returns the state, with ``{project_id}`` and ``{job_id}``.
    :param id_field: Response field with the id.
    :param state_field: Response field with the state.
    :param begin_field: Response field with the time at which the job began: a text, or milliseconds since 1970.
    :param end_field: Response field with the time at which the job ended, in the same form.
    :param log_field: Response field with output: a list of lines, or one text.
    :param permission: IAM policy action that the user needs.
    :param detail_path: Path that returns the name, queue and times, in the form of *path*; None if *path* returns them.
    :param log_path: Path that returns the output, in the form of *path*; None if there is none.
    :param in_progress: States in which the job has not ended.
    :param success: States in which the wait succeeds.
    :param failure: States in which the wait fails.
    :param source: Where the vendor documents this.
    :raises ValueError: A state is in two of the three sets.
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
        """Name of several jobs of this kind in messages."""
        return self.title + ("es" if self.title.endswith("ch") else "s")

    @property
    def states(self) -> frozenset[str]:
        """Every listed state."""
        return self.in_progress | self.success | self.failure

    @cached_property
    def outcomes(self) -> Mapping[str, Outcome]:
        """The outcome of every listed state, by state in lower case."""
        return (
            dict.fromkeys(self.in_progress, Outcome.IN_PROGRESS)
            | dict.fromkeys(self.success, Outcome.SUCCESS)
            | dict.fromkeys(self.failure, Outcome.FAILURE)
        )

    def outcome_of(self, state: str) -> Outcome:
        """Return the outcome of *state*; unknown if the kind does not list the state."""
        return self.outcomes.get(fold(state), Outcome.UNKNOWN)

    def with_states(
        self, success_states: Iterable[str | int] | None = None, failure_states: Iterable[str | int] | None = None
    ) -> JobKind:
        """
        Return this kind with other states that end a wait. Listed states in neither set count as in progress.

        :param success_states: Replace the success states; None keeps them.
        :param failure_states: Replace the failure states; None keeps them.
        :raises ValueError: An argument is not a list of states or is empty, or a state is both success and failure.
        """
        if success_states is None and failure_states is None:
            return self
        success = self.success if success_states is None else _states("success_states", success_states)
        failure = self.failure if failure_states is None else _states("failure_states", failure_states)
        if both := success & failure:
            raise ValueError(
                f"success_states and failure_states overlap in {', '.join(sorted(both))}: "
                f"success_states={sorted(success)}, failure_states={sorted(failure)}"
            )
        return replace(self, success=success, failure=failure, in_progress=self.states - success - failure)


def _states(argument: str, states: Iterable[str | int]) -> frozenset[str]:
    listed = [] if isinstance(states, str) or not isinstance(states, Iterable) else list(states)
    if not listed or not all(isinstance(state, str | int) and not isinstance(state, bool) for state in listed):
        raise ValueError(f"{argument} must be a non-empty list of states, such as ['success']; it is {states!r}")
    return frozenset(fold(str(state)) for state in listed)
