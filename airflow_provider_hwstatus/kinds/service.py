"""The services of Huawei Cloud: what is known about their hosts, and their names and pages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from airflow_provider_hwstatus.kinds.template import check_path, check_text

#: The domains of the cloud's hosts. A declaration can name no other.
DOMAINS = ("myhuaweicloud.com", "myhuaweicloud.eu", "myhuaweicloud.cn", "otc.t-systems.com")

_LABEL = re.compile(r"(?=.{1,63}\Z)[a-z][a-z0-9]*(-[a-z0-9]+)*")
REGION = re.compile(r"(?=.{1,64}\Z)[a-z0-9]+(-[a-z0-9]+)+")


@dataclass(frozen=True, kw_only=True)
class Service:
    """
    A service of Huawei Cloud.

    :param label: The first label of its host name, such as ``dli`` in ``dli.cn-north-4.myhuaweicloud.com``, and its key
        in the connection's ``endpoints``.
    :param title: The service's name in messages; the label in capital letters by default.
    :param regions: The regions that have the service; empty if they are not known.
    :param hosts: Its hosts in the regions that are exceptions of the pattern ``<label>.<region>.<domain>``.
    :param console: Its page in the web console, with ``{region}``; None if it is not known.
    :param console_name: What messages call that page.
    :raises ValueError: A value is invalid.
    """

    label: str
    title: str = ""
    regions: frozenset[str] = frozenset()
    hosts: tuple[str, ...] = ()
    console: str | None = None
    console_name: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.label, str) or not _LABEL.fullmatch(self.label):
            raise ValueError(
                "service must be the first label of the host name, such as 'mrs', without a domain; it is "
                f"{self.label!r}"
            )
        title = self.title or self.label.upper()
        vars(self).update(
            title=title,
            console_name=self.console_name or f"the {title} console",
            regions=frozenset(_texts("regions", self.regions)),
            hosts=tuple(sorted(_texts("hosts", self.hosts))),
        )
        for name in ("title", "console_name"):
            check_text(name, getattr(self, name))
        if wrong := sorted(region for region in self.regions if not REGION.fullmatch(region)):
            raise ValueError(f"service {self.label}: {wrong[0]!r} is no region")
        if wrong := [host for host in self.hosts if not _is_host(host)]:
            raise ValueError(
                f"service {self.label}: hosts must be such as {self.label}.cn-north-4.{DOMAINS[0]}, of the domains "
                f"{', '.join(DOMAINS)}; one is {wrong[0]!r}"
            )
        if self.console is not None:
            check_path("console", self.console, {"region"})

    def host_in(self, region: str) -> str | None:
        """Return the host in a region that is an exception of the pattern; None for all other regions."""
        return next((host for host in self.hosts if host.split(".")[1] == region), None)

    def __str__(self) -> str:
        return self.label

    def to_dict(self) -> dict[str, object]:
        """Return the service as JSON, from which :meth:`from_dict` restores it."""
        return {
            name: sorted(value) if isinstance(value, frozenset | tuple) else value for name, value in vars(self).items()
        }

    @classmethod
    def from_dict(cls, row: Mapping[str, object]) -> Service:
        """
        Restore a service from :meth:`to_dict`. Unknown fields are ignored.

        :raises ValueError: *row* does not describe a service.
        """
        try:
            return cls(**{name: row[name] for name in cls.__dataclass_fields__ if name in row})  # type: ignore[arg-type]  # it checks
        except (AttributeError, TypeError) as error:
            raise ValueError(f"service: {error}") from error


def service_of(service: Service | Mapping[str, object] | str) -> Service:
    """
    Return the service with a label, with what is known about it.

    :param service: The label; a service is returned unchanged; or what :meth:`Service.to_dict` returned.
    :raises ValueError: It is no label.
    """
    if isinstance(service, Service):
        return service
    if isinstance(service, Mapping):
        return Service.from_dict(service)
    known = SERVICES.get(service) if isinstance(service, str) else None
    return known or Service(label=service)


def _texts(field: str, values: object) -> list[str]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ValueError(f"{field} must be a list of texts; it is {values!r}")
    texts = list(values)
    if wrong := [value for value in texts if not isinstance(value, str)]:
        raise ValueError(f"{field} must be a list of texts; {wrong[0]!r} is none")
    return texts


def _is_host(host: str) -> bool:
    label, _, rest = host.partition(".")
    region, _, domain = rest.partition(".")
    return bool(_LABEL.fullmatch(label) and REGION.fullmatch(region)) and domain in DOMAINS


IAM = Service(label="iam", title="IAM")

DLI = Service(
    label="dli",
    title="DLI",
    regions=frozenset(
        [
            "ae-ad-1",
            "af-north-1",
            "af-south-1",
            "ap-southeast-1",
            "ap-southeast-2",
            "ap-southeast-3",
            "ap-southeast-4",
            "cn-east-2",
            "cn-east-3",
            "cn-east-4",
            "cn-east-5",
            "cn-north-1",
            "cn-north-2",
            "cn-north-4",
            "cn-north-9",
            "cn-south-1",
            "cn-southwest-2",
            "eu-de",
            "eu-nl",
            "eu-west-0",
            "eu-west-101",
            "la-north-2",
            "la-south-2",
            "me-east-1",
            "my-kualalumpur-1",
            "na-mexico-1",
            "ru-moscow-1",
            "ru-northwest-2",
            "sa-brazil-1",
            "tr-west-1",
        ]
    ),
    console_name="the job under Job Management in the DLI console",
)

CPH = Service(
    label="cph",
    title="CPH",
    regions=frozenset(
        [
            "af-north-1",
            "ap-southeast-1",
            "ap-southeast-3",
            "cn-east-2",
            "cn-east-3",
            "cn-east-4",
            "cn-north-4",
            "cn-north-9",
            "cn-south-1",
            "cn-southwest-2",
            "la-north-2",
            "la-south-2",
            "ru-northwest-2",
        ]
    ),
    console="/cph/?region={region}",
)

#: What is known about services, by label. A service that is not listed follows the pattern of the regions' hosts.
#: Sources: the region tables of the vendor's SDK (3.1.219), IAM's endpoint page, python-otcextensions.
SERVICES = {
    service.label: service
    for service in (
        IAM,
        DLI,
        CPH,
        Service(label="cbr", hosts=("cbr.eu-west-101.myhuaweicloud.com",)),
        Service(
            label="css",
            hosts=(
                "es.cn-north-1.myhuaweicloud.com",
                "es.cn-east-2.myhuaweicloud.com",
                "css.eu-west-101.myhuaweicloud.com",
            ),
        ),
        Service(
            label="dayu-dlf",
            title="DataArts Factory",
            hosts=("dayu.cn-east-4.myhuaweicloud.com", "dayu-dlf.eu-west-101.myhuaweicloud.com"),
        ),
        Service(
            label="dws",
            hosts=tuple(
                f"dws.{region}.myhuaweicloud.cn"
                for region in ("ap-southeast-4", "cn-east-4", "cn-north-12", "cn-south-4", "tr-west-1")
            ),
        ),
        Service(label="ecs", hosts=("ecs.eu-west-101.myhuaweicloud.com",)),
        Service(label="evs", hosts=("evs.eu-west-101.myhuaweicloud.com",)),
        Service(
            label="gaussdb",
            title="TaurusDB",
            hosts=(
                *(
                    f"gaussdbformysql.{region}.myhuaweicloud.com"
                    for region in ("ap-southeast-1", "ap-southeast-2", "cn-north-11", "me-east-1", "tr-west-1")
                ),
                *(
                    f"gaussdb-mysql.{region}.myhuaweicloud.com"
                    for region in ("af-south-1", "cn-east-5", "cn-southwest-3", "la-north-2")
                ),
            ),
        ),
        Service(label="ims", hosts=("ims.eu-west-101.myhuaweicloud.com",)),
        Service(label="modelarts", title="ModelArts", hosts=("modelarts.ap-southeast-1.myhuaweicloud.cn",)),
        Service(
            label="mrs",
            hosts=tuple(
                f"mrs.{region}.myhuaweicloud.cn" for region in ("ap-southeast-1", "ap-southeast-4", "ru-northwest-2")
            ),
        ),
    )
}
