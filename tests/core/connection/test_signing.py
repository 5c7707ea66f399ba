"""The signature of requests, compared with that of the vendor's signer."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_hwstatus.core.connection import signing
from airflow_provider_hwstatus.core.protocol.effects import Request

SAMPLE = json.loads((Path(__file__).parents[2] / "samples" / "signing-vectors.json").read_text())
NOW = datetime(2026, 11, 21, 8, 15, 30, tzinfo=UTC)
HOST = "dli.cn-north-4.myhuaweicloud.com"
KEY = signing.AccessKey("AKIDEXAMPLE000000001", "SKEXAMPLEsecret0000000000000000000000001")

#: Headers that the signers set, and the one with which the vendor's signer marks an unsigned body.
OWN = {"authorization", "content-type", "host", "x-sdk-content-sha256", "x-sdk-date", "x-security-token"}

any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
paths = st.lists(any_text, max_size=5).map(lambda segments: "/" + "/".join(quote(s, safe="~") for s in segments))
queries = st.lists(st.tuples(any_text, any_text), max_size=5)
header_names = st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True).filter(lambda name: name.lower() not in OWN)
header_values = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
headers = st.lists(st.tuples(header_names, header_values), max_size=5, unique_by=lambda h: h[0].lower()).map(dict)


def vendor_signs(
    method: str,
    path: str,
    query: list[tuple[str, str]],
    headers: dict[str, str],
    body: bytes,
    token: str | None,
) -> str:
    """Return the ``Authorization`` header of the vendor's SDK."""
    dated = headers | {"X-Sdk-Date": NOW.strftime("%Y%m%dT%H%M%SZ")}
    if token:
        dated["X-Security-Token"] = token
    request = SdkRequest(method, "https", HOST, path, None, list(query), dated, body)
    signed = Signer(SimpleNamespace(ak=KEY.access_key, sk=KEY.secret_key)).sign(request)
    return str(signed.header_params["Authorization"])


def we_sign(
    method: str,
    path: str,
    query: list[tuple[str, str]],
    headers: dict[str, str],
    body: bytes,
    token: str | None,
) -> str:
    """Return the ``Authorization`` header of this package."""
    url = f"https://{HOST}{path}" + (f"?{urlencode(query)}" if query else "")
    key = signing.AccessKey(KEY.access_key, KEY.secret_key, token)
    return signing.sign(Request(method, url, headers, body), key, NOW).headers["Authorization"]


@pytest.fixture(params=SAMPLE["vectors"], ids=lambda vector: vector["name"])
def vector(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return a request that the vendor's SDK signed, with the results of each step."""
    return request.param  # type: ignore[no-any-return]


def signed(vector: dict[str, Any]) -> Request:
    """Return the request of *vector*, signed by this package for the same time."""
    given = {name: value for name, value in vector["headers"].items() if name != "X-Sdk-Date"}
    token = given.pop("X-Security-Token", None)
    request = Request(vector["method"], vector["url"], given, vector["body"].encode())
    return signing.sign(request, signing.AccessKey(SAMPLE["ak"], SAMPLE["sk"], token), NOW)


def test_vector_headers(vector: dict[str, Any]) -> None:
    """The headers of a signed request are the same as the vendor's."""
    assert vector["result_headers"] == signed(vector).headers


def test_vector_canonical_request(vector: dict[str, Any]) -> None:
    """The canonical request is the same as the vendor's."""
    request = signed(vector)
    others = {name: value for name, value in request.headers.items() if name != "Authorization"}

    assert vector["canonical_request"] == signing.canonical_request(
        request, signing.canonical_headers(signing.signed_headers(others))
    )


def test_vector_url(vector: dict[str, Any]) -> None:
    """Signing does not change the URL."""
    assert vector["url"] == signed(vector).url


@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    path=paths,
    query=queries,
    headers=headers,
    body=st.binary(max_size=50),
    token=st.none() | st.from_regex(r"[A-Za-z0-9+/=]{1,40}", fullmatch=True),
)
@example(method="get", path="/", query=[], headers={}, body=b"", token=None)
@example(
    method="GET",
    path="/v1/%E4%B8%AD%20a~/",
    query=[("名", "a b+c/d~e*f=g&中"), ("", "")],
    headers={},
    body=b"",
    token="t",
)
@example(
    method="GET",
    path="/a%2Fb//c",
    query=[("b", "2"), ("a", "1"), ("b", "1"), ("B", "")],
    headers={},
    body=b"",
    token=None,
)
@example(
    method="POST",
    path="/",
    query=[],
    headers={"X-Name": "  中文 ", "x_dropped": "1", "a-b": ""},
    body=b"{}",
    token=None,
)
def test_signs_like_the_vendor(
    method: str,
    path: str,
    query: list[tuple[str, str]],
    headers: dict[str, str],
    body: bytes,
    token: str | None,
) -> None:
    """The signature is the same as the vendor's for any method, path, query, headers and body."""
    expected = vendor_signs(method, path, query, headers, body, token)

    assert expected == we_sign(method, path, query, headers, body, token)


@given(path=paths, query=queries)
def test_encoding_of_the_query_does_not_matter(path: str, query: list[tuple[str, str]]) -> None:
    """The signature does not depend on the percent-encoding of the query, which the gateway decodes."""
    url = f"https://{HOST}{path}?"
    one = Request("GET", url + urlencode(query))
    other = Request("GET", url + urlencode(query, quote_via=quote, safe="~"))

    assert signing.sign(one, KEY, NOW).headers == signing.sign(other, KEY, NOW).headers


@given(hours=st.integers(-12, 14))
def test_any_time_zone(hours: int) -> None:
    """The date is signed in UTC for a clock in any time zone."""
    request = Request("GET", f"https://{HOST}/")
    elsewhere = NOW.astimezone(timezone(timedelta(hours=hours)))

    assert signing.sign(request, KEY, NOW) == signing.sign(request, KEY, elsewhere)


def test_naive_time_is_refused() -> None:
    """A time without a time zone raises an error."""
    with pytest.raises(ValueError, match="time zone"):
        signing.sign(Request("GET", f"https://{HOST}/"), KEY, NOW.replace(tzinfo=None))


def test_request_is_not_changed() -> None:
    """Signing returns a copy, so a flow can sign the same request again."""
    request = Request("GET", f"https://{HOST}/", {"Content-Type": "application/json"})
    signing.sign(request, KEY, NOW)

    assert Request("GET", f"https://{HOST}/", {"Content-Type": "application/json"}) == request


@pytest.mark.parametrize("secret", ["access_key", "secret_key", "security_token"])
def test_repr_holds_no_secret(secret: str) -> None:
    """The repr of an access key has no part of it."""
    fields = {"access_key": "AK", "secret_key": "SK", "security_token": "ST"} | {secret: "visible"}

    assert "visible" not in repr(signing.AccessKey(**fields))
