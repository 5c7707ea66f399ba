"""The fields of a connection, validated and typed."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from airflow_provider_hwstatus.core.connection.endpoints import DOMAINS, endpoint_field, endpoint_of
from airflow_provider_hwstatus.errors import ConfigurationError, MalformedResponseError
from airflow_provider_hwstatus.kinds.service import IAM, Service

DEFAULT_REQUEST_TIMEOUT = 30.0
DEFAULT_MAX_CONCURRENT_REQUESTS = 20
_LONGEST_REQUEST_TIMEOUT = 240.0  # less than the margin between our deadline and Airflow's time-out of a deferral

_ENDPOINTS = ("dli_endpoint", "cph_endpoint", "iam_endpoint", "metadata_endpoint")
_PROJECT_ID = re.compile(r"[A-Za-z0-9]{1,64}")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """
    The settings of a connection. Equal settings share one client, session and login.

    :param auth: The method of authentication, see :mod:`airflow_provider_hwstatus.core.connection.login`.
    :param login: Access key or user name.
    :param password: Secret key, password or token.
    :param region: Region of the services, for example ``cn-north-4``.
    :param project_id: Project of the jobs; None to look it up by the name of the region.
    :param domain_name: Account name, for ``auth=password``.
    :param security_token: Security token of a temporary access key.
    :param dli_endpoint: URL of DLI; None for the endpoint of the region. *cph_endpoint* and *iam_endpoint* are alike.
    :param endpoints: URLs of services, by label: a name and a URL each. The name ``*`` stands for all services that
        have no URL, and ``{service}`` in its URL for their label.
    :param metadata_endpoint: URL of the metadata service, for ``auth=agency``; None for the node's own.
    :param profile: Section of the vendor SDK's profile file, for ``auth=env``.
    :param verify: Whether to verify TLS certificates, or the path of a CA bundle to verify them with.
    :param request_timeout: Seconds for one HTTP request, including reading the response.
    :param proxy: URL of an HTTP proxy.
    :param max_concurrent_requests: Maximum number of concurrent polls per service and event loop.
    :param coalesce: Whether many waits for DLI batches use the list of batches to learn which jobs are still in
        progress, and poll only the other jobs.
    """

    auth: str = "aksk"
    login: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    region: str | None = None
    project_id: str | None = None
    domain_name: str | None = None
    security_token: str | None = field(default=None, repr=False)
    dli_endpoint: str | None = None
    cph_endpoint: str | None = None
    iam_endpoint: str | None = None
    endpoints: tuple[tuple[str, str], ...] = ()
    metadata_endpoint: str | None = None
    profile: str | None = None
    verify: bool | str = True
    request_timeout: float = DEFAULT_REQUEST_TIMEOUT
    proxy: str | None = field(default=None, repr=False)
    max_concurrent_requests: int = DEFAULT_MAX_CONCURRENT_REQUESTS
    coalesce: bool = True

    def endpoint(self, service: Service) -> str:
        """
        Return the URL of a service, without a slash at its end.

        :raises ConfigurationError: Neither the endpoint nor the region is set.
        """
        if configured := self._configured(service.label):
            return configured
        if not self.region:
            raise ConfigurationError(f"region is not set\n  next: set region or {endpoint_field(service)}")
        return endpoint_of(service, self.region)

    def _configured(self, label: str) -> str | None:
        fields = {"dli": self.dli_endpoint, "cph": self.cph_endpoint, "iam": self.iam_endpoint}
        if own := fields.get(label):
            return own
        listed = dict(self.endpoints)
        return listed.get(label) or listed.get("*", "").replace("{service}", label) or None

    @property
    def cloud(self) -> str:
        """The cloud that accepts or refuses the credentials: its domain, or host and port of a configured endpoint."""
        configured = self.iam_endpoint or self.dli_endpoint or self.cph_endpoint
        configured = configured or self._configured(IAM.label)
        url = configured if configured or not self.region else self.endpoint(IAM)
        host = urlsplit(url or "").netloc
        return next((domain for _, domain in DOMAINS if host.endswith(f".{domain}")), host)


def settings_from(
    login: str | None,
    password: str | None,
    extra: Mapping[str, object],
    region: str | None = None,
    project_id: str | None = None,
) -> Settings:
    """
    Return the settings from the fields of a connection. An empty field counts as not set.

    :param extra: The fields of the connection's extra.
    :param region: Replaces the region of *extra*, unless empty.
    :param project_id: Replaces the project id of *extra*, unless empty.
    :raises ConfigurationError: A field has an invalid value. The message names the field.
    """
    fields = dict(extra) | {name: value for name, value in (("region", region), ("project_id", project_id)) if value}
    texts = {name: _text(name, fields.get(name)) for name in ("domain_name", "security_token", "profile")}
    endpoints = {name: _checked(fields, name, _endpoint) for name in _ENDPOINTS}
    return Settings(
        auth=_text("auth", fields.get("auth")) or Settings.auth,
        login=_text("login", login),
        password=_text("password", password),
        region=_checked(fields, "region", _region),
        project_id=_checked(fields, "project_id", _project_id),
        verify=_verify(fields.get("verify")),
        request_timeout=_request_timeout(fields.get("request_timeout")),
        proxy=_checked(fields, "proxy", _proxy),
        max_concurrent_requests=_max_concurrent_requests(fields.get("max_concurrent_requests")),
        coalesce=_coalesce(fields.get("coalesce")),
        endpoints=_endpoints(fields.get("endpoints")),
        **texts,
        **endpoints,
    )


def check_project_id(project_id: object) -> str:
    """
    Return a project id from IAM, after validating it, because it becomes part of every path.

    :raises MalformedResponseError: It is not 1 to 64 letters and digits.
    """
    if isinstance(project_id, str) and _PROJECT_ID.fullmatch(project_id):
        return project_id
    raise MalformedResponseError("IAM's response has a project id that is not 1 to 64 letters and digits")


def _text(name: str, value: object) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ConfigurationError(f"{name} must be text; it is of type {type(value).__name__}")
    if not value.isprintable() or value != value.strip():
        raise ConfigurationError(
            f"{name} has a space at its begin or end, a line break or another invisible character\n  next: remove it"
        )
    return value


def _checked(fields: Mapping[str, object], name: str, check: Callable[[str, str], str]) -> str | None:
    text = _text(name, fields.get(name))
    return None if text is None else check(name, text)


def _region(name: str, text: str) -> str:
    endpoint_of(IAM, text)
    return text


def _project_id(name: str, text: str) -> str:
    if not _PROJECT_ID.fullmatch(text):
        raise ConfigurationError(f"{name} must be 1 to 64 letters and digits; it is {text[:64]!r}")
    return text


def _endpoint(name: str, text: str) -> str:
    if not _is_url(text) or set("?#@{}") & set(text):
        raise ConfigurationError(f"{name} must be a URL such as https://host or https://host:port/path, without user")
    return text.rstrip("/")


def _endpoints(value: object) -> tuple[tuple[str, str], ...]:
    """Return the URLs by service; the connection form holds them as JSON text."""
    if value is None or value == "":
        return ()
    try:
        listed = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        listed = None
    if not isinstance(listed, Mapping):
        raise ConfigurationError('endpoints must be a JSON object of service and URL, such as {"mrs": "https://host"}')
    return tuple((label, _endpoint_of_service(label, url)) for label, url in sorted(listed.items(), key=str))


def _endpoint_of_service(label: str, url: object) -> str:
    name = f"endpoints[{label!r}]"
    if label != "*":
        try:
            Service(label=label)
        except ValueError as error:
            raise ConfigurationError(f"{name}: {error}") from None
    text = _text(name, url)
    if text is None:
        raise ConfigurationError(f"{name} is empty")
    _endpoint(name, text.replace("{service}", "service") if label == "*" else text)
    return text.rstrip("/")


def _proxy(name: str, text: str) -> str:
    if not _is_url(text):
        raise ConfigurationError(f"{name} must be a URL such as http://host:3128")
    return text


def _is_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        return url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0 and " " not in text
    except ValueError:  # for example, an invalid port or an IPv6 address without its bracket
        return False


def _verify(value: object) -> bool | str:
    if value is None or value == "":
        return True
    if isinstance(value, bool):
        return value
    text = _text("verify", value) or ""
    return {"true": True, "false": False}.get(text.lower(), text)


def _request_timeout(value: object) -> float:
    if value is None or value == "":
        return DEFAULT_REQUEST_TIMEOUT
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]  # any type is caught
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 < seconds <= _LONGEST_REQUEST_TIMEOUT:
        raise ConfigurationError(
            f"request_timeout must be a number of seconds above 0 and at most {_LONGEST_REQUEST_TIMEOUT:g}"
        )
    return seconds


def _max_concurrent_requests(value: object) -> int:
    if value is None or value == "":
        return DEFAULT_MAX_CONCURRENT_REQUESTS
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not re.fullmatch(r"[1-9][0-9]{0,3}", text):
        raise ConfigurationError("max_concurrent_requests must be a whole number from 1 to 9999")
    return int(text)


def _coalesce(value: object) -> bool:
    flags = {"": True, "none": True, "false": False, "true": True}
    text = str(value).lower()
    if text not in flags:
        raise ConfigurationError("coalesce must be true or false")
    return flags[text]
