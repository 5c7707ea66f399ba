"""The plot of ``scale_model.py``, as SVG for light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

#: Numbers of waits and figures.
Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """One diagram of the plot, with a line for each model and the measured points."""

    title: str
    marks: tuple[int, ...]
    lines: list[Points]
    measured: Points

    def svg(self, left: int, top: int) -> Iterator[str]:
        """Yield elements of SVG. The axis of waits is logarithmic."""
        yield f'<text class="title" x="{left}" y="{top - 12}">{self.title}</text>'
        for mark in self.marks:
            y = self._y(top, mark)
            yield f'<path class="grid" d="M{left} {y:.1f}h340"/><text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">'
            yield f"{mark:,}</text>"
        for waits in (1_000, 10_000, 100_000):
            yield f'<text x="{self._x(left, waits):.1f}" y="{top + 178}" text-anchor="middle">{waits:,}</text>'
        for number, line in enumerate(self.lines):
            points = " ".join(f"{self._x(left, x):.1f},{self._y(top, y):.1f}" for x, y in line)
            yield f'<polyline class="line{number}" points="{points}"/>'
        for x, y in self.measured:
            yield f'<circle cx="{self._x(left, x):.1f}" cy="{self._y(top, y):.1f}" r="4.5"/>'

    def _x(self, left: int, waits: float) -> float:
        return left + 170 * math.log10(waits / 1_000)

    def _y(self, top: int, figure: float) -> float:
        return top + 160 * (1 - min(figure / self.marks[-1], 1))


STYLE = """text{font:13px sans-serif;fill:#333}.title{font-weight:bold}.back{fill:#fff}.grid{stroke:#ddd}
polyline{fill:none;stroke-width:2.5}.line0{stroke:#1f6fd0}.line1{stroke:#c2570c;stroke-dasharray:7 4}
.line2{stroke:#4d8c1f;stroke-dasharray:2 3}circle{fill:#c0183f}@media(prefers-color-scheme:dark){text{fill:#ddd}
.back{fill:#1b1d22}.grid{stroke:#444}.line0{stroke:#6cb0ff}.line1{stroke:#ffa657}.line2{stroke:#8fd35f}
circle{fill:#ff7b93}}"""


def svg(panels: list[Panel], models: Iterable[str]) -> str:
    """Return the plot as SVG, with four panels and a legend."""
    parts = [part for n, panel in enumerate(panels) for part in panel.svg(60 + n % 2 * 420, 40 + n // 2 * 240)]
    for number, name in enumerate(models):
        parts.append(f'<polyline class="line{number}" points="60,{500 + 22 * number} 100,{500 + 22 * number}"/>')
        parts.append(f'<text x="110" y="{504 + 22 * number}">model: {name}</text>')
    parts.append('<circle cx="606" cy="500" r="4.5"/><text x="618" y="504">measured</text>')
    parts.append('<text x="600" y="526">x axis: number of waits, every 60 s</text>')
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 560"><style>{STYLE}</style>'
    return "\n".join([opening, '<rect class="back" width="860" height="560" rx="6"/>', *parts, "</svg>\n"])
