"""Which errors of this package are worth a retry of the task. Needs Airflow 3.3."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_hwstatus.errors import (
    ApiNotAvailableError,
    AuthenticationError,
    ConfigurationError,
    HwStatusError,
    JobNotFoundError,
    ThrottledError,
)

try:
    from airflow.sdk import RetryDecision, RetryPolicy
except ImportError as error:
    raise ImportError("HwStatusRetryPolicy needs Airflow 3.3. This older Airflow has no retry policies") from error

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

#: Errors that a retry meets again: somebody has to correct something first.
_LASTING = (ConfigurationError, AuthenticationError, JobNotFoundError, ApiNotAvailableError)


class HwStatusRetryPolicy(RetryPolicy):
    """
    Fails a task at once for what a retry cannot change, and waits as long as the service asks for.

    A wrong argument or connection, a refused login or permission (HTTP 401 or 403) and an unknown job fail the task.
    After too many requests (HTTP 429), the retry comes after the time that the service named. All other errors, and a
    job that failed, are retried as the task says.

    .. code-block:: python

        DliBatchOperator(task_id="etl", batch=BATCH, retries=3, retry_policy=HwStatusRetryPolicy())
    """

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Return whether to retry, and when."""
        if isinstance(exception, _LASTING):
            return RetryDecision.fail(f"{type(exception).__name__}: a retry would end in the same way")
        if isinstance(exception, ThrottledError) and exception.retry_after is not None:
            delay = timedelta(seconds=exception.retry_after)
            return RetryDecision.retry(delay, "the service named the time of the next request")
        if isinstance(exception, HwStatusError):
            return RetryDecision.retry(reason=f"{type(exception).__name__}: a later try may succeed")
        return RetryDecision.default()

    def serialize(self) -> dict[str, object]:
        """Return nothing to keep: there are no settings."""
        return {}

    @classmethod
    def deserialize(cls, data: dict[str, object]) -> HwStatusRetryPolicy:
        """Restore the policy."""
        return cls()
