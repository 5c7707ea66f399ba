"""The port of the fake cloud."""

from __future__ import annotations

from airflow_provider_hwstatus.testing import FakeHuaweiCloud


def test_ports_are_not_reused() -> None:
    """
    Each fake has a new port, so that state that clients keep by address, such as a 429, does not affect the next fake.

    The system has about 14,000 free ports, so some of 400 random ones would repeat.
    """
    ports = set()
    for _ in range(400):
        with FakeHuaweiCloud() as cloud:
            ports.add(cloud.port)
    assert len(ports) == 400


def test_fake_keeps_its_port() -> None:
    """A fake that is stopped and started again keeps its port."""
    cloud = FakeHuaweiCloud()
    ports = list[int]()
    for _ in range(2):
        with cloud:
            ports.append(cloud.port)
    assert ports[0] == ports[1] != 0
