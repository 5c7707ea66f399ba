"""The advice in the message of an error."""

import json
import re
from pathlib import Path

import pytest

from airflow_provider_hwstatus.core.protocol.advice import CLASSES, CODES
from airflow_provider_hwstatus.core.protocol.effects import Response
from airflow_provider_hwstatus.core.protocol.redaction import Redactor
from airflow_provider_hwstatus.core.protocol.responses import error_of
from airflow_provider_hwstatus.errors import AuthenticationError, CredentialsRefusedError, HwStatusError

#: HTTP status and code of every documented error.
DOCUMENTED = [
    tuple(line.split()) for line in (Path(__file__).parents[2] / "samples" / "error_codes.txt").read_text().splitlines()
]


def advice(status, code, text="…"):
    """Return the advice in the message of such an error."""
    body = json.dumps({"error_code": code, "error_msg": text}).encode()
    _, what_next = str(error_of(Response(status, {}, body), Redactor(), 0.0)).split("\n  next: ")
    return what_next


def test_table_has_every_documented_code_and_no_other():
    """The table has exactly the documented codes with their HTTP statuses."""
    rows = {(status, row.code) for row in CODES for status in row.http.split(", ")}

    assert set() == set(DOCUMENTED) - rows
    assert {code for _, code in DOCUMENTED} == {code for _, code in rows}


@pytest.mark.parametrize(("status", "code"), DOCUMENTED)
def test_message_ends_with_one_sentence(status, code):
    """The advice of a code is one short sentence, and is the same for each spelling of the code."""
    prefix, number = code.split(".")
    spellings = {code, f"APIGW.{number}" if prefix == "APIG" else f"{prefix}{number}"}

    (what_next,) = {advice(int(status), spelling) for spelling in spellings}
    assert 20 < len(what_next) < 200
    assert not what_next.endswith(".")


@pytest.mark.parametrize(
    ("status", "code", "text", "expected"),
    [
        (401, "APIGW.0301", "Incorrect IAM …: AK access failed to reach the limit,forbidden", "wait five minutes"),
        (401, "APIG.0301", "… calc ak sk signature fail:signature expired", "clock"),
        (401, "APIG.0301", "… decrypt token fail", "token"),
        (401, "APIG.0301", "… Get secretKey failed,ak:X,err:ak not exist", "access key (login)"),
        (401, "APIGW.0301", "Incorrect IAM …: ak LTAI5tDvssj9BBMtAGT3HoTT not exist", "access key (login)"),
        (401, "APIGW.0301", "Incorrect IAM …: AK access failed to reach the limit, forbidden", "wait five minutes"),
        (401, "APIGW.0301", "Unauthorized", "wrong or has expired"),
        (401, "APIG.0301", "… verify aksk signature fail, canonicalRequest:GET|/|", "secret key (password)"),
        (401, "APIG.0307", "The token must be updated", "new token"),
        (404, "APIGW.0101", "The API does not exist or has not been published", "region"),
        (403, "APIGW.0302", "…", "dli:jobs:get"),
        (403, "APIGW.0302", "…", "cph:jobs:get"),
        (400, "CPS.0001", "…", "cph:jobs:get"),
        (403, "APIGW.0310", "…", "project_id"),
        (400, "CPS0046", "…", "project_id"),
        (400, "IAM.1108", "…", "security_token"),
        (401, "IAM.0061", "…", "15 minutes"),
        (429, "APIGW.0308", "…", "poke_interval"),
        (502, "APIGW.0201", "…", "passes by itself"),
        (414, "APIGW.0201", "…", "shorten"),
    ],
)
def test_advice_names_what_to_change(status, code, text, expected):
    """The advice names the field, the permission or the clock that is the cause."""
    assert expected in advice(status, code, text)


@pytest.mark.parametrize(
    "body",
    [
        b"Unauthorized",
        b'{"message": "Unauthorized", "request_id": "r"}',
        b'{"message": "Authorization information is wrong", "request_id": "r"}',
        b'{"error": {"message": "Unauthorized.", "code": 401, "title": "Unauthorized"}}',
    ],
)
@pytest.mark.parametrize(
    ("refused", "expected"), [(AuthenticationError, "has expired"), (CredentialsRefusedError, "access key (login)")]
)
def test_refusal_without_a_code_is_about_the_login(body, refused, expected):
    """A 401 without an error code gets advice about the login, and none about permissions."""
    found = error_of(Response(401, {}, body), Redactor(), 0.0, refused)

    text, what_next = str(found).split("\n  next: ")
    assert refused is type(found)
    assert 1 == len(re.findall("Unauthorized|wrong", text))
    assert expected in what_next
    assert "dli:jobs:get" not in what_next


def test_locked_account_is_known_by_its_text():
    """IAM's text for a locked account gets the advice to wait."""
    body = b'{"error": {"code": 401, "message": "The account is locked.", "title": "Unauthorized"}}'
    found = error_of(Response(401, {}, body), Redactor(), 0.0, CredentialsRefusedError, "check the password")

    assert str(found).endswith("(15 minutes by default) before the next try")


@pytest.mark.parametrize(
    ("status", "expected"),
    [(401, "logs in"), (403, "dli:jobs:get"), (404, "project_id"), (429, "poke_interval"), (500, "passes by itself")],
)
def test_unknown_code_is_advised_by_its_status(status, expected):
    """An unknown code gets the advice of its HTTP status."""
    assert expected in advice(status, "NEW.4711")


def test_every_class_of_error_has_advice():
    """Each class of error without a subclass has advice in the table."""
    leaves = set()

    def collect(cls):
        for sub in cls.__subclasses__():
            collect(sub)
        leaves.update([] if cls.__subclasses__() else [cls])

    collect(HwStatusError)
    assert leaves == {cls for cls, *_ in CLASSES if not cls.__subclasses__()}
