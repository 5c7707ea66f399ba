"""Operators: submit once, wait as a sensor does, and cancel what is theirs."""

import asyncio
import json
import time
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pkgutil import resolve_name
from types import SimpleNamespace

import pytest
from airflow.exceptions import AirflowException
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_provider_hwstatus.errors import AuthenticationError, TriggerError, UnclearSubmissionError
from airflow_provider_hwstatus.operators import submission_record
from airflow_provider_hwstatus.operators.cph import CphPhonesOperator
from airflow_provider_hwstatus.operators.dli import DliBatchOperator, DliSqlJobOperator
from airflow_provider_hwstatus.sensors.start_from_trigger import AIRFLOW_3_3
from airflow_provider_hwstatus.triggers.submitted_job import SubmittedJobTrigger

BATCH = {"file": "obs://acme/etl.jar", "className": "com.acme.Etl", "queue": "etl", "args": ["2026-11-29"]}
RESTART = {"phones": [{"phone_id": "p1"}, {"phone_id": "p2"}]}

MAKE = {
    "dli_batch": partial(DliBatchOperator, batch=BATCH),
    "dli_sql_job": partial(DliSqlJobOperator, job={"sql": "SELECT 1", "queue_name": "q"}),
    "cph_job": partial(CphPhonesOperator, action="restart", body=RESTART),
}

FAILED = {"dli_batch": "dead", "dli_sql_job": "FAILED", "cph_job": -1}


class Store(dict):
    """Airflow's task state store."""

    def set(self, key, value, retention=None):
        self[key] = json.loads(json.dumps(value))


class Task:
    """
    Runs the tries of a task instance.

    :param deferrable: Whether it waits in the triggerer.
    :param store: Whether Airflow keeps a state store.
    """

    def __init__(self, make, deferrable=False, store=AIRFLOW_3_3, retries=3, map_index=-1, run_id="r", **arguments):
        self._make = lambda: make(
            task_id="t", retries=retries, deferrable=deferrable, **({"poke_interval": 20} | arguments)
        )
        self.xcoms = {}
        self.keeps_kwargs = True
        self.store = Store() if store else None
        self.ti = SimpleNamespace(
            dag_id="d",
            task_id="t",
            run_id=run_id,
            map_index=map_index,
            try_number=0,
            max_tries=retries,
            xcom_push=lambda key, value: self.xcoms.update({key: value}),
            xcom_pull=lambda key, **where: self.xcoms.get(key),
            get_first_reschedule_date=lambda context: None,
        )

    def context(self):
        context = {"ti": self.ti, "dag_run": SimpleNamespace(run_after=datetime.now(UTC) - timedelta(hours=1))}
        return context | ({} if self.store is None else {"task_state_store": self.store})

    def clear(self):
        """Clear the task, as Airflow does."""
        self.ti.max_tries = self.ti.try_number + 3

    def run(self):
        """Run the next try to its end, and return the task's value."""
        self.ti.try_number += 1
        self.xcoms.clear()
        try:
            return self._make().execute(self.context())
        except TaskDeferred as deferred:
            path, kwargs = deferred.trigger.serialize()
            trigger = resolve_name(path)(**json.loads(json.dumps(kwargs)))

            async def event():
                return [each.payload async for each in trigger.run()]

            (payload,) = asyncio.run(event())
            arguments = json.loads(json.dumps({"event": payload, **((self.keeps_kwargs and deferred.kwargs) or {})}))
            return self._make().resume_execution(deferred.method_name, arguments, self.context())


@pytest.fixture(autouse=True)
def _with_store(monkeypatch):
    """Let a test without Airflow's store stand for an older Airflow, and the other way round."""
    monkeypatch.setattr(submission_record, "AIRFLOW_3_3", True)


@pytest.fixture(params=[False, True], ids=["worker", "deferred"])
def deferrable(request):
    """Where the task waits."""
    return request.param


every_kind = pytest.mark.parametrize("kind", MAKE)


@pytest.fixture
def cloud(huaweicloud, clock):
    """The fake cloud, with simulated time; jobs end after 40 seconds."""
    states = {"dli_batch": ("starting", "running", "success"), "dli_sql_job": ("LAUNCHING", "RUNNING", "FINISHED")}
    states["cph_job"] = (1, 1, 2)
    huaweicloud.submissions.seconds = {kind: dict(zip((0, 20, 40), each, strict=True)) for kind, each in states.items()}
    return huaweicloud


def fail_next(cloud, kind):
    """Let the jobs that are submitted from now on fail."""
    cloud.submissions.seconds[kind] = {0: FAILED[kind]}


def succeed_next(cloud, kind):
    cloud.submissions.seconds[kind] = {0: {"dli_batch": "success", "dli_sql_job": "FINISHED", "cph_job": 2}[kind]}


@every_kind
def test_job_is_submitted_once_and_waited_for(cloud, kind, deferrable):
    """The task ends with the job's success, and returns its status."""
    value = Task(MAKE[kind], deferrable).run()

    assert 1 == cloud.submissions.count(kind)
    statuses = value if isinstance(value, list) else [value]
    assert {"success"} == {status["outcome"] for status in statuses}
    assert ({kind}, 2 if kind == "cph_job" else 1) == ({status["kind"] for status in statuses}, len(statuses))


@every_kind
def test_deferred_task_ends_in_dag_test(cloud, kind):
    """``dag.test()`` gives a resumed task the event alone, without what the deferral kept."""
    task = Task(MAKE[kind], deferrable=True)
    task.keeps_kwargs = False

    value = task.run()

    statuses = value if isinstance(value, list) else [value]
    assert {"success"} == {status["outcome"] for status in statuses}


@every_kind
def test_id_is_stored_before_the_first_poll(cloud, kind, deferrable):
    """The id is in XCom, and where there is a store, in it, although the first poll fails."""
    cloud.break_with(403, path_contains="/batches/" if kind == "dli_batch" else "/jobs", calls=100)
    if kind == "dli_sql_job":
        cloud._dispatcher.breakages[0].path_ends = "/status"
    task = Task(MAKE[kind], deferrable, store=True)

    with pytest.raises(AuthenticationError):
        task.run()

    key = {"dli_batch": "batch_id", "dli_sql_job": "job_id", "cph_job": "request_id"}[kind]
    assert cloud.submissions.accepted[0].job_id == task.xcoms[key] == task.store[submission_record.KEY]["job_id"]


@every_kind
def test_failed_job_fails_the_task_so_that_retries_apply(cloud, kind, deferrable):
    """The exception is an AirflowException that is not final, and says why."""
    fail_next(cloud, kind)

    with pytest.raises(AirflowException, match=r"failed(?s:.*)submitted: in try 1, as") as raised:
        Task(MAKE[kind], deferrable).run()
    assert not isinstance(raised.value, AirflowFailException | AirflowSkipException)


@every_kind
def test_retry_after_a_failed_job_submits_another_one(cloud, kind, deferrable):
    """With the state store, each retry of a failed job is a new job."""
    task = Task(MAKE[kind], deferrable, store=True)
    fail_next(cloud, kind)
    with pytest.raises(AirflowException):
        task.run()
    succeed_next(cloud, kind)

    task.run()

    assert 2 == cloud.submissions.count(kind)


@pytest.mark.parametrize("kind", ["dli_batch", "dli_sql_job"])
@pytest.mark.parametrize("store", [True, False], ids=["store", "no-store"])
def test_retry_after_an_outage_continues_the_wait(cloud, kind, deferrable, store):
    """A wait that was not answered leaves a job that the next try waits for."""
    task = Task(MAKE[kind], deferrable, store=store, outage_tolerance=0)
    ends = "/state" if kind == "dli_batch" else "/status"
    cloud.break_with(503, path_ends=ends)
    with pytest.raises(Exception, match="503"):
        task.run()

    assert "success" == task.run()["outcome"]
    assert 1 == cloud.submissions.count(kind)


@pytest.mark.parametrize("kind", ["dli_batch", "dli_sql_job"])
@pytest.mark.parametrize("store", [True, False], ids=["store", "no-store"])
@pytest.mark.parametrize("lag", [0, 10])
def test_unclear_answer_is_looked_up(cloud, kind, deferrable, store, lag):
    """The same try goes on with the job that the list shows."""
    cloud.submissions.answers = [503]
    cloud.submissions.listed_after = lag

    assert "success" == Task(MAKE[kind], deferrable, store=store).run()["outcome"]
    assert 1 == cloud.submissions.count(kind)


@pytest.mark.parametrize("store", [True, False], ids=["store", "no-store"])
def test_unclear_answer_that_stays_unclear(cloud, store):
    """With a store, a retry looks again; without, the error is final. Neither submits again."""
    cloud.submissions.answers = [503]
    cloud.submissions.listed_after = 1000
    task = Task(MAKE["dli_batch"], store=store)

    with pytest.raises(UnclearSubmissionError if store else AirflowFailException, match="was not submitted again"):
        task.run()
    cloud.submissions.listed_after = 0
    assert 1 == cloud.submissions.count("dli_batch")


def test_cleared_task_submits_another_job(cloud, deferrable):
    """Clearing is a new beginning, although the job of the time before runs or has succeeded."""
    task = Task(MAKE["dli_batch"], deferrable)
    task.run()
    task.clear()
    task.run()

    assert 2 == cloud.submissions.count("dli_batch")
    assert 2 == len({each.body["name"] for each in cloud.submissions.accepted})


def test_mapped_tasks_and_other_runs_do_not_share_jobs(cloud):
    """Two mapped tasks with the same body, and a backfill of the same DAG, each have a job of their own."""
    tasks = [Task(MAKE["dli_batch"], map_index=0), Task(MAKE["dli_batch"], map_index=1)]
    tasks += [Task(MAKE["dli_batch"], run_id="backfill__2026-11-28", map_index=0)]
    for task in tasks:
        task.run()
        task.store = None
        task.run()  # a retry finds its own

    assert 3 == cloud.submissions.count("dli_batch")


def test_body_passes_through_and_the_name_gets_a_marker(cloud):
    """The API gets the user's body, unknown fields included."""
    batch = BATCH | {"name": "nightly", "newField": {"a": 1}}
    Task(lambda **kwargs: DliBatchOperator(batch=batch, **kwargs)).run()

    (submission,) = cloud.submissions.accepted
    assert batch == dict(submission.body) | {"name": "nightly"}
    assert submission.body["name"].startswith("nightly-")
    assert submission.body["name"].endswith("-1")


def test_tag_carries_the_marker_of_a_sql_job(cloud):
    """The user's tags stay."""
    job = {"sql": "SELECT 1", "tags": [{"key": "team", "value": "etl"}]}
    Task(lambda **kwargs: DliSqlJobOperator(job=job, **kwargs)).run()

    tags = cloud.submissions.accepted[0].body["tags"]
    assert {"key": "team", "value": "etl"} == tags[0]
    assert "hwstatus" == tags[1]["key"]


def test_statement_that_runs_at_once_is_over(cloud, deferrable):
    """DLI answers DDL with its result; there is nothing to wait for."""
    value = Task(lambda **kwargs: DliSqlJobOperator(job={"sql": "CREATE DATABASE d"}, **kwargs), deferrable).run()

    assert ("success", "FINISHED", []) == (value["outcome"], value["state"], value["rows"])
    assert not any("/status" in record.path for record in cloud.requests)


@every_kind
def test_without_waiting_the_answer_is_returned(cloud, kind):
    """wait=False returns the service's own answer."""
    value = Task(MAKE[kind], wait=False).run()

    assert (
        cloud.submissions.accepted[0].job_id
        == value["id" if kind == "dli_batch" else "job_id" if kind == "dli_sql_job" else "request_id"]
    )
    assert 1 == len(cloud.requests)


@pytest.mark.parametrize("store", [True, False], ids=["store", "no-store"])
def test_without_waiting_a_job_that_was_found_has_its_id(cloud, store):
    """After a lost worker there is no answer, but the id is where the answer has it."""
    task = Task(MAKE["dli_batch"], wait=False, store=store)

    assert task.run()["id"] == task.run()["id"] == cloud.submissions.accepted[0].job_id
    assert 1 == cloud.submissions.count("dli_batch")


def test_rejected_phone_is_a_failure(cloud, deferrable):
    """What CPH rejects in its answer counts as failed."""
    cloud.submissions.rejected = {"p2"}

    with pytest.raises(AirflowException, match=r"(?s)1 of 2 failed.*p2.*CPS.0005"):
        Task(MAKE["cph_job"], deferrable, fail_fast=False).run()


def test_cph_command_is_not_repeated_without_a_store(cloud):
    """Before Airflow 3.3, a later try says that it cannot know."""
    task = Task(MAKE["cph_job"], store=False)
    fail_next(cloud, "cph_job")
    with pytest.raises(AirflowException):
        task.run()

    with pytest.raises(AirflowFailException, match="keeps no record"):
        task.run()
    assert 1 == cloud.submissions.count("cph_job")


def test_cph_command_is_repeated_if_that_is_harmless(cloud):
    """resubmit=True lets a retry submit again."""
    task = Task(MAKE["cph_job"], store=False, resubmit=True)
    cloud.submissions.answers = [503]
    with pytest.raises(UnclearSubmissionError):
        task.run()

    task.run()

    assert 2 == cloud.submissions.count("cph_job")


def test_time_out_is_that_of_a_sensor(cloud, deferrable):
    """A job that takes too long ends the task as a sensor's, and is not cancelled."""
    cloud.submissions.seconds["dli_batch"] = {0: "running"}

    with pytest.raises(AirflowSensorTimeout):
        Task(MAKE["dli_batch"], deferrable, timeout=60).run()
    assert [] == cloud.submissions.cancelled


def test_soft_fail_hides_no_unclear_submission(cloud):
    """soft_fail skips a job that failed, and not a task that may have left a job behind."""
    cloud.submissions.answers = [503]
    cloud.submissions.listed_after = 1000
    with pytest.raises(AirflowFailException):
        Task(MAKE["dli_batch"], store=False, soft_fail=True).run()

    cloud.submissions.listed_after = 0
    fail_next(cloud, "dli_batch")
    with pytest.raises(AirflowSkipException):
        Task(MAKE["dli_batch"], soft_fail=True, run_id="r2").run()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DliBatchOperator(task_id="t", batch="obs://a"), "batch: the body must be a mapping"),
        (lambda: DliBatchOperator(task_id="t", batch={"queue": "q"}), "batch: the body lacks file"),
        (lambda: DliBatchOperator(task_id="t", batch=BATCH | {"name": "n" * 120}), "at most 106 characters"),
        (lambda: DliSqlJobOperator(task_id="t", job={}), "job: the body lacks sql"),
        (lambda: CphPhonesOperator(task_id="t", action="explode", body={}), "action must be one of .*restart"),
        (lambda: CphPhonesOperator(task_id="t", action="restart", body={}), "body: the body lacks phones"),
        (
            lambda: CphPhonesOperator(task_id="t", action="restart", body=RESTART, cancel_on_kill=True),
            "cannot be cancelled",
        ),
        (lambda: DliBatchOperator(task_id="t", batch=BATCH, mode="reschedule"), "mode is not for DliBatchOperator"),
        (lambda: DliBatchOperator(task_id="t", batch=BATCH, start_from_trigger=True), "start_from_trigger is not"),
        (lambda: DliBatchOperator(task_id="t", batch=BATCH, list_lag=-1), "list_lag must be"),
    ],
)
def test_wrong_argument_is_refused_when_the_dag_is_parsed(make, message):
    """The DAG does not load, and says which argument and what is allowed."""
    with pytest.raises(ValueError, match=message):
        make()


def test_rendered_name_that_is_too_long_is_refused_before_anything_is_sent(cloud):
    """A name can be known at run time only."""
    operator = DliBatchOperator(task_id="t", batch=BATCH | {"name": "{{ params.name }}"})
    operator.batch = BATCH | {"name": "n" * 120}

    with pytest.raises(Exception, match="at most 106 characters"):
        operator.execute(Task(MAKE["dli_batch"]).context())
    assert [] == cloud.requests


def test_worker_that_is_told_to_stop_cancels(cloud):
    """on_kill cancels the job that the task submitted, and no other."""
    operator = MAKE["dli_batch"](task_id="t", deferrable=True)
    task = Task(MAKE["dli_batch"])
    with pytest.raises(TaskDeferred):
        operator.execute(task.context())

    operator.on_kill()

    assert [cloud.submissions.accepted[0].job_id] == cloud.submissions.cancelled


def test_worker_that_is_stopped_during_the_submission_cancels(cloud, monkeypatch):
    """A job whose submission was not answered yet is found by its marker, and cancelled."""
    operator = MAKE["dli_batch"](task_id="t")

    def stop(*args):
        operator.on_kill()
        raise KeyboardInterrupt

    monkeypatch.setattr(
        "airflow_provider_hwstatus.operators.submission_record.SubmissionRecord.write",
        lambda self, kept: kept.step == "submitted" and stop(),
    )
    with pytest.raises(KeyboardInterrupt):
        operator.execute(Task(MAKE["dli_batch"]).context())

    assert [cloud.submissions.accepted[0].job_id] == cloud.submissions.cancelled


def test_defect_while_cancelling_is_a_line_in_the_log(cloud, monkeypatch, caplog, capfd):
    """An unexpected exception in the thread that cancels is logged by the task, without its text."""
    operator = MAKE["dli_batch"](task_id="t", deferrable=True)
    with pytest.raises(TaskDeferred):
        operator.execute(Task(MAKE["dli_batch"]).context())
    monkeypatch.setattr("airflow_provider_hwstatus.hooks.hwstatus.HwStatusHook.cancel", lambda *args, **kwargs: 1 / 0)

    operator.on_kill()

    logged = logged_by_task(caplog, capfd)
    assert "could not be cancelled: DLI batch: an unexpected ZeroDivisionError" in logged
    assert "division by zero" not in logged


def logged_by_task(caplog, capfd):
    """Return what a task logged: Airflow 3 prints it, Airflow 2 does not."""
    return caplog.text + "".join(capfd.readouterr())


@pytest.mark.parametrize("arguments", [{"cancel_on_kill": False}], ids=str)
def test_worker_that_must_not_cancel_does_not(cloud, arguments):
    """cancel_on_kill=False leaves the job alone."""
    operator = MAKE["dli_batch"](task_id="t", deferrable=True, **arguments)
    with pytest.raises(TaskDeferred):
        operator.execute(Task(MAKE["dli_batch"]).context())

    operator.on_kill()

    assert [] == cloud.submissions.cancelled


@pytest.mark.parametrize("state", ["success", "dead"])
def test_job_that_is_over_is_not_cancelled(cloud, caplog, capfd, state):
    """on_kill after the end sends nothing."""
    cloud.submissions.seconds["dli_batch"] = {0: state}
    operator = MAKE["dli_batch"](task_id="t")
    with nullcontext() if state == "success" else pytest.raises(AirflowException, match="dead"):
        operator.execute(Task(MAKE["dli_batch"]).context())
    before = len(cloud.requests)

    operator.on_kill()

    assert before == len(cloud.requests)
    assert [] == cloud.submissions.cancelled
    assert "could not be cancelled" not in logged_by_task(caplog, capfd)


def test_worker_that_is_stopped_before_the_submission_submits_nothing(cloud):
    """Airflow 3 goes on with a task after on_kill(), until it kills the process."""
    operator = MAKE["dli_batch"](task_id="t")
    operator.on_kill()

    with pytest.raises(AirflowException, match="told to stop"):
        operator.execute(Task(MAKE["dli_batch"]).context())
    assert [] == cloud.submissions.accepted


def test_worker_that_is_stopped_while_the_service_answers_cancels(cloud):
    """The list does not show the job yet, but its answer comes."""
    cloud.submissions.listed_after = 100
    operator = MAKE["dli_batch"](task_id="t")
    cloud.listeners.append(lambda record: record.method == "POST" and setattr(operator, "_stopped", True))

    with pytest.raises(AirflowException, match="told to stop"):
        operator.execute(Task(MAKE["dli_batch"]).context())
    assert [cloud.submissions.accepted[0].job_id] == cloud.submissions.cancelled


def test_store_that_fails_after_the_submission_hides_nothing(cloud, deferrable, caplog):
    """The id is in XCom, the job's end is the task's, and the log says that the record is missing."""
    task = Task(MAKE["dli_batch"], deferrable, store=True)
    steps = []

    def fail(key, value, retention=None):
        steps.append(value["step"])
        if value["step"] != "sending":
            raise RuntimeError("no API")

    task.store.set = fail
    fail_next(cloud, "dli_batch")

    with pytest.raises(AirflowException, match="failed"):
        task.run()
    assert ["sending", "submitted", "no_job"] == steps
    assert "could not be recorded as submitted" in caplog.text


@pytest.mark.parametrize("jobs", [None, [], {}, ["x"]], ids=str)
def test_cph_answer_without_its_jobs(cloud, jobs):
    """How many jobs there are is then unknown, and they are waited for nevertheless."""

    def without(request, reply):
        return replace(reply, body={**reply.body, "jobs": jobs}) if request.method == "POST" else reply

    cloud.reply_filters.append(without)

    assert 2 == len(Task(MAKE["cph_job"]).run())


def test_trigger_that_failed_is_told_although_the_id_is_lost():
    """Airflow drops what the task kept if its trigger fails."""
    operator = MAKE["dli_batch"](task_id="t", deferrable=True)
    left = {"error": "Trigger failure", "traceback": ["boom"]}

    with pytest.raises(TriggerError, match="the DLI batch that t submitted: the trigger did not end by an event"):
        operator.resume_execution("__fail__", left, Task(MAKE["dli_batch"]).context())


@pytest.mark.parametrize(
    ("state", "cancelled"),
    [("failed", True), ("success", True), (None, True), ("scheduled", True), ("deferred", False)],
)
def test_trigger_cancels_if_somebody_ended_the_task(cloud, monkeypatch, state, cancelled):
    """Airflow 3.3 calls on_kill; a trigger that only moves has a task that is still deferred."""
    _task_is(monkeypatch, state)
    trigger = _trigger(cloud)

    asyncio.run(trigger.on_kill())

    assert cancelled is bool(cloud.submissions.cancelled)


@pytest.mark.parametrize(
    ("state", "cancelled"),
    [("failed", True), ("success", True), (None, True), ("scheduled", False), ("queued", False), ("deferred", False)],
)
def test_trigger_that_is_cancelled_before_airflow_3_3(cloud, monkeypatch, state, cancelled):
    """Older releases cancel the trigger alike if somebody ended the task, if it fired, and if the triggerer stops."""
    from airflow_provider_hwstatus.triggers import submitted_job

    monkeypatch.setattr(submitted_job, "_HAS_ON_KILL", False)
    _task_is(monkeypatch, state)
    trigger = _trigger(cloud)

    async def cancel():
        running = asyncio.ensure_future(_first(trigger))
        await asyncio.sleep(0.05)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(cancel())
    assert cancelled is bool(cloud.submissions.cancelled)


def test_trigger_that_cannot_read_the_state_cancels_nothing(cloud, monkeypatch):
    """A healthy job is not cancelled because of an outage of Airflow's API."""
    from airflow_provider_hwstatus.triggers import submitted_job

    def fail(ti):
        raise RuntimeError("no API")

    for name in ("_state_by_api", "_state_in_database"):
        monkeypatch.setattr(submitted_job, name, fail)
    asyncio.run(_trigger(cloud).on_kill())

    assert [] == cloud.submissions.cancelled


def test_trigger_of_a_try_that_is_over_cancels(cloud, monkeypatch):
    """Airflow 3.4 tells a trigger of an earlier try nothing but that."""
    from airflow_provider_hwstatus.triggers import submitted_job

    def refuse(ti):
        raise RuntimeError("API_SERVER_ERROR: {'message': 'Task instance is not a live attempt'}")

    monkeypatch.setattr(submitted_job, "_AIRFLOW_2", False)
    monkeypatch.setattr(submitted_job, "_state_by_api", refuse)
    asyncio.run(_trigger(cloud).on_kill())

    assert 1 == len(cloud.submissions.cancelled)


def test_cleared_task_of_airflow_2_is_noticed_by_its_tries(cloud, monkeypatch):
    """A cleared task is soon scheduled again, as after a trigger's event; its max_tries tells them apart."""
    from airflow_provider_hwstatus.triggers import submitted_job

    monkeypatch.setattr(submitted_job, "_AIRFLOW_2", True)
    monkeypatch.setattr(submitted_job, "_state_in_database", lambda ti: ("scheduled", 7))
    trigger = _trigger(cloud)
    trigger.max_tries = 3

    asyncio.run(trigger._cancel_unless(frozenset({"deferred", "scheduled"})))

    assert 1 == len(cloud.submissions.cancelled)


@pytest.mark.parametrize(("other", "cancelled"), [("another-job", True), (None, False)])
def test_cleared_task_that_is_deferred_again(cloud, monkeypatch, other, cancelled):
    """A task that was cleared and has submitted another job is deferred, too; its XCom tells."""
    from airflow_provider_hwstatus.triggers import submitted_job

    _task_is(monkeypatch, "deferred")
    trigger = _trigger(cloud)
    monkeypatch.setattr(submitted_job, "_AIRFLOW_2", False)
    monkeypatch.setattr(submitted_job, "_submitted_by", lambda ti, key: other or trigger.target["job_id"])

    asyncio.run(trigger.on_kill())

    assert cancelled is bool(cloud.submissions.cancelled)


def test_trigger_that_is_cancelled_again_goes_on_cancelling(cloud, monkeypatch):
    """Airflow cancels a trigger in each of its rounds, also while on_kill() runs."""
    from airflow_provider_hwstatus.triggers import submitted_job

    monkeypatch.setattr(submitted_job, "_AIRFLOW_2", False)
    monkeypatch.setattr(submitted_job, "_state_by_api", lambda ti: time.sleep(0.3) or "failed")
    trigger = _trigger(cloud)

    async def cancel_often():
        killing = asyncio.ensure_future(trigger.on_kill())
        for _ in range(10):
            await asyncio.sleep(0.02)
            killing.cancel()
        await killing

    asyncio.run(cancel_often())
    assert 1 == len(cloud.submissions.cancelled)


def _task_is(monkeypatch, state):
    from airflow_provider_hwstatus.triggers import submitted_job

    monkeypatch.setattr(submitted_job, "_submitted_by", lambda ti, key: None)
    monkeypatch.setattr(submitted_job, "_state_by_api", lambda ti: state)
    monkeypatch.setattr(submitted_job, "_state_in_database", lambda ti: (state, 3))


def _trigger(cloud):
    operator = MAKE["dli_batch"](task_id="t", deferrable=True)
    cloud.submissions.seconds["dli_batch"] = {0: "running"}
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(Task(MAKE["dli_batch"]).context())
    path, kwargs = deferred.value.trigger.serialize()
    trigger = resolve_name(path)(**json.loads(json.dumps(kwargs)))
    assert isinstance(trigger, SubmittedJobTrigger)
    trigger.task_instance = SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=-1)
    cloud.submissions.ends_at_cancel = "dead"
    return trigger


async def _first(trigger):
    return await anext(trigger.run())
