"""
What can go wrong with a question, by what the caller can do about it.

HwStatusError
├── ConfigurationError         an argument or a field of the connection is missing or wrong: fix it
├── RetryableError             trying again may help
│   ├── TransportError         no HTTP reply: DNS, TCP, TLS, time-out
│   ├── ThrottledError         429
│   └── ServerError            408, 5xx and the codes that the vendor lists as such
├── ApiError                   the service said no: trying again will not help
│   ├── AuthenticationError    401, 403
│   │   └── CredentialsRefusedError  a key or password that must not be tried again: repeats lock it
│   ├── ApiNotAvailableError   404 from the gateway: this API does not exist in this region
│   └── JobNotFoundError       404, or the service's own code for it
├── MalformedResponseError     2xx, but not what the API reference promises
├── UnknownStateError          a state that no table lists, where ``on_unknown_state="fail"``
├── DeadlineError              the deadline passed before there was an answer
└── TriggerError               the triggerer lost the wait: the trigger crashed, or its event is not one of ours

None of these is an ``AirflowException``, so ``soft_fail`` never hides a question without an answer.
A job that failed is not an error here: that is an answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Self, TypeVar

E = TypeVar("E", bound=BaseException)


class HwStatusError(Exception):
    """
    The question could not be answered.

    :param message: What happened, to whom and what to do about it. Holds no secret.
    :param http_status: HTTP status of the reply, if there was one.
    :param code: The service's own error code, e.g. ``APIGW.0301``.
    :param request_id: What Huawei Cloud's support asks for.
    :param retry_after: Seconds for which the service asked not to be asked again.
    """

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
        """Put into the message what the question was about, and return this error."""
        self.args = (f"{subject}: {self}",)
        return self

    def to_dict(self) -> dict[str, object]:
        """Return JSON scalars from which :func:`error_from_dict` makes an equal error."""
        return {"type": type(self).__name__, "message": str(self)} | {
            name: value for name, value in vars(self).items() if value is not None
        }


class ConfigurationError(HwStatusError):
    """An argument or a field of the connection is missing or wrong."""


class RetryableError(HwStatusError):
    """Trying again may help."""


class TransportError(RetryableError):
    """
    No HTTP reply: DNS, TCP, TLS, time-out.

    :ivar unanswered_for: Where it was another wait's, seconds for which nobody has got an answer.
    """

    unanswered_for: float = 0.0


class ApiError(HwStatusError):
    """The service said no."""


class ThrottledError(ApiError, RetryableError):
    """Too many requests (429)."""


class ServerError(ApiError, RetryableError):
    """The service itself has a problem: 408, 5xx and the codes listed as such."""


class AuthenticationError(ApiError):
    """Not logged in (401) or not allowed (403)."""


def is_refused_login(error: HwStatusError) -> bool:
    """Return whether the key, token or password was refused: another one may help."""
    return isinstance(error, AuthenticationError) and error.http_status != 403


class CredentialsRefusedError(AuthenticationError):
    """A permanent key or a password was refused: a few repeats lock it, so it is not tried again."""


class ApiNotAvailableError(ApiError):
    """The gateway does not know this API in this region."""


class JobNotFoundError(ApiError):
    """The service does not know this job."""


class MalformedResponseError(HwStatusError):
    """A successful reply that is not what the API reference promises."""


class UnknownStateError(HwStatusError):
    """The job is in a state that no table lists."""


class DeadlineError(HwStatusError):
    """The deadline passed before there was an answer."""


class TriggerError(HwStatusError):
    """The triggerer lost the wait."""


def without_frames(error: E) -> E:
    """
    Drop the frames in which *error* and its causes came about, and return it.

    Their local variables hold tokens, keys and replies, and Airflow shows tracebacks with them.
    """
    error.__traceback__ = None
    for earlier in (error.__cause__, error.__context__):
        if earlier is not None and earlier.__traceback__ is not None:
            without_frames(earlier)
    return error


def _tree(base: type[HwStatusError]) -> Iterator[type[HwStatusError]]:
    yield base
    for cls in base.__subclasses__():
        yield from _tree(cls)


def error_from_dict(fields: Mapping[str, object]) -> HwStatusError:
    """
    Return the error that :meth:`HwStatusError.to_dict` described.

    :param fields: Such a description. A type that this release does not know becomes a plain :class:`HwStatusError`.
    """
    classes = {cls.__name__: cls for cls in _tree(HwStatusError)}
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
