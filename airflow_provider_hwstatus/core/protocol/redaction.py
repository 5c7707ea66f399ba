"""Removal of secrets from text. The gateway echoes keys, tokens and whole requests in its responses."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

HIDDEN = "***"

#: Length of a block. Each part of a secret that is twice as long contains a whole block, at a multiple of this length.
_BLOCK = 8

#: Shortest part of a secret that is hidden. Shorter parts can be ordinary text.
_LONG = 2 * _BLOCK

#: Shortest encoded form of a secret that is hidden. Shorter forms can be ordinary text.
_SHORTEST_FORM = 6

#: Shortest form of a secret that is left after its own escapes are resolved.
_SHORTEST_UNESCAPED = 4

#: How many times a text can be escaped: for example, a URL in JSON in JSON in HTML.
_DEPTH = 4

#: How many renewed secrets are kept, three for each key of an agency. Older ones have expired.
_RENEWED = 48

_ESCAPES = re.compile(
    r"(?:%[0-9a-f]{2})+|(?:\\x[0-9a-f]{2})+|(?:\\u[0-9a-f]{4})+|\\[\\/\"'bfnrt]"
    r"|&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z]{2,8});",
    re.IGNORECASE,
)

#: The first characters of escapes.
_MARKS = re.compile(r"[%\\&]")


class Redactor:
    """
    Replaces secrets in text, and parts of secrets with 16 characters or more, by ``***``.

    Finds secrets in plain text, in Base64, and escaped as in URLs, JSON or HTML, up to four times. If a secret was
    escaped, the text is returned unescaped.

    Call the object with a text to redact it.
    """

    def __init__(self, secrets: Iterable[str | None] = ()) -> None:
        self._secrets: dict[str, tuple[str, ...]] = {}
        self._renewed: list[str] = []
        self._forms: list[str] = []
        self._blocks: frozenset[str] = frozenset()
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str | None) -> None:
        """Redact *secret* from now on."""
        if secret and secret not in self._secrets:
            self._secrets[secret] = tuple(_forms(secret))
            self._rebuild()

    def add_renewed(self, secret: str) -> None:
        """Redact *secret*, which is renewed regularly, until newer ones have replaced it."""
        if secret and secret not in self._secrets:
            self._renewed.append(secret)
            if len(self._renewed) > _RENEWED:
                del self._secrets[self._renewed.pop(0)]
            self.add(secret)

    def add_url(self, url: str | None) -> None:
        """Redact the user and the password in *url*, also in the form of HTTP basic authentication."""
        user = (url or "").rpartition("@")[0].rpartition("//")[2]
        password = user.partition(":")[2]
        basic = base64.b64encode(unquote(user).encode()).decode()
        for secret in (user, password, unquote(password), basic):
            self.add(secret)

    def __call__(self, text: str) -> str:
        redacted = current = self._redact_once(text)
        for _ in range(_DEPTH):
            unescaped = _unescaped(current)
            if unescaped == current:
                break
            current = self._redact_once(unescaped)
            if current != unescaped:  # a secret was escaped
                redacted = current
        return redacted

    def _rebuild(self) -> None:
        forms = {form for forms in list(self._secrets.values()) for form in forms}
        self._forms = sorted(forms, key=len, reverse=True)
        self._blocks = frozenset(block for form in forms for block in _blocks(form))

    def _redact_once(self, text: str) -> str:
        """Replace the secrets in *text*, without unescaping it."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, HIDDEN)
        if self._blocks and len(text) >= _LONG and (found := self._blocks.intersection(_windows(text))):
            for form in self._forms:
                if not found.isdisjoint(_blocks(form)):
                    text = _without_parts(text, form)
        return text


def _forms(secret: str) -> Iterator[str]:
    """Yield the forms in which a secret can occur in a text, apart from escapes."""
    yield secret
    yield secret.replace(" ", "+")  # as in a query string
    if len(secret) < _SHORTEST_FORM:
        return
    for before in range(3):  # Base64 differs with the number of bytes before the secret, modulo 3
        inside = slice(-(-before * 8 // 6), (before + len(secret.encode())) * 8 // 6)
        for alphabet in (b"+/", b"-_"):
            yield base64.b64encode(b"\0" * before + secret.encode(), alphabet).decode()[inside]
    # Unescaping a text also unescapes a secret that contains what looks like an escape.
    for _ in range(_DEPTH):
        secret = _unescaped(secret)
        if len(secret) >= _SHORTEST_UNESCAPED:
            yield secret


def _windows(text: str) -> Iterator[str]:
    return (text[start : start + _BLOCK] for start in range(len(text) - _BLOCK + 1))


def _blocks(form: str) -> Iterator[str]:
    """Yield the blocks of a form; none if the form is too short for its parts to be hidden."""
    starts = range(0, len(form) - _BLOCK + 1, _BLOCK) if len(form) >= _LONG else ()
    return (form[start : start + _BLOCK] for start in starts)


def _without_parts(text: str, form: str) -> str:
    """Return *text* without the long parts of *form*, in time proportional to the length of both."""
    known = frozenset(_windows(form))
    found = bytes(window in known for window in _windows(text))
    kept, at = list[str](), 0
    for run in re.finditer(b"\1{%d,}" % (_LONG - _BLOCK + 1), found):
        kept += [text[at : run.start()], HIDDEN]
        at = run.end() + _BLOCK - 1
    return "".join([*kept, text[at:]])


def _unescaped(text: str) -> str:
    """Resolve the escapes of URLs, JSON, HTML and Python in *text*, once."""
    return _ESCAPES.sub(_resolved, text) if _MARKS.search(text) else text  # most texts have no escapes


def _resolved(match: re.Match[str]) -> str:
    escapes = match[0]
    if escapes[0] == "&":
        return html.unescape(escapes)
    if escapes[0] == "%":
        return _decoded(escapes.replace("%", ""))
    if len(escapes) == 2:
        return escapes[1] if escapes[1] in "\\/\"'" else " "
    digits = re.sub(r"\\.", "", escapes)
    return _decoded(digits) if escapes[1] in "xX" else bytes.fromhex(digits).decode("utf-16-be", "surrogatepass")


def _decoded(digits: str) -> str:
    """Decode bytes in hexadecimal as UTF-8, and invalid bytes as Latin-1, as in the ``repr`` of a text."""
    text = bytes.fromhex(digits).decode("utf-8", "surrogateescape")
    return re.sub("[\udc80-\udcff]", lambda byte: chr(ord(byte[0]) - 0xDC00), text)
