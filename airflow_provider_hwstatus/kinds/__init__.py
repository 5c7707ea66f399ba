"""
The kinds of jobs that can be waited for; declarations only.

Everything that depends on the kind of job is declared here: where to poll, how to read the reply, and which states end
the wait. ``docs/kinds.md`` shows how to declare a kind of your own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_hwstatus.kinds import cph, dataarts, databases, dli, infrastructure, mrs
from airflow_provider_hwstatus.kinds.job_kind import JobKind, Outcome
from airflow_provider_hwstatus.kinds.service import SERVICES, Service

__all__ = ["KINDS", "SERVICES", "JobKind", "Outcome", "Service", "kind_of"]

#: Every kind of this package, by name.
KINDS: dict[str, JobKind] = {
    kind.name: kind for module in (dli, cph, mrs, dataarts, databases, infrastructure) for kind in module.KINDS
}


def kind_of(kind: JobKind | Mapping[str, Any] | str) -> JobKind:
    """
    Return a kind.

    :param kind: The name of one in :data:`KINDS`, or what :meth:`JobKind.to_dict` returned; a kind is returned
        unchanged.
    :raises ValueError: There is no kind with that name, or the declaration is wrong.
    """
    if isinstance(kind, JobKind):
        return kind
    if isinstance(kind, Mapping):
        return JobKind.from_dict(kind)
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"kind must be a JobKind or one of {', '.join(KINDS)}; it is {str(kind)[:64]!r}")
    return KINDS[kind]
