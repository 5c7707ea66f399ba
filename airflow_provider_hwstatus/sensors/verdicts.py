"""How Airflow ends a task, from how its wait ended. Every mode uses it."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from airflow.exceptions import AirflowRescheduleException
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
)

from airflow_provider_hwstatus.core.protocol.advice import with_advice
from airflow_provider_hwstatus.errors import CredentialsRefusedError, DeadlineError, HwStatusError
from airflow_provider_hwstatus.hooks.metrics import ERROR, FAILURE, SUCCESS, TIMEOUT, ended_in_worker

if TYPE_CHECKING:
    from airflow_provider_hwstatus.kinds.job_kind import JobKind


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


class WaitingTask(Protocol):
    """The part of a sensor that :class:`Verdicts` uses."""

    kind: JobKind
    waited: float | None
    soft_fail: bool
    never_fail: bool

    @property
    def log(self) -> Any: ...


class Verdicts:
    """
    Gives ``soft_fail`` and ``never_fail`` one meaning, counts the end, and keeps tracebacks short.

    Airflow's own meaning of the two differs by mode and by release. ``soft_fail`` skips a job that failed and a
    time-out; ``never_fail`` skips any error. The frames below the sensor are logged at level DEBUG.

    It is a class, because ``contextmanager`` puts back the frames that it drops.
    """

    def __init__(self, sensor: WaitingTask) -> None:
        self._sensor = sensor

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, cls: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        sensor, outcome = self._sensor, _outcome_of(error)
        if outcome is None:
            return
        ended_in_worker(sensor.kind.name, outcome, sensor.waited)
        if error is None:
            return
        ended = outcome in {FAILURE, TIMEOUT}
        if sensor.never_fail or (ended and sensor.soft_fail):
            reason = f"Skipped because of {'soft_fail' if sensor.soft_fail else 'never_fail'}: {error}"
            sensor.log.warning("%s", reason)
            sensor.log.debug("This is how it came about", exc_info=error)
            raise AirflowSkipException(reason) from None
        if ended or isinstance(error, HwStatusError):
            sensor.log.debug("This is how it came about", exc_info=error)
            # What error_boundary() made an error of this package has its reason in its cause.
            raise error.with_traceback(None) from (error.__cause__ if type(error) is HwStatusError else None)


def _outcome_of(error: BaseException | None) -> str | None:
    """Return the outcome of a wait by the exception that ends it; None if that is no outcome."""
    if error is None:
        return SUCCESS
    if isinstance(error, AirflowSensorTimeout | AirflowTaskTimeout):
        return TIMEOUT
    if isinstance(error, AirflowSkipException | AirflowRescheduleException) or not isinstance(error, Exception):
        return None  # also a deferral, an interrupt
    return FAILURE if isinstance(error, AirflowFailException | JobFailedError) else ERROR
