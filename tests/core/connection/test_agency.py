"""The login as the agency of a node, as in the reference of the metadata service."""

from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_hwstatus.core.connection.login import login_for
from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.core.protocol.effects import Request
from airflow_provider_hwstatus.core.protocol.redaction import Redactor
from airflow_provider_hwstatus.errors import (
    ConfigurationError,
    MalformedResponseError,
    ServerError,
    TransportError,
)

POLL = Request("GET", "https://dli/v2.0/p1/batches/b1/state")
TOKEN, KEY = "PUT http://169.254.169.254/meta-data/latest/api/token", "/openstack/latest/securitykey"
DAY = 86_400


class Node:
    """A node with a metadata service, and the login as its agency."""

    def __init__(self, stub_cloud, replies=(), **fields):
        self.cloud = stub_cloud(dict(replies) | {TOKEN: (200, b" t0ken\n"), KEY: self.key, "https://dli": {}})
        self.cloud.replies |= dict(replies)
        self.redact = Redactor()
        self.login = login_for(Settings(auth="agency", **fields), self.cloud.clock, self.redact)
        self.lives = DAY
        self.keys = 0

    def key(self, request):
        self.keys += 1
        ends = datetime.fromtimestamp(self.cloud.now, UTC) + timedelta(seconds=self.lives)
        parts = {"access": f"AK{self.keys}", "secret": f"SK{self.keys}", "securitytoken": f"ST{self.keys}"}
        return {"credential": parts | {"expires_at": ends.isoformat().replace("+00:00", "Z")}}

    def poll(self):
        return self.cloud.run(self.login.exchange(POLL))


def test_key_is_fetched_with_a_token_past_all_proxies(stub_cloud):
    """The key is fetched with a token, without a proxy, and with a time-out of three seconds per request."""
    node = Node(stub_cloud)
    node.poll()

    token, key, poll = node.cloud.requests
    assert ("PUT", "http://169.254.169.254/meta-data/latest/api/token") == (token.method, token.url)
    assert {"X-Metadata-Token-Ttl-Seconds": "21600"} == token.headers
    assert ("GET", "http://169.254.169.254/openstack/latest/securitykey") == (key.method, key.url)
    assert {"X-Metadata-Token": "t0ken"} == key.headers
    assert {(3.0, True)} == {(request.timeout, request.direct) for request in (token, key)}
    assert (None, False) == (poll.timeout, poll.direct)
    assert "20261121T000000Z" == poll.headers["X-Sdk-Date"]
    assert "ST1" == poll.headers["X-Security-Token"]
    assert poll.headers["Authorization"].startswith("SDK-HMAC-SHA256 Access=AK1, ")


def test_login_names_the_agency(stub_cloud):
    """The login is named as the node's agency, and it has no project."""
    node = Node(stub_cloud)
    node.cloud.run(node.login.ensure())

    assert (1, "this node's agency", None) == (node.keys, node.login.identity, node.login.project_id)
    assert 2 == len(node.cloud.requests)


@pytest.mark.parametrize("status", [404, 405, 503])
def test_older_nodes_have_no_handshake(stub_cloud, status):
    """If the metadata service has no tokens, the key is fetched without one."""
    node = Node(stub_cloud, {TOKEN: status})
    node.poll()

    assert {} == node.cloud.requests[1].headers
    assert 1 == node.keys


def test_handshake_that_fails_is_an_error(stub_cloud):
    """If the request for a token fails with a server error, no key is fetched."""
    node = Node(stub_cloud, {TOKEN: 500})

    with pytest.raises(ServerError):
        node.poll()
    assert 0 == node.keys


@pytest.mark.parametrize("status", [401, 404])
def test_node_without_an_agency_is_an_error_of_the_configuration(stub_cloud, status):
    """A node without an agency raises a ConfigurationError that says what to do."""
    node = Node(stub_cloud, {KEY: status})

    with pytest.raises(ConfigurationError, match=rf"has no access key \(HTTP {status}\)\n  next: assign an agency"):
        node.poll()


@pytest.mark.parametrize("where", [TOKEN, KEY])
def test_error_says_where_there_is_a_metadata_service(stub_cloud, where):
    """An error of the network says that auth=agency works on a node only."""
    node = Node(stub_cloud, {where: TransportError("timed out")})

    with pytest.raises(TransportError, match=r"^auth=agency works on an ECS or CCE node only.*: timed out"):
        node.poll()


def test_key_is_secret(stub_cloud):
    """Everything that the metadata service returns is masked in logs and redacted in messages."""
    node = Node(stub_cloud)
    node.poll()

    assert {"t0ken", "AK1", "SK1", "ST1"} == set(node.cloud.masked)
    assert "*** *** *** ***" == node.redact("t0ken AK1 SK1 ST1")


@pytest.mark.parametrize(("lives", "used"), [(DAY, DAY - 2400), (24_000, 24_000 - 2400), (1000, 900), (0, 60)])
def test_key_is_replaced_before_its_end(stub_cloud, lives, used):
    """A key is replaced forty minutes before its end, or after nine tenths of a short life."""
    node = Node(stub_cloud)
    node.lives = lives
    node.poll()

    node.cloud.now += used - 1
    node.poll()
    assert 1 == node.keys
    node.cloud.now += 1
    node.poll()
    assert 2 == node.keys


def test_refused_key_is_replaced_once(stub_cloud):
    """A 401 replaces the key once, and other responses are returned as they are."""
    node = Node(stub_cloud, {"https://dli": [200, 401, 401, 403, 403]})
    statuses = [node.poll().status for _ in range(3)]

    assert [200, 401, 403] == statuses
    assert 2 == node.keys


PARTS = {"access": "AK", "secret": "SK", "securitytoken": "ST", "expires_at": "2026-11-22T00:00:00.000000Z"}


@pytest.mark.parametrize(
    "reply",
    [
        {},
        {"credential": None},
        {"credential": "AK"},
        {"credential": list(PARTS)},
        *({"credential": {name: part for name, part in PARTS.items() if name != missing}} for missing in PARTS),
        *({"credential": PARTS | {name: wrong}} for name in PARTS for wrong in (None, "", 7, ["AK"])),
        {"credential": PARTS | {"expires_at": "soon"}},
    ],
)
def test_incomplete_key_is_malformed(stub_cloud, reply):
    """A key that lacks a part raises an error that does not quote the response, and nothing is signed."""
    node = Node(stub_cloud, {KEY: reply})

    with pytest.raises(
        MalformedResponseError, match="the metadata service's response has no valid temporary access key"
    ) as caught:
        node.poll()
    assert caught.value.__suppress_context__
    assert 2 == len(node.cloud.requests)


def test_metadata_service_elsewhere(stub_cloud):
    """metadata_endpoint replaces the address of the metadata service."""
    node = Node(stub_cloud, {"PUT http://10.0.0.1:88/meta": 404}, metadata_endpoint="http://10.0.0.1:88")
    node.poll()

    assert "http://10.0.0.1:88/openstack/latest/securitykey" == node.cloud.requests[1].url
