"""The errors of responses other than 2xx."""

import json
from datetime import UTC, datetime

import pytest

from airflow_provider_hwstatus.core.protocol.effects import Response
from airflow_provider_hwstatus.core.protocol.redaction import Redactor
from airflow_provider_hwstatus.core.protocol.responses import clip, error_of
from airflow_provider_hwstatus.errors import (
    ApiError,
    ApiNotAvailableError,
    AuthenticationError,
    CredentialsRefusedError,
    JobNotFoundError,
    RetryableError,
    ServerError,
    ThrottledError,
    error_from_dict,
)

NOW = datetime(2026, 11, 21, 8, 0, 0, tzinfo=UTC).timestamp()


def error(status, body=b"", headers=(), redact=None, **kwargs):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return error_of(Response(status, dict(headers), raw), redact or Redactor(), NOW, **kwargs)


def api(code, text="…"):
    return {"error_code": code, "error_msg": text}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, api("DLI.0001"), ApiError),
        (400, api("DLI.0002"), JobNotFoundError),
        (404, api("DLI.0023"), JobNotFoundError),
        (400, api("CPS.0011"), JobNotFoundError),
        (400, api("CPS0011"), JobNotFoundError),
        (404, b"", JobNotFoundError),
        (404, api("APIGW.0101"), ApiNotAvailableError),
        (404, api("APIG.0101"), ApiNotAvailableError),
        (401, api("APIGW.0301"), AuthenticationError),
        (401, api("APIG.0307"), AuthenticationError),
        (403, api("APIGW.0302"), AuthenticationError),
        (400, api("CPS.0001"), AuthenticationError),
        (400, api("DLI.0015"), AuthenticationError),
        (400, api("IAM.1105"), AuthenticationError),
        (400, api("IAM.1107"), AuthenticationError),
        (400, api("IAM.1108"), AuthenticationError),
        (408, b"", ServerError),
        (429, b"", ThrottledError),
        (429, api("APIGW.0308"), ThrottledError),
        (429, {"error_code": "IAM.0012", "error_msg": "…"}, ThrottledError),
        (400, api("DLI.0999"), ServerError),
        (400, api("CPS.0003"), ServerError),
        (400, api("CPS.0042"), ServerError),
        (500, b"<html>", ServerError),
        (502, b"", ServerError),
        (503, api("APIGW.0613"), ServerError),
        (599, b"", ServerError),
        (302, b"", ApiError),
        (407, b"", ApiError),
        (405, api("APIG.0501"), ApiError),
    ],
)
def test_error_is_classified_by_what_the_caller_can_do(status, body, expected):
    """The documented code decides the class of an error, or else the HTTP status."""
    assert expected is type(error(status, body))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409])
def test_permanent_error_is_not_retryable(status):
    """The error of a 400, 401, 403, 404 or 409 is not retried."""
    assert not isinstance(error(status), RetryableError)


@pytest.mark.parametrize(
    "body",
    [
        {"error_code": "X.1", "error_msg": "why"},
        {"errorCode": "X.1", "errorMsg": "why"},
        {"code": "X.1", "message": "why"},
        {"error": {"code": "X.1", "message": "why"}},
    ],
)
def test_every_error_shape_is_read(body):
    """Code, text and request id are read in each of the shapes that services, gateway and IAM use."""
    found = error(400, body, {"x-request-id": "r-1"})

    assert ("X.1", "r-1") == (found.code, found.request_id)
    assert "HTTP 400 X.1 why\n  request id: r-1" == str(found)


def test_keystone_error_is_read():
    """An error of IAM's older API, whose code is a number, is read."""
    found = error(401, {"error": {"code": 401, "message": "The password is wrong.", "title": "Unauthorized"}})

    assert str(found).startswith("HTTP 401 The password is wrong.")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("Sat, 21 Nov 2026 08:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 07:00:00 GMT", 0.0),
        ("999999999", 900.0),
        ("Sat, 21 Nov 2099 08:00:30 GMT", 900.0),
        ("-5", None),
        ("1e9", None),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("9" * 5000, None),
        ("1 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Sat, 21 Nov 2026 08:00:30 +99999999999", None),
    ],
)
def test_retry_after_is_bounded(value, expected):
    """Retry-After is seconds or a date, 15 minutes at most, and an invalid value is ignored."""
    assert expected == error(503, headers={"retry-after": value}).retry_after


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The throttling threshold has been reached: policy ip over ratelimit,limit:5,time:1 minute", 60.0),
        ("limit:5,time:10 second", 10.0),
        ("limit:5,time:1 day", 900.0),
        ("slow down", None),
    ],
)
def test_throttling_window_is_read_from_the_text(text, expected):
    """The pause after a 429 is the time window in the gateway's text, because it sends no Retry-After."""
    assert expected == error(429, api("APIGW.0308", text)).retry_after


def test_echoed_secrets_are_hidden():
    """Secrets that the gateway echoes are hidden in the error."""
    redact = Redactor(["AKAKAKAKAKAKAKAKAKAK", "to/ken+=="])
    echo = "Get secretKey failed,ak:AKAKAKAKAKAKAKAKAKAK,err:ak not exist|x-security-token:to/ken+==|to%2Fken%2B%3D%3D"

    for body in (api("APIGW.0301", echo), echo.encode(), echo.replace("/", "\\/").encode()):
        shown = json.dumps(error(401, body, redact=redact).to_dict())
        assert "AKAKAKAKAKAKAKAKAKAK" not in shown
        assert "ken" not in shown.replace("token", "")


def test_secret_is_hidden_before_a_text_is_cut():
    """A secret that a cut would divide is hidden."""
    secret = "S3CR3T" * 6
    for body in (api("x" * 50 + secret, "text"), api("X.1", "x" * 990 + secret), ("x" * 190 + secret).encode()):
        assert "S3CR3T" not in json.dumps(error(400, body, redact=Redactor([secret])).to_dict())


@pytest.mark.parametrize(
    "url",
    ["http://us:p%40ss@h:1", "us:p%40ss@h:1", "http://us:p%40ss@h:99999"],
)
def test_proxy_login_is_hidden_in_every_form(url):
    """The user and password of a proxy are hidden as they are, decoded and in Base64."""
    redact = Redactor()
    redact.add_url(url)

    shown = redact(f"{url} p@ss Basic dXM6cEBzcw== p%40ss")
    assert not [form for form in ("p%40ss", "p@ss", "dXM6cEBzcw==") if form in shown]


def test_error_survives_an_event():
    """An error stays the same as JSON in the database."""
    sent = error(401, api("APIGW.0301", "no"), {"x-request-id": "r"}, refused=CredentialsRefusedError)

    came = error_from_dict(json.loads(json.dumps(sent.to_dict())))

    assert (type(sent), str(sent), vars(sent)) == (type(came), str(came), vars(came))


def test_text_is_cut_to_its_length():
    """A text that fits stays; a longer one ends with an ellipsis. Both are what databases accept."""
    assert ["", "abc", "ab…"] == [clip(text, 3) for text in ("", "abc", "abcd")]
    assert "a?b?" == clip("a\0b\ud800")
