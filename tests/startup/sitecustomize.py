"""
Let Python processes of the tests start faster. Python imports this file when a process starts.

``tests/conftest.py`` puts its directory into ``PYTHONPATH``. The package depends on neither of these changes:

* Importing Airflow creates many objects that stay. By default, the garbage collector examines them many times, and
  again at the end of the process. Here it does so rarely, and not at the end.
* A process that runs tasks or triggers has Airflow's execution API. Airflow builds it once for each of its versions,
  which takes 6 s. Here it builds the newest version only. Tasks use no other one, because they are of the same Airflow.
"""

from __future__ import annotations

import atexit
import gc
import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


class NewestVersionOnly:
    """Finds the module that builds the versions of an API, and lets it build the newest one."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return the original module with another function to execute it, or None for any other module."""
        if name != "cadwyn.applications":
            return None
        spec = PathFinder.find_spec(name, path)
        if spec and spec.loader:
            execute = spec.loader.exec_module
            # An instance's own function: the class of the loader serves all other modules.
            spec.loader.exec_module = lambda module: (execute(module), build_newest_version(module))  # type: ignore[method-assign,func-returns-value]
        return spec


def build_newest_version(applications: ModuleType) -> None:
    """Replace the function that builds all versions."""
    build = applications.generate_versioned_routers

    def build_newest(router: Any, *, versions: Any, **arguments: Any) -> Any:
        from cadwyn import HeadVersion, Version, VersionBundle
        from cadwyn.route_generation import _DELETED_ROUTE_TAG

        # Cadwyn refuses routes that are in no version.
        router.routes[:] = [route for route in router.routes if _DELETED_ROUTE_TAG not in getattr(route, "tags", ())]
        version = Version(versions.versions[0].value)
        newest = VersionBundle(HeadVersion(), version, api_version_var=versions.api_version_var)
        return build(router, versions=newest, **arguments)

    applications.generate_versioned_routers = build_newest


gc.set_threshold(100_000)
atexit.register(gc.freeze)
sys.meta_path.insert(0, NewestVersionOnly())
