"""
A coverage-guided fuzzer of the bytes of responses: ``nox -s fuzz -- -max_total_time=60``.

It finds input that the strategies of hypothesis do not generate. pytest does not collect it.
``tests/core/test_fuzz.py`` tests the same properties.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator

import atheris

with atheris.instrument_imports(include=["airflow_provider_hwstatus.core"]):
    from airflow_provider_hwstatus.core.polling.job_status import read_status
    from airflow_provider_hwstatus.core.protocol.effects import Response
    from airflow_provider_hwstatus.core.protocol.redaction import Redactor
    from airflow_provider_hwstatus.errors import HwStatusError
    from airflow_provider_hwstatus.kinds import KINDS, JobKind

KINDS_BY_NUMBER = list(KINDS.values())
HEADERS = ("retry-after", "x-request-id", "content-type")
SECRET = "s3cr3t/K+y=="
REDACT = Redactor([SECRET])


def one_reply(data: bytes) -> None:
    """Read a response that is made of *data*: a success must be stated in it, and no error may be another class."""
    provider = atheris.FuzzedDataProvider(data)
    kind = KINDS_BY_NUMBER[provider.ConsumeIntInRange(0, len(KINDS_BY_NUMBER) - 1)]
    status = provider.ConsumeIntInRange(100, 599)
    headers = {name: provider.ConsumeUnicode(40) for name in HEADERS}
    body = provider.ConsumeBytes(provider.remaining_bytes())
    result = ""
    try:
        found = read_status(kind, "j1", Response(status, headers, body), REDACT, 1_795_000_000.0)
    except HwStatusError as error:
        result = f"{error} {vars(error)}"
    else:
        result = json.dumps(found.to_dict(), ensure_ascii=False)
        result.encode()
        if found.outcome == "success" and not states_success(kind, body):
            raise AssertionError(f"a success that the body does not state: {body!r}")
    if SECRET in result:
        raise AssertionError("the result has a secret")


def states_success(kind: JobKind, body: bytes) -> bool:
    """Return whether a text or number in *body* is a state of success."""
    with contextlib.suppress(ValueError):
        return any(str(value).lower() in kind.success for value in scalars_of(json.loads(body)))
    return False


def scalars_of(value: object) -> Iterator[object]:
    """Yield each text and number in a JSON value."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    if inner is None:
        yield value
    for each in inner or ():
        yield from scalars_of(each)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_reply)
    atheris.Fuzz()
