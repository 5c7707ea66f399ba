"""Import a module after what every DAG file imports. Print figures as one line of JSON."""

from __future__ import annotations

import importlib
import json
import sys
import time

#: Modules that parsing a DAG file must not import.
HEAVY = ("aiohttp", "requests")


def main() -> None:
    """Import the module in the argument. A peer's module may be missing."""
    work = json.loads(sys.argv[1])
    import airflow  # noqa: F401
    from airflow.sdk import BaseSensorOperator  # noqa: F401

    before, started_at = set(sys.modules), time.perf_counter()
    try:
        importlib.import_module(work["module"])
    except ImportError as error:
        if not work["peer"]:
            raise
        print(json.dumps({"skipped": repr(error)}))
        return
    took, added = time.perf_counter() - started_at, set(sys.modules) - before
    print(json.dumps({"ms": took * 1000, "modules": len(added), "heavy": [name for name in HEAVY if name in added]}))


if __name__ == "__main__":
    main()
