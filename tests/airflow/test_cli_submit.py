"""``submit``, ``list`` and ``logs``: what they send, print and how they end."""

import io
import json
import sys

import pytest

from airflow_provider_hwstatus.testing import Fault, Reply

BODY = {"file": "obs://acme/etl.jar", "name": "nightly", "queue": "etl", "args": ["a-secret-argument"]}
PHONES = {"phones": [{"phone_id": "p1"}, {"phone_id": "p2"}]}


def test_batch_is_submitted_once(huaweicloud, run):
    """The id is printed, and nothing of the body."""
    code, out, err = run("submit", "dli_batch", "--body", json.dumps(BODY))

    (submission,) = huaweicloud.submissions.accepted
    assert (0, f"{submission.job_id}  submitted\n") == (code, out)
    assert BODY == submission.body
    assert "a-secret-argument" not in out + err


def test_body_from_a_file_or_standard_input(huaweicloud, run, tmp_path, monkeypatch):
    """A body in a file stays out of the shell's history."""
    file = tmp_path / "body.json"
    file.write_text(json.dumps(BODY))
    assert 0 == run("submit", "dli_batch", "--body", f"@{file}")[0]
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(BODY)))
    assert 0 == run("submit", "dli_batch", "--body", "@-")[0]

    assert [BODY, BODY] == [submission.body for submission in huaweicloud.submissions.accepted]


def test_wrong_body_is_not_shown(run):
    """JSON that is cut off may hold secrets: only the place of the error is printed."""
    code, out, err = run("submit", "dli_batch", "--body", '{"args": ["a-secret-argument"')

    assert (2, "") == (code, out)
    assert "--body is not JSON: line 1" in err
    assert "a-secret-argument" not in err


@pytest.mark.parametrize("body", ["[" * 100_000, '{"args": [' + "1" * 5000 + "]}"], ids=["deep", "long-number"])
def test_body_that_python_cannot_read(run, body):
    """It is JSON, but beyond Python's limits: no traceback shows it."""
    code, out, err = run("submit", "dli_batch", "--body", body)
    assert (2, "", "error: --body cannot be read: it is nested too deeply, or has a number that is too long\n") == (
        code,
        out,
        err,
    )


def test_submit_and_wait(huaweicloud, run):
    """With ``--wait``, the command ends as ``wait`` does, and shows the id before the first poll."""
    huaweicloud.submissions.steps["dli_batch"] = ("starting", "dead")
    code, out, err = run("submit", "dli_batch", "--body", json.dumps(BODY), "--wait", "--poke-interval", "0.1")

    (submission,) = huaweicloud.submissions.accepted
    assert 1 == code
    assert f"{submission.job_id}  submitted\n" in err
    assert out.startswith(f"DLI batch {submission.job_id} failed: its state is 'dead'\n")


def test_rejected_phone(huaweicloud, run):
    """What CPH rejects in its answer is printed, and counts as a failure, with and without ``--wait``."""
    huaweicloud.submissions.rejected = {"p2"}
    command = ("submit", "cph_job", "--action", "restart", "--body", json.dumps(PHONES))

    code, out, _ = run(*command)
    assert 1 == code
    assert ["submitted", "rejected"] == [line.split("  ")[1] for line in out.splitlines()]
    code, out, _ = run(*command, "--output", "json")
    assert (1, ["rejected"]) == (code, [item["state"] for item in json.loads(out)["rejected"]])
    code, out, _ = run(*command, "--wait", "--poke-interval", "1")
    assert (1, "1 of 2 failed, 1 succeeded" in out) == (code, True)


def test_sql_statement_that_runs_at_once(huaweicloud, run):
    """DLI runs some statements while it answers: there is nothing to wait for."""
    body = json.dumps({"sql": "CREATE TABLE t (a INT)", "queue_name": "sql", "currentdb": "acme"})

    assert 0 == run("submit", "dli_sql_job", "--body", body, "--wait")[0]


def test_unclear_end_says_where_to_look(huaweicloud, run):
    """The job may have been accepted, so nothing is sent again, and the message says how to look."""
    huaweicloud.submissions.answers = [Fault.RESET]
    code, out, _ = run("submit", "dli_batch", "--body", json.dumps(BODY))

    assert (4, 1) == (code, huaweicloud.submissions.count("dli_batch"))
    assert 'next: look for it with: list dli_batch --name "nightly"' in out
    assert 1 == out.count("next:")


def test_answer_with_a_wrong_id(huaweicloud, run):
    """Nothing can be polled with such an id, but there is a job: the end is unclear."""
    huaweicloud.submissions.answers = [Reply(200, body=b'{"id": "../../x?y"}')]
    code, out, _ = run("submit", "dli_batch", "--body", json.dumps(BODY))

    assert (4, 1) == (code, huaweicloud.submissions.count("dli_batch"))
    assert "the answer to the submission has no valid id" in out
    assert 'next: look for it with: list dli_batch --name "nightly"' in out


@pytest.mark.parametrize("option", ["--poke-interval=-1", "--poke-interval=nan", "--timeout=nan", "--timeout=1e99"])
def test_wrong_interval(huaweicloud, run, option):
    """It is found before anything is submitted."""
    assert 2 == run("submit", "dli_batch", "--body", json.dumps(BODY), "--wait", option)[0]
    assert 0 == huaweicloud.submissions.count("dli_batch")


def test_kind_with_parameters(huaweicloud, run, tmp_path, monkeypatch):
    """No wait can follow such a submission, so nothing is submitted."""
    (tmp_path / "own_kinds.py").write_text(
        "from dataclasses import replace\n"
        "from airflow_provider_hwstatus.kinds.dli import DLI_BATCH\n"
        "path = DLI_BATCH.path + '?pool={pool}'\n"
        "POOL_BATCH = replace(DLI_BATCH, name='pool_batch', parameters=('pool',), path=path)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    code, _, err = run("submit", "own_kinds:POOL_BATCH", "--body", json.dumps(BODY))

    assert (2, 0) == (code, huaweicloud.submissions.count("dli_batch"))
    assert "pool is missing" in err


def test_refused_submission(huaweicloud, run):
    """The permission is named."""
    huaweicloud.break_with(403, path_ends="/batches")
    code, out, _ = run("submit", "dli_batch", "--body", json.dumps(BODY), "--output", "json")

    assert 4 == code
    assert "dli:queue:submitJob" in json.loads(out)["error"]["message"]


def listed(out):
    """Return the ids in a printed list."""
    return [line.split()[0] for line in out.splitlines()[1:]]


def test_list_of_batches(huaweicloud, run):
    """The newest are first, and options select by name, state, queue and time, also if the cloud ignores them."""
    huaweicloud.foreign_jobs("dli_batch", 1, "success", age=2 * 86400, name="old")
    (etl,) = huaweicloud.foreign_jobs("dli_batch", 1, "dead", age=60, name="etl-1", queue="etl")
    (other,) = huaweicloud.foreign_jobs("dli_batch", 1, "running", age=30, name="etl-2", queue="q")

    assert [other, etl] == listed(run("list", "dli_batch")[1])
    huaweicloud.batch_list.ignores = {"start", "order", "job_name"}
    for options, expected in (
        (("--name", "etl-*"), [other, etl]),
        (("--name", "etl-1"), [etl]),
        (("--state", "dead"), [etl]),
        (("--queue", "q"), [other]),
        (("--limit", "1"), [other]),
    ):
        assert expected == listed(run("list", "dli_batch", *options)[1])
    _, out, _ = run("list", "dli_batch", "--submitted-after", "2020-01-01", "--output", "json")
    assert ["etl-2", "etl-1", "old"] == [job["name"] for job in json.loads(out)]


def test_list_says_that_there_is_more(huaweicloud, run):
    """Jobs beyond the limit are counted."""
    huaweicloud.foreign_jobs("dli_batch", 3, "running")
    assert "2 more; to see them, raise --limit\n" in run("list", "dli_batch", "--limit", "1")[2]


def test_listed_name_cannot_control_the_terminal(huaweicloud, run):
    """A name is shown escaped if it has control characters."""
    huaweicloud.foreign_jobs("dli_batch", 1, "running", name="a\x1b[2Jb")
    assert "\x1b" not in run("list", "dli_batch")[1]


def test_empty_list(run):
    """It is no error."""
    code, out, err = run("list", "dli_batch")
    assert (0, "") == (code, out)
    assert "No jobs.\n" in err


def test_list_of_a_request(huaweicloud, run):
    """A row for each job."""
    huaweicloud.job("cph_job", "j1", 2, request_id="r1")
    huaweicloud.job("cph_job", "j2", 1, request_id="r1")

    assert ["j1", "j2"] == listed(run("list", "cph_request", "r1")[1])
    assert ["j2"] == listed(run("list", "cph_request", "r1", "--state", "1")[1])
    assert 4 == run("list", "cph_request", "unknown")[0]


def test_unreachable_service_is_one_line(huaweicloud, run, clock):
    """It says what to do, at once."""
    huaweicloud.stop()
    for argv in (
        ("list", "dli_batch"),
        ("logs", "dli_batch", "b1"),
        ("submit", "dli_batch", "--body", json.dumps(BODY)),
    ):
        code, out, _ = run(*argv)
        assert (4, 1) == (code, out.count("\n"))
        assert "Connection refused; next: check the endpoint" in out
    assert 0 == clock.slept


def test_logs(huaweicloud, run):
    """The last lines of the driver's log, of a batch that runs or has ended."""
    huaweicloud.job("dli_batch", "b1", "running", log=[f"line {number}" for number in range(120)])
    code, out, _ = run("logs", "dli_batch", "b1")
    assert (0, "line 119") == (code, out.splitlines()[-1])

    code, out, _ = run("logs", "dli_batch", "b1", "--output", "json")
    assert "line 119" == json.loads(out)["log"][-1]


def test_region_without_logs(huaweicloud, run):
    """Newer regions have no API for logs: the reason is printed, not an empty log."""
    huaweicloud.unpublish("log")
    huaweicloud.job("dli_session_ready", "s1", "idle")
    code, out, err = run("logs", "dli_session_ready", "s1")

    assert (4, "") == (code, out)
    assert "DLI session s1: no log: HTTP 404 APIGW.0101 The API does not exist" in err


def test_kind_without_logs(huaweicloud, run):
    """It is said so."""
    huaweicloud.break_with(Reply(200, {"job": {"id": "x", "status": "Running"}}), path_contains="/jobs")
    assert "RDS task x: no log: jobs of this kind have none\n" in run("logs", "rds_job", "x")[2]
