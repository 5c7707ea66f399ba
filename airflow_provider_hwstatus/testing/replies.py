"""
Error replies, in the format of the service that sends them.

Source: the error tables of the API references of API Gateway, DLI, CPH and IAM. They advise to rely on codes, because
texts change. Where no text is documented, the fake's text describes the error.
"""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus

from airflow_provider_hwstatus.testing.wire import Incoming, Reply


class RefusedError(Exception):
    """
    A service refuses a request.

    :param reply: The error reply.
    """

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.body)
        self.reply = reply


def gateway_error(request: Incoming, status: int, code: str, text: str) -> Reply:
    """Return an error of the API gateway, which is in front of every service."""
    return Reply(status, {"error_msg": text, "error_code": code, "request_id": request.request_id})


def dli_error(status: int, code: str, text: str) -> Reply:
    """Return an error of DLI. Its bodies have no request id."""
    return Reply(status, {"error_code": code, "error_msg": text})


def cph_error(request: Incoming, status: int, code: str, text: str) -> Reply:
    """Return an error of CPH."""
    return Reply(status, {"request_id": request.request_id, "error_code": code, "error_msg": text})


def iam_error(status: int, text: str) -> Reply:
    """Return an error of IAM, in Keystone's format. The code is the HTTP status as a number."""
    return Reply(status, {"error": {"code": status, "message": text, "title": HTTPStatus(status).phrase}})


_GATEWAY_ERRORS = {
    401: ("APIGW.0301", "Incorrect IAM authentication information: decrypt token fail"),
    403: ("APIGW.0302", "The IAM user is not allowed to access the API"),
    404: ("APIGW.0101", "The API does not exist or has not been published in the environment"),
    413: ("APIGW.0201", "Request entity too large"),
    414: ("APIGW.0201", "Request URI too large"),
    429: (
        "APIGW.0308",
        "The throttling threshold has been reached: policy ip over ratelimit,limit:5,time:1 second",
    ),
    502: ("APIGW.0202", "Backend unavailable"),
    503: ("APIGW.0613", "The IAM service is unavailable"),
    504: ("APIGW.0203", "Backend timeout"),
}
_DLI_ERRORS = {
    400: ("DLI.0001", "Parameter check errors occur."),
    500: ("DLI.0999", "Server-side errors occur."),
}
_CPH_ERRORS = {400: ("CPS.0046", "The project_id is invalid."), 500: ("CPS.0003", "Internal error.")}


def error(request: Incoming, status: int) -> Reply:
    """
    Return an error with an HTTP status, in the format of the service that *request* addresses.

    A 429 asks the client to wait for only one second, so that tests stay fast.
    """
    reply = _error(request, status)
    return replace(reply, headers={"Retry-After": "1"}) if status == 429 else reply


def _error(request: Incoming, status: int) -> Reply:
    if status < 300:
        return Reply(status)
    if request.segments[0] == "v3" and status == 429:
        return Reply(status, {"error_code": "IAM.0012", "error_msg": "Threshold: 5 times per 1 seconds"})
    if request.segments[0] == "v3":
        return iam_error(status, HTTPStatus(status).description or HTTPStatus(status).phrase)
    if "cloud-phone" in request.segments and status in _CPH_ERRORS:
        return cph_error(request, status, *_CPH_ERRORS[status])
    if request.segments[0] == "v2.0" and status in _DLI_ERRORS:
        return dli_error(status, *_DLI_ERRORS[status])
    code, text = _GATEWAY_ERRORS.get(status, ("APIGW.0601", HTTPStatus(status).phrase))
    return gateway_error(request, status, code, text)


def not_published(request: Incoming) -> Reply:
    """Return the gateway's reply for a path or method that the region does not have."""
    return gateway_error(request, 404, *_GATEWAY_ERRORS[404])
