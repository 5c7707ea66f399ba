"""The provider's metadata for Airflow. Every ``airflow`` command reads it, so this module imports nothing else."""

from __future__ import annotations

from typing import Any

_TEXT = {"type": ["string", "null"]}
_INTEGRATION = "Huawei Cloud job status"

#: The fields of the connection form. Airflow 3.2 and newer read them here; the hook gives them to older releases.
CONNECTION_FIELDS: dict[str, dict[str, Any]] = {
    "auth": {
        "label": "Log in with",
        "description": (
            "aksk: an access key. password: an IAM user's name and password. token: a token. "
            "agency: the agency of this ECS or CCE node. env: the vendor SDK's environment variables or profile file."
        ),
        "schema": {
            "type": ["string", "null"],
            "enum": ["aksk", "password", "token", "agency", "env"],
            "default": "aksk",
        },
    },
    "region": {"label": "Region", "description": "For example, cn-north-4.", "schema": _TEXT},
    "project_id": {
        "label": "Project id",
        "description": "If empty, looked up by the name of the region.",
        "schema": _TEXT,
    },
    "domain_name": {"label": "Account name", "description": "For auth=password.", "schema": _TEXT},
    "security_token": {
        "label": "Security token",
        "description": "For a temporary access key.",
        "schema": {"type": ["string", "null"], "format": "password"},
    },
    "verify": {
        "label": "Verify TLS",
        "description": "true, false, or the path of a CA bundle.",
        "schema": {"type": ["string", "null"], "default": "true"},
    },
    "proxy": {
        "label": "Proxy",
        "description": "URL of an HTTP proxy.",
        "schema": {"type": ["string", "null"], "format": "password"},
    },
    "request_timeout": {
        "label": "Request time-out",
        "description": "Seconds for one HTTP request.",
        "schema": {"type": ["number", "null"], "default": 30},
    },
    "max_concurrent_requests": {
        "label": "Concurrent requests",
        "description": "Maximum number of concurrent polls of one service in a process.",
        "schema": {"type": ["integer", "null"], "default": 20, "minimum": 1},
    },
    "dli_endpoint": {"label": "DLI endpoint", "description": "URL to use instead of the region's.", "schema": _TEXT},
    "cph_endpoint": {"label": "CPH endpoint", "description": "URL to use instead of the region's.", "schema": _TEXT},
    "iam_endpoint": {"label": "IAM endpoint", "description": "URL to use instead of the region's.", "schema": _TEXT},
    "endpoints": {
        "label": "Endpoints of other services",
        "description": 'JSON of service and URL, such as {"mrs": "https://host"}; "*" stands for all others.',
        "schema": _TEXT,
    },
    "metadata_endpoint": {
        "label": "Metadata endpoint",
        "description": "For auth=agency: URL to use instead of the node's metadata service.",
        "schema": _TEXT,
    },
    "profile": {
        "label": "Profile",
        "description": "For auth=env: section of the vendor SDK's profile file. The default is basic.",
        "schema": _TEXT,
    },
    "coalesce": {
        "label": "Coalesce polls",
        "description": "Whether to poll many DLI batches with one request for their list; see the docs on many jobs.",
        "schema": {"type": ["boolean", "null"], "default": True},
    },
}

HIDDEN_FIELDS = ["host", "port", "schema"]

RELABELING = {"login": "Access key (AK) or user name", "password": "Secret key (SK), password or token"}


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata, in the form of ``airflow/provider_info.schema.json``."""
    return {
        "package-name": "airflow-provider-hwstatus",
        "name": "Huawei Cloud job status",
        "description": "Submits and waits for jobs of Huawei Cloud: DLI, CPH, MRS and many more, and your own kinds.",
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://support.huaweicloud.com/intl/en-us/dli/index.html",
                "tags": ["service"],
            }
        ],
        "hooks": [_modules("hooks.hwstatus")],
        "sensors": [_modules("sensors.dli", "sensors.cph", "sensors.job")],
        "operators": [_modules("operators.dli", "operators.cph", "operators.new_ends")],
        "triggers": [
            _modules(
                "triggers.job_status", "triggers.submitted_job", "triggers.start_from_trigger", "triggers.watchers"
            )
        ],
        "extra-links": ["airflow_provider_hwstatus.sensors.console_link.ConsoleLink"],
        "cli": ["airflow_provider_hwstatus.cli.definition.get_commands"],  # read by Airflow 3.2 and newer
        "connection-types": [
            {
                "connection-type": "hwstatus",
                "hook-class-name": "airflow_provider_hwstatus.hooks.hwstatus.HwStatusHook",
                "hook-name": "Huawei Cloud job status",
                "ui-field-behaviour": {"hidden-fields": HIDDEN_FIELDS, "relabeling": RELABELING},
                "conn-fields": CONNECTION_FIELDS,
            }
        ],
    }


def _modules(*names: str) -> dict[str, Any]:
    modules = [f"airflow_provider_hwstatus.{name}" for name in names]
    return {"integration-name": _INTEGRATION, "python-modules": modules}
