"""The alert rules of the page about waiting, and the mapping that their names come from."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from airflow_provider_hwstatus.hooks import metrics

PAGE = Path(__file__).parents[2] / "docs" / "waiting.md"
MAPPING, RULES = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
COUNTERS = ("polls", "throttles", "transient_errors", "refused_logins")
OUTCOMES = (metrics.SUCCESS, metrics.FAILURE, metrics.TIMEOUT, metrics.UNCLEAR, metrics.ERROR)


def mapped(name):
    """Return the Prometheus metric and labels of a StatsD name, as statsd_exporter maps it: the first match counts."""
    for rule in yaml.safe_load(MAPPING)["mappings"]:
        pattern = re.escape(rule["match"]).replace(r"\*", r"([^.]+)")
        if found := re.fullmatch(pattern, f"airflow.{name}"):
            values = ("", *found.groups())
            filled = {
                key: re.sub(r"\$\{?(\d)\}?", lambda match: values[int(match[1])], text)  # noqa: B023  # used at once
                for key, text in {"": rule["name"], **rule.get("labels", {})}.items()
            }
            return None if rule.get("action") == "drop" else (filled.pop(""), filled)
    raise AssertionError(f"{name} has no mapping")


@pytest.mark.parametrize(
    ("metric", "outcome", "expected"),
    [
        *((metric, "", f"hwstatus_{metric}_total") for metric in COUNTERS),
        *(("ends", outcome, "hwstatus_ends_total") for outcome in OUTCOMES),
        ("wait", "", "hwstatus_wait"),
    ],
)
def test_mapping_gives_each_metric_its_labels(metric, outcome, expected):
    """The name without tags is dropped, as it counts the same events again."""
    (tagged, tags), (plain, _) = metrics._series(metric, "dli_batch", outcome)

    assert mapped(tagged) is None
    assert mapped(plain) == (expected, tags)


def test_each_rule_uses_metrics_that_there_are():
    """And each thing that can go wrong has a rule."""
    known = {f"hwstatus_{metric}_total" for metric in (*COUNTERS, "ends")}
    used, outcomes = set(re.findall(r"hwstatus_\w+", RULES)), set(re.findall(r'outcome="(\w+)"', RULES))

    assert used == known
    assert outcomes == {metrics.TIMEOUT, metrics.UNCLEAR, metrics.ERROR}


#: Series for Prometheus's own test of rules, one value each minute, and the alerts that fire after 40 minutes.
CASES = {
    "HwStatusThrottled": {"throttles_total": "0+2x60", "polls_total": "0+10x60"},
    "HwStatusOutage": {"transient_errors_total": "0+6x60", "polls_total": "0+10x60"},
    "HwStatusLoginRefused": {"refused_logins_total": "_x35 1x25"},  # the first one ever
    "HwStatusTimeout": {'ends_total{outcome="timeout"}': "3x35 4x25"},
    "HwStatusUnclearSubmission": {'ends_total{outcome="unclear"}': "_x35 1x25"},
    "HwStatusError": {'ends_total{outcome="error"}': "_x35 1x25"},
    "": {  # nothing is wrong: some outages and throttles, old errors, jobs that succeed and fail
        "polls_total": "0+100x200",
        "throttles_total": "0+1x200",
        "transient_errors_total": "0+5x200",
        "refused_logins_total": "2x200",
        'ends_total{outcome="error"}': "7x200",
        'ends_total{outcome="success"}': "0+5x200",
        'ends_total{outcome="failure"}': "0+1x200",
    },
}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs Prometheus's promtool")
@pytest.mark.parametrize("alert", CASES)
def test_rules_fire_when_they_should(tmp_path, alert):
    """By Prometheus's own test of rules; in a project where nothing is wrong, no rule fires."""
    (tmp_path / "rules.yaml").write_text(RULES)
    names = [rule["alert"] for rule in yaml.safe_load(RULES)["groups"][0]["rules"]]
    series = [
        {
            "series": "hwstatus_" + re.sub(r"\{|$", '{kind="dli_batch",', name, count=1).rstrip("}") + "}",
            "values": values,
        }
        for name, values in CASES[alert].items()
    ]
    # In the case without alerts, the counters are older than what the rules look back at.
    minute = "40m" if alert else "100m"
    checks = [
        {
            "expr": f'count(ALERTS{{alertstate="firing",alertname="{name}"}})',
            "eval_time": minute,
            "exp_samples": [{"labels": "{}", "value": 1}] if name == alert else [],
        }
        for name in names
    ]
    tests = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m"}
    tests["tests"] = [{"interval": "1m", "input_series": series, "promql_expr_test": checks}]
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(tests))

    for command in (["check", "rules", "rules.yaml"], ["test", "rules", "test.yaml"]):
        done = subprocess.run(["promtool", *command], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
