"""Markdown tables of figures and goals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

#: The figures that a measured program prints.
Figures = dict[str, Any]


@dataclass(frozen=True)
class Goal:
    """
    The maximum of a figure.

    :param limit: The maximum.
    :param below: Whether the figure must be below the limit.
    :param name: Text to show instead of the limit.
    """

    limit: float
    below: bool = False
    name: str = ""

    def met(self, figure: float | list[str]) -> bool:
        """Return whether a figure meets the goal. For a list, its length counts."""
        figure = len(figure) if isinstance(figure, list) else figure
        return figure < self.limit if self.below else figure <= self.limit

    def __str__(self) -> str:
        if not self.limit:
            return self.name or "0"
        return f"{'<' if self.below else '≤'} {self.name or f'{self.limit:g}'}"


@dataclass(frozen=True)
class Row:
    """
    A row of a table.

    :param key: Name of the figure in :data:`Figures`.
    """

    title: str
    key: str
    digits: int = 1
    goal: Goal | None = None


@dataclass
class Table:
    """
    A table of figures.

    :param judged: Columns that must meet the goals.
    :param notes: Lines below the table.
    """

    title: str
    columns: Mapping[str, Figures]
    rows: Iterable[Row]
    judged: tuple[str, ...] = ("ours",)
    notes: list[str] = field(default_factory=list)

    def missed(self, row: Row) -> list[str]:
        """Return the judged columns that miss a row's goal."""
        figures = {name: self.columns[name].get(row.key, math.nan) for name in self.judged}
        return [name for name, figure in figures.items() if row.goal and not row.goal.met(figure)]

    def __str__(self) -> str:
        return "\n".join([f"### {self.title}", "", *self._lines(), *(f"\n{note}" for note in self.notes), ""])

    def _lines(self) -> Iterator[str]:
        shown = {name: figures for name, figures in self.columns.items() if "skipped" not in figures}
        yield _line(["", *shown, "goal", "met"])
        yield _line(["---", *["--:"] * len(shown), "---", "---"])
        for row in self.rows:
            figures = [_text(figures.get(row.key), row.digits) for figures in shown.values()]
            goal = (str(row.goal), "**no**" if self.missed(row) else "yes") if row.goal else ("", "")
            yield _line([row.title, *figures, *goal])


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _text(figure: Any, digits: int) -> str:
    if isinstance(figure, float | int):
        return "–" if math.isnan(figure) else f"{figure:,.{digits}f}"
    return "–" if figure is None else ", ".join(figure) or "none"
