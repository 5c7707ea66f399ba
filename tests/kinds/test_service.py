"""Services: their labels and hosts, and the URLs that follow for a connection."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hwstatus.core.connection.settings import Settings, settings_from
from airflow_provider_hwstatus.errors import ConfigurationError
from airflow_provider_hwstatus.kinds import KINDS, SERVICES, Service
from airflow_provider_hwstatus.kinds.service import DOMAINS, service_of

every_service = pytest.mark.parametrize("service", SERVICES.values(), ids=str)


@pytest.mark.parametrize(
    "label",
    [None, 1, "", "a.b", "a/b", "a:1", "a@b", "A", "-a", "a-", "a--b", "a_b", "1a", "a\n", "ü", "a" * 64, "a b", "%61"],
)
def test_wrong_label(label: Any) -> None:
    """A label that is not one part of a host name is an error."""
    with pytest.raises(ValueError, match="service must be the first label of the host name"):
        Service(label=label)


@pytest.mark.parametrize(
    "host",
    [
        "acme.example.com",
        "acme.cn-north-4.myhuaweicloud.com.evil.example",
        "acme.cn-north-4.evilmyhuaweicloud.com",
        "evil.example/acme.cn-north-4.myhuaweicloud.com",
        "user@acme.cn-north-4.myhuaweicloud.com",
        "acme.cn-north-4.myhuaweicloud.com:8443",
        "acme.cn-north-4.myhuaweicloud.com/",
        "https://acme.cn-north-4.myhuaweicloud.com",
        "a.b.cn-north-4.myhuaweicloud.com",
        "acme.myhuaweicloud.com",
        "acme.localhost.myhuaweicloud.com",
        "ACME.cn-north-4.myhuaweicloud.com",
        "acme.cn-north-4.myhuaweicloud.com\n",
        "127.0.0.1",
        "",
    ],
)
def test_wrong_host(host: str) -> None:
    """A host outside the vendor's domains is an error that names the service and lists the domains."""
    with pytest.raises(ValueError, match=r"^service acme: hosts must be .*myhuaweicloud\.com") as raised:
        Service(label="acme", hosts=(host,))
    assert all(domain in str(raised.value) for domain in DOMAINS)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"hosts": "acme.cn-north-4.myhuaweicloud.com"}, "hosts must be a list"),
        ({"hosts": None}, "hosts must be a list"),
        ({"regions": "cn-north-4"}, "regions must be a list"),
        ({"regions": [4]}, "regions must be a list"),
        ({"regions": ["cn north"]}, "'cn north' is no region"),
        ({"title": "a\nb"}, "title must be"),
        ({"console_name": 5}, "console_name must be"),
        ({"console": "https://evil.example"}, "console must be a path"),
        ({"console": "//evil.example"}, "console must be a path"),
        ({"console": "/{job_id}"}, "console: unknown placeholder {job_id}"),
    ],
)
def test_wrong_field(wrong: dict[str, Any], message: str) -> None:
    """A wrong field is an error that names it, also from JSON."""
    with pytest.raises(ValueError, match=re.escape(message)):
        Service(label="acme", **wrong)
    with pytest.raises(ValueError, match=re.escape(message)):
        Service.from_dict({"label": "acme"} | wrong)


def test_defaults() -> None:
    """A service needs a label only, and a label that is not known is a service of its own."""
    service = service_of("acme-jobs")

    assert ("ACME-JOBS", "the ACME-JOBS console", (), None) == (
        service.title,
        service.console_name,
        service.hosts,
        service.console,
    )
    assert SERVICES["mrs"] is service_of("mrs")


@every_service
def test_json(service: Service) -> None:
    """Every known service is the same after JSON."""
    assert service == Service.from_dict(json.loads(json.dumps(service.to_dict())))


@given(row=st.dictionaries(st.sampled_from(["label", "title", "regions", "hosts", "console"]), st.text() | st.none()))
def test_any_row(row: dict[str, Any]) -> None:
    """A row is a service or a ValueError."""
    try:
        Service.from_dict(row)
    except ValueError:
        return


@pytest.mark.parametrize(
    ("label", "region", "url"),
    [
        ("mrs", "cn-north-4", "https://mrs.cn-north-4.myhuaweicloud.com"),
        ("mrs", "ap-southeast-1", "https://mrs.ap-southeast-1.myhuaweicloud.cn"),
        ("mrs", "eu-west-101", "https://mrs.eu-west-101.myhuaweicloud.eu"),
        ("ecs", "eu-west-101", "https://ecs.eu-west-101.myhuaweicloud.com"),
        ("ecs", "eu-de", "https://ecs.eu-de.otc.t-systems.com"),
        ("css", "cn-north-1", "https://es.cn-north-1.myhuaweicloud.com"),
        ("dayu-dlf", "cn-north-4", "https://dayu-dlf.cn-north-4.myhuaweicloud.com"),
        ("dayu-dlf", "cn-east-4", "https://dayu.cn-east-4.myhuaweicloud.com"),
        ("gaussdb", "la-north-2", "https://gaussdb-mysql.la-north-2.myhuaweicloud.com"),
        ("acme-jobs", "eu-nl", "https://acme-jobs.eu-nl.otc.t-systems.com"),
    ],
)
def test_endpoint_of_the_region(label: str, region: str, url: str) -> None:
    """The URL follows the region's pattern, except where the vendor's tables have another host."""
    assert url == Settings(region=region).endpoint(service_of(label))


@every_service
def test_each_exception_is_used(service: Service) -> None:
    """Every host that is an exception belongs to one region, and that region uses it."""
    for host in service.hosts:
        assert f"https://{host}" == Settings(region=host.split(".")[1]).endpoint(service)


@pytest.mark.parametrize("region", ["", None])
def test_no_region(region: Any) -> None:
    """Without a region, the error names the field of the connection that would do instead."""
    with pytest.raises(ConfigurationError, match=r"region is not set\n  next: set region or endpoints\['acme-jobs'\]"):
        settings_from("ak", "sk", {"region": region}).endpoint(service_of("acme-jobs"))


URLS: dict[str, Any] = {"acme-jobs": "https://acme.corp:8443/gw/", "*": "https://{service}.corp/"}


class TestEndpointsOfTheConnection:
    """The extra ``endpoints`` of a connection."""

    @pytest.mark.parametrize("given", [URLS, json.dumps(URLS)], ids=["object", "text"])
    def test_urls(self, given: Any) -> None:
        """A service has its own URL, or that of the star with its label; the same as an object and as JSON text."""
        settings = settings_from("ak", "sk", {"region": "cn-north-4", "endpoints": given})

        urls = [settings.endpoint(service_of(label)) for label in ("acme-jobs", "mrs", "dli", "iam")]
        assert ["https://acme.corp:8443/gw", "https://mrs.corp", "https://dli.corp", "https://iam.corp"] == urls

    def test_own_field_counts_more(self) -> None:
        """The fields of DLI, CPH and IAM count more than ``endpoints``."""
        extra = {"dli_endpoint": "https://own", "endpoints": {"dli": "https://listed", "*": "https://star"}}
        settings = settings_from("ak", "sk", extra)

        assert ["https://own", "https://star"] == [settings.endpoint(service_of(label)) for label in ("dli", "cph")]

    def test_star_only_for_the_others(self) -> None:
        """Without a star, the other services have the region's URL."""
        settings = settings_from("ak", "sk", {"region": "cn-north-4", "endpoints": {"mrs": "https://mrs.corp"}})

        assert "https://cce.cn-north-4.myhuaweicloud.com" == settings.endpoint(service_of("cce"))

    @pytest.mark.parametrize("given", [None, "", {}, "{}"])
    def test_empty(self, given: Any) -> None:
        """An empty field is not set."""
        assert () == settings_from("ak", "sk", {"endpoints": given}).endpoints

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ("{", "endpoints must be a JSON object"),
            ("https://host", "endpoints must be a JSON object"),
            ("[]", "endpoints must be a JSON object"),
            ([], "endpoints must be a JSON object"),
            (5, "endpoints must be a JSON object"),
            (True, "endpoints must be a JSON object"),
            ("[" * 10**5, "endpoints must be a JSON object"),
            ({"Mrs": "https://host"}, "endpoints['Mrs']: service must be the first label"),
            ({"mrs.x": "https://host"}, "endpoints['mrs.x']: service must be the first label"),
            ({"": "https://host"}, "endpoints['']: service must be the first label"),
            ({5: "https://host"}, "endpoints[5]: service must be the first label"),
            ({"mrs": "host"}, "endpoints['mrs'] must be a URL"),
            ({"mrs": "ftp://host"}, "endpoints['mrs'] must be a URL"),
            ({"mrs": "https://u:p@host"}, "endpoints['mrs'] must be a URL"),
            ({"mrs": "https://host?x=1"}, "endpoints['mrs'] must be a URL"),
            ({"mrs": "https://host:99999"}, "endpoints['mrs'] must be a URL"),
            ({"mrs": "https://{service}.corp"}, "endpoints['mrs'] must be a URL"),
            ({"*": "https://{label}.corp"}, "endpoints['*'] must be a URL"),
            ({"*": "{service}"}, "endpoints['*'] must be a URL"),
            ({"mrs": ""}, "endpoints['mrs'] is empty"),
            ({"mrs": None}, "endpoints['mrs'] is empty"),
            ({"mrs": 5}, "endpoints['mrs'] must be text"),
            ({"mrs": " https://host"}, "endpoints['mrs'] has a space"),
            ({"mrs": "https://host", 5: "https://host"}, "endpoints[5]: service must be the first label"),
        ],
    )
    def test_wrong(self, given: Any, message: str) -> None:
        """A wrong value is an error that names the field and the service."""
        with pytest.raises(ConfigurationError) as raised:
            settings_from("ak", "sk", {"endpoints": given})
        assert message in str(raised.value)


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_every_kind_has_a_host_in_each_cloud(kind: Any) -> None:
    """The host of each kind is in the vendor's domains."""
    service = kind.cloud_service
    for region in service.regions or ("cn-north-4", "ap-southeast-1", "eu-west-101", "eu-de"):
        assert Settings(region=region).endpoint(service).endswith(DOMAINS)
