"""The scenarios. Each yields tables with figures and the goals of this package."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass

from contestants import CONTESTANTS, PEERS
from job_server import ServerOptions
from tables import Figures, Goal, Row, Table

from airflow_provider_hwstatus.get_provider_info import get_provider_info

#: Latency of the server in seconds, as of an API nearby.
LATENCY = 0.02

NONE = Goal(0)

#: The contestant that does not poll every job, so its cost per poll means nothing.
BY_LIST = "ours, by list"


@dataclass(frozen=True, kw_only=True)
class Size:
    """
    The size of the scenarios.

    :param steady: Number of waits, and whether to use TLS, in each run of the first scenario.
    :param few: Number of waits in a small scenario.
    :param many: Number of waits in a larger scenario.
    :param most: Number of waits in the largest scenario.
    :param interval: Seconds between two polls.
    :param long: Seconds between two polls in the largest scenario.
    :param ends: When the first and the last job end, in intervals.
    :param patience: Seconds after the last job's end after which a wait counts as lost.
    :param pokes: Number of pokes per round.
    :param repeats: Number of rounds of pokes, and of imports.
    :param alone: Whether programs run one at a time. Otherwise several run at once and the figures are wrong.
    """

    steady: tuple[tuple[int, bool], ...]
    few: int
    many: int
    most: int
    interval: float
    long: float
    ends: tuple[float, float]
    patience: float
    pokes: int
    repeats: int
    alone: bool


FULL = Size(
    steady=((1_000, False), (1_000, True), (5_000, True)),
    few=1_000,
    many=5_000,
    most=10_000,
    interval=5.0,
    long=60.0,
    ends=(3.0, 4.0),
    patience=240.0,
    pokes=200,
    repeats=5,
    alone=True,
)
QUICK = Size(
    steady=((50, True),),
    few=50,
    many=100,
    most=100,
    interval=1.0,
    long=2.0,
    ends=(4.0, 5.0),
    patience=60.0,
    pokes=10,
    repeats=1,
    alone=False,
)


@dataclass(frozen=True)
class Lab:
    """
    Runs measurements for scenarios.

    :param run: Runs a program for each item of work and returns the figures of each.
    :param certificate: Path of the server's certificate.
    """

    size: Size
    run: Callable[[str, Mapping[str, Figures]], dict[str, Figures]]
    certificate: str

    def server_options(self, tls: bool = True, **faults: object) -> Figures:
        """Return the server's options."""
        return asdict(ServerOptions(certificate=self.certificate if tls else None, **faults))  # type: ignore[arg-type]

    def waits(self, names: Iterable[str], count: int, tls: bool = True, **work: object) -> dict[str, Figures]:
        """Let each contestant wait for *count* jobs. Return the figures."""
        interval = self.size.interval
        defaults = {
            "count": count,
            "interval": interval,
            "ramp": interval,
            "ends": [share * interval for share in self.size.ends],
            "patience": self.size.patience,
            "server_options": self.server_options(tls, latency=LATENCY),
        }
        return _compared(self.run("waits.py", {name: defaults | work | {"contestant": name} for name in names}))


def _compared(columns: dict[str, Figures]) -> dict[str, Figures]:
    """Add figures that compare two columns."""
    bare, trigger = (columns.get(name, {}) for name in ("bare", "bare_trigger"))
    for figures in columns.values():
        if "cpu_s_per_1k" in figures and "cpu_s_per_1k" in bare:
            figures["cpu_over_bare"] = figures["cpu_s_per_1k"] / bare["cpu_s_per_1k"]
        if "memory_kb" in figures and "memory_kb" in trigger:
            figures["memory_above_kb"] = figures["memory_kb"] - trigger["memory_kb"]
    return columns


def _notes(columns: Mapping[str, Figures]) -> list[str]:
    skipped = [f"Skipped: {name}, {figures['skipped']}." for name, figures in columns.items() if "skipped" in figures]
    errors = [
        f"{name}: {count} × `{error}`"
        for name, figures in columns.items()
        for error, count in figures.get("errors", [])
    ]
    return skipped + errors


_VERDICTS = [Row("failed waits", "failed", 0, NONE), Row("lost waits", "lost", 0, NONE)]
_OTHERS = Row("share of the processor that others took, %", "others_percent", 0)


def steady(lab: Lab) -> Iterator[Table]:
    """Many waits that start one after the other and poll every 5 seconds."""
    for count, tls in lab.size.steady:
        columns = lab.waits([name for name in CONTESTANTS if name != BY_LIST], count, tls)
        rows = [
            Row("CPU seconds per 1,000 polls", "cpu_s_per_1k", 2),
            Row("× bare", "cpu_over_bare", 2, Goal(1.25) if tls else None),
            Row("CPU seconds per 1,000 polls while all wait", "quiet_cpu_s_per_1k", 2),
            Row("new connections per 1,000 polls", "connections_per_1k", 1, Goal(10, below=True)),
            Row("memory per wait, KB", "memory_kb"),
            Row("above bare_trigger, KB", "memory_above_kb"),
            Row("job's end to event, median, s", "delay_p50_s", 2),
            Row("p99, s", "delay_p99_s", 2),
            Row("longest, s", "delay_max_s", 2),
            Row("event loop late, p99, ms", "lag_p99_ms"),
            Row("longest, ms", "lag_max_ms", 0),
            Row("log lines per poll that finds nothing new", "lines_per_quiet_poll", 2, NONE),
            Row("log lines per wait", "lines_per_wait"),
            Row("requests in the busiest second, × mean", "peak_over_mean", 2),
            *_VERDICTS,
            _OTHERS,
        ]
        title = f"{count:,} waits, every {lab.size.interval:g} s, {'with' if tls else 'without'} TLS"
        yield Table(title, columns, rows, notes=_notes(columns))


def batch_list(lab: Lab) -> Iterator[Table]:
    """The list of DLI batches instead of polls, while all jobs run."""
    interval, count = lab.size.interval, lab.size.few
    ends = [2 * share * interval for share in lab.size.ends]
    columns = lab.waits(["bare_trigger", "ours", BY_LIST], count, ends=ends)
    polled = columns["ours"].get("quiet_cpu_percent", 0.0)
    rows = [
        Row("requests per interval while all wait", "requests_per_interval", 1, Goal(15)),
        Row("CPU use while all wait, % of one CPU", "quiet_cpu_percent", 2, Goal(polled / 10, name="a tenth of ours")),
        Row("CPU seconds from the first start to the last end", "cpu_s", 2),
        Row("memory per wait, KB", "memory_kb"),
        Row("job's end to event, median, s", "delay_p50_s", 2),
        Row("p99, s", "delay_p99_s", 2),
        Row("longest, s", "delay_max_s", 2),
        Row("event loop late, longest, ms", "lag_max_ms", 0),
        *_VERDICTS,
        _OTHERS,
    ]
    title = f"{count:,} waits, every {interval:g} s, with TLS, by the list of batches"
    yield Table(title, columns, rows, judged=(BY_LIST,), notes=_notes(columns))


def minute(lab: Lab) -> Iterator[Table]:
    """Ten times the default capacity of a triggerer, with one poll per minute."""
    interval, count = lab.size.long, lab.size.most
    columns = lab.waits(
        ["bare_trigger", "ours"], count, interval=interval, ramp=interval, ends=[interval, interval * 4 / 3]
    )
    for figures in columns.values():
        if "delay_p99_s" in figures:
            figures["delay_p99"] = figures["delay_p99_s"] / interval
            figures["delay_max"] = figures["delay_max_s"] / interval
    rows = [
        Row("CPU seconds per 1,000 polls", "cpu_s_per_1k", 2),
        Row("new connections per 1,000 polls", "connections_per_1k", 1, Goal(10, below=True)),
        Row("memory per wait, KB", "memory_kb"),
        Row("above bare_trigger, KB", "memory_above_kb", 1, Goal(4)),
        Row("job's end to event, p99, intervals", "delay_p99", 2, Goal(1.2)),
        Row("longest, intervals", "delay_max", 2),
        Row("event loop late, p99, ms", "lag_p99_ms", 1, Goal(25, below=True)),
        Row("longest, ms", "lag_max_ms", 0),
        *_VERDICTS,
        _OTHERS,
    ]
    yield Table(f"{count:,} waits, every {interval:g} s, with TLS", columns, rows, notes=_notes(columns))


def herd(lab: Lab) -> Iterator[Table]:
    """Many waits that start at once, as when a triggerer takes over the triggers of another."""
    interval, count = lab.size.interval, lab.size.many
    columns = lab.waits(["bare_trigger", "ours"], count, ramp=0.0, ends=[interval * 2, interval * 3])
    longest = columns["bare_trigger"].get("lag_max_ms", 0.0)
    rows = [
        Row("requests in the busiest second of the first interval, × mean", "first_peak_over_mean", 2, Goal(2)),
        Row("event loop late, longest, ms", "lag_max_ms", 0, Goal(longest, name="bare_trigger's")),
        Row("new connections per 1,000 polls", "connections_per_1k", 1),
        Row("job's end to event, p99, s", "delay_p99_s", 2),
        *_VERDICTS,
        _OTHERS,
    ]
    title = f"{count:,} waits that start at once, every {interval:g} s, with TLS"
    yield Table(title, columns, rows, notes=_notes(columns))


def faults(lab: Lab) -> Iterator[Table]:
    """Faults of the cloud."""
    interval, count = lab.size.interval, lab.size.few
    limit = max(int(count / interval / 10), 1)
    cases: dict[str, Figures] = {
        "1 % 503, 0.5 % resets": {"errors": 0.01, "resets": 0.005},
        f"{2 * interval:g} s outage": {"outage": (2 * interval, 4 * interval)},
        f"429 above {limit} requests/s": {"limit": limit},
    }
    defaults = {
        "contestant": "ours",
        "count": count,
        "interval": interval,
        "ramp": interval,
        "ends": [2 * interval, 5 * interval],
        "patience": lab.size.patience,
    }
    works = {
        name: defaults | {"server_options": lab.server_options(latency=LATENCY, **case)} for name, case in cases.items()
    }
    columns = lab.run("waits.py", works)
    for figures in columns.values():
        statuses = {"reset" if status == "0" else status: n for status, n in figures.get("statuses", {}).items()}
        figures["answers"] = [f"{status}: {n:,}" for status, n in sorted(statuses.items())]
    rows = [
        *_VERDICTS,
        Row("answers", "answers"),
        Row("job's end to event, median, s", "delay_p50_s"),
        Row("longest, s", "delay_max_s"),
        Row("requests in the busiest second, × mean", "peak_over_mean", 2),
        Row("log lines per wait", "lines_per_wait"),
        _OTHERS,
    ]
    title = f"{count:,} waits, every {interval:g} s, with TLS, and faults"
    yield Table(title, columns, rows, judged=tuple(columns), notes=_notes(columns))


def pokes(lab: Lab) -> Iterator[Table]:
    """A wait in ``poke`` mode."""
    cases = {
        "plain": (0.0, lab.server_options(tls=False)),
        "TLS": (0.0, lab.server_options()),
        "TLS, closed when idle": (0.02, lab.server_options(idle=0.0)),
    }
    works = {
        f"{name}: {who}": {
            "ours": who == "ours",
            "count": lab.size.pokes // (5 if pause else 1),
            "rounds": lab.size.repeats,
            "pause": pause,
            "server_options": server_options,
        }
        for name, (pause, server_options) in cases.items()
        for who in ("bare", "ours")
    }
    columns = lab.run("pokes.py", works)
    for name, figures in columns.items():
        case = name.rpartition(":")[0]
        bare = columns[f"{case}: bare"]
        if "cpu_ms" in figures and "cpu_ms" in bare:
            figures["cpu_over_bare"] = figures["cpu_ms"] / bare["cpu_ms"]
        if "connections" in figures and not works[name]["pause"]:
            figures["kept_connections"] = figures["connections"]
    for kept in (True, False):
        count = lab.size.pokes * lab.size.repeats // (1 if kept else 5)
        shown = {name: figures for name, figures in columns.items() if kept == (not works[name]["pause"])}
        connections = Row("connections per wait", "connections", 0, Goal(1) if kept else None)
        rows = [
            Row("CPU per poke, ms", "cpu_ms", 2),
            Row("× bare", "cpu_over_bare", 2, Goal(1.2)),
            connections,
            Row("TLS settings made after the second poke", "contexts", 0, NONE),
        ]
        where = "of a server that keeps connections" if kept else "of a server that closes idle connections"
        judged = tuple(name for name in shown if name.endswith("ours"))
        yield Table(f"{count:,} pokes in one wait, {where}", shown, rows, judged)


def imports(lab: Lab) -> Iterator[Table]:
    """The cost of importing a sensor in a DAG file."""
    ours = [module for sensor in get_provider_info()["sensors"] for module in sensor["python-modules"]]
    peers = ["airflow.providers.apache.livy.sensors.livy", "airflow.providers.http.sensors.http"]
    columns = {}
    for module in ours + peers:
        work = {"module": module, "peer": module in peers}
        runs = lab.run("imports.py", {f"{module} {run}": work for run in range(lab.size.repeats)})
        columns[module.removeprefix("airflow.providers.")] = _median_import(list(runs.values()))
    judged = tuple(module for module in columns if module in ours)
    rows = [
        Row("ms above `import airflow` and `BaseSensorOperator`", "ms", 0, Goal(60)),
        Row("modules", "modules", 0),
        Row("of them `aiohttp`, `requests`", "heavy", 0, Goal(0, name="none")),
    ]
    yield Table("Importing a sensor", columns, rows, judged, _notes(columns))


def _median_import(found: list[Figures]) -> Figures:
    if failed := [figures for figures in found if "ms" not in figures]:
        return failed[0]
    middle = {name: statistics.median(figures[name] for figures in found) for name in ("ms", "modules")}
    return middle | {"heavy": found[0]["heavy"]}


SCENARIOS = {scenario.__name__: scenario for scenario in (steady, batch_list, minute, herd, faults, pokes, imports)}

#: Contestants whose waits must all succeed. A peer's failures are only shown.
MUST_SUCCEED = tuple(name for name in CONTESTANTS if name not in PEERS)
