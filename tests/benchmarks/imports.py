"""Import a module over what every DAG file imports, and print figures as one line of JSON."""

from __future__ import annotations

import importlib
import json
import sys
import time

#: What must not be imported where a DAG file is parsed.
HEAVY = ("aiohttp", "requests")


def main() -> None:
    """Import the module that the argument names; a peer's need not be there."""
    work = json.loads(sys.argv[1])
    import airflow  # noqa: F401
    from airflow.sdk import BaseSensorOperator  # noqa: F401

    before, began = set(sys.modules), time.perf_counter()
    try:
        importlib.import_module(work["module"])
    except ImportError as error:
        if not work["peer"]:
            raise
        print(json.dumps({"skipped": repr(error)}))
        return
    took, added = time.perf_counter() - began, set(sys.modules) - before
    print(json.dumps({"ms": took * 1000, "modules": len(added), "heavy": [name for name in HEAVY if name in added]}))


if __name__ == "__main__":
    main()
