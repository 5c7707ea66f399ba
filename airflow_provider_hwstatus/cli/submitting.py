"""``submit``: submit a job once."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from airflow_provider_hwstatus.cli.exits import Exit
from airflow_provider_hwstatus.cli.output import fail, hook_of, show, show_json
from airflow_provider_hwstatus.cli.polling import wait_for
from airflow_provider_hwstatus.cli.targets import RULE, kind_at, or_exit, wrong_command_line
from airflow_provider_hwstatus.core.polling.wait_target import WaitTarget
from airflow_provider_hwstatus.core.protocol.advice import NEXT
from airflow_provider_hwstatus.core.submitting.marker import check_body
from airflow_provider_hwstatus.core.submitting.submit import target_of
from airflow_provider_hwstatus.errors import HwStatusError, UnclearSubmissionError
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH
from airflow_provider_hwstatus.kinds.job_kind import JobKind
from airflow_provider_hwstatus.kinds.json_path import value_at
from airflow_provider_hwstatus.kinds.submission import Submission

_UNCLEAR = "the job may have been submitted"


def submit(arguments: Namespace) -> NoReturn:
    """Submit a job, print its id, and wait for its end if the command line says so."""
    kind = or_exit(lambda: kind_at(arguments.kind))
    or_exit(lambda: kind.with_parameters({}))  # before the submission: the target of a wait has none
    submission = or_exit(lambda: kind.submission(arguments.action))
    body = or_exit(lambda: check_body(submission, _body_of(arguments.body)))
    hook = hook_of(arguments)
    try:
        answer = hook.submit(kind, body, action=arguments.action)
    except UnclearSubmissionError as error:
        error.args = (f"{error}{NEXT}{_how_to_look(kind, body)}",)
        fail(arguments, error)
    except HwStatusError as error:
        fail(arguments, error)
    except KeyboardInterrupt:
        sys.stderr.write(f"{_UNCLEAR}{NEXT}{_how_to_look(kind, body)}\n")
        sys.exit(130)
    job_id = str(value_at(submission.id, answer, "") or "")
    target = target_of(kind, submission, job_id, answer, RULE) if job_id else None
    if arguments.wait and target:
        sys.stderr.write(f"{job_id}  submitted\n")
        wait_for(arguments, hook, [target])
    hook.close()
    _finish(arguments, kind, submission, job_id, target)


def _finish(
    arguments: Namespace, kind: JobKind, submission: Submission, job_id: str, target: WaitTarget | None
) -> NoReturn:
    """Print the id, and what was rejected. The answer itself may repeat the body, which can hold secrets."""
    rejected = target.expected.rejected if target and target.expected else ()
    if arguments.output == "json":
        name = "request_id" if submission.is_request else "job_id"
        listed = {"rejected": [item.to_dict() for item in rejected]} if submission.is_request else {}
        show_json(arguments, {"kind": kind.name, name: job_id} | listed)
    else:
        show(arguments, f"{job_id}  submitted" if job_id else "submitted; the service ran the job at once, without id")
        for item in rejected:
            reason = " ".join(filter(None, (item.error_code, item.error_message)))
            show(arguments, f"{item.job_id}  rejected  {reason}".rstrip())
    sys.exit(Exit.FAILURE if rejected else Exit.SUCCESS)


def _how_to_look(kind: JobKind, body: Mapping[str, Any]) -> str:
    if kind.name != DLI_BATCH.name:
        return f"look for it in {kind.cloud_service.console_name}; submit it again only if it is not there"
    name = body.get("name")
    named = f" --name {json.dumps(name)}" if name else ""
    return f"look for it with: list {kind.name}{named}; submit it again only if it is not there after a minute"


def _body_of(text: str) -> object:
    """
    Return the body that ``--body`` gives.

    :raises ValueError: It is not JSON, or beyond Python's limits. The message does not show it: it may hold secrets.
    """
    if text.startswith("@"):
        try:
            text = sys.stdin.read() if text == "@-" else Path(text[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            wrong_command_line(f"--body: {text[1:]} cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"--body is not JSON: line {error.lineno}, column {error.colno}") from None
    except (ValueError, RecursionError):
        raise ValueError("--body cannot be read: it is nested too deeply, or has a number that is too long") from None
