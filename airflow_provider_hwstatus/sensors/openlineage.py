"""OpenLineage facets of a task. Airflow's provider for OpenLineage asks for them, so only then is this imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.openlineage.extractors import OperatorLineage
from attrs import define
from openlineage.client.facet_v2 import RunFacet, external_query_run

from airflow_provider_hwstatus.core.polling.job_status import JobStatus

if TYPE_CHECKING:
    from airflow_provider_hwstatus.core.connection.settings import Settings
    from airflow_provider_hwstatus.core.polling.jobs_summary import PollResult
    from airflow_provider_hwstatus.core.polling.wait_target import WaitTarget

#: The largest number of jobs in a facet, so that an event stays small.
_MOST_JOBS = 100

#: What a facet says of a job. Names, messages and arguments are left out, because they may hold secrets.
_FIELDS = ("job_id", "state", "outcome", "queue", "begin_time", "end_time")


@define
class HwStatusRunFacet(RunFacet):  # type: ignore[misc,unused-ignore]  # without the provider, the class is unknown
    """
    The jobs that a task waited for.

    :param kind: Name of their kind.
    :param jobs: Id, state, outcome, queue and times of each job whose status is known, up to 100.
    :param region: The region of the jobs.
    :param project_id: Their project, if the connection names it.
    :param console_url: The page of the first job in the cloud's web console.
    """

    kind: str
    jobs: list[dict[str, object]]
    region: str | None = None
    project_id: str | None = None
    console_url: str | None = None


def lineage_of(target: WaitTarget, found: PollResult | None, settings: Settings, console_url: str) -> OperatorLineage:
    """
    Return the facets of a task that has ended; none if it waited for an empty list.

    :param found: What the last poll found; None if there was none.
    :param console_url: Empty where it is not known.
    """
    if target.first is None:
        return OperatorLineage()
    known = () if found is None else (found,) if isinstance(found, JobStatus) else found.statuses[:_MOST_JOBS]
    facet = HwStatusRunFacet(
        kind=target.kind.name,
        jobs=[{name: fields[name] for name in _FIELDS} for fields in (status.to_dict() for status in known)],
        region=settings.region,
        project_id=settings.project_id,
        console_url=console_url or None,
    )
    source = console_url or target.kind.cloud_service.label
    query = external_query_run.ExternalQueryRunFacet(externalQueryId=target.first, source=source)
    return OperatorLineage(run_facets={"hwstatus": facet, "externalQuery": query})
