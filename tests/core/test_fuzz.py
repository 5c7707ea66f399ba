"""Hostile input of every kind: never a success unless it says so, no exception but ours, never a secret."""

import contextlib
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hwstatus.core.connection.login import LOGINS, login_for
from airflow_provider_hwstatus.core.connection.profile import Profile
from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.core.polling.job_ids import check_job_id
from airflow_provider_hwstatus.core.polling.job_status import JobStatus, read_status, status_request
from airflow_provider_hwstatus.core.protocol.effects import Exclusive, Mask, Request, Response
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
    ]
)
bodies = st.binary(max_size=300) | st.dictionaries(names, json_values, max_size=6).map(
    lambda body: json.dumps(body).encode()
)
headers = st.dictionaries(
    st.sampled_from(["retry-after", "x-request-id", "x-subject-token", "content-type", "location"]),
    text | st.just(SECRET) | st.from_regex(r"\d{1,30}", fullmatch=True),
)
replies = st.builds(Response, st.integers(100, 599), headers, bodies)


def shown(error):
    """Return all that is said of an error, in it and around it."""
    said = ""
    while error is not None:
        said += f"{error} {vars(error)}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return said


@given(kind=st.sampled_from(list(KINDS.values())), reply=replies)
def test_any_reply_is_a_status_or_an_error_of_ours(kind, reply):
    """Success only if the reply is 2xx and its state is listed; the secret shows in neither end."""
    redact = Redactor([SECRET])
    try:
        status = read_status(kind, "j1", reply, redact, NOW)
    except HwStatusError as error:
        said = shown(error)
    else:
        said = json.dumps(status.to_dict(), ensure_ascii=False)
        said.encode()  # as Airflow stores it
        if status.outcome == "success":
            state = json.loads(reply.body)[kind.state_field]
            assert 200 <= reply.status < 300
            assert str(state).lower() in kind.success
    assert SECRET not in said
    assert len(said) < 70_000


@given(reply=replies)
def test_any_error_reply_survives_an_event(reply):
    """What a reply means crosses the database and stays the same."""
    error = error_of(reply, Redactor([SECRET]), NOW)

    again = error_from_dict(json.loads(json.dumps(error.to_dict())))
    assert (type(error), str(error)) == (type(again), str(again))
    assert error.retry_after is None or 0 <= error.retry_after <= 900


@given(job_id=text | st.from_regex(r"[A-Za-z0-9._-]{1,200}", fullmatch=True))
def test_any_id_is_one_path_segment_or_refused(job_id):
    """No id adds to the path or changes it on its way."""
    with contextlib.suppress(HwStatusError):
        checked = check_job_id("batch_id", job_id)
        url = status_request(KINDS["dli_batch"], "https://h", "p1", checked).url
        assert url == f"https://h/v2.0/p1/batches/{job_id}/state"
        assert quote(job_id, safe="") == job_id


@pytest.mark.parametrize("auth", LOGINS)
@given(answers=st.lists(replies, min_size=1, max_size=6))
def test_any_login_reply_is_a_login_or_an_error_of_ours(auth, answers):
    """IAM, the metadata service and the gateway may answer anything to a login."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "airflow_provider_hwstatus.core.connection.access_key.read_profile",
            lambda environ, section: Profile("AK", SECRET, SECRET),
        )
        settings = Settings(auth=auth, login="AK12", password=SECRET, domain_name="d", region="cn-north-4")
        login = login_for(settings, lambda: NOW, Redactor([SECRET]))
    queue = iter(answers * 5)

    def run(flow):
        value = None
        try:
            while True:
                effect = flow.send(value)
                if isinstance(effect, Exclusive):
                    value = run(effect.flow())
                elif isinstance(effect, Mask):
                    value = None
                else:
                    value = next(queue)
        except StopIteration as done:
            return done.value

    said = ""
    try:
        run(login.exchange(Request("GET", "https://h/x")))
    except HwStatusError as error:
        said = shown(error)
    assert SECRET not in said


@given(
    event=st.dictionaries(
        st.sampled_from(["kind", "job_id", "state", "outcome", "log", "error_code", "x"]), json_values
    )
)
def test_any_event_is_a_status_or_refused(event):
    """A status is never made up from what is not one."""
    with contextlib.suppress(ValueError):
        status = JobStatus.from_dict(event)
        assert (event["kind"], event["job_id"], event["outcome"]) == (status.kind, status.job_id, status.outcome)
