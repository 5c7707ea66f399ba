"""The lists of jobs that the services offer, page by page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from airflow_provider_hwstatus.core.connection.client import Client
from airflow_provider_hwstatus.core.protocol.effects import Flow, Response, encode
from airflow_provider_hwstatus.core.protocol.responses import json_or_raise, request_id_of
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget
from airflow_provider_hwstatus.errors import MalformedResponseError
from airflow_provider_hwstatus.kinds.service import CPH, DLI, Service

Row = Mapping[str, object]

#: Rows of a page, and CPH requests of one call; CPH allows no more.
PAGE = 100
REQUESTS_PER_CALL = 20

#: Pages of one list that are read at most: a list without an end would be read, and kept in memory, for ever.
MOST_PAGES = 100


@dataclass(frozen=True)
class Page:
    """
    Some of the rows of a list.

    :param total: The number of rows in all, if the service says it.
    """

    rows: Sequence[Row]
    total: int | None
    request_id: str | None


@dataclass(frozen=True)
class JobList:
    """
    A list of jobs.

    :param path: With ``{first}`` for the position of the first row, and ``{project_id}``.
    :param field: The field of the response that has the rows.
    """

    service: Service
    path: str
    field: str

    def page(self, client: Client, first: int, budget: RetryBudget) -> Flow[Page]:
        """
        Return the page that begins at a position.

        :param first: The position, counted from 0.
        :raises JobNotFoundError: There are no jobs.
        :raises HwStatusError: There was no usable answer.
        """

        def read(response: Response) -> Page:
            return self._read(client, response)

        path = self.path.replace("{first}", str(first))
        return (yield from client.get(self.service, path, budget, read, f"{self.service.label}_list"))

    def _read(self, client: Client, response: Response) -> Page:
        body = json_or_raise(response, client.redact, client.clock())
        rows, total = body.get(self.field), body.get("total")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise MalformedResponseError(f"the list of jobs has no {self.field} in it", http_status=response.status)
        request_id = request_id_of(response, body, client.redact)
        return Page(rows, total if isinstance(total, int) and not isinstance(total, bool) else None, request_id)


def read_pages(
    client: Client, jobs: JobList, budget: RetryBudget, take: Callable[[Page], bool], first: int = 0
) -> Flow[int]:
    """
    Read a list page by page.

    :param take: Called with each page; returns whether the next page is needed.
    :param first: The position of the first row, counted from 0.
    :return: The position after the last row that was read.
    :raises MalformedResponseError: The list has no end after :data:`MOST_PAGES` pages.
    :raises HwStatusError: There was no usable answer.
    """
    for _ in range(MOST_PAGES):
        page = yield from jobs.page(client, first, budget)
        first += len(page.rows)
        if not take(page):
            return first
    raise MalformedResponseError(f"the list of jobs does not end after {MOST_PAGES} pages of {PAGE}")


def cph_jobs(request_ids: Sequence[str]) -> JobList:
    """
    Return the list of the jobs of some CPH requests.

    :param request_ids: At most :data:`REQUESTS_PER_CALL`.

    Source: https://support.huaweicloud.com/intl/en-us/api-cph/cph_api_0522.html (ListJobs).
    """
    # Older editions know request_id alone.
    name = "request_id" if len(request_ids) == 1 else "request_ids"
    query = f"{name}={','.join(map(encode, request_ids))}&offset={{first}}&limit={PAGE}"
    return JobList(CPH, "/v1/{project_id}/cloud-phone/jobs?" + query, "jobs")


def dli_batches(state: str) -> JobList:
    """
    Return the list of the DLI batches that are in a state.

    Source: https://support.huaweicloud.com/intl/en-us/api-dli/dli_02_0125.html (ListSparkJobs).
    """
    return _dli_batches(f"state={encode(state)}")


def dli_batches_since(since: float, name: str | None = None) -> JobList:
    """
    Return the list of the DLI batches that were submitted since a time, newest first. A cloud may ignore all of this.

    :param since: Seconds since 1970.
    :param name: The name of the batches; None for any name.

    Source: https://support.huaweicloud.com/intl/en-us/api-dli/dli_02_0125.html (ListSparkJobs).
    """
    named = "" if name is None else f"&job_name={encode(name)}"
    return _dli_batches(f"start={max(int(since * 1000), 0)}&order=CREATE_TIME_DESC{named}")


def _dli_batches(query: str) -> JobList:
    return JobList(DLI, f"/v2.0/{{project_id}}/batches?{query}&from={{first}}&size={PAGE}", "sessions")
