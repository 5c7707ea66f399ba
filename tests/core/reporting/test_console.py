"""Which page of which console a job is on."""

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
    """Each site has its own host; where it is not known, there is no link rather than a wrong one."""
    assert expected == console_url(DLI_BATCH, Settings(region=region), "b1")


def test_cph_has_the_page_of_the_service():
    """No page of a job is known, so it is the service's; Open Telekom Cloud has no CPH."""
    url = "https://console.huaweicloud.com/cph/?region=cn-east-3"

    assert url == console_url(CPH_JOB, Settings(region="cn-east-3"), "j1")
    assert console_url(CPH_JOB, Settings(region="eu-de"), "j1") is None


def test_sessions_have_none():
    """The console has no page for them."""
    assert console_url(DLI_SESSION_READY, Settings(region="cn-north-4"), "s1") is None


def test_other_clouds_have_none():
    """Behind an endpoint of one's own may be anything; the region's own endpoint may be spelt out."""
    own = Settings(region="cn-north-4", dli_endpoint="https://dli.private.example")
    spelt = Settings(region="cn-north-4", dli_endpoint="https://dli.cn-north-4.myhuaweicloud.com")

    assert console_url(DLI_BATCH, own, "b1") is None
    assert console_url(DLI_BATCH, spelt, "b1")
