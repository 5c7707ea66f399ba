"""Where what was found becomes Airflow's verdict: every mode comes through here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
)

from airflow_provider_hwstatus.errors import CredentialsRefusedError, DeadlineError, HwStatusError

#: Exceptions by which a poke ends a task.
VERDICTS = (AirflowFailException, AirflowSensorTimeout, AirflowSkipException)


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
