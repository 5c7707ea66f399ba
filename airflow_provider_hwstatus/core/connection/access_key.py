"""Authentication with an access key from the connection, or from where the vendor's SDK reads one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from airflow_provider_hwstatus.core.connection.credentials import CredentialRecords
from airflow_provider_hwstatus.core.connection.profile import DEFAULT_PROFILE, Profile, read_profile
from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.core.connection.signing import AccessKey, sign_at
from airflow_provider_hwstatus.core.protocol.effects import Exclusive, Flow, Mask, Request, Response
from airflow_provider_hwstatus.core.protocol.redaction import Redactor
from airflow_provider_hwstatus.core.protocol.responses import error_of
from airflow_provider_hwstatus.core.protocol.throttle import Clock
from airflow_provider_hwstatus.errors import CredentialsRefusedError

#: Statuses that show, like 2xx, that the gateway accepted the key. Other statuses can come before it checks the key.
_KEY_ACCEPTED = {400, 403, 404}


class AkSk:
    """
    Signs each request with an access key (AK/SK), which is temporary if it has a security token.

    The gateway locks a permanent key for five minutes after five refusals in a row. So the first request with a
    permanent key is sent alone, and a refused key is not sent again, see
    :class:`~airflow_provider_hwstatus.core.connection.credentials.CredentialRecord`. Requests that are in progress when
    an accepted key is revoked can still be refused together.
    """

    needs: ClassVar[Mapping[str, str]] = {"login": "the access key (AK)", "password": "the secret key (SK)"}

    def __init__(self, settings: Settings, clock: Clock, redact: Redactor, records: CredentialRecords) -> None:
        self.project_id: str | None = None
        self._clock = clock
        self._redact = redact
        self._records = records
        self._use_key_of(settings)

    @property
    def identity(self) -> str:
        return f"access key {self._key.access_key[:4]}…"

    def exchange(self, request: Request) -> Flow[Response]:
        response: Response | None = None
        if not self._record.accepted and not self._key.security_token:
            response = yield Exclusive(self._record.lock_name, lambda: self._send_first(request))
        if response is None:
            response = yield from self._send(request)
        return response

    def ensure(self) -> Flow[None]:
        yield from ()

    def _use_key_of(self, settings: Settings) -> None:
        key = AccessKey(settings.login or "", settings.password or "", settings.security_token)
        if key == getattr(self, "_key", None):
            return
        self._key = key
        self._record = self._records.record_of(settings)
        for secret in (settings.login, settings.password, settings.security_token):
            self._redact.add(secret)

    def _send_first(self, request: Request) -> Flow[Response | None]:
        """Send *request* while no other wait sends one, or return None if the key has been accepted meanwhile."""
        if self._record.accepted:
            return None
        response = yield from self._send(request)
        if not self._record.accepted:  # queued waits share an error that is raised, instead of trying one by one
            raise error_of(response, self._redact, self._clock())
        return response

    def _send(self, request: Request) -> Flow[Response]:
        if not (self._record.accepted or self._key.security_token):
            self._record.raise_if_refused()
        response: Response = yield sign_at(request, self._key, self._clock())
        if response.status == 401 and not self._key.security_token:
            raise self._record.refuse(error_of(response, self._redact, self._clock(), CredentialsRefusedError))
        if response.status < 300 or response.status in _KEY_ACCEPTED:
            self._record.accepted = True
        return response


class Environment(AkSk):
    """
    Signs with the access key from the vendor SDK's environment variables or, without these, from its profile file.

    When the key is refused, both are read again, because another process may have replaced the key.
    """

    needs: ClassVar[Mapping[str, str]] = {}

    def __init__(self, settings: Settings, clock: Clock, redact: Redactor, records: CredentialRecords) -> None:
        self._settings = settings
        profile = self._read()
        self._masked: AccessKey | None = None
        super().__init__(self._settings_with(profile), clock, redact, records)
        self.project_id = profile.project_id

    def exchange(self, request: Request) -> Flow[Response]:
        used = self._key
        if used is not self._masked:
            self._masked = used
            yield from mask_key(used)
        try:
            response = yield from super().exchange(request)
        except CredentialsRefusedError:
            if not self._has_replaced(used):
                raise
        else:
            if response.status != 401 or not self._has_replaced(used):
                return response
        return (yield from super().exchange(request))

    def _read(self) -> Profile:
        return read_profile(os.environ, self._settings.profile or DEFAULT_PROFILE)

    def _settings_with(self, profile: Profile) -> Settings:
        return replace(
            self._settings,
            login=profile.access_key,
            password=profile.secret_key,
            security_token=profile.security_token,
        )

    def _has_replaced(self, used: AccessKey) -> bool:
        """Read the key again, unless another wait has done that, and return whether it differs from *used*."""
        if self._key == used:
            self._use_key_of(self._settings_with(self._read()))
        return self._key != used


def mask_key(key: AccessKey) -> Flow[None]:
    """Mask all parts of *key* in the logs of this process."""
    for secret in filter(None, (key.access_key, key.secret_key, key.security_token)):
        yield Mask(secret)
