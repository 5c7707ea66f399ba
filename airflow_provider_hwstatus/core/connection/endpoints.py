"""The hosts of the services, by region."""

from __future__ import annotations

import re

from airflow_provider_hwstatus.errors import ConfigurationError
from airflow_provider_hwstatus.kinds.service import REGION, SERVICES, Service

#: The domain of a cloud's hosts, by a pattern of its region names. The first pattern that matches applies.
#: Sources: the vendor SDK's region tables (3.1.219), IAM's endpoint page, python-otcextensions.
DOMAINS = (
    (re.compile(r"eu-west-1\d\d"), "myhuaweicloud.eu"),
    (re.compile(r"eu-(de|nl)"), "otc.t-systems.com"),
    (re.compile(r".*"), "myhuaweicloud.com"),
)


def is_known(region: str) -> bool:
    """Return whether any service is known to be in *region*. A region without is assumed to be new."""
    return any(region in service.regions for service in SERVICES.values())


def endpoint_of(service: Service, region: str) -> str:
    """
    Return the URL of a service in a region.

    :raises ConfigurationError: *region* is not a valid region name, which becomes part of the host name; or the region
        does not have the service.
    """
    if not REGION.fullmatch(region):
        raise ConfigurationError(f"region must look like cn-north-4; it is {region[:64]!r}")
    if service.regions and is_known(region) and region not in service.regions:
        raise ConfigurationError(
            f"region {region} has no {service.title}\n  next: use another region, or set "
            f"{endpoint_field(service)} if the region has it now"
        )
    domain = next(domain for pattern, domain in DOMAINS if pattern.fullmatch(region))
    return f"https://{service.host_in(region) or f'{service.label}.{region}.{domain}'}"


def endpoint_field(service: Service) -> str:
    """Return the name of the connection's field that has the URL of a service."""
    label = service.label
    return f"{label}_endpoint" if label in ("dli", "cph", "iam") else f"endpoints[{label!r}]"
