"""The arguments that type checkers know are those that the sensors and operators take."""

from __future__ import annotations

import inspect

import pytest
from airflow.providers.common.compat.sdk import BaseOperator, BaseSensorOperator

from airflow_provider_hwstatus.operators.arguments import OperatorArguments
from airflow_provider_hwstatus.operators.cph import CphPhonesOperator
from airflow_provider_hwstatus.operators.dli import DliBatchOperator, DliSqlJobOperator
from airflow_provider_hwstatus.operators.submit import _NOT_FOR_OPERATORS, SubmitOperator
from airflow_provider_hwstatus.sensors.arguments import BaseTaskArguments, SensorArguments
from airflow_provider_hwstatus.sensors.base import JobStatusSensor
from airflow_provider_hwstatus.sensors.cph import CphJobSensor, CphRequestSensor
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor, DliSessionSensor

#: Arguments that are not in every supported Airflow.
ONLY_IN_SOME = {"task_concurrency", "retry_policy", "render_template_as_native_obj", "sla"}

#: What a subclass gives to JobStatusSensor or SubmitOperator itself.
OWN = {"kind", "body_argument", "action", "resubmit"}

#: Airflow's argument that sensors have and operators do not have.
MODE = {"mode"}


def named(cls: type) -> set[str]:
    """Return the names of the arguments that a class itself takes."""
    parameters = inspect.signature(cls.__init__).parameters.values()
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {one.name for one in parameters if one.kind not in variadic} - {"self"}


def test_every_argument_of_airflows_is_known() -> None:
    """Of the Airflow that is installed; an argument that it does not have is one of another release."""
    airflows = named(BaseOperator) | named(BaseSensorOperator)
    known = set(BaseTaskArguments.__annotations__) | MODE

    assert set() == airflows - known
    assert known - airflows <= ONLY_IN_SOME


def test_every_argument_of_ours_is_known() -> None:
    """And no other."""
    ours = set(SensorArguments.__annotations__) - set(BaseTaskArguments.__annotations__)

    assert named(JobStatusSensor) - OWN | MODE == ours


def test_every_argument_of_operators_is_known() -> None:
    """They are those of the sensors that make sense for a task that submits, and the operators' own."""
    ours = set(OperatorArguments.__annotations__) - set(BaseTaskArguments.__annotations__)
    sensors = named(JobStatusSensor) - set(_NOT_FOR_OPERATORS)

    assert (sensors | named(SubmitOperator)) - OWN == ours


@pytest.mark.parametrize("cls", [DliBatchSensor, DliSessionSensor, CphJobSensor, CphRequestSensor])
def test_sensor_takes_them_by_name(cls: type) -> None:
    """Its own arguments are not in the common list, and the rest is the common list."""
    own = named(cls)
    rest = inspect.signature(cls.__init__).parameters["kwargs"]

    assert own.isdisjoint(SensorArguments.__annotations__)
    assert "Unpack[SensorArguments]" == rest.annotation


@pytest.mark.parametrize("cls", [DliBatchOperator, DliSqlJobOperator, CphPhonesOperator])
def test_operator_takes_them_by_name(cls: type) -> None:
    """Its own arguments are not in the common list, and the rest is the common list."""
    assert named(cls).isdisjoint(OperatorArguments.__annotations__)
    assert "Unpack[OperatorArguments]" == inspect.signature(cls.__init__).parameters["kwargs"].annotation
