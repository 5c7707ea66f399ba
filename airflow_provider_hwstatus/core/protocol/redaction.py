"""Keep what is secret out of what is shown: the gateway echoes keys, tokens and whole requests."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

HIDDEN = "***"

#: Characters of a block. Every part of a secret that has twice as many holds a block that begins at a multiple of it.
_BLOCK = 8

#: A part of a secret that has as many characters is hidden; what is shorter may be ordinary text.
_LONG = 2 * _BLOCK

#: Characters of a form that is looked for beside the secret itself: a shorter one would be found in ordinary text.
_SHORTEST_FORM = 6

#: How many times a text may be escaped: a URL in JSON in JSON in HTML.
_DEPTH = 4

#: How many renewed secrets are known at once, three for each key of an agency; older ones have expired.
_RENEWED = 48

_ESCAPES = re.compile(
    r"(?:%[0-9a-f]{2})+|(?:\\x[0-9a-f]{2})+|(?:\\u[0-9a-f]{4})+|\\[\\/\"'bfnrt]"
    r"|&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z]{2,8});",
    re.IGNORECASE,
)


class Redactor:
    """
    Replaces secrets in text by ``***``, and parts of them that have 16 characters or more.

    It finds them as they are, in Base64, and escaped as in a URL, in JSON or in HTML, up to four times. A text in which
    a secret was escaped is returned without these escapes.
    """

    def __init__(self, secrets: Iterable[str | None] = ()) -> None:
        self._secrets: dict[str, tuple[str, ...]] = {}
        self._renewed: list[str] = []
        self._forms: list[str] = []
        self._blocks: frozenset[str] = frozenset()
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str | None) -> None:
        """Hide *secret* from now on."""
        if secret and secret not in self._secrets:
            self._secrets[secret] = tuple(_forms(secret))
            self._arrange()

    def add_renewed(self, secret: str) -> None:
        """Hide *secret*, which others replace later, until it is old."""
        if secret and secret not in self._secrets:
            self._renewed.append(secret)
            if len(self._renewed) > _RENEWED:
                del self._secrets[self._renewed.pop(0)]
            self.add(secret)

    def add_url(self, url: str | None) -> None:
        """Hide the user and the password that stand in *url*, also as ``Basic`` has them."""
        user = (url or "").rpartition("@")[0].rpartition("//")[2]
        password = user.partition(":")[2]
        basic = base64.b64encode(unquote(user).encode()).decode()
        for secret in (user, password, unquote(password), basic):
            self.add(secret)

    def __call__(self, text: str) -> str:
        shown = deeper = self._hidden(text)
        for _ in range(_DEPTH):
            unescaped = _unescaped(deeper)
            if unescaped == deeper:
                break
            deeper = self._hidden(unescaped)
            if deeper != unescaped:
                shown = deeper
        return shown

    def _arrange(self) -> None:
        forms = {form for forms in list(self._secrets.values()) for form in forms}
        self._forms = sorted(forms, key=len, reverse=True)
        self._blocks = frozenset(block for form in forms for block in _blocks(form))

    def _hidden(self, text: str) -> str:
        for form in self._forms:
            if form in text:
                text = text.replace(form, HIDDEN)
        if len(text) >= _LONG and (found := self._blocks.intersection(_windows(text))):
            for form in self._forms:
                if not found.isdisjoint(_blocks(form)):
                    text = _without_parts(text, form)
        return text


def _forms(secret: str) -> Iterator[str]:
    """Yield what a secret looks like, apart from escapes."""
    yield secret
    yield secret.replace(" ", "+")  # as in a query
    if len(secret) < _SHORTEST_FORM:
        return
    for before in range(3):  # what stands before it moves where its characters begin
        inside = slice(-(-before * 8 // 6), (before + len(secret.encode())) * 8 // 6)
        for alphabet in (b"+/", b"-_"):
            yield base64.b64encode(b"\0" * before + secret.encode(), alphabet).decode()[inside]
    # A secret that looks escaped itself loses that along with the escapes of the text.
    for _ in range(_DEPTH):
        secret = _unescaped(secret)
        if len(secret) >= _SHORTEST_FORM:
            yield secret


def _windows(text: str) -> Iterator[str]:
    return (text[start : start + _BLOCK] for start in range(len(text) - _BLOCK + 1))


def _blocks(form: str) -> Iterator[str]:
    """Yield the blocks of a form that is long enough to have parts that are hidden."""
    starts = range(0, len(form) - _BLOCK + 1, _BLOCK) if len(form) >= _LONG else ()
    return (form[start : start + _BLOCK] for start in starts)


def _without_parts(text: str, form: str) -> str:
    """Return *text* without the long parts of *form*. The time that takes is proportional to the length of both."""
    known = frozenset(_windows(form))
    found = bytes(window in known for window in _windows(text))
    kept, at = list[str](), 0
    for run in re.finditer(b"\1{%d,}" % (_LONG - _BLOCK + 1), found):
        kept += [text[at : run.start()], HIDDEN]
        at = run.end() + _BLOCK - 1
    return "".join([*kept, text[at:]])


def _unescaped(text: str) -> str:
    """Return *text* with the escapes of URLs, JSON, HTML and Python resolved, once."""
    return _ESCAPES.sub(_resolved, text)


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
    """Return the text that bytes are; what is not UTF-8 is Latin-1, as in a ``repr`` of a text."""
    text = bytes.fromhex(digits).decode("utf-8", "surrogateescape")
    return re.sub("[\udc80-\udcff]", lambda byte: chr(ord(byte[0]) - 0xDC00), text)
