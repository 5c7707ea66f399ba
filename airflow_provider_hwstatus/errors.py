"""
Every error of this package, grouped by what the caller can do about it.

HwStatusError
├── ConfigurationError               an argument or a connection field is missing or invalid: correct it
├── RetryableError                   a later attempt may succeed
│   ├── TransportError               no HTTP response: DNS, TCP, TLS, proxy or time-out
│   ├── ThrottledError               too many requests: HTTP 429
│   └── ServerError                  a problem in the service: HTTP 408, 5xx, and the codes documented as such
├── ApiError                         the service answered with an error
│   ├── ThrottledError               (also a RetryableError)
│   ├── ServerError                  (also a RetryableError)
│   ├── AuthenticationError          not authenticated or not permitted: HTTP 401 or 403
│   │   └── CredentialsRefusedError  a permanent key or a password was refused: repeats would lock it
│   ├── ApiNotAvailableError         the gateway does not offer this API in this region
│   └── JobNotFoundError             the service does not know this job: HTTP 404 or the service's own code
├── MalformedResponseError           a response that does not match the API reference
├── UnknownStateError                a state that the kind does not list, with ``on_unknown_state="fail"``
├── DeadlineError                    the deadline passed before the job ended
├── UnclearSubmissionError           it is not known whether the service accepted a job: look before you submit it again
└── TriggerError                     the wait in the triggerer failed: it crashed, or its event is invalid

They mean that the state of a job could not be determined, or that a job could not be submitted or cancelled. A job that
failed is not an error of this kind.
They are not ``AirflowException``, so ``soft_fail`` never turns one into a skipped task.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Self, TypeVar

E = TypeVar("E", bound=BaseException)


class HwStatusError(Exception):
    """
    The state of a job could not be determined; the base class of all errors of this package.

    :param message: What happened, to which job or connection, and what to do next. Contains no secret.
    :param http_status: HTTP status of the response; None if there was no response.
    :param code: Error code of the service, for example ``APIGW.0301``.
    :param request_id: Id of the request at Huawei Cloud; its support asks for it.
    :param retry_after: Seconds for which the service asked to receive no further request.
    :ivar unsent: Whether it is certain that no part of the request left this machine.
    """

    unsent: bool = False

    def __init__(
        self,
        message: str,
        *,
        http_status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.http_status = http_status
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after

    def about(self, subject: str) -> Self:
        """
        Prefix the message with a subject, and return this same error.

        :param subject: The job, connection or step that the error concerns.
        """
        self.args = (f"{subject}: {self}",)
        return self

    def to_dict(self) -> dict[str, object]:
        """Return the error as JSON scalars, from which :func:`error_from_dict` restores it."""
        return {"type": type(self).__name__, "message": str(self)} | {
            name: value for name, value in vars(self).items() if value is not None and name != "unsent"
        }


class ConfigurationError(HwStatusError):
    """An argument or a field of the connection is missing or invalid."""


class RetryableError(HwStatusError):
    """A later attempt may succeed."""


class TransportError(RetryableError):
    """
    There was no complete HTTP response: DNS, TCP, TLS, proxy or time-out.

    :ivar unanswered_for: For an error that another wait on this connection shared: seconds since the service last
        answered any wait. Otherwise 0.
    """

    unanswered_for: float = 0.0


class ApiError(HwStatusError):
    """The service answered with an error."""


class ThrottledError(ApiError, RetryableError):
    """The service received too many requests (HTTP 429)."""


class ServerError(ApiError, RetryableError):
    """The service has a problem: HTTP 408, 5xx, or an error code that is documented as such."""


class AuthenticationError(ApiError):
    """The service refused the credentials (HTTP 401) or the permission (HTTP 403)."""


class CredentialsRefusedError(AuthenticationError):
    """A permanent access key or a password was refused. It is not sent again, because a few refusals lock it."""


class ApiNotAvailableError(ApiError):
    """The gateway does not offer this API in this region."""


class JobNotFoundError(ApiError):
    """The service does not know this job."""


class MalformedResponseError(HwStatusError):
    """The response does not match the API reference."""


class UnknownStateError(HwStatusError):
    """The kind does not list the state of the job, and ``on_unknown_state`` is ``"fail"``."""


class DeadlineError(HwStatusError):
    """The deadline passed before the job ended."""


class UnclearSubmissionError(HwStatusError):
    """
    A job was submitted, and there was no clear answer: the service may have accepted it or not.

    It was not submitted again.
    """


class TriggerError(HwStatusError):
    """The wait in the triggerer failed: the trigger crashed, or its event is invalid."""


def is_refused_login(error: HwStatusError) -> bool:
    """Return whether the service refused the key, token or password, so that a new one may help. Excludes HTTP 403."""
    return isinstance(error, AuthenticationError) and error.http_status != 403


def without_frames(error: E) -> E:
    """
    Remove the tracebacks of *error* and of its causes, and return it.

    The local variables in these frames hold tokens, keys and responses, and Airflow shows local variables.
    """
    error.__traceback__ = None
    for earlier in (error.__cause__, error.__context__):
        if earlier is not None and earlier.__traceback__ is not None:
            without_frames(earlier)
    return error


def error_from_dict(fields: Mapping[str, object]) -> HwStatusError:
    """
    Restore the error from which :meth:`HwStatusError.to_dict` made *fields*.

    :param fields: Fields of another type than expected are ignored. An error type that this release does not know
        becomes a plain :class:`HwStatusError`.
    """
    classes = {cls.__name__: cls for cls in _with_subclasses(HwStatusError)}
    cls = classes.get(str(fields.get("type")), HwStatusError)
    status, retry_after = fields.get("http_status"), fields.get("retry_after")
    code, request_id = fields.get("code"), fields.get("request_id")
    return cls(
        str(fields.get("message", "no message")),
        http_status=status if isinstance(status, int) else None,
        code=code if isinstance(code, str) else None,
        request_id=request_id if isinstance(request_id, str) else None,
        retry_after=retry_after if isinstance(retry_after, int | float) else None,
    )


def _with_subclasses(base: type[HwStatusError]) -> Iterator[type[HwStatusError]]:
    yield base
    for cls in base.__subclasses__():
        yield from _with_subclasses(cls)
