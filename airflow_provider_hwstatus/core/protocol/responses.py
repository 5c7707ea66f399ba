"""Reading the response of any service: its JSON, and its error."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from airflow_provider_hwstatus.core.protocol.advice import by_class, by_code, naming, normalised, with_next
from airflow_provider_hwstatus.core.protocol.effects import Response
from airflow_provider_hwstatus.core.protocol.redaction import Redactor
from airflow_provider_hwstatus.core.protocol.throttle import LONGEST_HOLD
from airflow_provider_hwstatus.errors import (
    ApiError,
    ApiNotAvailableError,
    AuthenticationError,
    HwStatusError,
    JobNotFoundError,
    MalformedResponseError,
    ServerError,
    ThrottledError,
)

#: The errors of codes whose HTTP status does not say enough. Sources: the error code pages of DLI, CPH, API Gateway
#: and IAM.
MEANINGS: dict[str, type[ApiError]] = {
    "DLI.0999": ServerError,  # "server-side error", sent with status 400
    "CPS.0003": ServerError,  # internal error, with status 400 in older editions
    "CPS.0042": ServerError,  # system busy
    "APIG.0308": ThrottledError,
    "IAM.0012": ThrottledError,
    "CPS.0001": AuthenticationError,  # no permission, with status 400 in older editions
    "DLI.0015": AuthenticationError,  # the token cannot be parsed, with status 400
    "IAM.1105": AuthenticationError,  # the access key has expired, with status 400
    "IAM.1107": AuthenticationError,  # it is inactive, with status 400
    "IAM.1108": AuthenticationError,  # the security token has expired, with status 400
    "DLI.0002": JobNotFoundError,  # the object does not exist
    "DLI.0023": JobNotFoundError,
    "CPS.0011": JobNotFoundError,
    "CPS.0050": JobNotFoundError,  # the request has no jobs
    "APIG.0101": ApiNotAvailableError,
}

#: The form of the gateway's request ids. It cannot contain a part of a key or token, so it is not redacted.
_REQUEST_ID = re.compile(r"[0-9a-f]{32}")

#: Milliseconds since 1970 as text; and a time as Go's ``String()`` prints it, which CCE does.
_MILLISECONDS = re.compile(r"[1-9][0-9]{11,13}")
_GO_TIME = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.\d+)? ([+-]\d{4})(?: [A-Z]{3,4})?$")

#: The period of a rate limit in the text of a 429, and the seconds of its units.
_PERIOD = re.compile(r"time:\s*(\d{1,6})\s*(second|minute|hour|day)")
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}

#: Characters of a text that are shown.
_SHOWN = 1000

#: Characters of a text that are searched for secrets, many times as many as are shown.
_SEARCHED = 65_536

#: Characters to remove from the end of a text that was cut before the search, which can have cut a secret in two.
_CUT_MARGIN = 512

#: The names of the fields with an error's code and text.
_ERROR_FIELDS = (("error_code", "error_msg"), ("errorCode", "errorMsg"), ("code", "message"))


def json_object(response: Response) -> Mapping[str, object] | None:
    """Return the body as a JSON object; None if it is not one."""
    try:
        body = json.loads(response.body)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def json_or_raise(
    response: Response, redact: Redactor, now: float, permission: str | None = None
) -> Mapping[str, object]:
    """
    Return the JSON object of a successful response.

    :param now: Seconds since 1970, for a ``Retry-After`` that is a date.
    :param permission: The IAM action that the request needs, for the advice about a 403.
    :raises ApiError: The HTTP status is not 2xx.
    :raises MalformedResponseError: The body is not a JSON object.
    """
    if not 200 <= response.status < 300:
        raise error_of(response, redact, now, permission=permission)
    body = json_object(response)
    if body is None:
        raise MalformedResponseError(
            with_next(
                f"HTTP {response.status} without a JSON object: {snippet(response, redact)}",
                by_class(MalformedResponseError),
            ),
            http_status=response.status,
            request_id=request_id_of(response, {}, redact),
        )
    return body


def error_of(
    response: Response,
    redact: Redactor,
    now: float,
    refused: type[AuthenticationError] = AuthenticationError,
    advice: str | None = None,
    permission: str | None = None,
) -> HwStatusError:
    """
    Return the error of a response whose HTTP status is not 2xx.

    :param now: Seconds since 1970, for a ``Retry-After`` that is a date.
    :param refused: The error of an HTTP 401.
    :param advice: What to do next, if neither the error code nor the text of the response says it.
    :param permission: The IAM action that the request needs; None if it is not known.
    """
    body = json_object(response) or {}
    code, text = _code_and_text(body)
    cls = _class_of(response.status, code, refused)
    request_id = request_id_of(response, body, redact)
    shown_code = shown(code, redact, 64) if code else None
    message = _message(response, shown_code, shown(text, redact) or snippet(response, redact), request_id)
    what = by_code(code, text, response.status) or by_class(cls, message, advice)
    return cls(
        with_next(message, naming(permission, what)),
        http_status=response.status,
        code=shown_code,
        request_id=request_id,
        retry_after=_retry_after(response, text, now),
    )


def refusal_of(response: Response, body: Mapping[str, object], text: object, redact: Redactor) -> HwStatusError:
    """
    Return the error of a reply that says in its body that the service did not answer the question.

    :param text: The reason, where the body has it.
    """
    code, reason = _code_and_text(body)
    reason = reason or next((each for each in (text, body.get("message")) if isinstance(each, str) and each), "")
    request_id = request_id_of(response, body, redact)
    shown_code = shown(code, redact, 64) if code else None
    message = _message(response, shown_code, shown(reason, redact) or snippet(response, redact), request_id)
    cls = _class_of(200, code, AuthenticationError)
    return cls(
        with_next(message, by_code(code, reason) or by_class(cls, message)),
        http_status=response.status,
        code=shown_code,
        request_id=request_id,
    )


def _message(response: Response, code: str | None, text: str, request_id: str | None) -> str:
    """Return the message of an error, from what the response says, redacted."""
    status = str(response.status)
    words = [f"HTTP {status}", code if code != status else None, text]
    return " ".join(filter(None, words)) + (f"\n  request id: {request_id}" if request_id else "")


def is_unknown_to_service(error: HwStatusError) -> bool:
    """Return whether the service itself does not know the job. A proxy's 404 has no error code of the service."""
    return isinstance(error, JobNotFoundError) and MEANINGS.get(normalised(error.code or "")) is JobNotFoundError


def request_id_of(response: Response, body: Mapping[str, object], redact: Redactor) -> str | None:
    """Return the request id from the header or else from the body, redacted; None if there is none."""
    request_id = response.headers.get("x-request-id") or body.get("request_id")
    if not isinstance(request_id, str) or not request_id:
        return None
    return request_id if _REQUEST_ID.fullmatch(request_id) else shown(request_id, redact, 128)


def snippet(response: Response, redact: Redactor) -> str:
    """Return the first 200 characters of a body that has no error text, redacted and on one line."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        return f"a body compressed with {shown(encoding, redact, 64)}, which the request did not allow"
    text = _redacted(response.body.decode("utf-8", "replace"), redact)
    return clip(" ".join(text.split()), 200) or "an empty body"


def shown(text: str, redact: Redactor, length: int = _SHOWN) -> str:
    """Return a text of a response for messages: redacted first, and then cut to *length* characters."""
    return clip(_redacted(text, redact), length)


def _redacted(text: str, redact: Redactor) -> str:
    redacted = redact(text[:_SEARCHED])
    return redacted if len(text) <= _SEARCHED else redacted[:-_CUT_MARGIN]


def clip(text: str, length: int = _SHOWN) -> str:
    """Return *text*, cut to *length* characters, without characters that databases and logs reject."""
    text = text.encode("utf-8", "replace").decode().replace("\0", "?")
    return text if len(text) <= length else text[: length - 1] + "…"


def _class_of(status: int, code: str | None, refused: type[AuthenticationError]) -> type[HwStatusError]:
    meaning = MEANINGS.get(normalised(code or ""))
    if status == 401:
        return refused
    if meaning is ApiNotAvailableError and status != 404:
        meaning = None
    if meaning:
        return meaning
    if status == 429:
        return ThrottledError
    if status == 408 or status >= 500:
        return ServerError
    return {403: AuthenticationError, 404: JobNotFoundError}.get(status, ApiError)


def _code_and_text(body: Mapping[str, object]) -> tuple[str | None, str]:
    for nested in (body, *(value for value in body.values() if isinstance(value, dict))):
        for code_name, text_name in _ERROR_FIELDS:
            code, text = nested.get(code_name), nested.get(text_name)
            if code and isinstance(text, str):
                return str(code), text
    return None, ""


def _retry_after(response: Response, text: str, now: float) -> float | None:
    value = response.headers.get("retry-after", "").strip()
    seconds = float(value) if re.fullmatch(r"\d{1,9}", value) else _until(value, now)
    if seconds is None and response.status == 429 and (period := _PERIOD.search(text)):
        seconds = float(int(period[1]) * _SECONDS[period[2]])
    return None if seconds is None else min(max(seconds, 0.0), LONGEST_HOLD)


def _until(value: str, now: float) -> float | None:
    try:
        date = parsedate_to_datetime(value)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, IndexError, OverflowError):
        return None


def iso_time(value: object) -> str | None:
    """
    Return a time from a response in ISO 8601, UTC; None if it is not a valid time.

    :param value: A text in ISO 8601, in UTC by default, or milliseconds since 1970, also as text.
    """
    if isinstance(value, str):
        value = int(value) if _MILLISECONDS.fullmatch(value) else _GO_TIME.sub(r"\1\2", value)
    try:
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return _iso(datetime.fromtimestamp(value / 1000, UTC))
        if isinstance(value, str) and value:
            date = datetime.fromisoformat(value)
            return _iso(date if date.tzinfo else date.replace(tzinfo=UTC))
    except (ValueError, OverflowError, OSError):
        pass  # an invalid time is for information only, and must not end a wait
    return None


def utc(seconds: float) -> str:
    """Return a time in seconds since 1970 in ISO 8601, UTC."""
    return iso_time(int(min(seconds, 1e12) * 1000)) or "the end of time"


def _iso(date: datetime) -> str:
    return date.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
