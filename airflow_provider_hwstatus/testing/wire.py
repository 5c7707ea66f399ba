"""What goes over the wire, and what the fake remembers of it. Knows no HTTP library."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from urllib.parse import parse_qsl, unquote


class Fault(StrEnum):
    """A way in which no proper reply arrives."""

    RESET = "reset"
    """The TCP connection is reset before a reply."""
    HALF = "half"
    """A reply stops in the middle of its body."""
    HANG = "hang"
    """No reply, until the client leaves or the server stops."""
    DRIP = "drip"
    """A reply whose body arrives a byte at a time and never ends."""


@dataclass(frozen=True)
class Reply:
    """
    One HTTP reply.

    :param body: An object becomes JSON, a text is sent as it stands: by default as ``text/html``.
    :param headers: Added to ``X-Request-Id`` and ``Content-Type``, or replacing them.
    :param delay: Seconds before it is sent.
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
        """The value of ``Content-Type``, unless *headers* has one."""
        return "text/html" if isinstance(self.body, str) else "application/json;charset=utf8"


#: A state in the service's own words, an HTTP status from 200 on, or anything else that can be answered.
Step = str | int | Reply | Fault


@dataclass(frozen=True)
class Incoming:
    """
    A request as it arrived.

    :param time: Seconds since 1970, by the clock of the fake.
    :param path: Not decoded.
    :param query: Likewise.
    :param headers: By lower-case name; the values of a repeated one are joined by commas.
    :param request_id: Given by the gateway.
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
        """The decoded parts of the path."""
        return tuple(unquote(segment) for segment in self.path.split("/")[1:])

    @cached_property
    def parameters(self) -> dict[str, str]:
        """The decoded query; of a repeated name the last value."""
        return dict(parse_qsl(self.query, keep_blank_values=True))


@dataclass(frozen=True)
class Answer:
    """
    What the fake decided to do about a request.

    :param state: The job's state, if that was asked and told.
    """

    reply: Reply | Fault
    state: str | None = None


@dataclass(frozen=True)
class Record:
    """
    A request and what was answered, as tests and demos look at it.

    :param time: Seconds since 1970, by the clock of the fake.
    :param path: As it arrived, not decoded; likewise *query*.
    :param headers: By lower-case name.
    :param status: HTTP status of the reply; None if there was none.
    :param job_id: The job that the path names.
    :param state: The state that was told, as text.
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
