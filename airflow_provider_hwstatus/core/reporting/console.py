"""
The address of a job's page in the web console of the cloud that runs it.

The page of a DLI batch's log is not documented. Its address is taken from a log of DataArts Studio of 2024, on the
Chinese site. The addresses on the other sites are inferred: those of other services differ in the host only.
"""

from __future__ import annotations

import re

from airflow_provider_hwstatus.core.connection.endpoints import endpoint_of
from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.core.protocol.effects import encode
from airflow_provider_hwstatus.errors import ConfigurationError
from airflow_provider_hwstatus.kinds.job_kind import JobKind
from airflow_provider_hwstatus.kinds.service import Service
from airflow_provider_hwstatus.kinds.template import fill

#: Hosts of the console by a pattern of the region. The hosts of partners (eu-west-0, ru-*, my-*, ae-*) are unknown.
HOSTS = (
    (re.compile(r"cn-.*"), "console.huaweicloud.com"),
    (re.compile(r"eu-west-1\d\d"), "console.eu.huaweicloud.com"),
    (re.compile(r"eu-(de|nl)"), "console.otc.t-systems.com"),
    (re.compile(r"(ap-southeast|af|la|me-east|tr-west|sa-brazil|na-mexico)-.*"), "console-intl.huaweicloud.com"),
)


def console_url(kind: JobKind, settings: Settings, job_id: str) -> str | None:
    """Return the URL of a job's page in the console, or of its service; None if it is unknown."""
    region, page = settings.region, kind.console or kind.cloud_service.console
    if not region or not page or not _is_public(kind.cloud_service, settings, region):
        return None
    host = next((host for pattern, host in HOSTS if pattern.fullmatch(region)), None)
    values = {"region": region, "job_id": encode(job_id)}
    return f"https://{host}{fill(page, values.__getitem__)}" if host else None


def _is_public(service: Service, settings: Settings, region: str) -> bool:
    """Return whether the service's endpoint is the region's default; another endpoint may belong to another cloud."""
    try:
        return settings.endpoint(service) == endpoint_of(service, region)
    except ConfigurationError:
        return False
