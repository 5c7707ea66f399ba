"""The retry policy maps errors to decisions."""

from datetime import timedelta

import pytest

pytest.importorskip("airflow.sdk.definitions.retry_policy", reason="Airflow 3.3 has retry policies")

from airflow.exceptions import AirflowException  # after the check
from airflow.sdk.definitions.retry_policy import RetryAction

from airflow_provider_hwstatus import errors
from airflow_provider_hwstatus.operators.retry_policy import HwStatusRetryPolicy


@pytest.mark.parametrize(
    ("error", "action", "delay"),
    [
        (errors.ConfigurationError("no region"), RetryAction.FAIL, None),
        (errors.AuthenticationError("no", http_status=403), RetryAction.FAIL, None),
        (errors.CredentialsRefusedError("no", http_status=401), RetryAction.FAIL, None),
        (errors.JobNotFoundError("no", http_status=404), RetryAction.FAIL, None),
        (errors.ApiNotAvailableError("no", http_status=404), RetryAction.FAIL, None),
        (errors.ThrottledError("slow", http_status=429, retry_after=7.0), RetryAction.RETRY, timedelta(seconds=7)),
        (errors.ThrottledError("slow", http_status=429), RetryAction.RETRY, None),
        (errors.ServerError("down", http_status=503), RetryAction.RETRY, None),
        (errors.UnclearSubmissionError("perhaps"), RetryAction.RETRY, None),
        (errors.TriggerError("crashed"), RetryAction.RETRY, None),
        (AirflowException("the job failed"), RetryAction.DEFAULT, None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_decision(error, action, delay):
    """What a retry cannot change fails at once; a 429 is retried when the service says."""
    decision = HwStatusRetryPolicy().evaluate(error, 1, 3)

    assert (action, delay) == (decision.action, decision.retry_delay)


def test_policy_survives_serialisation():
    """Airflow stores a policy with the DAG."""
    policy = HwStatusRetryPolicy()

    assert isinstance(HwStatusRetryPolicy.deserialize(policy.serialize()), HwStatusRetryPolicy)
