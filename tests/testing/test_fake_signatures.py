"""The gateway accepts signatures of the vendor's SDK and refuses all others."""

from __future__ import annotations

import http.client
from contextlib import closing
from datetime import UTC, datetime
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer

from airflow_provider_hwstatus.core.connection.signing import (
    AccessKey,
    canonical_headers,
    canonical_request,
    signature,
    string_to_sign,
)
from airflow_provider_hwstatus.core.protocol.effects import Request

SHAPES = {
    "plain": {},
    "unusual id": {"job_id": "a b+c~中"},
    "query": {"query": [("name", "a b+c/d~e*f=g&中"), ("Zeta", ""), ("flag", True), ("tag", ["z", "a b"])]},
    "headers": {"headers": {"Content-Type": "application/json", "X-Project-Id": "1", "X-Note": " 中 文 "}},
    "unsigned header": {"headers": {"X_Note": "dropped by the gateway"}},
    "body": {"body": b'{"a": "\xe4\xb8\xad"}'},
}


def vendor_signed(cloud, clock, job_id="b1", query=(), headers=None, body=b"") -> SdkRequest:
    """Return a request for a batch's state, signed by the vendor's SDK."""
    path = f"/v2.0/{cloud.project_id}/batches/{quote(job_id, safe='~')}/state"
    date = datetime.fromtimestamp(clock.now, UTC).strftime("%Y%m%dT%H%M%SZ")
    request = SdkRequest(
        "GET",
        "http",
        f"127.0.0.1:{cloud.port}",
        path,
        path,
        list(query),
        {"X-Sdk-Date": date, **(headers or {})},
        body,
    )
    cloud.job("dli_batch", job_id, "running")
    return Signer(SimpleNamespace(ak=cloud.access_key, sk=cloud.secret_key)).sign(request)


def send(cloud, request: SdkRequest) -> tuple[int, str]:
    """Send *request* unchanged."""
    with closing(http.client.HTTPConnection("127.0.0.1", cloud.port, timeout=30)) as connection:
        connection.putrequest(request.method, request.uri, skip_host=True, skip_accept_encoding=True)
        headers = request.header_params | ({"Content-Length": str(len(request.body))} if request.body else {})
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(request.body or None)
        response = connection.getresponse()
        return response.status, response.read().decode()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_vendor_signature_is_accepted(cloud, clock, shape):
    """The gateway accepts every request that the vendor's SDK signs."""
    status, body = send(cloud, vendor_signed(cloud, clock, **shape))

    assert (200, True) == (status, '"running"' in body), body


def change_path(request):
    request.uri = request.uri.replace("/b1/", "/b2/")


def change_query(request):
    request.uri = request.uri.replace("size=1", "size=2")


def change_header(request):
    request.header_params["X-Note"] = "zwei"


def drop_header(request):
    del request.header_params["X-Note"]


def change_body(request):
    request.body = b"{1}"


def change_signature(request):
    text = request.header_params["Authorization"]
    request.header_params["Authorization"] = text[:-1] + ("1" if text.endswith("0") else "0")


def change_date(request):
    date = request.header_params["X-Sdk-Date"]
    request.header_params["X-Sdk-Date"] = date[:-2] + ("1" if date[-2] != "1" else "2") + "Z"


@pytest.mark.parametrize(
    "change",
    [change_path, change_query, change_header, drop_header, change_body, change_signature, change_date],
)
def test_one_changed_byte_is_refused(cloud, clock, change):
    """A request that differs from the signed one is refused. The error shows the gateway's canonical request."""
    request = vendor_signed(cloud, clock, query=[("size", 1)], headers={"X-Note": "one"}, body=b"{0}")
    change(request)
    cloud.job("dli_batch", "b2", "running")

    status, body = send(cloud, request)

    assert 401 == status
    assert "APIGW.0301" in body
    assert "verify aksk signature fail, canonicalRequest:GET|/v2.0/" in body


def test_header_order_does_not_matter(cloud, clock):
    """Headers can arrive in another order than they were signed in."""
    request = vendor_signed(cloud, clock, headers={"X-A": "1", "X-B": "2"})
    request.header_params = dict(reversed(request.header_params.items()))

    assert 200 == send(cloud, request)[0]


@pytest.mark.parametrize("skew", [-899, 899])
def test_clock_skew_of_15_minutes_is_accepted(cloud, client, skew):
    """A skew of up to 15 minutes in either direction is accepted."""
    cloud.job("dli_batch", "b1", "running")

    assert 200 == client.get("{dli}/batches/b1/state", skew=skew).status_code


@pytest.mark.parametrize("skew", [-901, 901])
def test_larger_clock_skew_is_refused(client, skew):
    """With a larger skew, the signature counts as expired."""
    reply = client.get("{dli}/batches/b1/state", skew=skew)

    assert (401, "APIGW.0301") == (reply.status_code, reply.json()["error_code"])
    assert reply.json()["error_msg"].endswith("calc ak sk signature fail:signature expired")


def test_unsigned_date_is_refused(cloud, clock):
    """X-Sdk-Date must be one of the signed headers."""
    request = vendor_signed(cloud, clock)
    text = request.header_params["Authorization"].replace("host;x-sdk-date", "host")
    request.header_params["Authorization"] = text

    assert "signature expired" in send(cloud, request)[1]


def test_unsigned_host_is_refused(cloud, clock):
    """The host must be part of the signature."""
    request = vendor_signed(cloud, clock)
    headers = {"x-sdk-date": request.header_params["X-Sdk-Date"]}
    canonical = canonical_request(
        Request("GET", f"http://fake{request.uri}", request.header_params, b""), canonical_headers(headers)
    )
    sent_signature = signature(cloud.secret_key, string_to_sign(canonical, headers["x-sdk-date"]))
    request.header_params["Authorization"] = (
        f"SDK-HMAC-SHA256 Access={cloud.access_key}, SignedHeaders=x-sdk-date, Signature={sent_signature}"
    )

    status, body = send(cloud, request)
    assert 401 == status
    assert "verify aksk signature fail" in body


def test_malformed_authorization_is_refused(client):
    """Another authorization scheme is refused."""
    reply = client.send("{dli}/batches/b1/state", {"Authorization": "Basic YTpi"})

    assert (401, "APIGW.0301") == (reply.status_code, reply.json()["error_code"])


def test_unknown_key_is_echoed(client):
    """The gateway's error contains an unknown access key, so clients must mask it."""
    reply = client.get("{dli}/batches/b1/state", key=AccessKey("NOSUCHKEY", "x"))

    assert reply.json()["error_msg"].endswith("Get secretKey failed,ak:NOSUCHKEY,err:ak not exist")


def test_more_than_five_failures_lock_the_key(cloud, client, clock):
    """The sixth failure in a row locks a key for five minutes, also for correct signatures."""
    cloud.job("dli_batch", "b1", "running")
    wrong = AccessKey(cloud.access_key, "wrong")
    messages = [client.get("{dli}/batches/b1/state", key=wrong).json()["error_msg"] for _ in range(6)]
    locked = client.get("{dli}/batches/b1/state")
    clock.now += 301

    assert 5 == sum("verify aksk signature fail" in message for message in messages)
    assert messages[5].endswith("AK access failed to reach the limit,forbidden")
    assert messages[5] == locked.json()["error_msg"]
    assert 200 == client.get("{dli}/batches/b1/state").status_code


def test_success_resets_the_count_of_failures(cloud, client):
    """Only consecutive failures count."""
    cloud.job("dli_batch", "b1", "running")
    wrong = AccessKey(cloud.access_key, "wrong")
    for _ in range(3):
        for _ in range(4):
            client.get("{dli}/batches/b1/state", key=wrong)

        assert 200 == client.get("{dli}/batches/b1/state").status_code


def test_temporary_key_is_accepted_with_its_token(cloud, client):
    """A temporary key is accepted with its security token."""
    cloud.job("dli_batch", "b1", "running")

    assert 200 == client.get("{dli}/batches/b1/state", key=cloud.temporary_key()).status_code


@pytest.mark.parametrize("token", [None, "another"])
def test_temporary_key_is_refused_without_its_token(cloud, client, token):
    """A temporary key with a missing or unknown security token is refused."""
    key = cloud.temporary_key()

    assert 401 == client.get("/v3/projects", key=AccessKey(key.access_key, key.secret_key, token)).status_code


def test_temporary_key_is_refused_with_another_keys_token(cloud, client):
    """A temporary key with the security token of another key is refused."""
    one, other = cloud.temporary_key(), cloud.temporary_key()
    mixed = AccessKey(one.access_key, one.secret_key, other.security_token)

    assert 401 == client.get("/v3/projects", key=mixed).status_code


def test_temporary_key_expires(cloud, client, clock):
    """A temporary key expires after the lifetime of tokens."""
    cloud.token_lifetime = 900
    key = cloud.temporary_key()
    clock.now += 900

    assert "the security token has expired" in client.get("/v3/projects", key=key).json()["error_msg"]
