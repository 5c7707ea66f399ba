"""What a try of a task leaves to the next one about its submission, in Airflow's task state store (3.3 and newer)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_hwstatus.core.submitting.once import SENDING, Kept
from airflow_provider_hwstatus.sensors.start_from_trigger import AIRFLOW_3_3

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_hwstatus.core.submitting.marker import Attempt

_log = logging.getLogger(__name__)

#: The key in the task's state store.
KEY = "hwstatus_submission"

#: For how long it is kept: longer than any wait should last.
_RETENTION = timedelta(days=90)


class SubmissionRecord:
    """
    The record of a task's submission. Before Airflow 3.3 there is none.

    :param context: The context of the task.
    """

    def __init__(self, context: Context, attempt: Attempt) -> None:
        self._store: Any = context.get("task_state_store") if AIRFLOW_3_3 else None
        self._max_tries = attempt.max_tries

    @property
    def is_kept(self) -> bool:
        """Whether Airflow keeps it."""
        return self._store is not None

    def read(self) -> Kept | None:
        """Return what was recorded since the task was cleared last; None if nothing was."""
        kept = self._store.get(KEY) if self._store is not None else None
        if (
            not isinstance(kept, Mapping)
            or kept.get("max_tries") != self._max_tries
            or not isinstance(kept.get("step"), str)
        ):
            return None
        answer = kept.get("answer")
        texts = {name: str(kept.get(name) or "") for name in ("job_id", "marked")}
        return Kept(step=kept["step"], **texts, answer=answer if isinstance(answer, Mapping) else {})

    def write(self, kept: Kept) -> None:
        """
        Record how far the submission came.

        An error ends the task before it submits. Afterwards, it is only logged: it must not hide what came of the job.
        """
        if self._store is None:
            return
        try:
            self._store.set(KEY, {"max_tries": self._max_tries, **asdict(kept)}, retention=_RETENTION)
        except Exception as error:  # a store of the user's choice may raise anything
            if kept.step == SENDING:
                raise
            _log.warning("The submission could not be recorded as %s: %s", kept.step, type(error).__name__)
