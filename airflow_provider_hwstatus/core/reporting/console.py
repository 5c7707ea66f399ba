"""
Where a person looks at a job: the web console of the cloud that runs it.

The page of a batch's log is not documented. Its address is from a log of DataArts Studio of 2024, on the Chinese site;
that other sites have it likewise is taken from other services, whose addresses differ in the host alone.
"""

from __future__ import annotations

import re

from airflow_provider_hwstatus.core.connection.endpoints import endpoint_of
from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.core.protocol.effects import encode
from airflow_provider_hwstatus.errors import ConfigurationError
from airflow_provider_hwstatus.kinds.job_kind import JobKind

#: The console's host, by what its regions look like. Those of partners (eu-west-0, ru-*, my-*, ae-*) are not known.
HOSTS = (
    (re.compile(r"cn-.*"), "console.huaweicloud.com"),
    (re.compile(r"eu-west-1\d\d"), "console.eu.huaweicloud.com"),
    (re.compile(r"eu-(de|nl)"), "console.otc.t-systems.com"),
    (re.compile(r"(ap-southeast|af|la|me-east|tr-west|sa-brazil|na-mexico)-.*"), "console-intl.huaweicloud.com"),
)

#: The page, by the name of the kind of job. CPH has none for a job, so it is the service's own.
_PAGES = {
    "dli_batch": "/dli/?region={region}#/main/jobs/spark/submitLog/{job_id}?type=RUN",
    "cph_job": "/cph/?region={region}",
}


def console_url(kind: JobKind, settings: Settings, job_id: str) -> str | None:
    """Return the page of a job in the console, or of its service; None where that is not known."""
    region, page = settings.region, _PAGES.get(kind.name)
    if not region or not page or not _is_public(kind.service, settings, region):
        return None
    host = next((host for pattern, host in HOSTS if pattern.fullmatch(region)), None)
    return f"https://{host}{page.format(region=region, job_id=encode(job_id))}" if host else None


def _is_public(service: str, settings: Settings, region: str) -> bool:
    """Whether the endpoint is the region's own: behind another one may be another cloud."""
    try:
        return settings.endpoint(service) == endpoint_of(service, region)
    except ConfigurationError:
        return False
