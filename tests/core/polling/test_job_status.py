"""How a reply is read."""

import contextlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hwstatus.core.polling.job_status import JobStatus, read_status, status_request, with_details
from airflow_provider_hwstatus.core.protocol.effects import Response
from airflow_provider_hwstatus.core.protocol.redaction import Redactor
from airflow_provider_hwstatus.errors import HwStatusError, MalformedResponseError
from airflow_provider_hwstatus.kinds import KINDS
from airflow_provider_hwstatus.kinds.cph import CPH_JOB
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH
from airflow_provider_hwstatus.kinds.job_kind import Outcome

SAMPLES = sorted(Path(__file__).parents[2].glob("samples/*/*/*.json"))
NOW = datetime(2026, 11, 21, tzinfo=UTC).timestamp()


def read(body, kind=DLI_BATCH, job_id="b1", status=200, headers=(), redact=None):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_status(kind, job_id, Response(status, dict(headers), raw), redact or Redactor(), NOW)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: "-".join(path.with_suffix("").parts[-3:]))
def test_documented_reply_has_its_documented_outcome(sample):
    """A reply from the API reference means what the reference says that it means."""
    kind, outcome, state = sample.with_suffix("").parts[-3:]
    body = json.loads(sample.read_text())

    status = read(body, KINDS[kind], body.get("id") or body["job_id"])

    assert (outcome, state) == (status.outcome.value, status.state)


def test_every_state_in_the_table_has_a_sample():
    """No state is in the table without a document that says what it means."""
    listed = {(kind.name, state) for kind in KINDS.values() for state in kind.states}
    sampled = {(path.parts[-3], path.stem.lower()) for path in SAMPLES}

    assert set() == listed - sampled


@pytest.mark.parametrize("state", ["SUCCESS", "Success", "sUcCeSs"])
def test_letter_case_does_not_matter(state):
    """The vendor's tables and examples differ in letter case, so it says nothing."""
    assert Outcome.SUCCESS is read({"id": "b1", "state": state}).outcome


def test_only_ascii_letters_are_folded():
    """No letter of another script makes a listed state."""
    assert Outcome.UNKNOWN is read({"state": "ſuccess"}).outcome
    assert Outcome.UNKNOWN is read({"state": "\u212aILLED"}).outcome


@pytest.mark.parametrize("body", [{}, {"state": None}, {"id": "b1"}])
def test_missing_state_is_unknown(body):
    """A reply without a state is never a success."""
    status = read(body)

    assert (Outcome.UNKNOWN, "") == (status.outcome, status.state)


@pytest.mark.parametrize(("state", "kind"), [(2, DLI_BATCH), (0, CPH_JOB), (3, CPH_JOB), (2.5, CPH_JOB), ("", CPH_JOB)])
def test_unlisted_number_or_text_is_unknown(state, kind):
    """A state that no table lists is unknown, of whichever type."""
    assert Outcome.UNKNOWN is read({kind.state_field: state}, kind).outcome


def test_cph_number_may_come_as_text():
    """A status in quotes is the same status."""
    assert Outcome.SUCCESS is read({"status": "2"}, CPH_JOB).outcome


@pytest.mark.parametrize("state", [True, False, [], ["success"], {"state": "success"}])
def test_state_of_another_type_is_malformed(state):
    """An object, a list or a boolean is no state, whatever is in it."""
    with pytest.raises(MalformedResponseError, match="state is a JSON"):
        read({"state": state})


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b'"success"', b"<html>success</html>", b'{"state": "success"', b"[" * 100_000, b"\xff"],
)
def test_body_that_is_no_json_object_is_malformed(body):
    """Half a reply, another type and a proxy's page are errors, never a success."""
    with pytest.raises(MalformedResponseError):
        read(body)


def test_reply_about_another_job_is_malformed():
    """A cache or proxy that mixes replies up cannot end a wait."""
    with pytest.raises(MalformedResponseError, match="about another job: 'b2'"):
        read({"id": "b2", "state": "success"})


def test_facts_of_a_failed_cph_job_are_kept():
    """Code, text, times, request id and output are read as far as the reply has them."""
    body = {
        "request_id": "req-1",
        "job_id": "j1",
        "begin_time": "2019-04-26T07:00:00Z",
        "end_time": "2019-04-26T15:00:06+08:00",
        "status": -1,
        "error_code": "CPS.0005",
        "error_msg": "out of reach",
        "execute_msg": "line 1\nline 2",
    }

    expected = JobStatus(
        kind="cph_job",
        job_id="j1",
        state="-1",
        outcome=Outcome.FAILURE,
        error_code="CPS.0005",
        error_message="out of reach",
        begin_time="2019-04-26T07:00:00Z",
        end_time="2019-04-26T07:00:06Z",
        request_id="req-1",
        log=("line 1", "line 2"),
    )
    assert expected == read(body, CPH_JOB, "j1")


def test_request_id_of_the_header_wins():
    """The header's request id names this very reply; a body's may name the submission."""
    assert "h" == read({"state": "dead", "request_id": "b"}, headers={"x-request-id": "h"}).request_id


def test_milliseconds_become_iso_times():
    """DLI counts milliseconds; users read times. The time of the last change is the end only of what is over."""
    body = {"state": "dead", "create_time": 1532597395000, "update_time": 1532597399000}

    assert ("2018-07-26T09:29:55Z", "2018-07-26T09:29:59Z") == (read(body).begin_time, read(body).end_time)
    assert read(body | {"state": "running"}).end_time is None


def test_secret_in_the_reply_is_not_shown_but_read():
    """An echoed secret is hidden wherever it is shown, and hiding it cannot change the outcome."""
    redact = Redactor(["success", "S3cret/+ key"])

    status = read({"state": "success", "error_msg": "key S3cret/+ key", "log": ["S3cret%2F%2B%20key"]}, redact=redact)

    assert Outcome.SUCCESS is status.outcome
    assert ("***", "key ***", ("***",)) == (status.state, status.error_message, status.log)


def test_what_no_log_or_database_takes_is_replaced():
    """Half a surrogate pair, as a service leaves that cuts text, and NUL would fail a task that went well."""
    body = {"state": "success", "error_msg": "\ud83d", "log": ["a\0b", "\ud83d broken"], "error_code": "\ud83d"}
    shown = json.dumps(read(json.dumps(body).encode()).to_dict(), ensure_ascii=False)

    assert shown.encode()
    assert "\\u0000" not in shown
    assert Outcome.UNKNOWN is read(b'{"state": "\\ud800"}').outcome


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(
    kind=st.sampled_from(list(KINDS.values())),
    body=st.dictionaries(
        st.sampled_from(["state", "status", "log", "error_code", "begin_time", "update_time", "x"]), json_values
    ),
)
def test_success_is_listed_never_inferred(kind, body):
    """Whatever the reply is: it is a success only if its state is a listed one."""
    try:
        status = read(body, kind)
    except HwStatusError:
        return

    listed = str(body.get(kind.state_field)).lower() in kind.success
    assert (status.outcome is Outcome.SUCCESS) == listed
    assert status == JobStatus.from_dict(json.loads(json.dumps(status.to_dict())))


@given(st.binary(max_size=200), st.integers(100, 599))
def test_no_reply_raises_anything_else(body, status):
    """Bytes of any kind are a status or an error of ours."""
    with contextlib.suppress(HwStatusError):
        read(body, status=status)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"kind": "dli_batch", "job_id": "b", "state": "success"},
        {"kind": "dli_batch", "job_id": "b", "state": "success", "outcome": "fine"},
        {"kind": "dli_batch", "job_id": 1, "state": "success", "outcome": "success"},
        {"kind": "dli_batch", "job_id": "b", "state": "success", "outcome": "success", "log": "text"},
    ],
)
def test_junk_is_no_status(fields):
    """What an event must have is not made up."""
    with pytest.raises(ValueError, match="not a job status"):
        JobStatus.from_dict(fields)


def test_id_becomes_one_path_segment():
    """What stands in an id cannot change the path."""
    request = status_request(DLI_BATCH, "https://dli.example.com", "p1", "a/../b?c#d")

    assert "https://dli.example.com/v2.0/p1/batches/a%2F..%2Fb%3Fc%23d/state" == request.url


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["id", "log", "name", "queue", "cluster_name", "create_time", "update_time"]), JSON)
)
def test_details_of_any_type_are_read_or_refused(body):
    """Whatever a detail holds, it is text that can be stored, or an error of ours; the state stays."""
    status = read({"id": "b1", "state": "dead"})

    with contextlib.suppress(HwStatusError):
        found = with_details(DLI_BATCH, status, body, Redactor())
        assert ("dead", Outcome.FAILURE) == (found.state, found.outcome)
        assert found == JobStatus.from_dict(json.loads(json.dumps(found.to_dict())))
        assert all("\n" not in line for line in found.log)
