"""What Airflow's metrics and logs are told."""

import re

import pytest

from airflow_provider_hwstatus.hooks import metrics
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor
from airflow_provider_hwstatus.testing import Reply

FAST = {"poke_interval": 0.1, "timeout": 30}


class Recorder:
    def __init__(self):
        self.counted = []
        self.timed = {}

    def incr(self, name):
        self.counted.append(name)

    def timing(self, name, duration):
        self.timed[name] = duration.total_seconds()


@pytest.fixture
def recorder(monkeypatch):
    """Whoever is told instead of Airflow's metrics."""
    recorder = Recorder()
    for where in ("_stats_of_worker", "_stats_of_triggerer"):
        monkeypatch.setattr(metrics, where, lambda: recorder)
    return recorder


def test_polls_and_what_kept_them_from_an_answer(huaweicloud, run_sensor, mode, recorder):
    """By kind of job; how long the wait took is told once, when it has ended."""
    huaweicloud.job("dli_batch", "b1", "running", 503, Reply(status=429), "running", "success")

    assert "success" == run_sensor(DliBatchSensor, mode, batch_id="b1", **FAST).verdict

    assert 5 == recorder.counted.count("hwstatus.dli_batch.polls")
    assert 1 == recorder.counted.count("hwstatus.dli_batch.transient_errors")
    assert 1 == recorder.counted.count("hwstatus.dli_batch.throttles")
    assert ["hwstatus.dli_batch.wait"] == list(recorder.timed)
    assert 0.2 < recorder.timed["hwstatus.dli_batch.wait"] < 20


def test_metrics_are_those_that_airflow_has_set_up():
    """In tasks and in triggerers: Airflow 3.2 and newer have two copies, and the other one tells nobody."""
    from airflow.jobs import triggerer_job_runner

    used = getattr(triggerer_job_runner, "stats", None) or triggerer_job_runner.Stats
    assert used.incr == metrics._stats_of_triggerer().incr
    try:
        from airflow.sdk.execution_time import task_runner
    except ImportError:  # Airflow 2
        return
    used = getattr(task_runner, "stats", None) or getattr(task_runner, "Stats", None)
    if used is None:  # Airflow 3.0, where tasks count with the server's
        from airflow.stats import Stats

        used = Stats
    assert used.incr == metrics._stats_of_worker().incr


def test_log_says_until_when_and_after_how_long(huaweicloud, run_sensor, capfd, caplog):
    """At the begin, in the worker's log and the triggerer's; and what the trigger did, when the task resumes."""
    huaweicloud.job("dli_batch", "b1", "running", "running", "success")
    with caplog.at_level("INFO"):
        run_sensor(DliBatchSensor, "deferrable", batch_id="b1", **FAST)

    triggerer = "\n".join(one.getMessage() for one in caplog.records if one.name.endswith("triggers.job_status"))
    worker = caplog.text + re.sub(r"\x1b\[[0-9;]*m", "", "".join(capfd.readouterr()))
    begin = (
        r"DLI batch b1: state 'running' \(in progress\); waiting until \d{4}-[\dT:-]+Z at most, polling every 0\.1 s"
    )
    assert re.search(begin, triggerer), triggerer
    assert re.search(begin, worker.replace(triggerer, "")), worker
    assert re.search(r"DLI batch b1: resumed after \d s and 2 polls by the trigger", worker), worker
