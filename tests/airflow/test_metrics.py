"""Airflow's metrics and what a wait logs."""

import re
import socket
from contextlib import closing
from functools import partial
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_hwstatus.errors import AuthenticationError, UnclearSubmissionError
from airflow_provider_hwstatus.hooks import metrics
from airflow_provider_hwstatus.operators.cph import CphPhonesOperator
from airflow_provider_hwstatus.operators.dli import DliBatchOperator
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor
from airflow_provider_hwstatus.testing import Fault, Reply

FAST = {"poke_interval": 0.1, "timeout": 30}


class Receiver:
    """Receives the metrics that Airflow's own StatsD logger sends over UDP."""

    def __init__(self, server):
        self._server = server

    def lines(self):
        """Return what has arrived: the lines of StatsD's protocol, without the sampling rate."""
        self._server.setblocking(False)
        received = []
        try:
            while True:
                received.append(self._server.recv(65536).decode())
        except BlockingIOError:
            return received

    def values(self):
        """Return the sum of the values by the name of the metric, with tags; of timers, in milliseconds."""
        sums = {}
        for name, value in re.findall(r"^(\S+):([\d.]+)\|", "\n".join(self.lines()), re.MULTILINE):
            sums[name] = sums.get(name, 0) + float(value)
        return sums


@pytest.fixture
def receive(monkeypatch):
    """Return a function that lets Airflow's StatsD logger write to a receiver, with tags or without."""
    pytest.importorskip("statsd")
    try:
        from airflow.sdk.observability.metrics.statsd_logger import get_statsd_logger
    except ImportError:  # before Airflow 3.2
        from airflow.metrics import statsd_logger

        get_statsd_logger = partial(statsd_logger.get_statsd_logger, None)

    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as server:
        server.bind(("127.0.0.1", 0))
        loggers = []

        def start(tags):
            options = {"HOST": "127.0.0.1", "PORT": server.getsockname()[1], "PREFIX": "airflow"}
            for name, value in {**options, "INFLUXDB_ENABLED": tags}.items():
                monkeypatch.setenv(f"AIRFLOW__METRICS__STATSD_{name}", str(value))
            monkeypatch.setenv("AIRFLOW__METRICS__METRICS_USE_PATTERN_MATCH", "True")  # avoids a warning of Airflow 2
            logger = get_statsd_logger()
            loggers.append(logger)
            for where in ("_stats_of_worker", "_stats_of_triggerer"):
                monkeypatch.setattr(metrics, where, lambda: logger)
            return Receiver(server)

        yield start
        for logger in loggers:
            logger.statsd.close()


@pytest.mark.parametrize("tags", [True, False], ids=["with-tags", "plain"])
def test_polls_and_what_kept_them_from_an_answer(huaweicloud, run_sensor, mode, receive, tags):
    """Each metric is written with tags and with a name for each kind. Plain StatsD drops the tags only."""
    receiver = receive(tags)
    huaweicloud.job("dli_batch", "b1", "running", 503, Reply(status=429), "running", "success")

    assert "success" == run_sensor(DliBatchSensor, mode, batch_id="b1", **FAST).verdict

    values = receiver.values()
    kind, end = (",kind=dli_batch", ",kind=dli_batch,outcome=success") if tags else ("", "")
    times = [values.pop(name) for name in (f"airflow.hwstatus.wait{kind}", "airflow.hwstatus.dli_batch.wait")]
    counts = {"polls": 5, "transient_errors": 1, "throttles": 1}
    assert values == {
        **{f"airflow.hwstatus.{metric}{kind}": count for metric, count in counts.items()},
        **{f"airflow.hwstatus.dli_batch.{metric}": count for metric, count in counts.items()},
        f"airflow.hwstatus.ends{end}": 1,
        "airflow.hwstatus.dli_batch.ends.success": 1,
    }
    assert 200 < times[0] < 20_000
    assert times[0] == times[1]


@pytest.mark.parametrize(
    ("steps", "arguments", "outcome"),
    [
        (["running", "dead"], {"soft_fail": True}, "failure"),
        (["running"], {"timeout": 5}, "timeout"),
        ([404], {}, "error"),
    ],
)
def test_every_end_is_counted_once(huaweicloud, run_sensor, mode, receive, steps, arguments, outcome):
    """By its outcome, also if the task is skipped; Airflow's own counters do not tell these apart."""
    receiver = receive(tags=True)
    huaweicloud.job("dli_batch", "b1", *steps)

    assert "success" != run_sensor(DliBatchSensor, mode, batch_id="b1", **(FAST | arguments)).verdict

    values = receiver.values()
    ends = {name: value for name, value in values.items() if name.startswith("airflow.hwstatus.ends")}
    assert ends == {f"airflow.hwstatus.ends,kind=dli_batch,outcome={outcome}": 1}
    assert ("airflow.hwstatus.wait,kind=dli_batch" in values) == (outcome == "failure")


def test_refused_login_is_counted(huaweicloud, run_sensor, mode, receive):
    """A key that the service refuses ends every wait, so it has a metric of its own."""
    receiver = receive(tags=True)
    huaweicloud.job("dli_batch", "b1", "running")
    huaweicloud.break_with(401, calls=99)

    run_sensor(DliBatchSensor, mode, batch_id="b1", **FAST)

    values = receiver.values()
    assert 1 == values["airflow.hwstatus.refused_logins,kind=dli_batch"]
    assert 1 == values["airflow.hwstatus.ends,kind=dli_batch,outcome=error"]


def test_unclear_submission_is_counted(huaweicloud, receive):
    """It is the one outcome after which somebody has to look whether a job runs."""
    receiver = receive(tags=True)
    huaweicloud.submissions.answers = [Fault.RESET]
    body = {"phones": [{"phone_id": "phone-1"}]}

    with pytest.raises((AirflowFailException, UnclearSubmissionError)):
        CphPhonesOperator(task_id="t", action="restart", body=body).execute(context())

    values = receiver.values()
    assert 1 == values["airflow.hwstatus.ends,kind=cph_job,outcome=unclear"]
    assert "airflow.hwstatus.ends,kind=cph_job,outcome=error" not in values


def test_refused_submission_is_counted(huaweicloud, receive):
    """A task that could not submit its job has ended with an error."""
    receiver = receive(tags=True)
    huaweicloud.break_with(403, path_ends="/batches")

    with pytest.raises(AuthenticationError):
        DliBatchOperator(task_id="t", batch={"file": "obs://acme/etl.jar", "queue": "etl"}).execute(context())

    assert 1 == receiver.values()["airflow.hwstatus.ends,kind=dli_batch,outcome=error"]


def context():
    """Return the context of the first try of a task that submits a job."""
    ti = SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=-1, try_number=1, max_tries=0)
    return {"ti": ti}


def test_names_for_plain_statsd_can_be_switched_off(receive, monkeypatch):
    """As those of Airflow's own metrics."""
    receiver = receive(tags=True)
    monkeypatch.setenv("AIRFLOW__METRICS__LEGACY_NAMES_ON", "False")
    metrics._series.cache_clear()
    try:
        metrics.ended_in_worker("dli_batch", metrics.FAILURE, 2.0)
    finally:
        metrics._series.cache_clear()

    assert receiver.values() == {
        "airflow.hwstatus.ends,kind=dli_batch,outcome=failure": 1,
        "airflow.hwstatus.wait,kind=dli_batch": 2000,
    }


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
