"""The arguments that type checkers know are those that the sensors take."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest
from airflow.providers.common.compat.sdk import BaseOperator, BaseSensorOperator

from airflow_provider_hwstatus.sensors.arguments import BaseSensorArguments, SensorArguments
from airflow_provider_hwstatus.sensors.base import JobStatusSensor
from airflow_provider_hwstatus.sensors.cph import CphJobSensor, CphRequestSensor
from airflow_provider_hwstatus.sensors.dli import DliBatchSensor, DliSessionSensor

#: Arguments that are not in every supported Airflow.
ONLY_IN_SOME = {"task_concurrency", "retry_policy", "render_template_as_native_obj", "sla"}

#: What a subclass gives to JobStatusSensor itself.
OWN = {"kind"}


def named(cls: type) -> set[str]:
    """Return the names of the arguments that a class itself takes."""
    parameters = inspect.signature(cls.__init__).parameters.values()
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {one.name for one in parameters if one.kind not in variadic} - {"self"}


def test_every_argument_of_airflows_is_known() -> None:
    """Of the Airflow that is installed; an argument that it does not have is one of another release."""
    airflows = named(BaseOperator) | named(BaseSensorOperator)
    known = set(BaseSensorArguments.__annotations__)

    assert set() == airflows - known
    assert known - airflows <= ONLY_IN_SOME


def test_every_argument_of_ours_is_known() -> None:
    """And no other."""
    ours = set(SensorArguments.__annotations__) - set(BaseSensorArguments.__annotations__)

    assert named(JobStatusSensor) - OWN == ours


@pytest.mark.parametrize("cls", [DliBatchSensor, DliSessionSensor, CphJobSensor, CphRequestSensor])
def test_sensor_takes_them_by_name(cls: type) -> None:
    """Its own arguments are not in the common list, and the rest is the common list."""
    own = named(cls)
    rest = inspect.signature(cls.__init__).parameters["kwargs"]

    assert own.isdisjoint(SensorArguments.__annotations__)
    assert "Unpack[SensorArguments]" == rest.annotation


def test_types_cost_no_dag_file_anything() -> None:
    """They are for type checkers, so nothing loads them at run time."""
    code = "import sys, airflow_provider_hwstatus.sensors.cph, airflow_provider_hwstatus.sensors.dli; "
    code += "print('airflow_provider_hwstatus.sensors.arguments' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "False" == done.stdout.split()[-1]
