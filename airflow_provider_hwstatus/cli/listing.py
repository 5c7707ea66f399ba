"""``list`` and ``logs``: what the services show of jobs."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from airflow_provider_hwstatus.cli.arguments import CPH_REQUEST
from airflow_provider_hwstatus.cli.exits import Exit
from airflow_provider_hwstatus.cli.output import fail, hook_of, printable, show, show_json
from airflow_provider_hwstatus.cli.targets import jobs_of, or_exit, targets_of, wrong_command_line
from airflow_provider_hwstatus.core.polling.batches_by_name import BatchSearch, time_from
from airflow_provider_hwstatus.core.polling.job_ids import is_job_id
from airflow_provider_hwstatus.core.polling.job_status import JobStatus, status_of
from airflow_provider_hwstatus.core.polling.jobs_summary import JobsSummary
from airflow_provider_hwstatus.core.polling.recent_batches import RecentBatches, created_at, read_recent
from airflow_provider_hwstatus.core.polling.wait_options import WaitOptions
from airflow_provider_hwstatus.core.protocol.advice import on_one_line
from airflow_provider_hwstatus.core.protocol.retry import RetryBudget
from airflow_provider_hwstatus.errors import HwStatusError
from airflow_provider_hwstatus.hooks.hwstatus import HwStatusHook
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH

if TYPE_CHECKING:
    from airflow_provider_hwstatus.core.connection.client import Client
    from airflow_provider_hwstatus.core.protocol.effects import Flow

#: Seconds: batches that were submitted earlier are not listed, unless the command line says so.
_RECENT = 86_400.0

_COLUMNS = ("ID", "STATE", "BEGAN", "QUEUE", "NAME")


def list_jobs(arguments: Namespace) -> NoReturn:
    """List recent DLI batches, newest first, or the jobs of CPH requests."""
    if arguments.limit < 1:
        wrong_command_line("--limit must be 1 or more")
    hook = hook_of(arguments)
    try:
        if arguments.kind == CPH_REQUEST:
            statuses = _jobs_of_requests(hook, arguments)
        elif arguments.kind == DLI_BATCH.name:
            statuses = _batches(hook, arguments)
        else:
            wrong_command_line(f"KIND must be {DLI_BATCH.name} or {CPH_REQUEST}; it is {arguments.kind!r}")
    except HwStatusError as error:
        fail(arguments, error)
    finally:
        hook.close()
    fitting = [status for status in statuses if arguments.state in (None, status.state)]
    _show_list(arguments, fitting[: arguments.limit])
    if len(fitting) > arguments.limit:
        sys.stderr.write(f"{len(fitting) - arguments.limit} more; to see them, raise --limit\n")
    sys.exit(Exit.SUCCESS)


def logs(arguments: Namespace) -> NoReturn:
    """Print the last lines of a job's log, or why there is none."""
    (target,), hook = or_exit(lambda: jobs_of(arguments)), hook_of(arguments)
    kind, job_id = target.polled_kind, target.first or ""
    try:
        found = hook.diagnose(kind, hook.get_status(kind, job_id, outage_tolerance=0.0))
    except HwStatusError as error:
        fail(arguments, error)
    finally:
        hook.close()
    lines = found.status.log
    missing = "" if lines else found.missing or ("there is no output" if kind.log else "jobs of this kind have none")
    if arguments.output == "json":
        show_json(arguments, {"job_id": job_id, "log": list(lines)} | ({"missing": missing} if missing else {}))
    for line in lines if arguments.output == "text" else ():
        show(arguments, line)
    if missing:
        where = f"; next: open {found.console}" if found.console else ""
        sys.stderr.write(f"{kind.title} {job_id}: no log: {on_one_line(missing)}{where}\n")
    sys.exit(Exit.ERROR if missing else Exit.SUCCESS)


def _batches(hook: HwStatusHook, arguments: Namespace) -> list[JobStatus]:
    """:raises HwStatusError: The list could not be read."""
    if arguments.ids:
        wrong_command_line(f"ids are for {CPH_REQUEST} only; for batches with known ids, use status")
    after = arguments.submitted_after
    since = time.time() - _RECENT if after is None else or_exit(lambda: time_from(after))
    search = or_exit(lambda: BatchSearch("*" if arguments.name is None else arguments.name, since))
    listed: list[tuple[float, JobStatus]] = []

    def read(client: Client) -> Flow[RecentBatches]:
        found = yield from read_recent(client, since, RetryBudget(0.0), search.exact_name)
        # A cloud may ignore the filters of its list, so each row is compared here.
        for row in found.rows:
            created = created_at(row) or 0.0
            if is_job_id(row.get("id")) and search.matches(row.get("name")) and created >= since:
                listed.append((created, status_of(DLI_BATCH, str(row["id"]), row, None, client.redact)))
        return found

    if not hook.run(read).complete:
        sys.stderr.write("The list is too long to be read completely; give a later --submitted-after\n")
    newest_first = [status for _, status in sorted(listed, key=lambda entry: entry[0], reverse=True)]
    return [status for status in newest_first if arguments.queue in (None, status.queue)]


def _jobs_of_requests(hook: HwStatusHook, arguments: Namespace) -> list[JobStatus]:
    """:raises HwStatusError: The list could not be read."""
    if arguments.name or arguments.queue or arguments.submitted_after:
        wrong_command_line(f"--name, --queue and --submitted-after are for {DLI_BATCH.name} only")
    if not arguments.ids:
        wrong_command_line(f"{CPH_REQUEST} needs the id of a request")
    statuses = list[JobStatus]()
    options = WaitOptions(began=time.time(), outage_tolerance=0.0)
    for target in or_exit(lambda: targets_of(arguments)):
        found = hook.run(
            lambda client, target=target: target.poller(client).poll(options)  # type: ignore[misc]  # the default binds the variable of the loop; mypy infers no type for it
        )
        statuses += found.statuses if isinstance(found, JobsSummary) else [found]
    return statuses


def _show_list(arguments: Namespace, statuses: Sequence[JobStatus]) -> None:
    if arguments.output == "json":
        show_json(arguments, [status.to_dict() for status in statuses])
        return
    if not statuses:
        sys.stderr.write("No jobs.\n")
        return
    rows = [_COLUMNS, *(_row(status) for status in statuses)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for row in rows:
        show(arguments, "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _row(status: JobStatus) -> tuple[str, ...]:
    cells = (status.job_id, status.state, status.begin_time, status.queue, status.name)
    return tuple(printable(cell or "-") for cell in cells)
