"""
The kinds of jobs that this package can wait for; declarations only.

Everything that depends on the kind of job is declared here: where to poll, how to read the response, and which states
end the wait.
"""

from airflow_provider_hwstatus.kinds.cph import CPH_JOB
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH, DLI_SESSION_READY, DLI_SESSION_STOPPED
from airflow_provider_hwstatus.kinds.job_kind import JobKind, Outcome

__all__ = ["KINDS", "JobKind", "Outcome"]

#: Every kind of this package, by name.
KINDS = {kind.name: kind for kind in (DLI_BATCH, DLI_SESSION_READY, DLI_SESSION_STOPPED, CPH_JOB)}
