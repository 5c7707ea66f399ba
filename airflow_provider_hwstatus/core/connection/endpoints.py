"""
The hosts of the services, by region.

Sources: the vendor SDK's region tables (3.1.219), IAM's endpoint page, python-otcextensions.
"""

from __future__ import annotations

import re

from airflow_provider_hwstatus.errors import ConfigurationError

#: The domain of a cloud's hosts, by a pattern of its region names. The first pattern that matches applies.
DOMAINS = (
    (re.compile(r"eu-west-1\d\d"), "myhuaweicloud.eu"),
    (re.compile(r"eu-(de|nl)"), "otc.t-systems.com"),
    (re.compile(r".*"), "myhuaweicloud.com"),
)

#: The regions of each service. A region that is not listed for any service is assumed to be new.
REGIONS = {
    "dli": frozenset(
        [
            "ae-ad-1",
            "af-north-1",
            "af-south-1",
            "ap-southeast-1",
            "ap-southeast-2",
            "ap-southeast-3",
            "ap-southeast-4",
            "cn-east-2",
            "cn-east-3",
            "cn-east-4",
            "cn-east-5",
            "cn-north-1",
            "cn-north-2",
            "cn-north-4",
            "cn-north-9",
            "cn-south-1",
            "cn-southwest-2",
            "eu-de",
            "eu-nl",
            "eu-west-0",
            "eu-west-101",
            "la-north-2",
            "la-south-2",
            "me-east-1",
            "my-kualalumpur-1",
            "na-mexico-1",
            "ru-moscow-1",
            "ru-northwest-2",
            "sa-brazil-1",
            "tr-west-1",
        ]
    ),
    "cph": frozenset(
        [
            "af-north-1",
            "ap-southeast-1",
            "ap-southeast-3",
            "cn-east-2",
            "cn-east-3",
            "cn-east-4",
            "cn-north-4",
            "cn-north-9",
            "cn-south-1",
            "cn-southwest-2",
            "la-north-2",
            "la-south-2",
            "ru-northwest-2",
        ]
    ),
}

_REGION = re.compile(r"[a-z0-9]+(-[a-z0-9]+)+")


def is_known(region: str) -> bool:
    """Return whether any service lists *region* in :data:`REGIONS`."""
    return any(region in regions for regions in REGIONS.values())


def endpoint_of(service: str, region: str) -> str:
    """
    Return the URL of a service in a region.

    :param service: ``dli``, ``cph`` or ``iam``.
    :raises ConfigurationError: *region* is not a valid region name, which becomes part of the host name; or the region
        does not have the service.
    """
    if len(region) > 64 or not _REGION.fullmatch(region):
        raise ConfigurationError(f"region must look like cn-north-4; it is {region[:64]!r}")
    if service in REGIONS and is_known(region) and region not in REGIONS[service]:
        raise ConfigurationError(
            f"region {region} has no {service.upper()}\n  next: use another region, or set {service}_endpoint if the "
            "region has it now"
        )
    domain = next(domain for pattern, domain in DOMAINS if pattern.fullmatch(region))
    return f"https://{service}.{region}.{domain}"
