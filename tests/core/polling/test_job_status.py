"""What a response says about a job."""

import contextlib
import copy
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hwstatus.core.polling.job_status import JobStatus, job_path, read_status, with_details
from airflow_provider_hwstatus.core.protocol.effects import Response
from airflow_provider_hwstatus.core.protocol.redaction import Redactor
from airflow_provider_hwstatus.errors import HwStatusError, JobNotFoundError, MalformedResponseError
from airflow_provider_hwstatus.kinds import KINDS
from airflow_provider_hwstatus.kinds.cph import CPH_JOB
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH
from airflow_provider_hwstatus.kinds.job_kind import Outcome

NOW = datetime(2026, 11, 21, tzinfo=UTC).timestamp()


def read(body, kind=DLI_BATCH, job_id="b1", status=200, headers=(), redact=None):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_status(kind, job_id, Response(status, dict(headers), raw), redact or Redactor(), NOW)


def test_documented_response_has_its_documented_outcome(sample):
    """A sample of the API references has the outcome that the references give it, and its state is in the reply."""
    status = read(sample.reply, KINDS[sample.kind], sample.job_id)

    assert sample.outcome == status.outcome.value
    assert f'"{status.state}"' in json.dumps(sample.reply) or f": {status.state}" in json.dumps(sample.reply)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_listed_state_has_a_sample(kind, samples_by_kind):
    """Each state of each table is in a reply whose outcome is from the vendor's documentation."""
    read_states = {read(sample.reply, kind, sample.job_id).state.lower() for sample in samples_by_kind[kind.name]}

    assert set() == kind.states - read_states
    assert "unknown" in {sample.outcome for sample in samples_by_kind[kind.name]}


def test_reply_about_another_job_is_malformed(sample):
    """Every kind notices a reply about another job, or a list without this one."""
    with pytest.raises((MalformedResponseError, JobNotFoundError)):
        read(sample.reply, KINDS[sample.kind], "another-job")


@pytest.mark.parametrize("state", ["SUCCESS", "Success", "sUcCeSs"])
def test_letter_case_does_not_matter(state):
    """A state is compared without regard to letter case."""
    assert Outcome.SUCCESS is read({"id": "b1", "state": state}).outcome


def test_only_ascii_letters_are_folded():
    """A letter of another script does not make a listed state."""
    assert Outcome.UNKNOWN is read({"state": "ſuccess"}).outcome
    assert Outcome.UNKNOWN is read({"state": "\u212aILLED"}).outcome


@pytest.mark.parametrize("body", [{}, {"state": None}, {"id": "b1"}])
def test_missing_state_is_unknown(body):
    """A response without a state has an unknown outcome."""
    status = read(body)

    assert (Outcome.UNKNOWN, "") == (status.outcome, status.state)


@pytest.mark.parametrize(("state", "kind"), [(2, DLI_BATCH), (0, CPH_JOB), (3, CPH_JOB), (2.5, CPH_JOB), ("", CPH_JOB)])
def test_unlisted_number_or_text_is_unknown(state, kind):
    """A state that is not listed is unknown, as a number or as text."""
    assert Outcome.UNKNOWN is read({kind.state: state}, kind).outcome


def test_cph_number_may_come_as_text():
    """A CPH status in quotes is the same status."""
    assert Outcome.SUCCESS is read({"status": "2"}, CPH_JOB).outcome


@pytest.mark.parametrize("state", [True, False, [], ["success"], {"state": "success"}])
def test_state_of_another_type_is_malformed(state):
    """A state that is an object, a list or a boolean raises an error."""
    with pytest.raises(MalformedResponseError, match="state is a JSON"):
        read({"state": state})


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b'"success"', b"<html>success</html>", b'{"state": "success"', b"[" * 100_000, b"\xff"],
)
def test_body_that_is_no_json_object_is_malformed(body):
    """A body that is cut, of another type or a page of a proxy raises an error."""
    with pytest.raises(MalformedResponseError):
        read(body)


def test_response_about_another_job_is_malformed():
    """A response that names another job raises an error."""
    with pytest.raises(MalformedResponseError, match="about another job: 'b2'"):
        read({"id": "b2", "state": "success"})


def test_facts_of_a_failed_cph_job_are_kept():
    """The status has code, text, times, request id, output, phone and server of the response."""
    body = {
        "request_id": "req-1",
        "job_id": "j1",
        "begin_time": "2019-04-26T07:00:00Z",
        "end_time": "2019-04-26T15:00:06+08:00",
        "status": -1,
        "error_code": "CPS.0005",
        "error_msg": "out of reach",
        "execute_msg": "line 1\nline 2",
        "server_id": "s1",
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
        extra_fields={"phone_id": None, "server_id": "s1"},
    )
    assert expected == read(body, CPH_JOB, "j1")


def test_request_id_of_the_header_wins():
    """The request id of the header is used, because the body's can be that of the submission."""
    assert "h" == read({"state": "dead", "request_id": "b"}, headers={"x-request-id": "h"}).request_id


def test_milliseconds_become_iso_times():
    """Times in milliseconds become ISO times, and only a job that is over has an end."""
    body = {"state": "dead", "create_time": 1532597395000, "update_time": 1532597399000}

    assert ("2018-07-26T09:29:55Z", "2018-07-26T09:29:59Z") == (read(body).begin_time, read(body).end_time)
    assert read(body | {"state": "running"}).end_time is None


def test_secret_in_the_response_is_hidden():
    """A secret in the response is hidden, except in a state that the table lists, and the outcome stays the same."""
    redact = Redactor(["success", "S3cret/+ key"])

    status = read({"state": "success", "error_msg": "key S3cret/+ key", "log": ["S3cret%2F%2B%20key"]}, redact=redact)

    assert (Outcome.SUCCESS, "success") == (status.outcome, status.state)
    assert ("key ***", ("***",)) == (status.error_message, status.log)
    assert (Outcome.UNKNOWN, "***") == ((other := read({"state": "S3cret/+ key"}, redact=redact)).outcome, other.state)


def test_characters_that_cannot_be_stored_are_replaced():
    """Half a surrogate pair and NUL do not appear in the status."""
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
def test_success_is_listed_never_inferred(states_in, kind, body):
    """A response is a success only if its state is a listed one, whatever else it has."""
    check_success(states_in, kind, body, "b1")


@given(data=st.data())
def test_success_is_listed_in_a_reply_that_is_altered(states_in, samples_by_kind, data):
    """A reply with one value replaced is a success only if its state is a listed one, for every kind."""
    sample = data.draw(st.sampled_from([sample for samples in samples_by_kind.values() for sample in samples]))
    kind, body = KINDS[sample.kind], copy.deepcopy(sample.reply)
    place, key = data.draw(st.sampled_from(places_of(body)))
    place[key] = data.draw(st.sampled_from([*sorted(kind.states), sample.job_id]) | json_values)

    check_success(states_in, kind, body, sample.job_id)


def places_of(value):
    """Return each place of a value in a reply: its object or list, and its name or position."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in pairs for place in ((value, key), *places_of(inner))]


def check_success(states_in, kind, body, job_id):
    """Check that the status of a reply is a success exactly if the first state is one, and no other is a failure."""
    try:
        status = read(body, kind, job_id)
    except HwStatusError:
        return

    found = [str(state).lower() for state in states_in(kind, body, job_id)]
    listed = bool(found) and found[0] in kind.success and not kind.failure.intersection(found)
    assert (status.outcome is Outcome.SUCCESS) == listed
    assert status == JobStatus.from_dict(json.loads(json.dumps(status.to_dict())))


@given(st.binary(max_size=200), st.integers(100, 599))
def test_any_bytes_are_a_status_or_an_error(body, status):
    """Any bytes with any HTTP status are a status or an HwStatusError."""
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
def test_invalid_event_is_refused(fields):
    """An event without the fields of a status raises an error."""
    with pytest.raises(ValueError, match="not a job status"):
        JobStatus.from_dict(fields)


def test_id_becomes_one_path_segment():
    """An id is percent-encoded, so it cannot change the path."""
    assert "/v2.0/{project_id}/batches/a%2F..%2Fb%3Fc%23d/state" == job_path(DLI_BATCH.path, "a/../b?c#d")


@given(
    st.dictionaries(
        st.sampled_from(["id", "log", "name", "queue", "cluster_name", "create_time", "update_time"]), json_values
    )
)
def test_details_of_any_type_are_read_or_refused(body):
    """Details of any type become text that can be stored or raise an HwStatusError, and the state stays the same."""
    status = read({"id": "b1", "state": "dead"})

    with contextlib.suppress(HwStatusError):
        found = with_details(DLI_BATCH, status, body, Redactor())
        assert ("dead", Outcome.FAILURE) == (found.state, found.outcome)
        assert found == JobStatus.from_dict(json.loads(json.dumps(found.to_dict())))
        assert all("\n" not in line for line in found.log)
