"""The model of a triggerer with many waits."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from airflow_provider_hwstatus.core.connection.settings import DEFAULT_MAX_CONCURRENT_REQUESTS
from airflow_provider_hwstatus.core.polling import wait
from airflow_provider_hwstatus.transports import sleeping
from airflow_provider_hwstatus.triggers import job_status

FOLDER = Path(__file__).parent
SCALE = (FOLDER.parents[1] / "docs" / "scale.md").read_text()


@pytest.fixture(scope="module")
def scale_model():
    """Return the program as a module."""
    names = ("event_loop_model", "scale_plot", "scale_model")
    sys.path.insert(0, str(FOLDER))
    try:
        yield __import__("scale_model")
    finally:
        sys.path.remove(str(FOLDER))
        for name in names:
            sys.modules.pop(name, None)


@pytest.fixture
def simulated(scale_model):
    """Return a function that simulates a load after two intervals, and returns its polls per second and its CPU."""

    def simulated(load, seconds):
        run = scale_model.simulate(load, 2 * load.interval, 2 * load.interval + seconds)
        return run.polls / run.seconds, run.cpu / run.seconds

    return simulated


def test_model_has_the_constants_of_the_package(scale_model):
    """The program needs only Python, so it repeats them."""
    model = sys.modules["event_loop_model"]

    assert sleeping._TICK == model.TICK
    assert wait._JITTER == model.JITTER
    assert job_status._GOLDEN_RATIO == model.GOLDEN_RATIO
    assert scale_model.Load(1).slots == DEFAULT_MAX_CONCURRENT_REQUESTS


def test_cpu_agrees_with_the_formula(scale_model, simulated):
    """With enough slots, each wait polls once per interval and half a tick, and the CPU is that of the formula."""
    for waits in (300, 1_000, 3_000):
        load = scale_model.Load(waits, interval=10.0)

        rate, cpu = simulated(load, 240.0)

        assert waits / (10 + 0.025 + load.response) == pytest.approx(rate, rel=0.02)
        assert load.cpu(rate) == pytest.approx(cpu, rel=0.01)


@pytest.mark.parametrize("response", [0.02, 0.1])
def test_slots_limit_polls(scale_model, simulated, response):
    """With too few slots, polls use all of them all the time."""
    load = scale_model.Load(6_000, interval=5.0, response=response, slots=10)
    most, _ = load.waits_limit()

    rate, cpu = simulated(load, 20.0)

    assert cpu < 0.5
    assert most < load.waits
    assert 0.96 * most / load.interval < rate <= 1.002 * most / load.interval


def test_cpu_limits_polls(scale_model, simulated):
    """With enough slots, more waits than the CPU can poll use all of it."""
    load = scale_model.Load(12_000, interval=5.0, slots=100, job=60.0)
    by_slots, most = load.waits_limit()

    rate, cpu = simulated(load, 5.0)

    assert most < load.waits < by_slots
    assert cpu == pytest.approx(1.0, abs=0.01)
    assert load.cpu(rate) == pytest.approx(1.0, abs=0.02)


def test_waits_at_the_limit_use_the_whole_cpu(scale_model):
    """Both formulas of the CPU agree."""
    most = scale_model.Load(1, slots=1_000).waits_limit()[1]

    assert scale_model.Load(round(most)).cpu(most / 60) == pytest.approx(1.0, abs=0.001)


def test_model_agrees_with_measured_figures(scale_model):
    """All figures are within 12 %, but for the delay of the event loop, which other programs add to."""
    for load, quiet, measured in scale_model.MEASURED:
        *model, late = scale_model.modelled(load, quiet)

        assert measured[:-1] == pytest.approx(model, rel=0.12, nan_ok=True)
        assert 0.3 * measured[-1] < late < measured[-1]


def test_measured_figures_are_those_of_the_page(scale_model):
    """The program repeats figures of the column "ours" of three tables."""
    for load, _, measured in scale_model.MEASURED:
        title = rf"### {load.waits:,} waits, every {load.interval:g} s, with TLS\n"
        lines = re.search(rf"{title}(.*?)\n###", SCALE, re.DOTALL)[1].splitlines()
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line]
        ours = {row[0]: row[cells[0].index("ours")] for row in cells}
        late = ours["event loop late, p99, ms"]
        delay = ours.get("job's end to event, p99, intervals") or float(ours["p99, s"]) / load.interval
        names = ("CPU seconds per 1,000 polls", "CPU seconds per 1,000 polls while all wait", "memory per wait, KB")
        figures = [ours.get(name, "nan") for name in (*names, "new connections per 1,000 polls")]

        assert measured == pytest.approx([float(figure) for figure in (*figures, delay, late)], nan_ok=True)


def test_program(tmp_path):
    """The program prints the tables of the page, one of them without its last rows, and draws four diagrams."""
    program, plot = FOLDER / "scale_model.py", tmp_path / "plot.svg"

    done = subprocess.run(
        [sys.executable, program, "--quick", "--plot", plot], capture_output=True, text=True, check=True
    )

    comparison, forecast, limits = done.stdout.strip().split("\n\n")
    assert comparison in SCALE
    assert forecast in SCALE
    assert limits in SCALE
    assert "5,000" == forecast.splitlines()[-1].split()[1]
    root = ET.fromstring(plot.read_text())  # noqa: S314  # it is ours
    assert 4 * 3 + 3 == len(root.findall("{*}polyline"))
    assert 2 + 3 + 3 + 1 == len(root.findall("{*}circle"))
