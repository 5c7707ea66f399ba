"""Kinds of Cloud Phone (CPH) jobs."""

from __future__ import annotations

from airflow_provider_hwstatus.kinds.job_kind import JobKind
from airflow_provider_hwstatus.kinds.submission import Submission


def _phones(call: str, *required: str, permission: str | None = None, **fixed: str) -> Submission:
    return Submission(
        path=f"/v1/{{project_id}}/cloud-phone/{call}",
        id="request_id",
        is_request=True,
        required=required,
        fixed=fixed,
        permission=permission,
        source="huaweicloudsdkcph 3.1.219; CPH API reference",
    )


def _command(command: str) -> Submission:
    return _phones("phones/commands", "content", permission="cph:phones:execCommands", command=command)


#: The calls of CPH that start jobs, by action. Source: the request models of the vendor's SDK.
ACTIONS = {
    "restart": _phones("phones/batch-restart", "phones"),
    "stop": _phones("phones/batch-stop", "phone_ids"),
    "reset": _phones("phones/batch-reset", "phones"),
    "run_command": _command("shell"),
    "install": _command("install"),
    "install_multiple": _command("install-multiple"),
    "uninstall": _command("uninstall"),
    "push": _command("push"),
    "update_property": _phones("phones/batch-update-property", "phones"),
    "export_data": _phones("phones/batch-storage", "storage_infos"),
    "import_data": _phones("phones/batch-restore", "restore_infos"),
    "expand_volume": _phones("phones/expand-volume", "phones"),
    "restart_servers": _phones("servers/batch-restart", "server_ids"),
    "restart_encode_servers": _phones("encode-servers/batch-restart", "encode_server_ids"),
    "push_share_files": _phones("phones/share-files", "bucket_name", "object_path", "server_ids"),
    "push_share_apps": _phones("phones/share-apps", "bucket_name", "object_path", "server_ids"),
    "delete_share_files": _phones("phones/share-files", "file_paths", "server_ids"),
}

CPH_JOB = JobKind(
    name="cph_job",
    title="CPH job",
    service="cph",
    id_name="job_id",
    path="/v1/{project_id}/cloud-phone/jobs/{job_id}",
    id="job_id",
    state="status",
    begin="begin_time",
    end="end_time",
    log="execute_msg",
    extra_fields={"phone_id": "phone_id", "server_id": "server_id"},
    permission="cph:jobs:get",
    submissions=ACTIONS,
    in_progress={"1"},
    success={"2"},
    failure={"-1"},
    advice="look the error code up in the CPH API reference, and check the phone or server in {console}",
    source="https://support.huaweicloud.com/intl/en-us/api-cph/cph_api_0521.html",
)

# Right after a restart, a phone may still show "2": wait for the job of the restart instead.
CPH_PHONE = JobKind(
    name="cph_phone",
    title="CPH phone",
    service="cph",
    id_name="phone_id",
    path="/v1/{project_id}/cloud-phone/phones/{job_id}",
    id="phone_id",
    state="status",
    begin="create_time",
    end="update_time",
    job_name="phone_name",
    queue="server_id",
    in_progress={"0", "1", "3", "4", "7"},
    success={"2"},
    failure={"6", "8", "-5", "-6", "-7", "-8", "-9"},
    source="huaweicloudsdkcph 3.1.219, ShowCloudPhoneDetail; huaweicloudDocs/cph (API reference, 查询云手机详情)",
)

CPH_PHONE_RUNNING = CPH_PHONE.for_goal("running")

CPH_PHONE_STOPPED = CPH_PHONE.for_goal("stopped", success={"8"}, failure={"6", "-5", "-6", "-7", "-8", "-9"})

KINDS = (CPH_JOB, CPH_PHONE, CPH_PHONE_RUNNING, CPH_PHONE_STOPPED)
