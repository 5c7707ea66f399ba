"""``cancel``: what it does and how it ends."""

import json

ID = "0a324461-d9d9-45da-a52a-3b3c7a3d809e"
OTHER = "46a8f0b7-3e5c-4d12-9f68-c7b1d2e09a35"


def test_jobs_are_cancelled(huaweicloud, run):
    """A running job is cancelled; one that has ended is shown as it is."""
    huaweicloud.job("dli_batch", ID, "running")
    huaweicloud.job("dli_batch", OTHER, "success")

    code, out, _ = run("cancel", "dli_batch", ID, OTHER)

    assert (0, [ID]) == (code, huaweicloud.submissions.cancelled)
    assert [f"{ID}  dead  (failure)", f"{OTHER}  success  (success)"] == out.splitlines()


def test_job_that_cannot_be_cancelled_is_an_error(huaweicloud, run):
    """The other jobs are cancelled nevertheless."""
    huaweicloud.job("dli_batch", ID, "running")

    code, out, _ = run("cancel", "dli_batch", OTHER, ID, "--output", "json")

    assert (4, [ID]) == (code, huaweicloud.submissions.cancelled)
    assert "does not exist" in json.loads(out)[0]["error"]["message"]


def test_kind_that_cannot_be_cancelled(huaweicloud, run):
    """CPH has no call that cancels."""
    code, out, _ = run("cancel", "cph_job", "j1")

    assert 4 == code
    assert "CPH job cannot be cancelled" in out
    assert [] == huaweicloud.requests


def test_forbidden_cancellation_names_the_permission(huaweicloud, run):
    """Cancelling needs another permission than waiting."""
    huaweicloud.job("dli_batch", ID, "running")
    huaweicloud.break_with(403)

    assert "dli:queue:cancelJob" in run("cancel", "dli_batch", ID)[1]


def test_unreachable_service_is_reported_soon(huaweicloud, run, clock):
    """A person waits at the terminal, so the request is repeated for seconds only, and the message is one line."""
    huaweicloud.stop()
    code, out, _ = run("cancel", "dli_batch", ID)

    assert (4, 1) == (code, out.count("\n"))
    assert clock.slept < 10
