"""Where what was found becomes Airflow's verdict: every mode comes through here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import NoReturn, TypeVar

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
)

from airflow_provider_hwstatus.core.errors import (
    CredentialsRefusedError,
    DeadlineError,
    HwStatusError,
    TriggerError,
    error_from_dict,
)
from airflow_provider_hwstatus.core.jobs import JobKind
from airflow_provider_hwstatus.core.replies import clip
from airflow_provider_hwstatus.core.status import JobStatus
from airflow_provider_hwstatus.core.tally import Rule, Tally

T = TypeVar("T")


class Stop(BaseException):
    """Carries a refused key past Airflow's ``silent_fail``, which goes on after any ``Exception``."""

    def __init__(self, error: CredentialsRefusedError) -> None:
        super().__init__(str(error))
        self.error = error


def unanswered(error: HwStatusError) -> NoReturn:
    """
    Turn an error into a verdict.

    :raises AirflowSensorTimeout: The deadline has passed.
    :raises HwStatusError: *error* itself, where it is anything else.
    """
    if isinstance(error, DeadlineError):
        raise AirflowSensorTimeout(str(error)) from error
    raise error


def status_of(event: object, subject: str, kind: JobKind, job_id: str) -> JobStatus:
    """
    Return the status that a trigger's event holds, or raise the error that it holds.

    :param subject: What the wait is for, as messages call it.
    :raises TriggerError: It is not one of our events, or not about this job.
    """
    status = _read(event, subject, "status", JobStatus.from_dict)
    if (status.kind, status.job_id) != (kind.name, job_id):
        raise TriggerError(f"{subject}: the trigger's event is about {status.kind} {status.job_id}")
    return status


def tally_of(event: object, subject: str, rule: Rule, job_ids: Collection[str] | None = None) -> Tally:
    """
    Return where several jobs stand, as a trigger's event tells, or raise the error that it holds.

    :param job_ids: Which jobs it can be about; None for any.
    :raises TriggerError: It is not one of our events, or not about these jobs.
    """
    tally = _read(event, subject, "tally", lambda fields: Tally.from_dict(fields, subject, rule))
    for status in tally.statuses:
        if job_ids is not None and status.job_id not in job_ids:
            raise TriggerError(f"{subject}: the trigger's event is about {status.kind} {status.job_id}")
    return tally


def _read(event: object, subject: str, name: str, read: Callable[[dict[str, object]], T]) -> T:
    if isinstance(event, dict) and isinstance(event.get("error"), dict):
        unanswered(error_from_dict(event["error"]))
    try:
        return read(event[name])  # type: ignore[index]  # what it is not is caught
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        shown = clip(repr(event), 200)
        raise TriggerError(f"{subject}: the trigger's event is not one of ours: {shown}") from error


@contextmanager
def flags(sensor: BaseSensorOperator) -> Iterator[None]:
    """
    Give ``soft_fail`` and ``never_fail`` one meaning: Airflow's own differs by mode and by release.

    The error of a question without an answer is skipped by ``never_fail`` alone.
    """
    try:
        yield
    except AirflowSkipException as skip:  # by Airflow, from a poke: it leaves out why
        if skip.__cause__ is None or not (sensor.soft_fail or sensor.never_fail):
            raise
        raise _skip(sensor, skip.__cause__) from skip.__cause__
    except (AirflowFailException, AirflowSensorTimeout) as error:
        if sensor.soft_fail or sensor.never_fail:
            raise _skip(sensor, error) from error
        raise
    except HwStatusError as error:
        if sensor.never_fail:
            raise _skip(sensor, error) from error
        raise
    except Stop as stop:
        if sensor.never_fail:
            raise _skip(sensor, stop.error) from stop.error
        raise


def _skip(sensor: BaseSensorOperator, error: BaseException) -> AirflowSkipException:
    return AirflowSkipException(f"Skipped because of {'soft_fail' if sensor.soft_fail else 'never_fail'}: {error}")
