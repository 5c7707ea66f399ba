"""
SDK-HMAC-SHA256, the signature of Huawei Cloud's API gateway.

Source: API Request Signing Guide, https://support.huaweicloud.com/intl/en-us/devg-apisign/api-sign-algorithm.html.
The functions are named after the steps of this guide.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import parse_qsl, unquote

from airflow_provider_hwstatus.core.protocol.effects import Request, encode

ALGORITHM = "SDK-HMAC-SHA256"
DATE_FORMAT = "%Y%m%dT%H%M%SZ"

# Headers from an earlier signature, which would make the new signature invalid.
_SIGNATURE_HEADERS = {"authorization", "host", "x-sdk-date", "x-security-token"}

_ENCODED_PATH = re.compile(r"[A-Za-z0-9._~/-]*")


@dataclass(frozen=True)
class AccessKey:
    """
    An access key: an AK/SK pair.

    :param security_token: Set for a temporary access key, None for a permanent one.
    """

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)


def canonical_uri(path: str) -> str:
    """Return the path as it is signed: with each segment percent-encoded, and ending in a slash."""
    plain = _ENCODED_PATH.fullmatch(path)  # most paths; ten times as fast
    encoded = path if plain else "/".join(encode(segment) for segment in unquote(path).split("/"))
    return encoded if encoded.endswith("/") else encoded + "/"


def canonical_query_string(query: str) -> str:
    """Return the query as it is signed: sorted by name and value, both percent-encoded."""
    if not query:
        return ""
    pairs = sorted(parse_qsl(query, keep_blank_values=True))
    return "&".join(f"{encode(name)}={encode(value)}" for name, value in pairs)


def signed_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers to sign, by lower-case name, sorted. The gateway drops names with an underscore."""
    return {name.lower(): headers[name] for name in sorted(headers, key=str.lower) if "_" not in name}


def canonical_headers(signed: Mapping[str, str]) -> str:
    """Return the signed headers as text, one per line, followed by their names. *signed* is sorted."""
    return "".join(f"{name}:{value.strip()}\n" for name, value in signed.items()) + "\n" + ";".join(signed)


def canonical_request(request: Request, headers: str) -> str:
    """
    Return the text from which the client and the gateway compute the same signature.

    :param headers: The result of :func:`canonical_headers`.
    """
    _, path, query = _split(request.url)
    content = hashlib.sha256(request.body).hexdigest()
    uri, query_string = canonical_uri(path), canonical_query_string(query)
    return f"{request.method.upper()}\n{uri}\n{query_string}\n{headers}\n{content}"


def string_to_sign(canonical: str, date: str) -> str:
    """Return the text to sign; *date* is the value of the header ``X-Sdk-Date``."""
    return f"{ALGORITHM}\n{date}\n{hashlib.sha256(canonical.encode()).hexdigest()}"


def signature(secret_key: str, text: str) -> str:
    """Return the signature of *text*, the string to sign, in hexadecimal."""
    return hmac.digest(secret_key.encode(), text.encode(), "sha256").hex()


def sign(request: Request, key: AccessKey, now: datetime) -> Request:
    """
    Return a copy of *request* that the API gateway accepts as sent by *key*.

    :param now: Time of signing, with a time zone. The gateway allows 15 minutes of skew.
    :raises ValueError: *now* has no time zone.
    """
    if now.tzinfo is None:
        raise ValueError("now needs a time zone")
    host, _, _ = _split(request.url)
    template = _header_template(tuple(request.headers.items()), host, now.replace(microsecond=0), key.security_token)
    text = string_to_sign(canonical_request(request, template.canonical), template.date)
    proof = f"SignedHeaders={template.names}, Signature={signature(key.secret_key, text)}"
    signed = {**template.headers, "Authorization": f"{ALGORITHM} Access={key.access_key}, {proof}"}
    return Request(request.method, request.url, signed, request.body, request.timeout, request.direct)


def sign_at(request: Request, key: AccessKey, seconds: float) -> Request:
    """Sign as :func:`sign` does, at a time in seconds since 1970."""
    return sign(request, key, datetime.fromtimestamp(seconds, UTC))


@dataclass(frozen=True, repr=False)  # no repr, because it holds the security token
class _HeaderTemplate:
    headers: Mapping[str, str]
    canonical: str
    names: str
    date: str


@lru_cache(maxsize=8)  # the same for all polls of a connection within a second
def _header_template(
    unsigned: tuple[tuple[str, str], ...], host: str, now: datetime, token: str | None
) -> _HeaderTemplate:
    date = now.astimezone(UTC).strftime(DATE_FORMAT)
    headers = {name: value for name, value in unsigned if name.lower() not in _SIGNATURE_HEADERS}
    headers |= {"Host": host, "X-Sdk-Date": date}
    if token:
        headers["X-Security-Token"] = token
    signed = signed_headers(headers)
    return _HeaderTemplate(headers, canonical_headers(signed), ";".join(signed), date)


def _split(url: str) -> tuple[str, str, str]:
    """Return host with port, path and query of *url*, ten times as fast as ``urllib.parse.urlsplit``."""
    _, _, rest = url.partition("://")
    before, _, query = rest.partition("?")
    host, slash, path = before.partition("/")
    return host, slash + path, query
