"""
SDK-HMAC-SHA256, the signature of Huawei Cloud's API gateway.

Source: API Request Signing Guide, https://support.huaweicloud.com/intl/en-us/devg-apisign/api-sign-algorithm.html.
The functions are named after its steps.
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

# What an earlier signature left: signing it again would spoil the new one.
_SET_HERE = {"authorization", "host", "x-sdk-date", "x-security-token"}

_ENCODED_PATH = re.compile(r"[A-Za-z0-9._~/-]*")


@dataclass(frozen=True)
class AccessKey:
    """
    An AK/SK pair.

    :param security_token: Goes with a temporary pair and makes it one.
    """

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)


def canonical_uri(path: str) -> str:
    """Return the path as it is signed: each segment encoded, and with a slash at its end."""
    plain = _ENCODED_PATH.fullmatch(path)  # nearly always, and ten times as fast
    encoded = path if plain else "/".join(encode(segment) for segment in unquote(path).split("/"))
    return encoded if encoded.endswith("/") else encoded + "/"


def canonical_query_string(query: str) -> str:
    """Return the query as it is signed: sorted by name and value, both encoded."""
    if not query:
        return ""
    pairs = sorted(parse_qsl(query, keep_blank_values=True))
    return "&".join(f"{encode(name)}={encode(value)}" for name, value in pairs)


def signed_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that take part in a signature: the gateway drops names with an underscore."""
    return {name.lower(): headers[name] for name in sorted(headers, key=str.lower) if "_" not in name}


def canonical_headers(signed: Mapping[str, str]) -> str:
    """Return the headers that are signed, by lower-case name in sorted order, and their names."""
    return "".join(f"{name}:{value.strip()}\n" for name, value in signed.items()) + "\n" + ";".join(signed)


def canonical_request(request: Request, headers: str) -> str:
    """
    Return what the gateway computes from *request*, too.

    :param headers: As :func:`canonical_headers` returned them.
    """
    _, path, query = _split(request.url)
    content = hashlib.sha256(request.body).hexdigest()
    uri, query_string = canonical_uri(path), canonical_query_string(query)
    return f"{request.method.upper()}\n{uri}\n{query_string}\n{headers}\n{content}"


def string_to_sign(canonical: str, date: str) -> str:
    """Return the text that is signed; *date* is the value of ``X-Sdk-Date``."""
    return f"{ALGORITHM}\n{date}\n{hashlib.sha256(canonical.encode()).hexdigest()}"


def signature(secret_key: str, text: str) -> str:
    """Return the signature of a string to sign, in hexadecimal."""
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


@dataclass(frozen=True, repr=False)  # it has the security token
class _HeaderTemplate:
    headers: Mapping[str, str]
    canonical: str
    names: str
    date: str


@lru_cache(maxsize=8)  # all polls of a connection in one second have the same
def _header_template(own: tuple[tuple[str, str], ...], host: str, now: datetime, token: str | None) -> _HeaderTemplate:
    date = now.astimezone(UTC).strftime(DATE_FORMAT)
    headers = {name: value for name, value in own if name.lower() not in _SET_HERE}
    headers |= {"Host": host, "X-Sdk-Date": date}
    if token:
        headers["X-Security-Token"] = token
    signed = signed_headers(headers)
    return _HeaderTemplate(headers, canonical_headers(signed), ";".join(signed), date)


def _split(url: str) -> tuple[str, str, str]:
    """Return host and port, path and query of *url*; the standard library's takes ten times as long."""
    _, _, rest = url.partition("://")
    before, _, query = rest.partition("?")
    host, slash, path = before.partition("/")
    return host, slash + path, query
