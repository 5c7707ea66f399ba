"""
A coverage-guided fuzzer over the bytes of replies: ``nox -s fuzz -- -max_total_time=60``.

It finds what no strategy thought of. pytest does not collect it; ``tests/core/test_fuzz.py`` holds the same promises.
"""

from __future__ import annotations

import contextlib
import json
import sys

import atheris

with atheris.instrument_imports(include=["airflow_provider_hwstatus.core"]):
    from airflow_provider_hwstatus.core.polling.job_status import read_status
    from airflow_provider_hwstatus.core.protocol.effects import Response
    from airflow_provider_hwstatus.core.protocol.redaction import Redactor
    from airflow_provider_hwstatus.errors import HwStatusError
    from airflow_provider_hwstatus.kinds import KINDS

KINDS_BY_NUMBER = list(KINDS.values())
HEADERS = ("retry-after", "x-request-id", "content-type")
SECRET = "s3cr3t/K+y=="
REDACT = Redactor([SECRET])


def one_reply(data: bytes) -> None:
    """Read one reply made of *data*; only errors of ours may come of it, and no success that it does not state."""
    provider = atheris.FuzzedDataProvider(data)
    kind = KINDS_BY_NUMBER[provider.ConsumeIntInRange(0, len(KINDS_BY_NUMBER) - 1)]
    status = provider.ConsumeIntInRange(100, 599)
    headers = {name: provider.ConsumeUnicode(40) for name in HEADERS}
    body = provider.ConsumeBytes(provider.remaining_bytes())
    said = ""
    try:
        found = read_status(kind, "j1", Response(status, headers, body), REDACT, 1_795_000_000.0)
    except HwStatusError as error:
        said = f"{error} {vars(error)}"
    else:
        said = json.dumps(found.to_dict(), ensure_ascii=False)
        said.encode()
        if found.outcome == "success" and not stated(kind.state_field, kind.success, body):
            raise AssertionError(f"a success that nothing says: {body!r}")
    if SECRET in said:
        raise AssertionError("a secret shows")


def stated(field: str, success: frozenset[str], body: bytes) -> bool:
    """Return whether *body* says success in so many words."""
    with contextlib.suppress(ValueError):
        return str(json.loads(body).get(field)).lower() in success
    return False


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_reply)
    atheris.Fuzz()
