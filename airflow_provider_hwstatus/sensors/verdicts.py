"""How Airflow ends a task, from how its wait ended. Every mode uses it."""

from __future__ import annotations

from types import TracebackType
from typing import NoReturn

from airflow.exceptions import AirflowRescheduleException
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseSensorOperator,
)

from airflow_provider_hwstatus.core.protocol.advice import with_advice
from airflow_provider_hwstatus.errors import CredentialsRefusedError, DeadlineError, HwStatusError


class JobFailedError(AirflowException):
    """A job failed that the task itself submitted: a retry submits another one."""


#: Exceptions by which a poke ends a task.
VERDICTS = (AirflowFailException, AirflowSensorTimeout, AirflowSkipException, JobFailedError)

#: Exceptions of a poke after which ``silent_fail`` does not poke again: repeats with a refused key lock it.
FINAL = (*VERDICTS, AirflowRescheduleException, CredentialsRefusedError)


def raise_unanswered(error: HwStatusError) -> NoReturn:
    """
    Raise what ends the task because of *error*.

    :raises AirflowSensorTimeout: The deadline has passed.
    :raises HwStatusError: *error* itself, if it is anything else.
    """
    with_advice(error)
    if isinstance(error, DeadlineError):
        raise AirflowSensorTimeout(str(error)) from error
    raise error


class Verdicts:
    """
    Gives ``soft_fail`` and ``never_fail`` one meaning, and keeps tracebacks short.

    Airflow's own meaning of the two differs by mode and by release. ``soft_fail`` skips a job that failed and a
    time-out; ``never_fail`` skips any error. The frames below the sensor are logged at level DEBUG.

    It is a class, because ``contextmanager`` puts back the frames that it drops.
    """

    def __init__(self, sensor: BaseSensorOperator) -> None:
        self._sensor = sensor

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, cls: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, AirflowSkipException | AirflowRescheduleException):
            return
        ended = isinstance(error, AirflowFailException | JobFailedError | AirflowSensorTimeout | AirflowTaskTimeout)
        sensor = self._sensor
        if not ended and not isinstance(error, Exception):  # a deferral, an interrupt
            return
        if sensor.never_fail or (ended and sensor.soft_fail):
            reason = f"Skipped because of {'soft_fail' if sensor.soft_fail else 'never_fail'}: {error}"
            sensor.log.warning("%s", reason)
            sensor.log.debug("This is how it came about", exc_info=error)
            raise AirflowSkipException(reason) from None
        if ended or isinstance(error, HwStatusError):
            sensor.log.debug("This is how it came about", exc_info=error)
            # What error_boundary() made an error of this package has its reason in its cause.
            raise error.with_traceback(None) from (error.__cause__ if type(error) is HwStatusError else None)
