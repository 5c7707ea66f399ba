"""The redaction of secrets, and of long parts of them, in every form that a gateway makes of them."""

import base64
import html
import json
import random
import re
import string
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from airflow_provider_hwstatus.core.protocol.effects import Response
from airflow_provider_hwstatus.core.protocol.redaction import HIDDEN, Redactor
from airflow_provider_hwstatus.core.protocol.responses import error_of

NOW = 1_795_000_000.0
TOKEN = "MII" + "".join(random.Random(7).choices(string.ascii_letters + string.digits + "+/-_&", k=4000)) + "=="  # noqa: S311  # the same in each run

#: Characters of a secret that may show in a row.
MOST = 15


def in_hex(text):
    units = text.encode("utf-16-be").hex(" ", 2).upper().split()
    return "".join(f"\\u{unit}" for unit in units)


def in_entities(text):
    return "".join(f"&#x{ord(character):x};" for character in text)


def base64_inside(text, before, alphabet="+/"):
    """Return the Base64 of *text* within a longer text, without the characters that depend on its neighbours."""
    whole = base64.b64encode(b"\0" * before + text.encode(), alphabet.encode()).decode()
    return whole[-(-before * 8 // 6) : (before + len(text.encode())) * 8 // 6]


#: The forms in which a gateway, a proxy or a service echoes a text.
FORMS = {
    "as it is": str,
    "quoted": lambda text: quote(text, safe=""),
    "quoted, with slashes": quote,
    "quoted in lower case": lambda text: re.sub("%..", lambda found: found[0].lower(), quote(text, safe="")),
    "quoted with plus": quote_plus,
    "quoted twice": lambda text: quote(quote(text, safe=""), safe=""),
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON with escaped slashes": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "JSON safe for HTML": lambda text: json.dumps(text)[1:-1].replace("&", "\\u0026").replace("<", "\\u003c"),
    "JSON in upper-case hex": in_hex,
    "JSON in lower-case hex": lambda text: in_hex(text).lower(),
    "JSON twice": lambda text: json.dumps(json.dumps(text))[2:-2],
    "JSON of what is quoted": lambda text: json.dumps(quote(text, safe=""))[1:-1].replace("%", "\\u0025"),
    "HTML": html.escape,
    "HTML with decimal entities": lambda text: html.escape(text).replace("'", "&#39;").replace("+", "&#43;"),
    "HTML in hexadecimal entities": in_entities,
    "HTML twice": lambda text: html.escape(html.escape(text)),
    "a repr of bytes": lambda text: repr(text.encode())[2:-1],
    **{f"Base64 after {before} bytes": lambda text, n=before: base64_inside(text, n) for before in range(3)},
    "Base64 for URLs": lambda text: base64_inside(text, 0, "-_"),
    "Base64, quoted": lambda text: quote(base64_inside(text, 1), safe=""),
}

#: Forms that encode each character, so that a part of the form is the form of a part.
BY_CHARACTER = [name for name in FORMS if "Base64" not in name]

forms = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def parts(secret, length):
    return {secret[start : start + length] for start in range(len(secret) - length + 1)}


@forms
@pytest.mark.parametrize(
    "secret", [TOKEN, "S3cr3t/K+y==&<'\">", 'a\\b"c/d&e', "00<\\/0", "p@ss word with spaces", "pässwörd-ü"]
)
def test_secret_is_hidden_in_every_form(form, secret):
    """A whole secret is hidden in every form, and the text around it stays."""
    shown = Redactor([secret])(f"heard {form(secret)} and refused")

    assert form(secret) not in shown
    assert HIDDEN in shown
    assert shown.startswith("heard ")
    assert shown.endswith(" and refused")


@forms
@pytest.mark.parametrize(("begin", "end"), [(0, 199), (1000, 1199), (3800, None), (1, 17), (8, 24), (0, 4000)])
def test_part_of_a_token_is_hidden_in_every_form(form, begin, end):
    """A token that the gateway cut is hidden in every form, up to 15 characters."""
    part = TOKEN[begin:end]
    shown = Redactor([TOKEN])(f"x-auth-token:{form(part)}")

    assert not [form(left) for left in parts(part, MOST + 1) if form(left) in shown]
    assert "x-auth-token:" in shown


@given(
    secret=st.text(
        st.sampled_from(string.ascii_letters + string.digits + "+/=%&;<>\"'\\#u-_.~ é€😀"), min_size=6, max_size=80
    ),
    cut=st.tuples(st.integers(0, 80), st.integers(0, 80)),
    names=st.lists(st.sampled_from(BY_CHARACTER), min_size=1, max_size=2),
    around=st.tuples(st.text(max_size=20), st.sampled_from('|: "=('), st.text(max_size=20)),
)
def test_nothing_long_is_left_of_any_secret(secret, cut, names, around):
    """No more than 15 characters in a row are left of a secret, whole or cut, in one form or two."""
    assume(secret == secret.strip() and secret.isprintable())
    # A secret of nothing but escapes may stand for one or two characters, which are ordinary text.
    assume(len(re.sub(r"\\u....|%..|&#?\w+;|\\.", "-", secret)) >= 4)
    begin, end = min(cut), max(cut)

    def form(text):
        for name in names:
            text = FORMS[name](text)
        return text

    before, mark, after = around
    shown = Redactor([secret])(f"{before}{mark}{form(secret)}{mark}{after}{mark}{form(secret[begin:end])}")
    assert form(secret) not in shown
    assert not [part for part in parts(secret, MOST + 1) if form(part) in shown or part in shown]


@given(
    secret=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=16, max_size=100),
    before=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=10),
    after=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=10),
    cut=st.integers(0, 100),
    alphabet=st.sampled_from(["+/", "-_"]),
)
def test_nothing_long_is_left_in_base64(secret, before, after, cut, alphabet):
    """No more than 15 characters in a row are left of a secret within Base64, wherever it begins and ends."""
    sent = base64.b64encode((before + secret + after).encode(), alphabet.encode()).decode()

    shown = Redactor([secret])(f"Basic {sent[: max(len(sent) - cut, 0)]}")
    assert not [
        part
        for part in parts(secret, MOST + 1)
        for offset in range(3)
        if base64_inside(part, offset, alphabet) in shown
    ]


@pytest.mark.parametrize(
    "text",
    [
        "The username or password is wrong.",
        "a batch 0a1f9e2c-3b4d-4586-a7b8-c9d0e1f20306 in queue default, 100% done & more <b>\\n",
        "https://dli.cn-north-4.myhuaweicloud.com/v2.0/p1/batches?name=a%20b",
        "",
    ],
)
def test_ordinary_text_stays_as_it_is(text):
    """A text without a secret does not change."""
    assert text == Redactor([TOKEN, "S3cr3t/K+y==", "MII", None, ""])(text)


def test_short_secret_is_hidden_only_as_a_whole():
    """A part of a short secret, and the Base64 of one with three letters, are not hidden."""
    redact = Redactor(["passphrase", "abc"])

    assert "the *** and passphras, ***, YWJj and %41BC" == redact("the passphrase and passphras, abc, YWJj and %41BC")


def test_longest_secret_is_hidden_first():
    """A secret that contains another one is hidden as a whole."""
    assert "***|***" == Redactor(["pass", "password1"])("password1|pass")


def test_text_keeps_its_escapes():
    """A text is shown without its escapes only if a secret was escaped in it."""
    redact = Redactor(["S3cr3t/K+y=="])

    assert "a%20b ***" == redact("a%20b S3cr3t/K+y==")
    assert "a b ***" == redact("a%20b S3cr3t%2FK%2By%3D%3D")


def test_old_renewed_secrets_are_forgotten():
    """The redactor keeps the last renewed tokens and the secrets of the connection."""
    redact = Redactor(["S3cr3t-of-the-connection"])
    tokens = [f"{number:04}-" * 8 for number in range(200)]
    for token in tokens:
        redact.add_renewed(token)

    assert "*** *** ***" == redact(f"S3cr3t-of-the-connection {tokens[-1]} {tokens[-10]}")
    assert tokens[0] == redact(tokens[0])


@pytest.mark.parametrize("name", ["ordinary", "escapes", "escaped percent signs", "Base64", "nearly a token", "tokens"])
def test_time_grows_with_the_length_alone(name):
    """The time grows linearly with the length of a text, whatever it has."""
    unit = {
        "ordinary": "the quick brown fox ",
        "escapes": "\\/&amp;%41",
        "escaped percent signs": "%2525",
        "Base64": base64.b64encode(bytes(range(256))).decode(),
        "nearly a token": TOKEN[:15] + "|" + TOKEN[8:23] + "|",
        "tokens": TOKEN[:2000],
    }[name]
    redact = Redactor([TOKEN, "AKAKAKAKAKAKAKAKAKAK", "S3cr3t/K+y=="])

    def took(length):
        text, times = (unit * (length // len(unit) + 1))[:length], []
        for _ in range(3):
            began = time.process_time()
            redact(text)
            times.append(time.process_time() - began)
        return min(times)

    assert took(1 << 17) <= 2 * 4 * took(1 << 15) + 0.05


@pytest.mark.parametrize("name", ["as it is", "quoted", "JSON in upper-case hex", "HTML in hexadecimal entities"])
@pytest.mark.parametrize(("filler", "where"), [("x", 100), ("x", 190), ("x", 990), (TOKEN[:999] + "|", 15_900)])
def test_error_shows_no_part_of_a_token_wherever_it_is_cut(name, filler, where):
    """A token is hidden before a text is cut, so no part of it is left at the cut."""
    form = FORMS[name]
    text = (filler * where)[:where] + form(TOKEN[:199])
    left = [each for part in parts(TOKEN[:199], MOST + 1) for each in (part, form(part))]

    for shown in shown_errors(text, Redactor([TOKEN])):
        assert not [part for part in left if part in shown]


@pytest.mark.parametrize("name", ["as it is", "quoted twice", "JSON in upper-case hex"])
@pytest.mark.parametrize("end", range(65_530, 65_540))
def test_error_shows_no_part_of_a_short_secret_at_the_end_of_what_is_searched(name, end):
    """A secret at the end of the part that is searched of a long response is hidden."""
    secret = FORMS[name]("S3cr3t!")

    for shown in shown_errors(" " * (end - len(secret)) + secret + "!" * 1000, Redactor(["S3cr3t!"])):
        assert "S" not in shown
        assert "0053" not in shown


def shown_errors(text, redact):
    """Return the errors of a text that a gateway sends, in each of the places that errors show."""
    bodies = [text, json.dumps({"error_code": "APIGW.0301", "error_msg": text})]
    bodies += [json.dumps({"error_code": text, "error_msg": "text"}), json.dumps({"state": "x", "request_id": text})]
    return [json.dumps(error_of(Response(400, {}, body.encode()), redact, NOW).to_dict()) for body in bodies]
