"""The lists of jobs that the services give, page by page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_hwstatus.core.protocol.effects import Flow, Request, Response, encode
from airflow_provider_hwstatus.core.protocol.responses import json_or_raise, request_id_of
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget
from airflow_provider_hwstatus.errors import MalformedResponseError

if TYPE_CHECKING:
    from airflow_provider_hwstatus.core.connection.client import Client

#: Rows of a page, and requests of one call; CPH allows no more.
PAGE = 100
REQUESTS_PER_CALL = 20

#: Pages of one list that are read at most: a list that does not end would be read, and kept, for ever.
MOST_PAGES = 100


def endless_list() -> MalformedResponseError:
    """Return the error for a list that goes on after :data:`MOST_PAGES`."""
    return MalformedResponseError(f"the list of jobs does not end after {MOST_PAGES} pages of {PAGE}")


@dataclass(frozen=True)
class Page:
    """
    Some of the rows of a list.

    :param total: How many there are in all, where the service says so.
    """

    rows: Sequence[Mapping[str, object]]
    total: int | None
    request_id: str | None


def cph_jobs(client: Client, request_ids: Sequence[str], offset: int, budget: RetryBudget) -> Flow[Page]:
    """
    Ask CPH for jobs by the requests that submitted them.

    :param request_ids: At most :data:`REQUESTS_PER_CALL`.
    :raises JobNotFoundError: There are none.
    :raises HwStatusError: The question could not be answered.

    Source: https://support.huaweicloud.com/intl/en-us/api-cph/cph_api_0522.html (ListJobs).
    """
    # Older editions know request_id alone.
    name = "request_id" if len(request_ids) == 1 else "request_ids"
    listed = ",".join(map(encode, request_ids))
    query = f"{name}={listed}&offset={offset}&limit={PAGE}"
    return (yield from _page(client, "cph", "/v1/{}/cloud-phone/jobs?" + query, "jobs", budget))


def dli_batches(client: Client, state: str, first: int, budget: RetryBudget) -> Flow[Page]:
    """
    Ask DLI for batches that are in a state.

    :param first: From which on, counted from 0.
    :raises HwStatusError: The question could not be answered.

    Source: https://support.huaweicloud.com/intl/en-us/api-dli/dli_02_0125.html (ListSparkJobs).
    """
    query = f"state={encode(state)}&from={first}&size={PAGE}"
    return (yield from _page(client, "dli", "/v2.0/{}/batches?" + query, "sessions", budget))


def dli_batches_since(client: Client, since: float, first: int, budget: RetryBudget) -> Flow[Page]:
    """
    Ask DLI for batches that were submitted since a time, the newest first. It may ignore both wishes.

    :param since: Seconds since 1970.
    :param first: From which on, counted from 0.
    :raises HwStatusError: The question could not be answered.

    Source: https://support.huaweicloud.com/intl/en-us/api-dli/dli_02_0125.html (ListSparkJobs).
    """
    query = f"start={max(int(since * 1000), 0)}&order=CREATE_TIME_DESC&from={first}&size={PAGE}"
    return (yield from _page(client, "dli", "/v2.0/{}/batches?" + query, "sessions", budget))


def _page(client: Client, service: str, path: str, rows_field: str, budget: RetryBudget) -> Flow[Page]:
    def attempt() -> Flow[Page]:
        project_id = yield from client.project_id()
        url = client.settings.endpoint(service) + path.format(encode(project_id))
        headers = {"Content-Type": "application/json", "X-Project-Id": project_id}
        response: Response = yield from client.exchange(Request("GET", url, headers))
        return _read(client, response, rows_field)

    return (yield from client.retry(attempt, budget, service, f"{service}_list"))


def _read(client: Client, response: Response, rows_field: str) -> Page:
    body = json_or_raise(response, client.redact, client.clock())
    rows, total = body.get(rows_field), body.get("total")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise MalformedResponseError(f"the list of jobs has no {rows_field} in it", http_status=response.status)
    request_id = request_id_of(response, body, client.redact)
    return Page(rows, total if isinstance(total, int) and not isinstance(total, bool) else None, request_id)
