"""The trigger: one wait, in the triggerer's event loop."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_hwstatus.core.polling.job_status import JobStatus
from airflow_provider_hwstatus.core.polling.jobs_summary import PollResult
from airflow_provider_hwstatus.core.polling.named_target import target_from_dict
from airflow_provider_hwstatus.core.polling.wait import (
    error_boundary,
    raise_unless_tolerated,
    seconds_to_next_poll,
    wait,
)
from airflow_provider_hwstatus.core.polling.wait_options import OPTION_NAMES, WaitOptions
from airflow_provider_hwstatus.core.polling.wait_target import event_of
from airflow_provider_hwstatus.core.reporting.progress import ProgressLogger
from airflow_provider_hwstatus.errors import ConfigurationError, HwStatusError
from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook

if TYPE_CHECKING:
    from airflow_provider_hwstatus.core.polling.wait import Poller
    from airflow_provider_hwstatus.core.polling.wait_target import WaitTarget
    from airflow_provider_hwstatus.core.protocol.effects import Flow
    from airflow_provider_hwstatus.transports.shared_connections import AsyncConnection

# Not the trigger's own logger: to bind one costs as much as a poll.
_log = logging.getLogger(__name__)

_GOLDEN_RATIO = 0.618034

#: Seconds for which a look-up of the connection may fail, if the worker found it: Airflow reports any failed look-up
#: as a missing connection.
LOOKUP_TOLERANCE = 60.0

#: The longest pause between two such look-ups, in seconds.
LOOKUP_PAUSE = 5.0


class JobStatusTrigger(BaseTrigger):
    """
    Waits until a job, several jobs or all jobs of CPH requests end, and yields one event: what was found, or an error.

    All arguments are stored in Airflow's database as JSON; none is a secret. Unknown keywords are ignored, also within
    *target* and *options*. An operator of your own may give their fields directly:
    ``JobStatusTrigger(kind="dli_batch", job_id="…", poke_interval=60.0, deferred_at=time.time())``.

    :param target: What to wait for, such as ``{"kind": "dli_batch", "job_id": "…"}``. ``kind`` may be a declaration, as
        :meth:`JobKind.to_dict` returns it; ``parameters`` has what it needs beside the id. ``job_id`` may be a list.
        For all jobs of CPH requests there is ``request_id``, a list, with ``expected_jobs`` and ``rejected``. For DLI
        batches by name there is ``name``, with ``submitted_after`` (seconds since 1970) and ``on_many``. Optional are
        ``success_states``, ``failure_states``, ``wait_for_all`` and ``fail_fast``. As
        :meth:`~airflow_provider_hwstatus.core.polling.wait_target.WaitTarget.to_dict` returns it.
    :param options: How to wait, such as ``{"poke_interval": 60.0, "deadline": 1795000000.0}``: the arguments of
        :class:`~airflow_provider_hwstatus.core.polling.wait_options.WaitOptions`, as its ``to_dict()`` returns them.
    :param hwstatus_conn_id: The Airflow connection.
    :param region: Overrides the connection's region.
    :param project_id: Overrides the connection's project.
    """

    def __init__(
        self,
        target: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
        hwstatus_conn_id: str = HwStatusHook.default_conn_name,
        region: str | None = None,
        project_id: str | None = None,
        **fields: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's
        if target is None and "kind" in fields:
            options = {name: fields.pop(name) for name in OPTION_NAMES if name in fields}
            target = fields
        self.target = target
        self.options = options
        self.hwstatus_conn_id = hwstatus_conn_id
        self.region = region
        self.project_id = project_id
        self._poller: Poller[PollResult] | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        names = ("target", "options", "hwstatus_conn_id", "region", "project_id")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """
        Yield ``{"status": …}`` when the job is over, ``{"summary": …}`` when several are, or ``{"error": …}``.

        The event also has ``waited``, the seconds since the begin of the whole wait, and ``polls``, the number of polls
        of this trigger.
        """
        yield TriggerEvent(await self._event())

    async def _event(self) -> dict[str, object]:
        try:
            with error_boundary("the trigger's row"):
                options = WaitOptions.from_dict({} if self.options is None else self.options, time.time())
                settling = options.settling(time.time())
                await asyncio.sleep(settling)
                target = self.wait_target()
                if target.first is None:
                    raise ConfigurationError("the trigger's row has an empty list of ids")
        except HwStatusError as error:  # silent_fail and not_found_grace do not apply to an invalid row
            return event_of(error)
        progress = ProgressLogger(_log, target.subject, time.time, options.began, options.until)
        found: PollResult | HwStatusError
        try:
            found = await self._wait(target, options, progress, options.poke_interval - settling)
        except HwStatusError as error:
            found = error
        return event_of(found) | {"waited": round(time.time() - options.began, 3), "polls": progress.polls}

    async def _wait(
        self, target: WaitTarget, options: WaitOptions, progress: ProgressLogger, spread: float
    ) -> PollResult:
        hook = HwStatusHook(self.hwstatus_conn_id, self.region, self.project_id)
        found_before = (self.options or {}).get("began") is not None  # the worker that deferred found the connection
        give_up = time.time() + (LOOKUP_TOLERANCE if found_before else 0.0)
        give_up = give_up if options.deadline is None else min(give_up, options.deadline)

        def flow(connection: AsyncConnection) -> Flow[PollResult]:
            # Waits that begin together are spread over *spread* seconds, in steps of the golden section.
            first_after = 0.0 if self._poller else (connection.joined - 1) * _GOLDEN_RATIO % 1 * spread
            self._poller = target.poller(connection.client, self._poller)
            return wait(self._poller, options, on_poll, first_after)

        def on_poll(found: PollResult | HwStatusError) -> None:
            # Most polls find the same state again, and there is nothing to log.
            if isinstance(found, JobStatus) and found.brief == progress.brief and time.time() < progress.remind_at:
                progress.polls += 1
            else:
                progress.on_poll(found)

        while True:
            longest = math.inf
            try:
                with error_boundary(target.subject):
                    return await hook.arun(flow)
            except HwStatusError as error:
                if isinstance(error.__cause__, AirflowNotFoundException) and time.time() < give_up:
                    longest = LOOKUP_PAUSE
                else:
                    raise_unless_tolerated(error, options, time.time())
                progress.on_poll(error)
            await asyncio.sleep(min(seconds_to_next_poll(options, time.time()), longest))

    def wait_target(self) -> WaitTarget:
        """
        Return what is waited for.

        :raises ConfigurationError: *target* does not describe it.
        """
        return target_from_dict(self.target)
