"""What to do about an error."""

import json
import re
from pathlib import Path

import pytest

from airflow_provider_hwstatus.core.protocol.advice import CLASSES, CODES
from airflow_provider_hwstatus.core.protocol.effects import Response
from airflow_provider_hwstatus.core.protocol.redaction import Redactor
from airflow_provider_hwstatus.core.protocol.responses import error_of
from airflow_provider_hwstatus.errors import AuthenticationError, CredentialsRefusedError, HwStatusError

#: HTTP status and code of every error that the vendor documents.
DOCUMENTED = [
    tuple(line.split()) for line in (Path(__file__).parents[2] / "samples" / "error_codes.txt").read_text().splitlines()
]


def said(status, code, text="…"):
    """Return what is to be done next, as the message of such a reply has it."""
    body = json.dumps({"error_code": code, "error_msg": text}).encode()
    _, what_next = str(error_of(Response(status, {}, body), Redactor(), 0.0)).split("; next: ")
    return what_next


def test_table_has_every_documented_code_and_no_other():
    """Nobody is left alone with a code from the vendor's tables, and no row is made up."""
    rows = {(status, row.code) for row in CODES for status in row.http.split(", ")}

    assert set() == set(DOCUMENTED) - rows
    assert {code for _, code in DOCUMENTED} == {code for _, code in rows}


@pytest.mark.parametrize(("status", "code"), DOCUMENTED)
def test_message_ends_with_one_sentence(status, code):
    """The message says one thing to do, short enough to be read, in whichever spelling the code comes."""
    prefix, number = code.split(".")
    spellings = {code, f"APIGW.{number}" if prefix == "APIG" else f"{prefix}{number}"}

    (what_next,) = {said(int(status), spelling) for spelling in spellings}
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
def test_cause_is_told_apart(status, code, text, expected):
    """What to do names the thing to do it to: the field, the permission, the clock."""
    assert expected in said(status, code, text)


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
    """Newer gateways, and those of other clouds, say no more than that; it is no matter of permissions."""
    found = error_of(Response(401, {}, body), Redactor(), 0.0, refused)

    said, what_next = str(found).split("; next: ")
    assert refused is type(found)
    assert 1 == len(re.findall("Unauthorized|wrong", said))
    assert expected in what_next
    assert "dli:jobs:get" not in what_next


def test_locked_account_is_known_by_its_text():
    """IAM's own words for it, of its FAQ "Why Is My Account Locked?"."""
    body = b'{"error": {"code": 401, "message": "The account is locked.", "title": "Unauthorized"}}'
    found = error_of(Response(401, {}, body), Redactor(), 0.0, CredentialsRefusedError, "check the password")

    assert str(found).endswith("(15 minutes by default) before the next try")


@pytest.mark.parametrize(
    ("status", "expected"),
    [(401, "logs in"), (403, "dli:jobs:get"), (404, "project_id"), (429, "poke_interval"), (500, "passes by itself")],
)
def test_unknown_code_is_advised_by_its_status(status, expected):
    """A code that is in no table still gets what its HTTP status tells."""
    assert expected in said(status, "NEW.4711")


def test_every_class_of_error_has_advice():
    """The troubleshooting page has each error that a task can end with."""
    leaves = set()

    def collect(cls):
        for sub in cls.__subclasses__():
            collect(sub)
        leaves.update([] if cls.__subclasses__() else [cls])

    collect(HwStatusError)
    assert leaves == {cls for cls, *_ in CLASSES if not cls.__subclasses__()}
