"""
Print what many waits need in one triggerer, according to a model, and draw it. See docs/scale.md, "Model".

The model is compared with the measured figures of docs/scale.md, which are repeated here.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from event_loop_model import Load, percentile, simulate
from scale_plot import Panel, Points, svg

WAITS = (1_000, 2_000, 5_000, 10_000, 12_000, 20_000, 50_000, 60_000, 100_000)
RESPONSES = (0.02, 0.05, 0.1, 0.2, 0.5)  # seconds
MOST = WAITS[-1]

#: Measured: the scenario, its seconds in which all wait, and CPU seconds per 1,000 polls in all and while all wait, KB
#: per wait, new connections per 1,000 polls, the delay of events in intervals (p99), and that of the event loop in ms.
MEASURED = (
    (Load(1_000, 5.0, ends=(15.0, 20.0)), (11.0, 15.0), (1.35, 0.91, 26.6, 5.0, 5.24 / 5, 8.3)),
    (Load(5_000, 5.0, ends=(15.0, 20.0)), (11.0, 15.0), (1.05, 0.65, 23.2, 1.1, 5.75 / 5, 19.1)),
    (Load(10_000, 60.0, ends=(60.0, 80.0)), None, (1.87, math.nan, 21.8, 1.2, 1.04, 6.6)),
)
ROWS = (
    "CPU seconds per 1,000 polls",
    "CPU seconds per 1,000 polls while all wait",
    "memory per wait, KB",
    "new connections per 1,000 polls",
    "job's end to event, p99, intervals",
    "event loop late, p99, ms",
)

#: Measured points of the plot. Waits that polled every 5 s are drawn where as many polls per second are sent by waits
#: that poll every 60 s: 200, and 910 in the busiest second.
MEASURED_CPU: Points = [(12_000, 0.91 * 200 / 10), (54_600, 0.65 * 910 / 10)]
MEASURED_MEMORY: Points = [(load.waits, load.waits * figures[2] / 1000) for load, _, figures in MEASURED]
MEASURED_LATE: Points = [(12_000, 8.3), (54_600, 19.1), (10_000, 6.6)]


def line(cells: Iterable[object]) -> str:
    """Return a line of a Markdown table."""
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def comparison() -> Iterator[str]:
    """Yield the table of measured figures and those of the model."""
    yield line(
        ["", *(f"{load.waits:,}, {load.interval:g} s: {who}" for load, *_ in MEASURED for who in ("measured", "model"))]
    )
    yield line(["---", *["--:"] * 6])
    columns = [column for load, quiet, measured in MEASURED for column in (measured, modelled(load, quiet))]
    for name, digits, *figures in zip(ROWS, (2, 2, 1, 1, 2, 1), *columns, strict=True):
        yield line([name, *("" if math.isnan(figure) else f"{figure:.{digits}f}" for figure in figures)])


def modelled(load: Load, quiet: tuple[float, float] | None) -> tuple[float, ...]:
    """Return the figures of the model in the order of :data:`MEASURED`."""
    whole = simulate(load, 0.0)
    waiting = simulate(load, *quiet) if quiet else None
    per_1k = [1000 * run.cpu / run.polls if run else math.nan for run in (whole, waiting)]
    delay, late = percentile(whole.delays, 0.99) / load.interval, percentile(whole.late, 0.99) * 1000
    return (*per_1k, load.memory_mb() * 1000 / load.waits, whole.connections * 1000 / whole.polls, delay, late)


def rows(load: Load, numbers: Iterable[int]) -> Iterator[tuple[float, ...]]:
    """Simulate three intervals with each number of waits. Yield the figures of the third one."""
    for waits in numbers:
        some = replace(load, waits=waits)
        run = simulate(some, 2 * load.interval, 3 * load.interval)
        rate, late = run.polls / run.seconds, percentile(run.late, 0.99) * 1000
        yield waits, 100 * run.cpu / run.seconds, some.memory_mb(), run.connections, late, waits / rate


def forecast(figures: Iterable[tuple[float, ...]], load: Load) -> Iterator[str]:
    """Yield the table of waits."""
    yield line(["waits", "CPU, %", "memory, MB", "connections", "late, ms", "interval, s", "triggerers"])
    yield line(["--:"] * 7)
    for row in figures:
        cells = [f"{figure:,.{digits}f}" for figure, digits in zip(row, (0, 0, 0, 0, 1, 0), strict=True)]
        yield line([*cells, triggerers(load, int(row[0]))])


def triggerers(load: Load, waits: int) -> int:
    """Return the number of triggerers that *waits* need, and one more, so that one can stop."""
    return math.ceil(waits / min(load.waits_limit())) + 1


def limits(load: Load) -> Iterator[str]:
    """Yield the table of response times."""
    yield line(
        ["response, ms", "most polls per second", "most waits", f"triggerers for {MOST:,}", "slots for a full CPU"]
    )
    yield line(["--:"] * 5)
    for response in RESPONSES:
        some = replace(load, response=response)
        by_slots, by_cpu = some.waits_limit()
        most = round(min(by_slots, by_cpu), -2)
        cells = (f"{1000 * response:.0f}", f"{most / load.interval:,.0f}", f"{most:,.0f}", triggerers(some, MOST))
        yield line([*cells, math.ceil(load.slots * by_cpu / by_slots)])


def plot(models: dict[str, list[tuple[float, ...]]]) -> str:
    """Return the plot of the figures of each model, as SVG."""

    def lines(column: int) -> list[Points]:
        return [[(row[0], row[column]) for row in figures] for figures in models.values()]

    panels = [
        Panel("CPU, % of one core", (0, 25, 50, 75, 100), lines(1), MEASURED_CPU),
        Panel("Memory, MB, without that of an idle triggerer", (0, 500, 1000, 1500, 2000), lines(2), MEASURED_MEMORY),
        Panel("Event loop late, p99, ms", (0, 10, 20, 30, 40, 50), lines(4), MEASURED_LATE),
        Panel("Time between two polls of a job, s", (0, 60, 120, 240, 360, 480, 600), lines(5), []),
    ]
    return svg(panels, models)


def main() -> None:
    """Print Markdown tables, and draw the plot if it is wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="simulate at most 5,000 waits")
    parser.add_argument("--plot", type=Path, help="write the plot to this file")
    parser.add_argument("--interval", type=float, default=60.0, help="poke_interval, in seconds")
    parser.add_argument("--response", type=float, default=0.02, help="response time, in seconds")
    parser.add_argument("--slots", type=int, default=20, help="max_concurrent_requests")
    given = parser.parse_args()
    load, numbers = Load(1, given.interval, given.response, given.slots), WAITS[:3] if given.quick else WAITS
    figures = list(rows(load, numbers))
    tables = (comparison(), forecast(figures, load), limits(load))
    print("\n\n".join("\n".join(table) for table in tables))
    if given.plot:
        others = {
            "response after 100 ms, max_concurrent_requests 20": replace(load, response=0.1),
            "response after 20 ms, max_concurrent_requests 100": replace(load, slots=100),
        }
        models = {"response after 20 ms, max_concurrent_requests 20 (default)": figures}
        given.plot.write_text(plot(models | {name: list(rows(other, numbers)) for name, other in others.items()}))


if __name__ == "__main__":
    main()
