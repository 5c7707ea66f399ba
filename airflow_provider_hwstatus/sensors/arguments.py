"""The arguments of every sensor, for type checkers and editors. No sensor imports this at run time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, MutableMapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, Required, TypedDict

if TYPE_CHECKING:
    from airflow.sdk import DAG, Context, TaskGroup

    #: What Airflow calls when a task's state changes: one function, or several.
    Callbacks = Callable[[Context], Any] | Collection[Callable[[Context], Any]]


class BaseTaskArguments(TypedDict, total=False):
    """
    Arguments of Airflow's own ``BaseSensorOperator`` and ``BaseOperator``, on every supported Airflow, that sensors and
    operators of this package have.

    :param task_id: Id of the task, unique in its DAG.
    :param poke_interval: Seconds between two polls.
    :param timeout: Seconds after which the wait ends with an ``AirflowSensorTimeout``; by default Airflow's setting
        ``[sensors] default_timeout``.
    :param soft_fail: Whether a failed job or a time-out skips the task instead of failing it.
    :param exponential_backoff: Whether the interval grows during the wait.
    :param max_wait: The longest interval that ``exponential_backoff`` may reach, in seconds.
    :param silent_fail: Whether the wait continues after an error that is not the failure of a job.
    :param never_fail: Whether any failure or error skips the task.
    """

    task_id: Required[str]
    # BaseSensorOperator
    poke_interval: timedelta | float
    timeout: timedelta | float | None
    soft_fail: bool
    exponential_backoff: bool
    max_wait: timedelta | float | None
    silent_fail: bool
    never_fail: bool
    # BaseOperator
    allow_nested_operators: bool
    dag: DAG | None
    default_args: dict[str, Any] | None
    depends_on_past: bool
    do_xcom_push: bool
    doc: str | None
    doc_json: str | None
    doc_md: str | None
    doc_rst: str | None
    doc_yaml: str | None
    email: str | Iterable[str] | None
    email_on_failure: bool
    email_on_retry: bool
    end_date: datetime | None
    execution_timeout: timedelta | None
    executor: str | None
    executor_config: dict[str, Any] | None
    ignore_first_depends_on_past: bool
    inlets: Any
    logger_name: str | None
    map_index_template: str | None
    max_active_tis_per_dag: int | None
    max_active_tis_per_dagrun: int | None
    max_retry_delay: timedelta | float | None
    multiple_outputs: bool
    on_execute_callback: Callbacks | None
    on_failure_callback: Callbacks | None
    on_retry_callback: Callbacks | None
    on_skipped_callback: Callbacks | None
    on_success_callback: Callbacks | None
    outlets: Any
    owner: str
    params: MutableMapping[str, Any] | None
    pool: str | None
    pool_slots: int
    post_execute: Callable[..., Any] | None
    pre_execute: Callable[..., Any] | None
    priority_weight: int
    queue: str
    render_template_as_native_obj: bool | None  # since Airflow 3.3
    resources: dict[str, Any] | None
    retries: int | None
    retry_delay: timedelta | float
    retry_exponential_backoff: bool | float
    retry_policy: Any  # since Airflow 3.3
    run_as_user: str | None
    sla: timedelta | None
    start_date: datetime | None
    task_concurrency: int | None  # until Airflow 2.11
    task_display_name: str | None
    task_group: TaskGroup | None
    trigger_rule: str
    wait_for_downstream: bool
    wait_for_past_depends_before_skipping: bool
    weight_rule: Any


class SensorArguments(BaseTaskArguments, total=False):
    """
    Arguments of every sensor of this package, beside its ids.

    :param mode: ``poke`` keeps the worker slot during the wait; ``reschedule`` releases it between two polls.
    """

    mode: Literal["poke", "reschedule"]
    hwstatus_conn_id: str
    region: str | None
    project_id: str | None
    deferrable: bool
    start_from_trigger: bool
    resume_deadline: bool
    success_states: Sequence[str | int] | None
    failure_states: Sequence[str | int] | None
    on_unknown_state: Literal["wait", "fail"]
    outage_tolerance: timedelta | float
    not_found_grace: timedelta | float | None
    wait_for_all: bool
    fail_fast: bool
    on_empty: Literal["fail", "succeed"]
