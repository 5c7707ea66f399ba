"""Where what was found becomes Airflow's verdict: every mode comes through here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
)

from airflow_provider_hwstatus.core.errors import (
    CredentialsRefusedError,
    DeadlineError,
    HwStatusError,
    TriggerError,
    error_from_dict,
)
from airflow_provider_hwstatus.core.jobs import JobKind, Outcome
from airflow_provider_hwstatus.core.replies import clip
from airflow_provider_hwstatus.core.status import JobStatus


class Stop(BaseException):
    """Carries a refused key past Airflow's ``silent_fail``, which goes on after any ``Exception``."""

    def __init__(self, error: CredentialsRefusedError) -> None:
        super().__init__(str(error))
        self.error = error


def settle(status: JobStatus, why_failed: Callable[[JobStatus], str]) -> PokeReturnValue:
    """
    Turn an outcome into a verdict.

    :param why_failed: Returns the message, once it is known that the job failed.
    :raises AirflowFailException: The job failed.
    """
    if status.outcome is Outcome.FAILURE:
        raise AirflowFailException(why_failed(status))
    return PokeReturnValue(is_done=status.outcome is Outcome.SUCCESS, xcom_value=status.to_dict())


def unanswered(error: HwStatusError) -> NoReturn:
    """
    Turn an error into a verdict.

    :raises AirflowSensorTimeout: The deadline has passed.
    :raises HwStatusError: *error* itself, where it is anything else.
    """
    if isinstance(error, DeadlineError):
        raise AirflowSensorTimeout(str(error)) from error
    raise error


def status_of(event: object, kind: JobKind, job_id: str) -> JobStatus:
    """
    Return the status that a trigger's event holds, or raise the error that it holds.

    :raises TriggerError: It is not one of our events, or not about this job.
    """
    if isinstance(event, dict) and isinstance(event.get("error"), dict):
        unanswered(error_from_dict(event["error"]))
    subject = f"{kind.title} {job_id}"
    try:
        status = JobStatus.from_dict(event["status"])  # type: ignore[index]  # what it is not is caught
    except (KeyError, TypeError, ValueError) as error:
        shown = clip(repr(event), 200)
        raise TriggerError(f"{subject}: the trigger's event is not one of ours: {shown}") from error
    if (status.kind, status.job_id) != (kind.name, job_id):
        raise TriggerError(f"{subject}: the trigger's event is about {status.kind} {status.job_id}")
    return status


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
