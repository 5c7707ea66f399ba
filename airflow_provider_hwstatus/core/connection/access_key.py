"""Logging in with an access key that is given: by the connection, or where the vendor's SDK finds one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import ClassVar

from airflow_provider_hwstatus.core.connection.credentials import CredentialRecords
from airflow_provider_hwstatus.core.connection.profile import DEFAULT_PROFILE, Profile, read_profile
from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.core.connection.signing import AccessKey, sign
from airflow_provider_hwstatus.core.protocol.effects import Exclusive, Flow, Mask, Request, Response
from airflow_provider_hwstatus.core.protocol.redaction import Redactor
from airflow_provider_hwstatus.core.protocol.responses import error_of
from airflow_provider_hwstatus.core.protocol.throttle import Clock
from airflow_provider_hwstatus.errors import CredentialsRefusedError

_KEY_WAS_READ = {400, 403, 404}  # a gateway in trouble answers other statuses without looking at the key


class AkSk:
    """
    An access key signs each request; with a security token it is a temporary one.

    A permanent key is locked for five minutes after five refusals in a row, so its first request is sent alone and a
    refused key is not sent again. See
    :class:`~airflow_provider_hwstatus.core.connection.credentials.CredentialRecord`. Requests in progress when a good
    key is revoked are refused together.
    """

    needs: ClassVar[Mapping[str, str]] = {"login": "the access key (AK)", "password": "the secret key (SK)"}

    def __init__(self, settings: Settings, clock: Clock, redact: Redactor, records: CredentialRecords) -> None:
        self.project_id: str | None = None
        self._clock = clock
        self._redact = redact
        self._records = records
        self._use(settings)

    @property
    def who(self) -> str:
        return f"access key {self._key.access_key[:4]}…"

    def _use(self, settings: Settings) -> None:
        key = AccessKey(settings.login or "", settings.password or "", settings.security_token)
        if key == getattr(self, "_key", None):
            return
        self._key = key
        self._record = self._records.of(settings)
        for secret in (settings.login, settings.password, settings.security_token):
            self._redact.add(secret)

    def exchange(self, request: Request) -> Flow[Response]:
        response: Response | None = None
        if not self._record.proven and not self._key.security_token:
            response = yield Exclusive(self._record.turn, lambda: self._first(request))
        if response is None:
            response = yield from self._send(request)
        return response

    def ensure(self) -> Flow[None]:
        yield from ()

    def _first(self, request: Request) -> Flow[Response | None]:
        if self._record.proven:
            return None
        response = yield from self._send(request)
        if not self._record.proven:  # raised, so that those who queued share it and do not each ask in turn
            raise error_of(response, self._redact, self._clock())
        return response

    def _send(self, request: Request) -> Flow[Response]:
        if not (self._record.proven or self._key.security_token):
            self._record.check()
        response: Response = yield sign(request, self._key, datetime.fromtimestamp(self._clock(), UTC))
        if response.status == 401 and not self._key.security_token:
            raise self._record.refused(error_of(response, self._redact, self._clock(), CredentialsRefusedError))
        if response.status < 300 or response.status in _KEY_WAS_READ:
            self._record.proven = True
        return response


class Environment(AkSk):
    """
    The access key of the vendor SDK's environment variables, or else of its profile file.

    It is read again when it is refused: something else may have put a new one there.
    """

    needs: ClassVar[Mapping[str, str]] = {}

    def __init__(self, settings: Settings, clock: Clock, redact: Redactor, records: CredentialRecords) -> None:
        self._settings = settings
        profile = read_profile(os.environ, settings.profile or DEFAULT_PROFILE)
        self._masked: AccessKey | None = None
        super().__init__(self._with(profile), clock, redact, records)
        self.project_id = profile.project_id

    def exchange(self, request: Request) -> Flow[Response]:
        used = self._key
        if used is not self._masked:
            self._masked = used
            yield from mask(used)
        try:
            response = yield from super().exchange(request)
        except CredentialsRefusedError:
            if not self._changed(used):
                raise
        else:
            if response.status != 401 or not self._changed(used):
                return response
        return (yield from super().exchange(request))

    def _with(self, profile: Profile) -> Settings:
        return replace(
            self._settings,
            login=profile.access_key,
            password=profile.secret_key,
            security_token=profile.security_token,
        )

    def _changed(self, used: AccessKey) -> bool:
        if self._key == used:
            self._use(self._with(read_profile(os.environ, self._settings.profile or DEFAULT_PROFILE)))
        return self._key != used


def mask(key: AccessKey) -> Flow[None]:
    """Have all parts of *key* masked."""
    for secret in filter(None, (key.access_key, key.secret_key, key.security_token)):
        yield Mask(secret)
