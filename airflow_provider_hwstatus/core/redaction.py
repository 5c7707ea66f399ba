"""Keep what is secret out of what is shown: the gateway echoes keys, tokens and whole requests."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from urllib.parse import quote, unquote

HIDDEN = "***"


class Redactor:
    """Replaces secrets in text by ``***``, however they are escaped."""

    def __init__(self, secrets: Iterable[str | None] = ()) -> None:
        self._forms: list[str] = []
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str | None) -> None:
        """Hide *secret* from now on."""
        if secret and secret not in self._forms:
            escaped = json.dumps(secret)[1:-1]
            quoted = {quote(secret, safe=""), quote(secret)}
            forms = {secret, escaped, escaped.replace("/", "\\/"), *quoted, *map(_lower_hex, quoted)}
            self._forms = sorted({*self._forms, *forms}, key=len, reverse=True)

    def add_url(self, url: str | None) -> None:
        """Hide the user and the password that stand in *url*, also as ``Basic`` has them."""
        user = (url or "").rpartition("@")[0].rpartition("//")[2]
        password = user.partition(":")[2]
        basic = base64.b64encode(unquote(user).encode()).decode()
        for secret in (user, password, unquote(password), basic):
            self.add(secret)

    def __call__(self, text: str) -> str:
        for form in self._forms:
            if form in text:
                text = text.replace(form, HIDDEN)
        return text


def _lower_hex(text: str) -> str:
    return re.sub("%..", lambda escape: escape[0].lower(), text)
