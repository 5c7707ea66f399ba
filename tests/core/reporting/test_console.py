"""The page of a job in the console."""

import pytest

from airflow_provider_hwstatus.core.connection.settings import Settings
from airflow_provider_hwstatus.core.reporting.console import console_url
from airflow_provider_hwstatus.kinds.cph import CPH_JOB
from airflow_provider_hwstatus.kinds.dli import DLI_BATCH, DLI_SESSION_READY

PAGE = "#/main/jobs/spark/submitLog/b1?type=RUN"


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ("cn-north-4", f"https://console.huaweicloud.com/dli/?region=cn-north-4{PAGE}"),
        ("cn-north-9", f"https://console.huaweicloud.com/dli/?region=cn-north-9{PAGE}"),
        ("ap-southeast-3", f"https://console-intl.huaweicloud.com/dli/?region=ap-southeast-3{PAGE}"),
        ("tr-west-1", f"https://console-intl.huaweicloud.com/dli/?region=tr-west-1{PAGE}"),
        ("eu-west-101", f"https://console.eu.huaweicloud.com/dli/?region=eu-west-101{PAGE}"),
        ("eu-de", f"https://console.otc.t-systems.com/dli/?region=eu-de{PAGE}"),
        ("eu-west-0", None),
        ("ru-moscow-1", None),
        ("xx-new-1", None),
        (None, None),
    ],
)
def test_page_of_a_batch(region, expected):
    """The host of the page is that of the region, and an unknown region has no page."""
    assert expected == console_url(DLI_BATCH, Settings(region=region), "b1")


def test_cph_has_the_page_of_the_service():
    """A CPH job has the page of the service, and there is none on Open Telekom Cloud."""
    url = "https://console.huaweicloud.com/cph/?region=cn-east-3"

    assert url == console_url(CPH_JOB, Settings(region="cn-east-3"), "j1")
    assert console_url(CPH_JOB, Settings(region="eu-de"), "j1") is None


def test_session_has_no_page():
    """The console has no page for sessions."""
    assert console_url(DLI_SESSION_READY, Settings(region="cn-north-4"), "s1") is None


def test_other_endpoint_has_no_page():
    """An endpoint other than the region's own has no page."""
    own = Settings(region="cn-north-4", dli_endpoint="https://dli.private.example")
    spelt = Settings(region="cn-north-4", dli_endpoint="https://dli.cn-north-4.myhuaweicloud.com")

    assert console_url(DLI_BATCH, own, "b1") is None
    assert console_url(DLI_BATCH, spelt, "b1")
