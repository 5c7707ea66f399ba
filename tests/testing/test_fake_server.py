"""Where the fake cloud is served."""

from __future__ import annotations

from airflow_provider_hwstatus.testing import FakeHuaweiCloud


def test_each_fake_has_a_port_of_its_own() -> None:
    """
    What one fake told its clients, a 429 above all, they must not keep from asking the next.

    Of 400 free ports that the system gives, some are the same: it has 14,000 or so.
    """
    ports = set()
    for _ in range(400):
        with FakeHuaweiCloud() as cloud:
            ports.add(cloud.port)
    assert len(ports) == 400


def test_fake_keeps_its_port() -> None:
    """It may go away and come back, as a service does."""
    cloud = FakeHuaweiCloud()
    ports = list[int]()
    for _ in range(2):
        with cloud:
            ports.append(cloud.port)
    assert ports[0] == ports[1] != 0
