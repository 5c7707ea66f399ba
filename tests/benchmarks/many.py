"""
Let triggers wait for many jobs in one of several ways, and print how much they ask as one line of JSON.

Against the package's fake cloud, as only that one has lists; so processor time is not measured here.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from airflow.triggers.base import BaseTrigger

from airflow_provider_hwstatus.testing import FakeHuaweiCloud
from airflow_provider_hwstatus.triggers.cph_request import CphRequestTrigger
from airflow_provider_hwstatus.triggers.job_status import JobStatusTrigger

#: Submissions of which CPH's jobs are.
REQUESTS = 20


@dataclass(frozen=True, kw_only=True)
class Work:
    """
    What to do.

    :param way: One of :data:`WAYS`.
    :param interval: Seconds between two polls.
    :param intervals: How many to count, after one that is not; then all jobs end.
    """

    way: str
    count: int
    interval: float
    intervals: int

    @property
    def ids(self) -> list[str]:
        """The jobs."""
        return [f"0a324461-d9d9-45da-a52a-{number:012d}" for number in range(self.count)]

    @property
    def request_ids(self) -> list[str]:
        """The submissions."""
        return [f"r{number}" for number in range(REQUESTS)]

    @property
    def ends(self) -> float:
        """When all jobs end, in seconds."""
        return self.interval * (self.intervals + 1)


def one_each(kind: str, work: Work) -> list[BaseTrigger]:
    """A wait for each job."""
    return [JobStatusTrigger(kind=kind, job_id=job_id, poke_interval=work.interval) for job_id in work.ids]


def one_list(kind: str, work: Work) -> list[BaseTrigger]:
    """One wait for a list."""
    return [JobStatusTrigger(kind=kind, job_id=work.ids, poke_interval=work.interval)]


def requests(work: Work) -> list[BaseTrigger]:
    """One wait for the submissions."""
    return [
        CphRequestTrigger(
            request_id=work.request_ids, expected_jobs=work.count, kind="cph_job", poke_interval=work.interval
        )
    ]


#: Which jobs are waited for how, and whether DLI's list is asked.
WAYS: dict[str, tuple[str, Callable[[Work], Sequence[BaseTrigger]], bool]] = {
    "DLI, a wait each": ("dli_batch", lambda work: one_each("dli_batch", work), False),
    "DLI, one list": ("dli_batch", lambda work: one_list("dli_batch", work), False),
    "DLI, a wait each, coalesced": ("dli_batch", lambda work: one_each("dli_batch", work), True),
    "DLI, one list, coalesced": ("dli_batch", lambda work: one_list("dli_batch", work), True),
    "CPH, one list": ("cph_job", lambda work: one_list("cph_job", work), False),
    "CPH, 20 requests": ("cph_job", requests, False),
}


async def wait(trigger: BaseTrigger) -> tuple[bool, float]:
    """Return whether it ended well, and when."""
    events = [event.payload async for event in trigger.run()]
    return all("error" not in event for event in events) and len(events) == 1, time.time()


def measure(work: Work) -> dict[str, Any]:
    """Wait, and return the figures."""
    kind, make, coalesce = WAYS[work.way]
    with FakeHuaweiCloud() as cloud:
        os.environ["AIRFLOW_CONN_HWSTATUS_DEFAULT"] = json.dumps(cloud.connection(coalesce=coalesce))
        began = time.time()
        going, over = (1, 2) if kind == "cph_job" else ("running", "success")
        for number, job_id in enumerate(work.ids):
            request_id = work.request_ids[number % REQUESTS] if kind == "cph_job" else None
            cloud.job(kind, job_id, seconds={0: going, work.ends: over}, request_id=request_id)

        async def all_of_them() -> list[tuple[bool, float]]:
            return await asyncio.gather(*map(wait, make(work)))

        ends = asyncio.run(all_of_them())
        counted = range(1, work.intervals + 1)
        asked = [record.time - began for record in cloud.requests]
        return {
            "requests_per_interval": sum(int(second // work.interval) in counted for second in asked) / work.intervals,
            "requests_at_the_end": sum(second >= work.ends for second in asked),
            "failed": sum(not good for good, _ in ends),
            "delay_max": max(at - began - work.ends for _, at in ends) / work.interval,
        }


if __name__ == "__main__":
    print(json.dumps(measure(Work(**json.loads(sys.argv[1])))))
