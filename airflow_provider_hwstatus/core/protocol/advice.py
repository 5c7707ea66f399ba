"""
What to do about an error: one sentence for each that is documented.

Messages end with it, and ``docs/troubleshooting.md`` is made from this table.

Sources: the error code pages of DLI, CPH, API Gateway and IAM; the API Request Signing Guide for the texts that tell
the causes of ``APIG.0301`` apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from airflow_provider_hwstatus import errors

_PERMISSION = (
    "give the user dli:jobs:get (DLI; to watch for batches dli:jobs:list), cph:jobs:get (CPH) or cph:jobs:list (CPH "
    "requests) in this project, or use another user's key"
)
_PASSES = "nothing, as it passes by itself; if it lasts, tell Huawei Cloud's support the request id"
_OURS = (
    "check the id, region and endpoint; if they are right, report it with the request id: waiting never asks for this"
)
_PROJECT = (
    "check that project_id is the id (not the name) of the project that the job is in, and that it belongs to region"
)
_KEY = "check the access key (login) and the secret key (password), and that they belong to each other"
_TOKEN = "check that the token was issued for this cloud, region and project, or get a new one"  # noqa: S105
_JOB = "check the id, project_id and region; a batch's id is the reply's id, not its appId"
_IAM = "set project_id in the connection, so that IAM is not asked for it, or let the user list IAM's projects"
_LOCKED = (
    "correct the password, and wait as long as the account's lockout policy says (15 minutes by default) before the "
    "next try"
)


@dataclass(frozen=True)
class Advice:
    """
    One documented error.

    :param code: As :func:`normalised` returns it.
    :param http: The statuses that it is documented with; empty where they are not told.
    :param meaning: What the vendor says of it.
    :param next: What to do about it.
    :param text: What the error's text must have in it for this row to be meant; empty for any.
    """

    code: str
    http: str
    meaning: str
    next: str
    text: str = ""


#: Every row; of several for one code, the first whose text fits is taken.
CODES = (
    Advice("DLI.0001", "400", "a parameter is wrong", _JOB),
    Advice("DLI.0002", "400", "the object does not exist", _JOB),
    Advice("DLI.0003", "400", "no permission for the SQL statement", _PERMISSION),
    Advice("DLI.0004", "400", "a syntax error in SQL", _OURS),
    Advice("DLI.0005", "400", "a semantic error in SQL", _OURS),
    Advice("DLI.0006", "400", "the object exists already", _OURS),
    Advice("DLI.0007", "400", "not supported", _OURS),
    Advice("DLI.0008", "400", "wrong metadata, or no such queue", "check that the job's queue still exists"),
    Advice("DLI.0009", "400", "a restriction of the system", "look the text up in DLI's notes and constraints"),
    Advice(
        "DLI.0011", "400", "no permission for a file", "give DLI's agency access to the OBS path that the text names"
    ),
    Advice(
        "DLI.0012", "400", "a resource is not available", "check in the DLI console that the job's queue is running"
    ),
    Advice("DLI.0013", "401", "the user could not be authenticated", "check how the connection logs in (auth)"),
    Advice("DLI.0014", "401", "the service could not be authenticated", _PASSES),
    Advice("DLI.0015", "400", "the token cannot be parsed", _TOKEN),
    Advice("DLI.0016", "400", "wrong identity or role", _PERMISSION),
    Advice("DLI.0018", "400", "a value cannot be converted", _JOB),
    Advice("DLI.0019", "400", "a task took too long", _PASSES),
    Advice("DLI.0023", "404", "the resource is not found", _JOB),
    Advice(
        "DLI.0100", "400", "the result has expired", "look at the job in the DLI console: its result is kept no more"
    ),
    Advice("DLI.0999", "400", "an error inside DLI", _PASSES),
    Advice(
        "DLI.1028", "400", "a quota is used up", "raise the quota that the text names, or wait until others are done"
    ),
    Advice(
        "CPS.0001",
        "400, 403",
        "no permission",
        "give the user cph:jobs:get (for requests cph:jobs:list) in this project; " + _PROJECT,
    ),
    Advice("CPS.0002", "400", "offset or limit is wrong", _OURS),
    Advice("CPS.0003", "400, 500", "an error inside CPH", _PASSES),
    Advice("CPS.0004", "400", "a parameter is invalid", "check the id, and the phones that the job was submitted for"),
    Advice(
        "CPS.0005", "400", "the operation is not possible in this state", "check the phone or server in the CPH console"
    ),
    Advice("CPS.0006", "400", "the account is restricted", "ask the account's owner: it may have unpaid bills"),
    Advice("CPS.0007", "400", "the account is suspended", "ask the account's owner: it may have unpaid bills"),
    Advice(
        "CPS.0008", "400", "the account is not verified", "let the account's owner complete its real-name verification"
    ),
    Advice("CPS.0011", "400, 404", "the job is not found", _JOB),
    Advice("CPS.0042", "400", "the system is busy", _PASSES),
    Advice("CPS.0046", "400", "project_id is invalid", _PROJECT),
    Advice("CPS.0048", "400", "the job's id is empty", "check what job_id is rendered to: its XCom may be missing"),
    Advice("CPS.0049", "400", "the request's id is empty", _OURS),
    Advice("CPS.0050", "400, 404", "no jobs for this request id", "check the request's id, project_id and region"),
    Advice("CPS.0054", "400", "the job took too long", "check the phone in the CPH console, and submit the job again"),
    Advice("CPS.0161", "400", "too many request ids", _OURS),
    Advice(
        "APIG.0101",
        "404",
        "the API does not exist here, or not with this method",
        "this API does not exist in this region: check region and endpoint, or wait for a job of a region that has it",
    ),
    *(Advice(f"APIG.0{number}", "500", "an error inside the gateway", _PASSES) for number in (103, 104, 105)),
    Advice("APIG.0106", "400", "the orchestration of the request failed", _OURS),
    Advice("APIG.0201", "400", "the request is malformed", _OURS),
    Advice(
        "APIG.0201", "413, 414, 494", "the request, its URI or its headers are too long", "shorten the token or the id"
    ),
    Advice("APIG.0201", "500, 502, 504", "the service behind the gateway did not answer", _PASSES),
    Advice("APIG.0202", "502", "the service behind the gateway is not available", _PASSES),
    Advice("APIG.0203", "504", "the service behind the gateway took too long", _PASSES),
    Advice(
        "APIG.0204", "400", "the TLS version is not supported", "let this machine and its proxy speak TLS 1.2 or newer"
    ),
    Advice(
        "APIG.0301",
        "401",
        "the access key is locked, after more than five refusals in a row",
        "stop whatever else uses the wrong secret key, correct it (password) and wait five minutes",
        "AK access failed to reach the limit",
    ),
    Advice(
        "APIG.0301",
        "401",
        "the signature is too old, or from the future",
        "set this machine's clock (NTP): it is off by more than 15 minutes",
        "signature expired",
    ),
    Advice("APIG.0301", "401", "the token cannot be decrypted", _TOKEN, "decrypt token fail"),
    Advice(
        "APIG.0301",
        "401",
        "there is no such access key",
        "check the access key (login): it may be deleted, of another cloud, or temporary without its security_token",
        "not exist",
    ),
    Advice(
        "APIG.0301",
        "401",
        "the signature is not the one that the gateway computes",
        "check the secret key (password), and that no proxy changes the request",
        "verify aksk signature fail",
    ),
    Advice(
        "APIG.0301",
        "401",
        "the login is wrong",
        "check login, password and auth of the connection: key, token or password is wrong or has expired",
    ),
    Advice("APIG.0302", "403", "the IAM user is not allowed to call the API", _PERMISSION),
    Advice(
        "APIG.0303",
        "401",
        "the app's login is wrong",
        "check the endpoint: it is no Huawei Cloud service, but an API that wants an app's key",
    ),
    Advice("APIG.0304", "403", "the app is not allowed to call the API", "check the endpoint: it wants an app's key"),
    Advice("APIG.0305", "401", "the login is wrong", "check login, password and auth of the connection"),
    Advice("APIG.0306", "403", "access to the API is denied", _PERMISSION),
    Advice(
        "APIG.0307",
        "401",
        "the token must be updated",
        "get a new token, or use auth=password, which renews it by itself",
    ),
    Advice(
        "APIG.0308",
        "429",
        "too many requests",
        "raise poke_interval or lower max_concurrent_requests, and see what else asks from this account or address",
    ),
    Advice("APIG.0310", "403", "the project is unavailable", _PROJECT),
    Advice("APIG.0311", "401", "the debugging login is wrong", "check login, password and auth of the connection"),
    *(
        Advice(f"APIG.0{number}", "403", meaning, "let the account's administrator allow this machine's address")
        for number, meaning in ((401, "the address is not allowed"), (402, "the address is denied"), (404, "likewise"))
    ),
    *(
        Advice(f"APIG.0{number}", "405", "the account's use of the API is at its end", "ask the account's owner")
        for number in (501, 502)
    ),
    Advice("APIG.0601", "500", "an error inside the gateway", _PASSES),
    Advice("APIG.0602", "400", "a parameter is wrong", _JOB),
    *(Advice(f"APIG.0{number}", "500", "an error inside the gateway", _PASSES) for number in (605, 606)),
    Advice("APIG.0607", "400", "the protocol is not supported", "check that the endpoint begins with https://"),
    *(Advice(f"APIG.0{number}", "500", "an error inside the gateway", _PASSES) for number in (608, 609)),
    Advice("APIG.0610", "502", "the service behind the gateway is not available", _PASSES),
    *(Advice(f"APIG.0{number}", "500", "an error inside the gateway", _PASSES) for number in (611, 612)),
    Advice("APIG.0613", "503", "IAM is not available to the gateway", _PASSES),
    Advice("APIG.0705", "500", "the backend's signature cannot be computed", _PASSES),
    Advice("APIG.0802", "403", "the IAM user is not allowed in this region", "let the administrator allow this region"),
    Advice("IAM.0001", "401", "the login is wrong", "check login, password and auth of the connection"),
    *(Advice(f"IAM.{number}", "403", "not allowed", _IAM) for number in ("0002", "0003")),
    Advice("IAM.0004", "404", "the user or project is not found", "check login, domain_name, project_id and region"),
    Advice("IAM.0006", "500", "an error inside IAM", _PASSES),
    Advice(
        "IAM.0012", "429", "too many requests to IAM", "set project_id in the connection, so that nobody looks it up"
    ),
    Advice("IAM.0061", "401", "the account or user is locked", _LOCKED),
    Advice("IAM.0062", "401", "the user's name or password is wrong", "check login, password and domain_name"),
    Advice("IAM.0066", "401", "the token has expired", "get a new token, or use auth=password, which renews it"),
    Advice("IAM.0067", "401", "the token is invalid", _TOKEN),
    *(Advice(f"IAM.{number}", "403", "not allowed", _IAM) for number in ("0080", "0081", "0082", "0083")),
    Advice("IAM.1105", "400", "the access key has expired", "make a new access key and put it into login and password"),
    Advice("IAM.1107", "400", "the access key is inactive", "enable the access key in IAM, or use another one"),
    Advice(
        "IAM.1108",
        "400",
        "the security token has expired",
        "get a new temporary key, with its security_token, or use auth=agency, which renews it",
    ),
    Advice("IAM.1109", "400", "the project is not found", _PROJECT),
)

_BY_CODE: dict[str, list[Advice]] = {}
for _row in CODES:
    _BY_CODE.setdefault(_row.code, []).append(_row)

#: What to do about an error without a documented code, by its class and a pattern that its text must have in it. Of the
#: nearest class that is listed, the first that fits is taken.
CLASSES: tuple[tuple[type[errors.HwStatusError], str, str], ...] = (
    (
        errors.TransportError,
        "CERTIFICATE_VERIFY_FAILED|CertificateError",
        "let verify name the CA bundle of the proxy or private cloud that answers, and check this machine's clock",
    ),
    (
        errors.TransportError,
        "WRONG_VERSION_NUMBER|record layer",
        "check that the endpoint, or the proxy, speaks HTTPS at that port",
    ),
    (
        errors.TransportError,
        "NameResolution|DNSError",
        "check region and endpoint, and that this machine can look the host's name up",
    ),
    (
        errors.TransportError,
        "ProxyError|ProxyConnection",
        "check the proxy, and that it lets this machine reach the endpoint",
    ),
    (errors.TransportError, "", "check the endpoint, the proxy and the firewall; a slow network needs request_timeout"),
    (errors.ApiNotAvailableError, "", "this API does not exist in this region: check region and endpoint"),
    (errors.JobNotFoundError, "", _JOB),
    (errors.CredentialsRefusedError, "is locked", _LOCKED),
    (errors.CredentialsRefusedError, "", _KEY + ", and this machine's clock"),
    (
        errors.AuthenticationError,
        "HTTP 401",
        "check how the connection logs in (auth): its key, token or password is wrong, or has expired",
    ),
    (errors.AuthenticationError, "", "check how the connection logs in, its project_id and region; " + _PERMISSION),
    (errors.ThrottledError, "", "raise poke_interval or lower max_concurrent_requests"),
    (errors.ServerError, "", _PASSES),
    (errors.MalformedResponseError, "", "check endpoint and proxy: what answers there is not this service's API"),
    (
        errors.UnknownStateError,
        "",
        "look at the job in the console; success_states and failure_states can name the state",
    ),
    (errors.DeadlineError, "", "raise timeout, if the job may take longer; look at it in the console"),
    (errors.TriggerError, "", "look at the triggerer's log; the task's retries take the wait up again"),
    (errors.ConfigurationError, "", "correct the argument, or the field of the connection, that the message names"),
)


def normalised(code: str) -> str:
    """Return a code as the tables have it: ``CPS0005`` and ``APIGW.0101`` are ``CPS.0005`` and ``APIG.0101``."""
    return re.sub(r"^([A-Z]+?)(?:W(?=\.))?\.?(\d+)$", r"\1.\2", code)


def by_code(code: str | None, text: str = "", status: int | None = None) -> str | None:
    """
    Return what to do about an error of the service, if its code is documented.

    :param text: The service's.
    :param status: HTTP status, which tells apart what has the same code.
    """
    rows = [row for row in _BY_CODE.get(normalised(code or ""), ()) if row.text in text]
    fitting = [row for row in rows if str(status) in row.http] or rows
    return fitting[0].next if fitting else None


def by_class(cls: type[errors.HwStatusError], text: str = "", otherwise: str | None = None) -> str | None:
    """
    Return what to do about an error of ours, if anything is known.

    :param text: What it says.
    :param otherwise: What to do about it where its text does not tell.
    """
    listed = {row[0] for row in CLASSES}
    nearest = next((base for base in cls.__mro__ if base in listed), None)
    rows = [(part, what) for base, part, what in CLASSES if base is nearest and re.search(part, text)]
    of_its_text = next((what for part, what in rows if part), None)
    return of_its_text or otherwise or next((what for _, what in rows), None)


def with_next(message: str, what: str | None) -> str:
    """Return *message* with what to do next, if that is known."""
    return f"{message}; next: {what}" if what else message
