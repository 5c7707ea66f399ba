"""Logging in as the agency of the node that this runs on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import ClassVar

from airflow_provider_hwstatus.core.connection.access_key import mask
from airflow_provider_hwstatus.core.connection.credentials import CredentialRecords, Fetched, Renewable, useful_life
from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.core.connection.signing import AccessKey, sign
from airflow_provider_hwstatus.core.protocol.effects import Flow, Mask, Request, Response
from airflow_provider_hwstatus.core.protocol.redaction import Redactor
from airflow_provider_hwstatus.core.protocol.responses import error_of, json_or_raise
from airflow_provider_hwstatus.core.protocol.throttle import Clock
from airflow_provider_hwstatus.errors import ConfigurationError, MalformedResponseError, TransportError

#: Seconds before its end at which a key is replaced, as the vendor's SDK does; a tenth of its life, if that is less.
AGENCY_LEAD = 2400.0

#: The same on every ECS and CCE node.
METADATA_ENDPOINT = "http://169.254.169.254"

#: Seconds. It is on this machine or nowhere.
METADATA_TIMEOUT = 3.0


class Agency:
    """
    The agency of the ECS or CCE node that this runs on: its metadata service gives temporary access keys.

    Source: ECS user guide, "Obtaining Metadata"; the handshake for a token comes first, where it is offered.
    """

    needs: ClassVar[Mapping[str, str]] = {}

    def __init__(self, settings: Settings, clock: Clock, redact: Redactor, records: CredentialRecords) -> None:
        self.project_id: str | None = None
        self._endpoint = settings.metadata_endpoint or METADATA_ENDPOINT
        self._clock = clock
        self._redact = redact
        self._key = Renewable(self._fetch, clock)

    @property
    def who(self) -> str:
        return "this node's agency"

    def exchange(self, request: Request) -> Flow[Response]:
        return self._key.exchange(request, self._sign, lambda response: response.status == 401)

    def ensure(self) -> Flow[None]:
        return self._key.ensure()

    def _sign(self, request: Request, key: AccessKey) -> Request:
        return sign(request, key, datetime.fromtimestamp(self._clock(), UTC))

    def _fetch(self) -> Flow[Fetched[AccessKey]]:
        try:
            headers = yield from self._handshake()
            response = yield self._ask("GET", "/openstack/latest/securitykey", headers)
        except TransportError as error:
            raise error.about(  # noqa: B904  # the same error, with its subject
                "auth=agency works on an ECS or CCE node only, and its metadata service cannot be reached"
            )
        if response.status in (401, 404):
            raise ConfigurationError(
                f"auth=agency: the metadata service has no key (HTTP {response.status}): give this node an agency"
            )
        fetched = self._read(json_or_raise(response, self._redact, self._clock()).get("credential"))
        yield from mask(fetched.credential)
        return fetched

    def _handshake(self) -> Flow[dict[str, str]]:
        seconds = {"X-Metadata-Token-Ttl-Seconds": "21600"}
        response: Response = yield self._ask("PUT", "/meta-data/latest/api/token", seconds)
        if response.status in (404, 405, 503):  # not offered here
            return {}
        if response.status != 200:
            raise error_of(response, self._redact, self._clock())
        token = response.body.decode("ascii", "replace").strip()
        self._redact.add_renewed(token)
        yield Mask(token)
        return {"X-Metadata-Token": token}

    def _ask(self, method: str, path: str, headers: Mapping[str, str]) -> Request:
        return Request(method, self._endpoint + path, headers, timeout=METADATA_TIMEOUT, direct=True)

    def _read(self, reply: object) -> Fetched[AccessKey]:
        try:
            if not isinstance(reply, dict):
                raise TypeError("no object")
            parts = [reply[name] for name in ("access", "secret", "securitytoken")]
            if not all(isinstance(part, str) and part for part in parts):
                raise TypeError("no text")
            life = datetime.fromisoformat(reply["expires_at"]).timestamp() - self._clock()
        except (KeyError, TypeError, ValueError):
            raise MalformedResponseError(
                "the metadata service's reply is no temporary access key"
            ) from None  # it quotes the reply
        for part in parts:
            self._redact.add_renewed(part)
        return Fetched(AccessKey(*parts), self._clock() + useful_life(life, AGENCY_LEAD))
