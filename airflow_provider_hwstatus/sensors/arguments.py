"""What users give to a sensor, checked and typed."""

from __future__ import annotations

from collections.abc import Sequence

EMPTY_LIST_POLICIES = ("fail", "succeed")


def as_text(states: Sequence[str | int] | None) -> list[str] | None:
    """Return states as JSON has them."""
    return None if states is None else [str(state) for state in states]
