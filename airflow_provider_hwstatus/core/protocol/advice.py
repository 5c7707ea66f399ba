"""
What to do about an error: one sentence for each documented error code.

Error messages end with this sentence, and ``docs/troubleshooting.md`` is generated from these tables.

Sources: the error code pages of DLI, CPH, API Gateway and IAM. The API Request Signing Guide documents the texts that
distinguish the causes of ``APIG.0301``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from airflow_provider_hwstatus import errors

_ACTIONS = (
    "dli:jobs:get (DLI), dli:jobs:list (lists of DLI batches), cph:jobs:get (CPH) or cph:jobs:list (CPH requests)"
)
_PERMISSION = f"give the user {_ACTIONS} in this project, or use the key of another user"
_PASSES = "do nothing, as the error passes by itself; if it lasts, give the request id to Huawei Cloud's support"
_UNEXPECTED = (
    "check the id, region and endpoint; if they are correct, report a bug with the request id: a wait should never "
    "cause this error"
)
_PROJECT = "check that project_id is the id (not the name) of the job's project, and that the project is in this region"
_KEY = "check the access key (login) and the secret key (password), and that they are a pair"
_TOKEN = "check that the token was issued for this cloud, region and project, or get a new one"  # noqa: S105
_JOB = "check the id, project_id and region; for a batch, use the id from the response to its submission, not the appId"
_IAM = "set project_id in the connection, so that no look-up in IAM is needed, or let the user list IAM's projects"
_LOCKED = (
    "correct the password, and wait for the time that the account's lockout policy sets (15 minutes by default) before "
    "the next try"
)
_LOGIN = "check login, password and auth of the connection"


@dataclass(frozen=True)
class Advice:
    """
    One documented error.

    :param code: The code, as :func:`normalised` returns it.
    :param http: The documented HTTP statuses; empty if none is documented.
    :param meaning: What the error means, according to the vendor.
    :param next: What to do about it.
    :param text: A part of the error's text that selects this row; empty if the row fits every text.
    """

    code: str
    http: str
    meaning: str
    next: str
    text: str = ""


#: Every row. If several rows have the same code, the first one with a matching text applies.
CODES = (
    Advice("DLI.0001", "400", "a parameter is wrong", _JOB),
    Advice("DLI.0002", "400", "the object does not exist", _JOB),
    Advice("DLI.0003", "400", "no permission for the SQL statement", _PERMISSION),
    Advice("DLI.0004", "400", "a syntax error in SQL", _UNEXPECTED),
    Advice("DLI.0005", "400", "a semantic error in SQL", _UNEXPECTED),
    Advice("DLI.0006", "400", "the object already exists", _UNEXPECTED),
    Advice("DLI.0007", "400", "not supported", _UNEXPECTED),
    Advice("DLI.0008", "400", "wrong metadata, or no such queue", "check that the job's queue still exists"),
    Advice("DLI.0009", "400", "a restriction of the system", "find the text in DLI's notes and constraints"),
    Advice(
        "DLI.0011",
        "400",
        "no permission for a file",
        "give DLI's agency access to the OBS path that the error text names",
    ),
    Advice(
        "DLI.0012", "400", "a resource is not available", "check in the DLI console that the job's queue is running"
    ),
    Advice(
        "DLI.0013",
        "401",
        "the user cannot be authenticated",
        "check the connection's way to log in (auth) and its login and password",
    ),
    Advice("DLI.0014", "401", "the service cannot be authenticated", _PASSES),
    Advice("DLI.0015", "400", "the token cannot be parsed", _TOKEN),
    Advice("DLI.0016", "400", "wrong identity or role", _PERMISSION),
    Advice("DLI.0018", "400", "a value cannot be converted", _JOB),
    Advice("DLI.0019", "400", "a task took too long", _PASSES),
    Advice("DLI.0023", "404", "the resource is not found", _JOB),
    Advice("DLI.0100", "400", "the result has expired", "check the job in the DLI console: DLI has deleted its result"),
    Advice("DLI.0999", "400", "an internal error of DLI", _PASSES),
    Advice(
        "DLI.1028",
        "400",
        "a quota is exhausted",
        "raise the quota that the error text names, or wait until other jobs have ended",
    ),
    Advice(
        "CPS.0001",
        "400, 403",
        "no permission",
        "give the user cph:jobs:get (for requests cph:jobs:list) in this project; " + _PROJECT,
    ),
    Advice("CPS.0002", "400", "offset or limit is wrong", _UNEXPECTED),
    Advice("CPS.0003", "400, 500", "an internal error of CPH", _PASSES),
    Advice("CPS.0004", "400", "a parameter is invalid", "check the id, and the phones that the job was submitted for"),
    Advice(
        "CPS.0005",
        "400",
        "the operation is not possible in the current state",
        "check the phone or server in the CPH console",
    ),
    Advice("CPS.0006", "400", "the account is restricted", "ask the owner of the account, which may have unpaid bills"),
    Advice("CPS.0007", "400", "the account is suspended", "ask the owner of the account, which may have unpaid bills"),
    Advice(
        "CPS.0008",
        "400",
        "the account is not verified",
        "ask the owner of the account to complete its real-name verification",
    ),
    Advice("CPS.0011", "400, 404", "the job is not found", _JOB),
    Advice("CPS.0042", "400", "the system is busy", _PASSES),
    Advice("CPS.0046", "400", "project_id is invalid", _PROJECT),
    Advice(
        "CPS.0048",
        "400",
        "the job id is empty",
        "check the rendered value of job_id: the XCom that it comes from may be missing",
    ),
    Advice("CPS.0049", "400", "the request id is empty", _UNEXPECTED),
    Advice("CPS.0050", "400, 404", "no jobs for this request id", "check the request id, project_id and region"),
    Advice("CPS.0054", "400", "the job took too long", "check the phone in the CPH console, and submit the job again"),
    Advice("CPS.0161", "400", "too many request ids", _UNEXPECTED),
    Advice(
        "APIG.0101",
        "404",
        "the API or this method of it does not exist in this region",
        "check region and endpoint: this API does not exist in this region; use a region that has it",
    ),
    *(Advice(f"APIG.0{number}", "500", "an internal error of the gateway", _PASSES) for number in (103, 104, 105)),
    Advice("APIG.0106", "400", "the orchestration of the request failed", _UNEXPECTED),
    Advice("APIG.0201", "400", "the request is malformed", _UNEXPECTED),
    Advice(
        "APIG.0201", "413, 414, 494", "the request, its URI or its headers are too long", "shorten the token or the id"
    ),
    Advice("APIG.0201", "500, 502, 504", "the service behind the gateway did not respond", _PASSES),
    Advice("APIG.0202", "502", "the service behind the gateway is not available", _PASSES),
    Advice("APIG.0203", "504", "the service behind the gateway took too long", _PASSES),
    Advice(
        "APIG.0204", "400", "the TLS version is not supported", "enable TLS 1.2 or newer on this machine and its proxy"
    ),
    Advice(
        "APIG.0301",
        "401",
        "the access key is locked after more than five consecutive refusals",
        "stop other programs that use the wrong secret key, correct the secret key (password) and wait five minutes",
        "AK access failed to reach the limit",
    ),
    Advice(
        "APIG.0301",
        "401",
        "the time of the signature is too far in the past or in the future",
        "correct this machine's clock (NTP): it is wrong by more than 15 minutes",
        "signature expired",
    ),
    Advice("APIG.0301", "401", "the token cannot be decrypted", _TOKEN, "decrypt token fail"),
    Advice(
        "APIG.0301",
        "401",
        "the access key does not exist",
        "check the access key (login): it may be deleted, of another cloud, or temporary without its security_token",
        "not exist",
    ),
    Advice(
        "APIG.0301",
        "401",
        "the signature differs from the one that the gateway computes",
        "check the secret key (password), and that no proxy changes the request",
        "verify aksk signature fail",
    ),
    Advice(
        "APIG.0301",
        "401",
        "the login is wrong",
        "check login, password and auth of the connection: the key, token or password is wrong or has expired",
    ),
    Advice("APIG.0302", "403", "the IAM user is not allowed to call the API", _PERMISSION),
    Advice(
        "APIG.0303",
        "401",
        "the login of the app is wrong",
        "check the endpoint: it is not a Huawei Cloud service but an API that needs the key of an app",
    ),
    Advice(
        "APIG.0304",
        "403",
        "the app is not allowed to call the API",
        "check the endpoint: it is an API that needs the key of an app",
    ),
    Advice("APIG.0305", "401", "the login is wrong", _LOGIN),
    Advice("APIG.0306", "403", "access to the API is denied", _PERMISSION),
    Advice(
        "APIG.0307",
        "401",
        "the token must be updated",
        "get a new token, or use auth=password, which renews the token automatically",
    ),
    Advice(
        "APIG.0308",
        "429",
        "too many requests",
        "raise poke_interval or lower max_concurrent_requests; also check what else sends requests from this account",
    ),
    Advice("APIG.0310", "403", "the project is unavailable", _PROJECT),
    Advice("APIG.0311", "401", "the login for debugging is wrong", _LOGIN),
    *(
        Advice(
            f"APIG.0{number}", "403", meaning, "ask the administrator of the account to allow this machine's IP address"
        )
        for number, meaning in (
            (401, "the IP address is not allowed"),
            (402, "the IP address is denied"),
            (404, "the IP address is denied"),
        )
    ),
    *(
        Advice(
            f"APIG.0{number}", "405", "the account has reached its quota for the API", "ask the owner of the account"
        )
        for number in (501, 502)
    ),
    Advice("APIG.0601", "500", "an internal error of the gateway", _PASSES),
    Advice("APIG.0602", "400", "a parameter is wrong", _JOB),
    *(Advice(f"APIG.0{number}", "500", "an internal error of the gateway", _PASSES) for number in (605, 606)),
    Advice("APIG.0607", "400", "the protocol is not supported", "check that the endpoint begins with https://"),
    *(Advice(f"APIG.0{number}", "500", "an internal error of the gateway", _PASSES) for number in (608, 609)),
    Advice("APIG.0610", "502", "the service behind the gateway is not available", _PASSES),
    *(Advice(f"APIG.0{number}", "500", "an internal error of the gateway", _PASSES) for number in (611, 612)),
    Advice("APIG.0613", "503", "IAM is not available to the gateway", _PASSES),
    Advice("APIG.0705", "500", "the signature for the backend cannot be computed", _PASSES),
    Advice(
        "APIG.0802",
        "403",
        "the IAM user is not allowed in this region",
        "ask the administrator to allow this region for the user",
    ),
    Advice("IAM.0001", "401", "the login is wrong", _LOGIN),
    *(Advice(f"IAM.{number}", "403", "not allowed", _IAM) for number in ("0002", "0003")),
    Advice("IAM.0004", "404", "the user or project is not found", "check login, domain_name, project_id and region"),
    Advice("IAM.0006", "500", "an internal error of IAM", _PASSES),
    Advice(
        "IAM.0012",
        "429",
        "too many requests to IAM",
        "set project_id in the connection, so that no look-up in IAM is needed",
    ),
    Advice("IAM.0061", "401", "the account or user is locked", _LOCKED),
    Advice("IAM.0062", "401", "the user name or the password is wrong", "check login, password and domain_name"),
    Advice(
        "IAM.0066",
        "401",
        "the token has expired",
        "get a new token, or use auth=password, which renews the token automatically",
    ),
    Advice("IAM.0067", "401", "the token is invalid", _TOKEN),
    *(Advice(f"IAM.{number}", "403", "not allowed", _IAM) for number in ("0080", "0081", "0082", "0083")),
    Advice(
        "IAM.1105", "400", "the access key has expired", "create a new access key and put it into login and password"
    ),
    Advice("IAM.1107", "400", "the access key is inactive", "enable the access key in IAM, or use another one"),
    Advice(
        "IAM.1108",
        "400",
        "the security token has expired",
        "get a new temporary key with its security_token, or use auth=agency, which renews the key automatically",
    ),
    Advice("IAM.1109", "400", "the project is not found", _PROJECT),
)

_BY_CODE: dict[str, list[Advice]] = {}
for _row in CODES:
    _BY_CODE.setdefault(_row.code, []).append(_row)

#: What to do about an error without a documented code, by its class and a pattern that its text must match. The nearest
#: listed base class applies, and of its rows the first one that matches.
CLASSES: tuple[tuple[type[errors.HwStatusError], str, str], ...] = (
    (
        errors.TransportError,
        "CERTIFICATE_VERIFY_FAILED|CertificateError",
        "set verify to the CA bundle of the proxy or private cloud that responds, and check this machine's clock",
    ),
    (
        errors.TransportError,
        "WRONG_VERSION_NUMBER|record layer",
        "check that the endpoint, or the proxy, speaks HTTPS on that port",
    ),
    (
        errors.TransportError,
        "NameResolution|DNSError",
        "check region and endpoint, and that this machine can look the host's name up in DNS",
    ),
    (
        errors.TransportError,
        "ProxyError|ProxyConnection",
        "check the proxy, and that it allows connections from this machine to the endpoint",
    ),
    (
        errors.TransportError,
        "",
        "check the endpoint, the proxy and the firewall; on a slow network, raise request_timeout",
    ),
    (errors.ApiNotAvailableError, "", "check region and endpoint: this API does not exist in this region"),
    (errors.JobNotFoundError, "", _JOB),
    (errors.CredentialsRefusedError, "is locked", _LOCKED),
    (errors.CredentialsRefusedError, "", _KEY + ", and this machine's clock"),
    (
        errors.AuthenticationError,
        "HTTP 401",
        "check how the connection logs in (auth): the key, token or password is wrong or has expired",
    ),
    (errors.AuthenticationError, "", "check how the connection logs in, its project_id and region; " + _PERMISSION),
    (errors.ThrottledError, "", "raise poke_interval or lower max_concurrent_requests"),
    (errors.ServerError, "", _PASSES),
    (errors.MalformedResponseError, "", "check endpoint and proxy: the response does not come from this service's API"),
    (
        errors.UnknownStateError,
        "",
        "check the job in the console; if the state is final, add it to success_states or failure_states",
    ),
    (errors.DeadlineError, "", "check the job in the console; if it may take longer, raise timeout"),
    (
        errors.UnclearSubmissionError,
        "",
        "look in the service's console whether the job was submitted; if it was not, submit it again",
    ),
    (errors.TriggerError, "", "check the triggerer's log; a retry of the task continues the wait"),
    (errors.ConfigurationError, "", "correct the argument or the field of the connection that the message names"),
)


#: Begins the line of a message that says what to do next.
NEXT = "\n  next: "


def normalised(code: str) -> str:
    """Return a code in the spelling of the tables: ``CPS0005`` is ``CPS.0005``, and ``APIGW.0101`` is ``APIG.0101``."""
    return re.sub(r"^([A-Z]+?)(?:W(?=\.))?\.?(\d+)$", r"\1.\2", code)


def by_code(code: str | None, text: str = "", status: int | None = None) -> str | None:
    """
    Return what to do about a service's error, or None if its code is not documented.

    :param text: The error text of the service.
    :param status: The HTTP status. It distinguishes errors that have the same code.
    """
    rows = [row for row in _BY_CODE.get(normalised(code or ""), ()) if row.text in text]
    fitting = [row for row in rows if str(status) in row.http] or rows
    return fitting[0].next if fitting else None


def by_class(cls: type[errors.HwStatusError], text: str = "", otherwise: str | None = None) -> str | None:
    """
    Return what to do about an error of this class, or None if nothing is known.

    :param text: The message of the error.
    :param otherwise: What to return if no pattern matches *text*.
    """
    listed = {row[0] for row in CLASSES}
    nearest = next((base for base in cls.__mro__ if base in listed), None)
    rows = [(part, what) for base, part, what in CLASSES if base is nearest and re.search(part, text)]
    matched = next((what for part, what in rows if part), None)
    return matched or otherwise or next((what for _, what in rows), None)


def naming(permission: str | None, what: str | None) -> str | None:
    """Return the advice *what* with the one permission that is missing, where it is known."""
    return what.replace(_ACTIONS, permission) if what and permission else what


def with_next(message: str, what: str | None) -> str:
    """Return *message*, with what to do next on a line of its own, if that is known."""
    return f"{message}{NEXT}{what}" if what else message


def with_advice(error: errors.HwStatusError) -> errors.HwStatusError:
    """Add what to do next to the message of *error*, unless it has that already, and return *error*."""
    if NEXT not in str(error):
        error.args = (with_next(str(error), by_class(type(error), str(error))),)
    return error


def on_one_line(message: str) -> str:
    """Return a message of several lines on one line."""
    return message.replace("\n  ", "; ")
