"""The arguments of every operator that submits, for type checkers and editors. No operator imports this at run time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal

from airflow_provider_hwstatus.sensors.arguments import BaseTaskArguments


class OperatorArguments(BaseTaskArguments, total=False):
    """Arguments of every operator that submits, beside the body of the request."""

    wait: bool
    cancel_on_kill: bool | None
    list_lag: timedelta | float
    hwstatus_conn_id: str
    region: str | None
    project_id: str | None
    deferrable: bool
    success_states: Sequence[str | int] | None
    failure_states: Sequence[str | int] | None
    on_unknown_state: Literal["wait", "fail"]
    outage_tolerance: timedelta | float
    not_found_grace: timedelta | float | None
    wait_for_all: bool
    fail_fast: bool
