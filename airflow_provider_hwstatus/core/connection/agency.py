"""Authentication as the agency of the node that this process runs on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar

from airflow_provider_hwstatus.core.connection.access_key import mask_key
from airflow_provider_hwstatus.core.connection.credentials import CredentialRecords, Fetched, Renewable, useful_life
from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.core.connection.signing import AccessKey, sign_at
from airflow_provider_hwstatus.core.protocol.effects import Flow, Mask, Request, Response
from airflow_provider_hwstatus.core.protocol.redaction import Redactor
from airflow_provider_hwstatus.core.protocol.responses import error_of, json_or_raise
from airflow_provider_hwstatus.core.protocol.throttle import Clock
from airflow_provider_hwstatus.errors import ConfigurationError, MalformedResponseError, TransportError

#: Seconds before it expires at which a key is replaced, as in the vendor's SDK, but at most a tenth of its lifetime.
AGENCY_LEAD = 2400.0

#: URL of the metadata service, the same on every ECS and CCE node.
METADATA_ENDPOINT = "http://169.254.169.254"

#: Seconds for one request to the metadata service. It is on this node, so it answers at once or does not exist.
METADATA_TIMEOUT = 3.0


class Agency:
    """
    Signs with temporary access keys of the agency of this ECS or CCE node, which its metadata service issues.

    Nodes that support it require a metadata token, which is requested first.

    Source: ECS user guide, "Obtaining Metadata".
    """

    needs: ClassVar[Mapping[str, str]] = {}

    def __init__(self, settings: Settings, clock: Clock, redact: Redactor, records: CredentialRecords) -> None:
        self.project_id: str | None = None
        self._endpoint = settings.metadata_endpoint or METADATA_ENDPOINT
        self._clock = clock
        self._redact = redact
        self._key = Renewable(self._fetch, clock)

    @property
    def identity(self) -> str:
        return "this node's agency"

    def exchange(self, request: Request) -> Flow[Response]:
        return self._key.exchange(request, self._sign, lambda response: response.status == 401)

    def ensure(self) -> Flow[None]:
        return self._key.ensure()

    def _sign(self, request: Request, key: AccessKey) -> Request:
        return sign_at(request, key, self._clock())

    def _fetch(self) -> Flow[Fetched[AccessKey]]:
        try:
            headers = yield from self._metadata_token()
            response = yield self._metadata_request("GET", "/openstack/latest/securitykey", headers)
        except TransportError as error:
            raise error.about(  # noqa: B904  # the same error, with its subject
                "auth=agency works on an ECS or CCE node only, and its metadata service cannot be reached"
            )
        if response.status in (401, 404):
            raise ConfigurationError(
                f"auth=agency: the metadata service has no access key (HTTP {response.status})\n"
                "  next: assign an agency to this node"
            )
        fetched = self._parse(json_or_raise(response, self._redact, self._clock()).get("credential"))
        yield from mask_key(fetched.credential)
        return fetched

    def _metadata_token(self) -> Flow[dict[str, str]]:
        """Request a metadata token, and return it as a header; no header if this node has no such tokens."""
        lifetime = {"X-Metadata-Token-Ttl-Seconds": "21600"}
        response: Response = yield self._metadata_request("PUT", "/meta-data/latest/api/token", lifetime)
        if response.status in (404, 405, 503):  # this node has no metadata tokens
            return {}
        if response.status != 200:
            raise error_of(response, self._redact, self._clock())
        token = response.body.decode("ascii", "replace").strip()
        self._redact.add_renewed(token)
        yield Mask(token)
        return {"X-Metadata-Token": token}

    def _metadata_request(self, method: str, path: str, headers: Mapping[str, str]) -> Request:
        return Request(method, self._endpoint + path, headers, timeout=METADATA_TIMEOUT, direct=True)

    def _parse(self, credential: object) -> Fetched[AccessKey]:
        try:
            if not isinstance(credential, dict):
                raise TypeError("no object")
            parts = [credential[name] for name in ("access", "secret", "securitytoken")]
            if not all(isinstance(part, str) and part for part in parts):
                raise TypeError("no text")
            life = datetime.fromisoformat(credential["expires_at"]).timestamp() - self._clock()
        except (KeyError, TypeError, ValueError):
            raise MalformedResponseError(
                "the metadata service's response has no valid temporary access key"
            ) from None  # the cause quotes the response
        for part in parts:
            self._redact.add_renewed(part)
        return Fetched(AccessKey(*parts), self._clock() + useful_life(life, AGENCY_LEAD))
