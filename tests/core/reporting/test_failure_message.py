"""The message of a failed task."""

import pytest

from airflow_provider_hwstatus.core.polling.expected_jobs import rejected
from airflow_provider_hwstatus.core.polling.job_status import JobStatus
from airflow_provider_hwstatus.core.polling.jobs_summary import CompletionRule, JobsSummary
from airflow_provider_hwstatus.core.reporting.failure_message import failure_message, failures_message
from airflow_provider_hwstatus.kinds.cph import CPH_JOB
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH, DLI_SESSION_READY
from airflow_provider_hwstatus.kinds.job_kind import Outcome


def failed(job_id="b1", kind=DLI_BATCH, state="dead", **fields):
    return JobStatus(kind=kind.name, job_id=job_id, state=state, outcome=Outcome.FAILURE, **fields)


def other(job_id, outcome):
    return JobStatus(kind="dli_batch", job_id=job_id, state="x", outcome=outcome)


def summary(*statuses, **fields):
    return JobsSummary(subject="3 DLI batches (b1 and 2 more)", rule=CompletionRule(), statuses=statuses, **fields)


DLI_NEXT = "open the job under Job Management in the DLI console for the driver's log"
CPH_NEXT = "look the error code up in the CPH API reference, and check the phone or server in the CPH console"


def test_message_has_one_fact_a_line():
    """The message has one fact in each line, in a fixed order, and no line for an unknown fact."""
    status = failed(
        error_code="X.1",
        error_message="out of memory",
        name="etl",
        queue="q",
        extra_fields={"phone_id": "p7", "server_id": "s1"},
        begin_time="2025-11-21T02:13:40Z",
        end_time="2025-11-21T02:14:53Z",
        request_id="r1",
        log=("one", "two"),
    )

    assert [
        "DLI batch b1 failed: its state is 'dead'",
        "  error: X.1 out of memory",
        "  name: etl",
        "  queue: q",
        "  phone: p7",
        "  server: s1",
        "  began: 2025-11-21T02:13:40Z",
        "  ended: 2025-11-21T02:14:53Z, after 1 min 13 s",
        "  request id: r1",
        "  no log: HTTP 403",
        f"  next: {DLI_NEXT}",
        "  its last lines of output:",
        "    one",
        "    two",
    ] == failure_message(DLI_BATCH, status, "HTTP 403").splitlines()
    assert f"DLI batch b1 failed: its state is 'dead'\n  next: {DLI_NEXT}" == failure_message(DLI_BATCH, failed())


@pytest.mark.parametrize(
    ("code", "message", "line"),
    [("X.1", None, "error: X.1"), (None, "why", "error: why"), ("", "why", "error: why"), (None, None, "")],
)
def test_error_has_code_and_text(code, message, line):
    """The line of the error has its code, its text or both."""
    lines = failure_message(DLI_BATCH, failed(error_code=code, error_message=message)).splitlines()

    assert ([f"  {line}"] if line else []) == [shown for shown in lines if "error" in shown]


@pytest.mark.parametrize(
    ("kind", "status", "console", "expected"),
    [
        (DLI_BATCH, failed(), None, DLI_NEXT),
        (DLI_BATCH, failed(), "https://c/1", "open https://c/1 for the driver's log"),
        (DLI_SESSION_READY, failed(kind=DLI_SESSION_READY), None, DLI_NEXT),
        (CPH_JOB, failed(kind=CPH_JOB), None, CPH_NEXT),
        (CPH_JOB, failed(kind=CPH_JOB), "https://c/2", CPH_NEXT.replace("the CPH console", "https://c/2")),
        (CPH_JOB, failed(kind=CPH_JOB, error_code="CPS.0005"), None, "check the phone or server in the CPH console"),
        (CPH_JOB, failed(kind=CPH_JOB, error_code="CPS0005"), None, "check the phone or server in the CPH console"),
    ],
)
def test_message_says_where_to_look_next(kind, status, console, expected):
    """The advice is that of the error code, or else names the page in the console."""
    lines = failure_message(kind, status, console=console).splitlines()
    (line,) = [line for line in lines if line.startswith("  next: ")]

    assert f"  next: {expected}" == line


@pytest.mark.parametrize(
    ("began", "ended", "shown"),
    [
        ("2025-11-21T02:13:40Z", "2025-11-21T02:13:40Z", "2025-11-21T02:13:40Z, after 0 s"),
        ("2025-11-21T02:13:40Z", "2025-11-21T02:13:39Z", "2025-11-21T02:13:39Z"),
        (None, "2025-11-21T02:13:39Z", "2025-11-21T02:13:39Z"),
        ("2025-11-21T02:13:40Z", None, None),
    ],
)
def test_duration_is_shown_if_it_is_known(began, ended, shown):
    """The duration is shown if begin and end are known and in order."""
    lines = failure_message(DLI_BATCH, failed(begin_time=began, end_time=ended)).splitlines()

    assert ([f"  ended: {shown}"] if shown else []) == [line for line in lines if "ended" in line]


def test_message_is_bounded():
    """The message has ten lines of output, and each line has 300 characters at most."""
    status = failed(name="a\n b" + "n" * 999, log=tuple(f"{number} " + "x" * 999 for number in range(30)))
    lines = failure_message(DLI_BATCH, status).splitlines()

    assert "  name: a b" + "n" * 296 + "…" == lines[1]
    assert [f"    {number} " + "x" * 296 + "…" for number in range(20, 30)] == lines[-10:]
    assert 14 == len(lines)


def test_message_about_several_counts_them():
    """The message counts the jobs that failed, that succeeded and that are not over."""
    first = failures_message(
        DLI_BATCH, summary(failed(), other("b2", Outcome.SUCCESS), other("b3", Outcome.IN_PROGRESS))
    )
    assert first.startswith(
        "3 DLI batches (b1 and 2 more): 1 of 3 failed, 1 succeeded, 1 not over\n"
        f"  DLI batch b1 failed: its state is 'dead'\n    next: {DLI_NEXT}"
    )
    assert "2 of 2 failed, 0 succeeded\n" in failures_message(DLI_BATCH, summary(failed("b1"), failed("b2")))


def test_first_five_failures_are_shown_in_full():
    """Five failures are shown in full, two hundred more by id, and the rest are counted."""
    lines = failures_message(DLI_BATCH, summary(*[failed(f"b{number}") for number in range(8)])).splitlines()
    assert [f"  DLI batch b{number} failed: its state is 'dead'" for number in range(5)] == lines[1:-1:2]
    assert "  also failed: b5 ('dead'), b6 ('dead'), b7 ('dead')" == lines[-1]
    assert "also" not in failures_message(DLI_BATCH, summary(*[failed(f"b{number}") for number in range(5)]))

    last = failures_message(DLI_BATCH, summary(*[failed(f"b{number}") for number in range(206)])).splitlines()[-1]
    assert last.endswith("b203 ('dead'), b204 ('dead') and 1 more")
    exactly = failures_message(DLI_BATCH, summary(*[failed(f"b{number}") for number in range(205)])).splitlines()[-1]
    assert exactly.endswith("b204 ('dead')")


def test_given_messages_replace_the_first_ones():
    """The given messages are used for the first failures."""
    lines = failures_message(DLI_BATCH, summary(failed("b1"), failed("b2")), ["told\n  at length"]).splitlines()

    assert ["  told", "    at length", "  DLI batch b2 failed: its state is 'dead'"] == lines[1:4]
    assert 1 == sum("told" in line for line in lines)


def test_missing_jobs_are_counted_when_they_are_gone():
    """Missing jobs count as failed only if they will not appear any more."""
    gone = failures_message(DLI_BATCH, summary(other("b1", Outcome.SUCCESS), missing=2, gone=True))
    assert "2 of 3 failed, 1 succeeded\n" in gone
    assert (
        "  expected, and not in the list of jobs: 2 (probably rejected at submission, see the reply to it; or" in gone
    )

    assert "expected" not in failures_message(DLI_BATCH, summary(failed(), missing=2))
    assert "expected" not in failures_message(DLI_BATCH, summary(failed(), gone=True))


def test_rejected_phone_is_shown_like_a_job():
    """A rejected phone has its code, its text and its id in the message."""
    message = failure_message(CPH_JOB, rejected("phone-7", "CPS.0004", "Parameter: phone_id is invalid."))

    assert message.startswith(
        "CPH job (none, phone-7) failed: its state is 'rejected'\n"
        "  error: CPS.0004 Parameter: phone_id is invalid.\n"
        "  next: check the id, and the phones that the job was submitted for"
    )


def test_output_of_many_is_bounded():
    """The message has no more output than the summary keeps."""
    long = ("x" * 1000,) * 50
    message = failures_message(DLI_BATCH, summary(failed("b1", log=long), failed("b2", log=long)))

    assert 10 == message.count("    " + "x" * 299 + "…")
