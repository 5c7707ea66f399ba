"""Requests, replies and their records, independent of the HTTP library."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from urllib.parse import parse_qsl, unquote


class Fault(StrEnum):
    """A broken reply."""

    RESET = "reset"
    """The TCP connection is reset before the reply."""
    HALF = "half"
    """The reply ends in the middle of its body."""
    HANG = "hang"
    """No reply until the client disconnects or the server stops."""
    DRIP = "drip"
    """The body arrives one byte at a time and never ends."""


@dataclass(frozen=True)
class Reply:
    """
    An HTTP reply.

    :param body: An object is sent as JSON. Text is sent unchanged, by default as ``text/html``.
    :param headers: Further headers. They can replace ``X-Request-Id`` and ``Content-Type``.
    :param delay: Seconds until the reply is sent.
    """

    status: int = 200
    body: Mapping[str, object] | str | bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0

    @property
    def content(self) -> bytes:
        """The body as bytes."""
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()

    @property
    def content_type(self) -> str:
        """The ``Content-Type``, unless *headers* contains one."""
        return "text/html" if isinstance(self.body, str) else "application/json;charset=utf8"


#: A step of a job: a state as the service reports it, an HTTP status of 200 or more, a reply or a fault.
Step = str | int | Reply | Fault


@dataclass(frozen=True)
class Incoming:
    """
    A request as it arrived.

    :param time: Seconds since 1970, by the fake's clock.
    :param path: The path, still percent-encoded.
    :param query: The query, still percent-encoded.
    :param headers: Headers by lower-case name. Values of a repeated header are joined by commas.
    :param request_id: Id that the gateway assigns.
    """

    time: float
    method: str
    path: str
    query: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    request_id: str

    @cached_property
    def segments(self) -> tuple[str, ...]:
        """The decoded segments of the path."""
        return tuple(unquote(segment) for segment in self.path.split("/")[1:])

    @cached_property
    def parameters(self) -> dict[str, str]:
        """The decoded query. The last value of a repeated name counts."""
        return dict(parse_qsl(self.query, keep_blank_values=True))


@dataclass(frozen=True)
class Answer:
    """
    The fake's answer to a request.

    :param state: The job's state, if the reply reports it.
    """

    reply: Reply | Fault
    state: str | None = None


@dataclass(frozen=True)
class Record:
    """
    A request and its reply, for tests and demos.

    :param time: Seconds since 1970, by the fake's clock.
    :param path: The path, still percent-encoded.
    :param query: The query, still percent-encoded.
    :param status: HTTP status of the reply. None if there was no reply.
    :param job_id: The job in the path.
    :param state: The reported state, as text.
    :param request_id: Id that the gateway assigned.
    :param headers: The request's headers by lower-case name.
    """

    time: float
    method: str
    path: str
    query: str
    status: int | None
    job_id: str | None = None
    state: str | None = None
    request_id: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
