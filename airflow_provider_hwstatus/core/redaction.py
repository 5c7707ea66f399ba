"""Keep what is secret out of what is shown: the gateway echoes keys, tokens and whole requests."""

from __future__ import annotations

import json
from collections.abc import Iterable
from urllib.parse import quote, urlsplit

HIDDEN = "***"


class Redactor:
    """Replaces secrets in text by ``***``, however they are escaped."""

    def __init__(self, secrets: Iterable[str | None] = ()) -> None:
        self._forms: list[str] = []
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str | None) -> None:
        """Hide *secret* from now on."""
        if secret:
            escaped = json.dumps(secret)[1:-1]
            forms = {secret, quote(secret, safe=""), quote(secret), escaped, escaped.replace("/", "\\/")}
            self._forms = sorted({*self._forms, *forms}, key=len, reverse=True)

    def add_url(self, url: str | None) -> None:
        """Hide the user and the password that stand in *url*."""
        if url and "@" in url:
            parts = urlsplit(url)
            self.add(parts.netloc.rpartition("@")[0])
            self.add(parts.password)

    def __call__(self, text: str) -> str:
        for form in self._forms:
            if form in text:
                text = text.replace(form, HIDDEN)
        return text
