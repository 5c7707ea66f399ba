"""The port of the fake cloud."""

from __future__ import annotations

import gc
import socket
from collections import deque
from contextlib import suppress
from threading import Event, Thread

import pytest

from airflow_provider_hwstatus.testing import FakeHuaweiCloud, server


def test_ports_are_not_reused() -> None:
    """
    Each fake has a new port, so that state that clients keep by address, such as a 429, does not affect the next fake.

    The system has about 7,000 free ports, so some of 400 random ones would repeat.
    """
    ports = set()
    for _ in range(400):
        with FakeHuaweiCloud() as cloud:
            ports.add(cloud.port)
    assert len(ports) == 400


def test_ports_of_many_fakes_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has started 5,000 fakes gets new ports, too. Most ports to choose from were used by then."""
    used = list(range(32769, 46884, 2))[:5000]
    monkeypatch.setattr(server, "_recent_ports", deque(used, maxlen=server._recent_ports.maxlen))
    ports = list[int]()
    for _ in range(20):
        with FakeHuaweiCloud() as cloud:
            ports.append(cloud.port)
    assert not set(ports) & set(used[20:])


def test_fake_starts_if_all_ports_were_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then a port is used again. A system can be configured to have few ports."""
    monkeypatch.setattr(server, "_recent_ports", deque(range(65536)))
    with FakeHuaweiCloud() as cloud:
        assert cloud.port


def test_fake_keeps_its_port() -> None:
    """A fake that is stopped and started again keeps its port."""
    cloud = FakeHuaweiCloud()
    ports = list[int]()
    for _ in range(2):
        with cloud:
            ports.append(cloud.port)
    assert ports[0] == ports[1] != 0


def test_port_of_a_stopped_fake_is_reserved() -> None:
    """No other program gets the port before the fake starts again. Until then, connections are refused."""
    cloud = FakeHuaweiCloud()
    cloud.start()
    cloud.stop()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", cloud.port))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", cloud.port), timeout=60.0)

    cloud.start()
    socket.create_connection(("127.0.0.1", cloud.port), timeout=60.0).close()
    cloud.stop()
    port = cloud.port
    del cloud
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the closed connection waits for late packets
        other.bind(("127.0.0.1", port))
        other.listen()


def test_port_is_reserved_all_the_time() -> None:
    """Another program cannot take the port of a fake while it runs or stops."""
    taken = list[int]()

    def take(port: int) -> None:
        while not stopped.is_set():
            with socket.socket() as other, suppress(OSError):
                other.bind(("127.0.0.1", port))
                taken.append(port)

    for _ in range(20):
        cloud, stopped = FakeHuaweiCloud(), Event()
        cloud.start()
        taker = Thread(target=take, args=(cloud.port,))
        taker.start()
        cloud.stop()
        stopped.set()
        taker.join()
    assert taken == []


def test_port_in_use_is_an_error() -> None:
    """Two fakes do not share a port."""
    with FakeHuaweiCloud() as cloud, pytest.raises(OSError, match="in use"):
        FakeHuaweiCloud(cloud.port).start()
    gc.collect()


def test_connection_that_arrives_at_the_stop_is_closed() -> None:
    """asyncio leaves a connection open that it accepts while a server is closed; pytest would report it."""
    cloud = FakeHuaweiCloud()
    for _ in range(50):
        cloud.start()
        with socket.create_connection(("127.0.0.1", cloud.port), timeout=60.0) as client:
            cloud.stop()
            with suppress(ConnectionResetError):
                assert client.recv(1) == b""
    gc.collect()
