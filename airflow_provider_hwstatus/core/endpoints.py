"""Which host serves which region."""

from __future__ import annotations

import re

from airflow_provider_hwstatus.core.errors import ConfigurationError

#: How the hosts of a cloud are named, by what its regions begin with; the first that fits is taken.
#: Sources: the vendor SDK's region tables, IAM's endpoint page, python-otcextensions.
DOMAINS = (
    (re.compile(r"eu-west-1\d\d"), "myhuaweicloud.eu"),
    (re.compile(r"eu-(de|nl|ch\d+)"), "otc.t-systems.com"),
    (re.compile(r".*"), "myhuaweicloud.com"),
)

_REGION = re.compile(r"[a-z0-9]+(-[a-z0-9]+)+")


def endpoint_of(service: str, region: str) -> str:
    """
    Return the URL of a service in a region.

    :param service: ``dli``, ``cph`` or ``iam``.
    :raises ConfigurationError: *region* cannot be one: it would become part of a host name.
    """
    if len(region) > 64 or not _REGION.fullmatch(region):
        raise ConfigurationError(f"region must look like cn-north-4; it is {region[:64]!r}")
    domain = next(domain for pattern, domain in DOMAINS if pattern.fullmatch(region))
    return f"https://{service}.{region}.{domain}"
