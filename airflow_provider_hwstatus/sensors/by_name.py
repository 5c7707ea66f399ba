"""The arguments of a wait by name."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import XComArg

from airflow_provider_hwstatus.core.polling.batches_by_name import ON_MANY_POLICIES, time_from
from airflow_provider_hwstatus.core.protocol.arguments import one_of
from airflow_provider_hwstatus.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

#: Seconds from the begin of a wait by name until a batch that is not listed is an error: it may be submitted later, and
#: the list may lag.
GRACE_BY_NAME = 600.0


class _NotGiven:
    def __repr__(self) -> str:
        return "NOT_GIVEN"


#: The default of an argument that may be None by mistake, if what it comes from is missing.
NOT_GIVEN: Any = _NotGiven()


def check_name_arguments(batch_id: object, name: object, submitted_after: object, on_many: str) -> None:
    """
    Check what can be checked before templates are rendered.

    :raises ValueError: An argument is invalid, or does not fit the others.
    """
    has_id = batch_id is not NOT_GIVEN and (batch_id is not None or name is None)
    if has_id == (name is not None):
        given = "both are given" if has_id else "neither is given"
        raise ValueError(f"give exactly one of batch_id and name; {given}")
    if name is not None and not isinstance(name, str | XComArg):
        raise ValueError(f"name must be a text, a template or a task's output; it is {name!r}")
    one_of("on_many", on_many, ON_MANY_POLICIES)
    if name is None and (submitted_after is not None or on_many != "error"):
        raise ValueError("submitted_after and on_many need name")
    _check_time(submitted_after)


def _check_time(value: object) -> None:
    if value is None or isinstance(value, XComArg) or (isinstance(value, str) and "{" in value):
        return
    if not isinstance(value, str | datetime):
        raise ValueError(f"submitted_after must be a datetime or a text in ISO 8601; it is {value!r}")
    try:
        time_from(value)
    except ConfigurationError as error:
        raise ValueError(str(error)) from None


def run_began(context: Context) -> float | None:
    """
    Return when the DAG run began, in seconds since 1970; None if *context* does not say it.

    All tries of a task have the same begin, so that a retry finds what the first try found.
    """
    run: Any = context.get("dag_run")
    times = (getattr(run, "start_date", None), getattr(run, "run_after", None), context.get("logical_date"))
    began = next((time for time in times if isinstance(time, datetime)), None)
    return None if began is None else time_from(began)
