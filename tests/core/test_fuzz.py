"""Hostile input: no success that it does not state, no exception that is not an HwStatusError, and no secret."""

import contextlib
import json
import string
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_hwstatus.core.connection.login import LOGINS, login_for
from airflow_provider_hwstatus.core.connection.profile import Profile
from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.core.polling.job_ids import check_job_id
from airflow_provider_hwstatus.core.polling.job_status import JobStatus, job_path, read_status
from airflow_provider_hwstatus.core.protocol.effects import Request, Response
from airflow_provider_hwstatus.core.protocol.redaction import Redactor
from airflow_provider_hwstatus.core.protocol.responses import error_of
from airflow_provider_hwstatus.errors import HwStatusError, error_from_dict
from airflow_provider_hwstatus.kinds import KINDS

SECRET = "s3cr3t/K+y=="
NOW = 1_795_000_000.0

text = st.text(max_size=30)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text | st.just(SECRET) | st.just(f"x{SECRET}y"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from(
    [
        "id",
        "job_id",
        "state",
        "status",
        "log",
        "error_code",
        "error_msg",
        "code",
        "message",
        "error",
        "token",
        "project",
        "execute_msg",
        "begin_time",
        "create_time",
        "update_time",
        "request_id",
        "projects",
        "credential",
        "expires_at",
        "job",
        "job_detail",
        "is_success",
    ]
)
bodies = st.binary(max_size=300) | st.dictionaries(names, json_values, max_size=6).map(
    lambda body: json.dumps(body).encode()
)
headers = st.dictionaries(
    st.sampled_from(["retry-after", "x-request-id", "x-subject-token", "content-type", "location"]),
    text | st.just(SECRET) | st.text(st.characters(categories=["Nd"]), min_size=1, max_size=30),  # digits of any script
)
replies = st.builds(Response, st.integers(100, 599), headers, bodies)


def shown(error):
    """Return the text and the fields of an error, its causes and its context."""
    text = ""
    while error is not None:
        text += f"{error} {vars(error)}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return text


@given(kind=st.sampled_from(list(KINDS.values())), reply=replies)
def test_any_response_is_a_status_or_an_error(states_in, kind, reply):
    """Any response is a status or an HwStatusError without the secret, and a success has a listed state and 2xx."""
    redact = Redactor([SECRET])
    try:
        status = read_status(kind, "j1", reply, redact, NOW)
    except HwStatusError as error:
        result = shown(error)
    else:
        result = json.dumps(status.to_dict(), ensure_ascii=False)
        result.encode()  # as Airflow stores it
        if status.outcome == "success":
            state = states_in(kind, json.loads(reply.body), "j1")[0]
            assert 200 <= reply.status < 300
            assert str(state).lower() in kind.success
    assert SECRET not in result
    assert len(result) < 70_000


@given(reply=replies)
def test_any_error_survives_an_event(reply):
    """The error of any response stays the same as JSON in the database."""
    error = error_of(reply, Redactor([SECRET]), NOW)

    again = error_from_dict(json.loads(json.dumps(error.to_dict())))
    assert (type(error), str(error)) == (type(again), str(again))
    assert error.retry_after is None or 0 <= error.retry_after <= 900


@given(job_id=text | st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=200))
def test_any_id_is_one_path_segment_or_refused(job_id):
    """Any id is refused or becomes one segment of the path, unchanged."""
    with contextlib.suppress(HwStatusError):
        checked = check_job_id("batch_id", job_id)
        template = KINDS["dli_batch"].path
        assert job_path(template, checked) == template.replace("{job_id}", job_id)
        assert quote(job_id, safe="") == job_id


@settings(max_examples=200)
@given(answers=st.lists(replies, min_size=1, max_size=6))
def test_any_response_to_a_login_is_a_login_or_an_error(stub_cloud, answers):
    """Any responses to each kind of login are a login or an HwStatusError without the secret."""
    for auth in LOGINS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "airflow_provider_hwstatus.core.connection.access_key.read_profile",
                lambda environ, section: Profile("AK", SECRET, SECRET),
            )
            fields = Settings(auth=auth, login="AK12", password=SECRET, domain_name="d", region="cn-north-4")
            login = login_for(fields, lambda: NOW, Redactor([SECRET]))
        cloud = stub_cloud({"": answers * 5})

        message = ""
        try:
            cloud.run(login.exchange(Request("GET", "https://h/x")))
        except HwStatusError as error:
            message = shown(error)
        assert SECRET not in message, auth


@given(
    event=st.dictionaries(
        st.sampled_from(["kind", "job_id", "state", "outcome", "log", "error_code", "x"]), json_values
    )
)
def test_any_event_is_a_status_or_refused(event):
    """Any event is refused or becomes the status that it describes."""
    with contextlib.suppress(ValueError):
        status = JobStatus.from_dict(event)
        assert (event["kind"], event["job_id"], event["outcome"]) == (status.kind, status.job_id, status.outcome)
